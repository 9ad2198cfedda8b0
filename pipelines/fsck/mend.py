"""Mending points and entries: nothing is deleted that is the only good copy of a video.

What is kept of a damaged video stays searchable. Its ledger entry says how much that is and has a reject that passes,
`ClipsDamaged`, which makes the next ingest or reindex embed the video again.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import islice

from pipelines.fsck.problem import Problem
from transforms.index.kinds import WHOLE, clips_of, points_of
from transforms.index.ledger import delete_receipts, entry_of, read_entry, write_entries
from transforms.index.store import Equals, HasId, VectorStore, Where
from transforms.records import ClipPoint, LedgerEntry, Reject, clip_id
from transforms.uris import shown
from transforms.write.whole import whole_of

DAMAGED = "ClipsDamaged"

Mender = Callable[[VectorStore, Problem], None]

#: After these the ledger entry is made to say what is left, and the video is embedded again.
_AND_EMBED_AGAIN = ("delete_damaged", "relist_and_embed_again", "embed_again")
#: After these the clips may be others than the whole point was made of.
_AND_WHOLE = (*_AND_EMBED_AGAIN, "rename_point", "delete_clips", "embed_afresh", "whole", "delete_point")


def mend_points(store: VectorStore, problems: Iterable[Problem]) -> None:
    """Mend what is wrong with points and entries; problems of files and collections are left alone."""
    again: dict[str, None] = {}
    wholes: dict[str, None] = {}
    for problem in problems:
        if problem.mend in _MENDERS:
            _MENDERS[problem.mend](store, problem)
        if problem.uri and problem.mend in _AND_EMBED_AGAIN:
            again[problem.uri] = None
        if problem.uri and problem.mend in _AND_WHOLE:
            wholes[problem.uri] = None
    store.flush()
    for uri in again:
        embed_again(store, uri)
    for uri in wholes:
        make_whole(store, uri)
    store.flush()


def embed_again(store: VectorStore, uri: str) -> None:
    """Let the ledger say which clips of a video are good, and have the next run embed the video again."""
    clips: Counter[str] = Counter()
    seen: dict[str, Mapping[str, object]] = {}
    for clip in store.scroll(clips_of(uri, Equals("live", True))):
        clips[clip.payload["content"]] += 1
        seen[clip.payload["content"]] = clip.payload
    old = read_entry(store, uri)
    if old is None and not clips:
        return
    entry = old or LedgerEntry(uri, 0, "", "partial", recipe=store.schema.recipe)
    live = entry.live_content if entry.live_content in clips else max(clips, key=lambda c: (clips[c], c), default="")
    content = entry.content or live
    lasts = float(str(seen[live].get("duration_seconds", 0.0))) if live else 0.0
    reject = Reject(
        uri,
        "store",
        DAMAGED,
        f"what was stored of it was damaged, {clips[live]} good clips were kept; the next run embeds it again: "
        f"{shown(uri)}",
        transient=True,
        attempts=0,
        content=content,
        size_bytes=entry.size_bytes,
        version=entry.version,
    )
    entry = replace(
        entry,
        state="partial" if live else "rejected",
        content=content,
        live_content=live,
        live_whole=False,
        vectors=(entry.vectors or tuple(sorted(store.schema.vector_fingerprints.items()))) if live else (),
        clips=clips[live] if live else 0,
        duration_seconds=entry.duration_seconds or lasts,
        attempts=0,
        rejects=(*(other for other in entry.rejects if other.error != DAMAGED), reject),
        searchable_since=entry.searchable_since if live else "",
    )
    delete_receipts(store, uri)
    write_entries(store, [entry])


def make_whole(store: VectorStore, uri: str) -> None:
    """Make the point of a whole video anew from its searchable clips; where there are none it goes."""
    entry = read_entry(store, uri)
    point = None
    if entry is not None and entry.live_content:
        live = (Equals("live", True), Equals("content", entry.live_content))
        point = whole_of(store, entry, clips_of(uri, *live))
    with store.together():
        store.delete(Where((Equals("kind", WHOLE), Equals("uri", uri))))
        if point is not None:
            store.upsert([point])


def _delete_point(store: VectorStore, problem: Problem) -> None:
    store.delete(Where((HasId((problem.id,)),)))


def _rename_point(store: VectorStore, problem: Problem) -> None:
    """Store the clip under its own id, unless one is there, and delete this one."""
    for point in store.retrieve([problem.id], vectors=True):
        payload = point.payload
        right = clip_id(payload["uri"], payload["content"], payload["segmenter"], float(payload["start_seconds"]))
        if not store.retrieve([right], payload=False):
            store.upsert([ClipPoint(right, point.vectors, payload)])
            store.flush()
        _delete_point(store, problem)


def _relist_vectors(store: VectorStore, problem: Problem) -> None:
    for point in store.retrieve([problem.id], vectors=True):
        store.set_payload({"vectors": sorted(point.vectors)}, Where((HasId((problem.id,)),)))


def _delete_clips(store: VectorStore, problem: Problem) -> None:
    store.delete(clips_of(problem.uri, Equals("content", problem.content)))


def _delete_waiting(store: VectorStore, problem: Problem) -> None:
    """The clips of a version that are not searchable."""
    version = Equals("content", problem.content), Equals("recipe", problem.recipe)
    where = clips_of(problem.uri, *version)
    store.delete(Where(where.must, must_not=(Equals("live", True),)))


def _delete_receipts(store: VectorStore, problem: Problem) -> None:
    delete_receipts(store, problem.uri, content=problem.content, recipe=problem.recipe)


def _delete_receipts_and_waiting(store: VectorStore, problem: Problem) -> None:
    _delete_receipts(store, problem)
    _delete_waiting(store, problem)


def _embed_afresh(store: VectorStore, problem: Problem) -> None:
    """Only where the file is there to be embedded again."""
    store.delete(points_of(problem.uri))
    store.flush()
    embed_again(store, problem.uri)


def _move_entry(store: VectorStore, problem: Problem) -> None:
    for point in islice(store.retrieve([problem.id]), 1):
        entry = entry_of(point.payload)
        if read_entry(store, entry.uri) is None:
            write_entries(store, [entry])
            store.flush()
        _delete_point(store, problem)


_MENDERS: Mapping[str, Mender] = {
    "delete_point": _delete_point,
    "delete_damaged": _delete_point,
    "rename_point": _rename_point,
    "relist_vectors": _relist_vectors,
    "relist_and_embed_again": _relist_vectors,
    "delete_clips": _delete_clips,
    "delete_waiting": _delete_waiting,
    "delete_receipts": _delete_receipts,
    "delete_receipts_and_waiting": _delete_receipts_and_waiting,
    "embed_afresh": _embed_afresh,
    "move_entry": _move_entry,
}
