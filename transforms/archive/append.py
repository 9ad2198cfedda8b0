"""Bring an archive up to date with its index: what it lacks is appended, what is gone is recorded as deleted.

What is to be done is found by comparing the two ledgers, so a run that was killed is made good by the next one.
"""

import shutil
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from transforms.archive.columns import points_schema, to_batch
from transforms.archive.files import GROUP_ROWS, PointFiles, write_rows
from transforms.archive.layout import TORN_FILES, Archive, numbered_runs
from transforms.archive.state import (
    LEDGER_SCHEMA,
    TORN,
    ArchiveState,
    Held,
    entry_from,
    entry_text,
    read_state,
    same_points,
)
from transforms.index.calibration import read_calibration
from transforms.index.kinds import CLIP, WHOLE
from transforms.index.store import AnyOf, Equals, Reader, Where
from transforms.records import ClipPoint, LedgerEntry

#: Live clips and whole videos.
LIVE_POINTS = Where((AnyOf("kind", (CLIP, WHOLE)), Equals("live", True)))

#: Videos asked for at once, where few are wanted.
_VIDEOS_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Appended:
    """What one run added; `run` 0 means that the archive was true already."""

    run: int = 0
    videos: int = 0
    clips: int = 0
    points: int = 0
    deleted: int = 0
    left: tuple[str, ...] = ()  # videos whose clips are not as many as the ledger says: not archived
    problems: tuple[str, ...] = ()  # what was found torn or unfinished, and mended


