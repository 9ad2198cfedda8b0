"""Merge the runs of an archive into one, without what was superseded or deleted."""

import shutil
from dataclasses import dataclass

import pyarrow as pa

from transforms.archive.append import commit, row_of
from transforms.archive.columns import points_schema
from transforms.archive.files import PointFiles
from transforms.archive.layout import Archive, numbered_runs
from transforms.archive.restore import newest_rows
from transforms.archive.state import ArchiveState, entry_from, read_state, rows_of


@dataclass(frozen=True, slots=True)
class Compacted:
    """What merging did."""

    runs_before: int
    videos: int
    points: int
    bytes_before: int
    bytes_after: int


def compact(archive: Archive) -> Compacted:
    """Write the newest state as one run, then take the others away. Hold `writing_archive` around it.

    Killed at any moment it leaves an archive that reads the same: the new run counts from its ledger on, and old runs
    go oldest first, so that no deletion goes before what it deletes. Raises UsageError for a damaged archive.
    """
    state = read_state(archive)
    state.refuse_damage(archive.folder)
    before = size_bytes(archive)
    live = {uri: held for uri, held in state.videos.items() if not held.deleted}
    old = numbered_runs(archive.folder)
    if len(old) > 1 or len(live) < len(state.videos) or _superseded(archive, state):
        run = max(old) + 1
        columns = points_schema(archive.schema, archive.metadata(run=run))
        with PointFiles(archive.points_of(run), columns) as files:
            for source in sorted({held.points_run for held in live.values() if held.points_run}):
                uris = pa.array([uri for uri, held in live.items() if held.points_run == source], pa.string())
                for batch in newest_rows(archive, source, uris):
                    files.write(pa.record_batch(batch.columns, schema=columns))
        rows = [
            row_of(entry_from(held.entry), held.entry, points_run=run if held.points else 0, points=held.points)
            for held in live.values()
        ]
        commit(archive, run, rows, files.files, calibration=state.calibration)
        for gone in old:
            archive.ledger_of(gone).unlink(missing_ok=True)
            for folder in (archive.ledger_of(gone).parent, archive.points_of(gone)):
                shutil.rmtree(folder, ignore_errors=True)
    points = sum(held.points for held in live.values())
    return Compacted(len(state.runs), len(live), points, before, size_bytes(archive))


def size_bytes(archive: Archive) -> int:
    """Of all files of the archive."""
    return sum(path.stat().st_size for path in archive.folder.rglob("*") if path.is_file())


def _superseded(archive: Archive, state: ArchiveState) -> bool:
    """Whether the only run holds rows that no ledger row vouches for."""
    return any(
        rows_of(archive, run) != sum(held.points for held in state.videos.values() if held.points_run == run)
        for run in state.runs
    )
