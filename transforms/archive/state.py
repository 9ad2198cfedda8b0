"""What an archive holds now: of every video the newest row of its ledger, and what is wrong with its files."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from transforms.archive.layout import METADATA, Archive, check_format, numbered_runs, open_archive, run_name
from transforms.errors import RecipeMismatch, UsageError
from transforms.index.ledger import entry_of, entry_payload
from transforms.plain import to_plain
from transforms.records import LedgerEntry

LEDGER_SCHEMA = pa.schema(
    [
        ("uri", pa.string()),
        ("video_id", pa.string()),
        ("state", pa.string()),
        ("content", pa.string()),
        ("live_content", pa.string()),
        ("recipe", pa.string()),
        ("clips", pa.int64()),
        ("duration_seconds", pa.float64()),
        ("searchable_since", pa.string()),
        ("deleted", pa.bool_()),
        ("points_run", pa.int64()),  # the run whose points are the video's; 0 where it has none
        ("points", pa.int64()),  # how many of them: clips, and the whole video
        ("entry", pa.string()),
    ]
)

#: What is wrong: its kind, the file or video, a sentence.
Problem = tuple[str, str, str]

TORN, UNFINISHED, LOST, MISSING, STALE = (
    "archive-torn",
    "archive-unfinished",
    "archive-lost",
    "archive-missing",
    "archive-stale",
)

#: Files that are all there but are not to be read (damaged ones of a finished run).
FATAL = (TORN, LOST)


@dataclass(frozen=True, slots=True)
class Held:
    """The newest row of a video."""

    entry: str  # JSON of the ledger entry
    deleted: bool
    points_run: int
    points: int


@dataclass(frozen=True, slots=True)
class ArchiveState:
    """By URI the newest row of each video, deleted ones too."""

    videos: dict[str, Held] = field(default_factory=dict)
    runs: tuple[int, ...] = ()  # finished ones, ascending
    unreadable_runs: frozenset[int] = frozenset()  # whose points are torn or gone
    problems: tuple[Problem, ...] = ()
    calibration: dict[str, Any] | None = None  # payload of the newest run's

    def refuse_damage(self, folder: Path) -> None:
        """Raise UsageError where a finished run has files that are torn or gone."""
        for _, name, said in (problem for problem in self.problems if problem[0] in FATAL):
            raise UsageError(
                f"the archive is damaged: {folder}: {name}: {said}; `reelvec export --index INDEX {folder}` from the "
                "index that it follows mends it"
            )
        if not self.runs:
            raise UsageError(
                f"the archive holds no finished run: {folder}: its export was cut short; export again, nothing of it "
                "counts"
            )


def read_state(archive: Archive) -> ArchiveState:
    """Read the ledgers of all runs, oldest first, and look whether the points that they name are there.

    Raises RecipeMismatch for a file of another recipe and IndexFormatError for one of a newer format.
    """
    videos: dict[str, Held] = {}
    problems: list[Problem] = []
    files: dict[int, list[dict[str, Any]]] = {}
    finished: list[int] = []
    calibration = None
    for run in numbered_runs(archive.folder):
        path = archive.ledger_of(run)
        if not path.exists():
            problems.append(
                (UNFINISHED, run_name(run), "the run was cut short and does not count; the next one replaces it")
            )
            continue
        try:
            with pq.ParquetFile(path) as file:
                said = _said(file, archive, path)
                rows = file.read()
        except (pa.ArrowException, OSError, EOFError, ValueError) as error:
            problems.append((TORN, str(path.relative_to(archive.folder)), _torn(error)))
            continue
        columns = [rows.column(name).to_pylist() for name in ("uri", "entry", "deleted", "points_run", "points")]
        for uri, entry, deleted, points_run, points in zip(*columns, strict=True):
            videos[uri] = Held(entry, deleted, points_run, points)
        finished.append(run)
        files[run] = said["points_files"]
        calibration = said.get("calibration")
    unreadable = set()
    for run in sorted({held.points_run for held in videos.values() if held.points_run}):
        if run not in files:
            problems.append((LOST, run_name(run), "the ledger of the run that holds points of newer rows is gone"))
            unreadable.add(run)
            continue
        for path, said_rows in _files_of(archive, run, files[run]):
            if trouble := _trouble(path, said_rows, archive):
                problems.append((trouble[0], str(path.relative_to(archive.folder)), trouble[1]))
                unreadable.add(run)
    cut_short = [(path, "a file that was being written when its run was killed") for path in _parts(archive)]
    cut_short += [(path, "no ledger of its run names the file; it does not count") for path in _unnamed(archive, files)]
    problems += [(UNFINISHED, str(path.relative_to(archive.folder)), said) for path, said in cut_short]
    return ArchiveState(videos, tuple(finished), frozenset(unreadable), tuple(problems), calibration)


def entry_text(entry: LedgerEntry) -> str:
    """A ledger entry as the archive keeps it; equal entries give equal texts."""
    return json.dumps(entry_payload(entry), sort_keys=True, ensure_ascii=False, allow_nan=False)


def entry_from(text: str) -> LedgerEntry:
    """The entry that `entry_text` made; raises IndexFormatError for one of another format."""
    return entry_of(json.loads(text))


def same_points(one: LedgerEntry, other: LedgerEntry) -> bool:
    """Whether two entries of one video vouch for the same points, payloads included."""
    return bool(_points_key(one) == _points_key(other))


def archive_problems(folder: Path, entries: Iterable[LedgerEntry] | None = None) -> list[Problem]:
    """What is wrong with an archive, and where it differs from an index's ledger: (kind, file or URI, sentence).

    Kinds: archive-torn, archive-unfinished, archive-lost; with `entries` also archive-missing and archive-stale.
    Raises UsageError where there is no archive.
    """
    archive = open_archive(folder)
    state = read_state(archive)
    found = list(state.problems)
    if entries is None:
        return found
    known = set()
    for entry in entries:
        known.add(entry.uri)
        held = state.videos.get(entry.uri)
        if held is None or held.deleted:
            found.append((MISSING, entry.uri, "the index knows the video, the archive does not; the next run adds it"))
        elif held.points_run in state.unreadable_runs:
            found.append((MISSING, entry.uri, "its points are in a file that cannot be read; the next run adds it"))
        elif held.entry != entry_text(entry):
            found.append((MISSING, entry.uri, "the archive has an older state of the video; the next run adds it"))
    for uri, held in state.videos.items():
        if uri not in known and not held.deleted:
            found.append((STALE, uri, "the archive has a video that the index does not know; the next run deletes it"))
    return found


def points_files(archive: Archive, run: int) -> list[Path]:
    """The files of a finished run's points, in the order in which they were written."""
    return [path for path, _ in _named(archive, run)]


