"""Payloads of an older revision are rewritten where they lie: nothing is decoded, and no vector is read or written."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from transforms import interrupt
from transforms.index.kinds import LIVE_CLIPS, LIVE_WHOLES
from transforms.index.ledger import write_entries
from transforms.index.payloads import outdated, revision, upgraded
from transforms.index.store import AnyOf, VectorStore, Where
from transforms.records import ClipPoint, LedgerEntry
from transforms.write.whole import payload_of_whole

#: Videos whose clips are asked for at once, and clips that are rewritten at once.
_VIDEOS, _CLIPS = 64, 512


def upgrade_payloads(store: VectorStore, entries: Iterable[LedgerEntry]) -> dict[str, int]:
    """Give the clips and the whole points of these videos payloads of the newest revision; gives clips by URI.

    A video's entry says so once its points are durable: what was cut short is done again, and comes out the same.
    Stops early where somebody asks the run to end.
    """
    done: dict[str, int] = {}
    left = outdated(entries)
    while some := {entry.uri: entry for entry in islice(left, _VIDEOS)}:
        if interrupt.requested():
            break
        clips = _upgrade_some(store, some)
        store.flush()
        write_entries(store, [replace(entry, payloads=revision()) for entry in some.values()])
        store.flush()
        done |= {uri: clips[uri] for uri in some}
    return done


def _upgrade_some(store: VectorStore, entries: Mapping[str, LedgerEntry]) -> Mapping[str, int]:
    of_these = AnyOf("uri", tuple(entries))
    clips: dict[str, int] = defaultdict(int)
    any_clip: dict[str, ClipPoint] = {}
    for page in _pages(store.scroll(Where((*LIVE_CLIPS.must, of_these)), batch=_CLIPS)):
        newer = [upgraded(point, entries[str(point.payload["uri"])]) for point in page]
        store.overwrite_payloads([point for point, before in zip(newer, page, strict=True) if point is not before])
        for point in newer:
            uri = str(point.payload["uri"])
            clips[uri] += 1
            any_clip[uri] = point
    wholes = store.scroll(Where((*LIVE_WHOLES.must, of_these)), batch=_CLIPS)
    store.overwrite_payloads([_whole(point, entries, any_clip) for point in wholes if point.payload["uri"] in any_clip])
    return clips


def _whole(point: ClipPoint, entries: Mapping[str, LedgerEntry], clips: Mapping[str, ClipPoint]) -> ClipPoint:
    """The point of a whole video with what is true of its clips now; what only it says stays."""
    held, uri = point.payload, str(point.payload["uri"])
    entry = replace(entries[uri], duration_seconds=float(held["duration_seconds"]))  # of the version that is live
    return ClipPoint(point.id, {}, payload_of_whole(entry, clips[uri].payload, list(held["vectors"]), held["clips"]))


def _pages(points: Iterator[ClipPoint]) -> Iterator[Sequence[ClipPoint]]:
    while page := list(islice(points, _CLIPS)):
        yield page
