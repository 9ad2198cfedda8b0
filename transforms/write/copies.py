"""Copies and moves: the same bytes under another name get the stored vectors under new ids."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from transforms.index.kinds import CLIP, points_of
from transforms.index.ledger import delete_receipts, read_entry, write_entries
from transforms.index.store import Equals, VectorStore, Where
from transforms.order import newest
from transforms.records import SAME_BYTES, ClipPoint, CopyOf, LedgerEntry, VideoRef, clip_id, stable_id, whole_id
from transforms.write.commit import now

_BATCH = 256


def copy_video(store: VectorStore, copy: CopyOf) -> LedgerEntry | None:
    """Write the points of `copy.source_uri` again for `copy.video` and commit them.

    Returns None where the source has no outcome that holds for its copies: the copy is then
    left to a later run. A rejected source gives a rejected copy.
    """
    source = read_entry(store, copy.source_uri)
    if source is None or any(reject.transient for reject in source.rejects):
        return None
    if copy.content.startswith(SAME_BYTES):  # its bytes have been read meanwhile
        copy = replace(copy, content=source.content)
    video = copy.video
    known = read_entry(store, video.uri)
    if not copy.content or copy.content not in (source.live_content, source.content):
        return None
    rejects = tuple(
        replace(reject, uri=video.uri, size_bytes=video.size_bytes, version=video.version) for reject in source.rejects
    )
    written = 0
    if source.live_content == copy.content:
        for points in _batched(store.scroll(points_of(copy.source_uri, Equals("live", True)), vectors=True)):
            store.upsert([renamed(point, video, copy.content) for point in points])
            written += sum(point.payload["kind"] == CLIP for point in points)
    elif source.state != "rejected":
        return None
    store.flush()
    store.delete(Where(points_of(video.uri).must, must_not=(Equals("content", copy.content),)))
    entry = replace(
        source,
        uri=video.uri,
        size_bytes=video.size_bytes,
        version=video.version,
        content=copy.content,
        clips=written,
        rejects=rejects,
        searchable_since=now() if written else "",
        origin=video.origin,
        metadata=video.metadata,
        run=store.current_run(),
        event=newest(known.event if known else "", video.event),
    )
    write_entries(store, [entry])
    delete_receipts(store, video.uri)  # of a try to embed it that was cut short
    store.flush()
    return entry


def relabel(store: VectorStore, entry: LedgerEntry) -> None:
    """Give the points of a video the metadata that its manifest has now."""
    store.set_payload({"metadata": dict(entry.metadata)}, points_of(entry.uri))


def renamed(point: ClipPoint, video: VideoRef, content: str) -> ClipPoint:
    """The clip or whole point that a file of the same bytes has under its own name."""
    uri, segmenter = video.uri, point.payload["segmenter"]
    payload = {
        **point.payload,
        "uri": uri,
        "video_id": stable_id("video", uri),
        "metadata": dict(video.metadata),
    }
    if payload["kind"] == CLIP:
        name = clip_id(uri, content, segmenter, payload["start_seconds"])
    else:
        name = whole_id(uri, content, segmenter)
    return ClipPoint(name, point.vectors, payload)


def _batched(points: Iterator[ClipPoint]) -> Iterator[list[ClipPoint]]:
    while batch := list(islice(points, _BATCH)):
        yield batch