def rows_of(archive: Archive, run: int) -> int:
    """How many points a finished run wrote."""
    return sum(rows for _, rows in _named(archive, run))


def _named(archive: Archive, run: int) -> list[tuple[Path, int]]:
    with pq.ParquetFile(archive.ledger_of(run)) as file:
        said = json.loads(file.schema_arrow.metadata[METADATA])
    return list(_files_of(archive, run, said["points_files"]))


def _files_of(archive: Archive, run: int, said: list[dict[str, Any]]) -> Iterator[tuple[Path, int]]:
    for one in said:
        yield archive.points_of(run) / str(one["file"]), int(one["rows"])


def _parts(archive: Archive) -> list[Path]:
    return sorted(archive.folder.glob("*/run=*/.*.part"))


def _unnamed(archive: Archive, files: dict[int, list[dict[str, Any]]]) -> list[Path]:
    """Finished files that a finished run does not name: of another archive, or of a run that was tried before."""
    named = {path for run, said in files.items() for path, _ in _files_of(archive, run, said)}
    found = [path for run in files for path in sorted(archive.points_of(run).glob("*.parquet"))]
    return [path for path in found if path not in named]


def _said(file: Any, archive: Archive, path: Path) -> dict[str, Any]:
    """What a file says of itself, compared with the archive that it lies in."""
    text = (file.schema_arrow.metadata or {}).get(METADATA)
    if text is None:
        raise ValueError("not written by Reelvec")
    said: dict[str, Any] = json.loads(text)
    check_format(said, shown=str(path))
    if (found := said["schema"]["recipe"]) != archive.schema.recipe:
        raise RecipeMismatch(
            f"two archives lie in one folder: {path} is of recipe {said['schema']['recipe_name']!r} ({found[:12]}), "
            f"the archive of {archive.schema.recipe_name!r} ({archive.schema.recipe[:12]}); move one of them away"
        )
    return said


def _trouble(path: Path, said_rows: int, archive: Archive) -> tuple[str, str] | None:
    """The kind and sentence of what is wrong with a file of points."""
    try:
        with pq.ParquetFile(path) as file:
            _said(file, archive, path)
            rows = file.metadata.num_rows
    except FileNotFoundError:
        return LOST, "the file is gone"
    except (pa.ArrowException, OSError, EOFError, ValueError) as error:
        return TORN, _torn(error)
    return None if rows == said_rows else (TORN, f"the file has {rows} rows, its run wrote {said_rows}")


def _torn(error: Exception) -> str:
    return f"the file is torn or no Parquet ({str(error).partition(chr(10))[0][:120]})"


def _points_key(entry: LedgerEntry) -> Any:
    plain = to_plain(entry)
    names = ("live_content", "recipe", "vectors", "clips", "metadata", "searchable_since", "payloads")
    return [plain[name] for name in names]