def append(archive: Archive, reader: Reader, entries: Mapping[str, LedgerEntry]) -> Appended:
    """Add a run with everything that the archive lacks of the index. Hold `writing_archive` around it."""
    state = read_state(archive)
    told = tuple(f"{name}: {said}" for _, name, said in state.problems)
    texts = dict(_lacking(state, entries))
    changed = list(texts)
    gone = [uri for uri, held in state.videos.items() if not held.deleted and uri not in entries]
    if not changed and not gone and state.runs:
        return Appended(problems=told)
    run = max(numbered_runs(archive.folder), default=0) + 1
    _clear(archive, state)
    kept = {uri: state.videos[uri] for uri in changed if _keeps_points(state, state.videos.get(uri), entries[uri])}
    wanted = {uri: entries[uri] for uri in changed if uri not in kept and entries[uri].live_content}
    counted: Counter[str] = Counter()
    clips: Counter[str] = Counter()
    columns = points_schema(archive.schema, archive.metadata(run=run))
    with PointFiles(archive.points_of(run), columns) as files:
        for points in _pages(_points(reader, wanted, every=len(wanted) > len(entries) // 2)):
            files.write(to_batch(points, columns, archive.schema))
            counted.update([point.payload["uri"] for point in points])
            clips.update([point.payload["uri"] for point in points if point.payload["kind"] == CLIP])
    left = {uri for uri, entry in wanted.items() if clips[uri] != entry.clips}
    rows = [_row(entries[uri], texts[uri], run, counted[uri], kept.get(uri)) for uri in changed if uri not in left]
    rows += [_deleted(uri, state.videos[uri]) for uri in gone]
    commit(archive, run, rows, files.files, calibration=_calibration(reader))
    return Appended(
        run=run,
        videos=len(changed) - len(left),
        clips=sum(clips[uri] for uri in wanted if uri not in left),
        points=sum(counted[uri] for uri in wanted if uri not in left),
        deleted=len(gone),
        left=tuple(sorted(left)),
        problems=told,
    )


def commit(
    archive: Archive,
    run: int,
    rows: Sequence[dict[str, Any]],
    files: Sequence[Mapping[str, Any]],
    *,
    calibration: Mapping[str, Any] | None,
) -> None:
    """Write the ledger of a run, which makes it count."""
    when = datetime.now(UTC).isoformat(timespec="seconds")
    metadata = archive.metadata(run=run, written=when, points_files=list(files), calibration=calibration)
    write_rows(archive.ledger_of(run), LEDGER_SCHEMA.with_metadata(metadata), rows)


def row_of(entry: LedgerEntry, text: str, *, points_run: int, points: int) -> dict[str, Any]:
    """A video as a row of the archive's ledger."""
    return {
        "uri": entry.uri,
        "video_id": entry.id,
        "state": entry.state,
        "content": entry.content,
        "live_content": entry.live_content,
        "recipe": entry.recipe,
        "clips": entry.clips,
        "duration_seconds": entry.duration_seconds,
        "searchable_since": entry.searchable_since,
        "deleted": False,
        "points_run": points_run,
        "points": points,
        "entry": text,
    }


def _lacking(state: ArchiveState, entries: Mapping[str, LedgerEntry]) -> Iterator[tuple[str, str]]:
    """The URI and the text of every entry that the archive does not hold as it is."""
    for uri, entry in entries.items():
        text, held = entry_text(entry), state.videos.get(uri)
        if held is None or held.deleted or held.entry != text or held.points_run in state.unreadable_runs:
            yield uri, text


def _keeps_points(state: ArchiveState, held: Held | None, entry: LedgerEntry) -> bool:
    """Whether the points that an earlier run wrote of a video are those that it has now."""
    if held is None or held.deleted or held.points_run in state.unreadable_runs:
        return False
    return same_points(entry_from(held.entry), entry)


def _row(entry: LedgerEntry, text: str, run: int, points: int, kept: Held | None) -> dict[str, Any]:
    if kept is not None:
        return row_of(entry, text, points_run=kept.points_run, points=kept.points)
    return row_of(entry, text, points_run=run if points else 0, points=points)


def _deleted(uri: str, held: Held) -> dict[str, Any]:
    row = row_of(entry_from(held.entry), held.entry, points_run=0, points=0)
    return {**row, "uri": uri, "deleted": True}


def _points(reader: Reader, wanted: Mapping[str, LedgerEntry], *, every: bool) -> Iterator[ClipPoint]:
    """The live points of these videos: by one walk over everything where most are wanted."""
    if not wanted:
        return
    uris = list(wanted)
    places = [LIVE_POINTS] if every else [_of(uris[at : at + _VIDEOS_AT_ONCE]) for at in _steps(len(uris))]
    for where in places:
        for point in reader.scroll(where, vectors=True, batch=256):
            entry = wanted.get(str(point.payload.get("uri")))
            if entry is not None and point.payload.get("content") == entry.live_content:
                yield point


def _steps(count: int) -> range:
    return range(0, count, _VIDEOS_AT_ONCE)


def _of(uris: Collection[str]) -> Where:
    return Where((*LIVE_POINTS.must, AnyOf("uri", tuple(uris))))


def _pages(points: Iterator[ClipPoint]) -> Iterator[list[ClipPoint]]:
    while page := list(islice(points, GROUP_ROWS)):
        yield page


def _calibration(reader: Reader) -> Mapping[str, Any] | None:
    held = read_calibration(reader)
    return None if held is None else {name: own.tolist() for name, own in held.best.items()}


def _clear(archive: Archive, state: ArchiveState) -> None:
    """Take what killed runs left out of the way; a torn file is moved, so that its bytes are not lost."""
    for path in archive.folder.glob("*/run=*/.*.part"):
        path.unlink(missing_ok=True)
    for kind, name, _ in state.problems:
        path = archive.folder / name
        if kind == TORN and path.exists():
            place = archive.folder / TORN_FILES / name.replace("/", "-")
            place.parent.mkdir(exist_ok=True)
            path.rename(place)
    for run in numbered_runs(archive.folder):
        if run not in state.runs:
            shutil.rmtree(archive.points_of(run), ignore_errors=True)
            shutil.rmtree(archive.ledger_of(run).parent, ignore_errors=True)
