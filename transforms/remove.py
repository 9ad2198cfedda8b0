"""Videos gone from the corpus, deleted by an event, or forgotten by the user -> their points gone."""

from collections.abc import Sequence

from transforms.index.kinds import points_of
from transforms.index.ledger import delete_entries, delete_receipts, write_entries
from transforms.index.store import VectorStore
from transforms.records import LedgerEntry


def remove_videos(store: VectorStore, entries: Sequence[LedgerEntry]) -> int:
    """Delete clips, receipts and ledger entries of these videos; gives their number."""
    if not entries:
        return 0
    for entry in entries:
        _delete_points(store, entry.uri)
    store.flush()
    delete_entries(store, [entry.uri for entry in entries])
    store.flush()
    return len(entries)


def delete_videos(store: VectorStore, stones: Sequence[LedgerEntry]) -> int:
    """Delete clips and receipts of these videos and leave their stones, which older events find; gives their number."""
    if not stones:
        return 0
    for stone in stones:
        _delete_points(store, stone.uri)
    store.flush()
    write_entries(store, stones)
    store.flush()
    return len(stones)


def forget_video(store: VectorStore, entry: LedgerEntry) -> int:
    """Delete the clips and leave a stone that keeps the video out; gives the number of clips deleted."""
    _delete_points(store, entry.uri)
    stone = LedgerEntry(
        entry.uri, entry.size_bytes, entry.version, "forgotten", origin=entry.origin, run=store.current_run()
    )
    write_entries(store, [stone])
    store.flush()
    return entry.clips


def _delete_points(store: VectorStore, uri: str) -> None:
    store.delete(points_of(uri))
    delete_receipts(store, uri)
