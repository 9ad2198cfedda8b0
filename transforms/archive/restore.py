"""Put what an archive holds into an index: exactly, and twice without harm.

Points go in unseen, are counted, and then flipped to `live` video by video, as a commit does; ledger entries come last.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transforms.archive.columns import to_points
from transforms.archive.files import GROUP_ROWS
from transforms.archive.layout import Archive
from transforms.archive.state import ArchiveState, entry_from, points_files
from transforms.errors import StoreUnavailable
from transforms.index.calibration import Calibration, write_calibration
from transforms.index.kinds import CLIP, WHOLE, points_of
from transforms.index.ledger import read_some, write_entries
from transforms.index.store import AnyOf, Equals, VectorStore, Where
from transforms.records import ClipPoint, LedgerEntry

_VIDEOS_AT_ONCE = 256

#: Points between two flushes.
_FLUSH_POINTS = 16_384


@dataclass(frozen=True, slots=True)
class Restored:
    """What an import did."""

    videos: int = 0
    clips: int = 0
    points: int = 0
    unchanged: int = 0  # videos that the index held already, exactly so
    forgotten: int = 0  # videos that the user took out of the index, and that stay out


def restore(archive: Archive, state: ArchiveState, store: VectorStore, *, fresh: bool) -> Restored:
    """Bring every video of the archive into the store, in place of what it holds of the same videos.

    `fresh` says that the index was made for it: then the calibration comes along. Raises StoreUnavailable where the
    store holds another number of points than the archive.
    """
    entries = {uri: entry_from(held.entry) for uri, held in state.videos.items() if not held.deleted}
    known = {} if fresh else read_some(store, entries)
    forgotten = [uri for uri, entry in known.items() if entry.state == "forgotten" and entries[uri] != entry]
    for uri in forgotten:
        del entries[uri]
    wanted = {
        uri: state.videos[uri].points_run
        for uri, entry in entries.items()
        if known.get(uri) != entry or _count(store, [entry]) != state.videos[uri].points
    }
    clips = points = 0
    for some in _points(archive, wanted):
        hidden = [_hidden(point, known, entries) for point in some]
        store.upsert(hidden)
        if (points // _FLUSH_POINTS) != (points + len(some)) // _FLUSH_POINTS:
            store.flush()
        points += len(some)
        clips += sum(point.payload["kind"] == CLIP for point in some)
    store.flush()
    for uris in _some(list(wanted)):
        own = [entries[uri] for uri in uris]
        with store.together():
            _show(store, own, known)
            found, said = _count(store, own), sum(state.videos[uri].points for uri in uris)
            if found != said:
                raise StoreUnavailable(
                    f"the archive vouches for {said} points of {len(own)} videos and the index holds {found} of them; "
                    "import again"
                )
            write_entries(store, own)
    if fresh and state.calibration:
        write_calibration(store, _calibration(state.calibration))
    store.flush()
    return Restored(len(wanted), clips, points, len(entries) - len(wanted), len(forgotten))


def _show(store: VectorStore, entries: Sequence[LedgerEntry], known: dict[str, LedgerEntry]) -> None:
    """Make the imported version of each video the only one that is there; new videos all in one step."""
    new = tuple(entry.uri for entry in entries if entry.uri not in known)
    if new:
        store.set_payload({"live": True}, Where((AnyOf("kind", (CLIP, WHOLE)), AnyOf("uri", new))))
    for entry in entries:
        if entry.uri in known:
            if entry.live_content:
                store.set_payload({"live": True}, points_of(entry.uri, Equals("content", entry.live_content)))
            others = (Equals("content", entry.live_content),) if entry.live_content else ()
            store.delete(Where(points_of(entry.uri).must, others))


def _count(store: VectorStore, entries: Sequence[LedgerEntry]) -> int:
    """Live points of these videos."""
    uris = tuple(entry.uri for entry in entries)
    return store.count(Where((AnyOf("kind", (CLIP, WHOLE)), AnyOf("uri", uris), Equals("live", True))))


def _hidden(point: ClipPoint, known: dict[str, LedgerEntry], entries: dict[str, LedgerEntry]) -> ClipPoint:
    """The point as searches do not see it yet; what they see of the same bytes stays seen."""
    uri = str(point.payload["uri"])
    seen = uri in known and known[uri].live_content == entries[uri].live_content
    return point if seen else replace(point, payload={**point.payload, "live": False})


def _points(archive: Archive, wanted: dict[str, int]) -> Iterator[list[ClipPoint]]:
    """The newest points of these videos, a row group at a time."""
    for run in sorted({run for run in wanted.values() if run}):
        uris = pa.array([uri for uri, own in wanted.items() if own == run], pa.string())
        for batch in newest_rows(archive, run, uris):
            yield to_points(batch, archive.schema)


def newest_rows(archive: Archive, run: int, uris: Any, *, columns: Sequence[str] | None = None) -> Iterator[Any]:
    """The rows of a run that belong to these videos, in record batches; all columns, or these and `uri`."""
    for path in points_files(archive, run):
        with pq.ParquetFile(path, pre_buffer=False) as file:
            for batch in file.iter_batches(batch_size=GROUP_ROWS, columns=columns):
                chosen = pc.is_in(batch.column("uri"), value_set=uris)
                kept = batch if pc.all(chosen).as_py() else batch.filter(chosen)
                if kept.num_rows:
                    yield kept


def _some(uris: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(uris), _VIDEOS_AT_ONCE):
        yield uris[start : start + _VIDEOS_AT_ONCE]


def _calibration(best: dict[str, Any]) -> Calibration:
    import numpy as np

    return Calibration({name: np.asarray(own, np.float32) for name, own in best.items()})
