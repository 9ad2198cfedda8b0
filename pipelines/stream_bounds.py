"""What a stream leaves in the ledger for its own sake, stones of deleted videos and letters, and how much is kept."""

from datetime import UTC, datetime, timedelta

from pipelines.rejects import update_rejects
from transforms.index.ledger import delete_entries, entry_of
from transforms.index.location import IndexLocation
from transforms.index.store import Equals, VectorStore, Where
from transforms.order import seconds_of
from transforms.records import LedgerEntry, VideoState

#: Where there are too many letters so large a share of those that may be kept goes at once: finding them costs a scan.
_SHARE_DROPPED = 0.1


def drop_old_stones(store: VectorStore, *, keep_days: float, now: datetime | None = None) -> int:
    """Delete the stones that were laid longer ago than that; gives their number.

    An event that comes later than that for one of these videos finds nothing that it could be older than.
    """
    until = (now or datetime.now(UTC)) - timedelta(days=keep_days)
    old = [entry.uri for entry in _entries(store, "deleted") if _laid(entry, now=until) < until]
    delete_entries(store, old)
    if old:
        store.flush()
    return len(old)


def drop_old_letters(store: VectorStore, location: IndexLocation, *, keep: int) -> tuple[int, int]:
    """Delete the oldest dead letters of events where there are more than `keep`; gives how many, and how many are left.

    Such an entry holds a letter and nothing else: no clips go with it.
    """
    letters = [
        (entry.run, entry.uri)
        for entry in _entries(store, "rejected")
        if not entry.live_content and entry.rejects and all(reject.stage == "event" for reject in entry.rejects)
    ]
    if len(letters) <= keep:
        return 0, len(letters)
    left = keep - int(keep * _SHARE_DROPPED)
    dropped = [uri for _, uri in sorted(letters)[: len(letters) - left]]
    delete_entries(store, dropped)
    store.flush()
    update_rejects(location, set(dropped), ())
    return len(dropped), left


def _laid(entry: LedgerEntry, *, now: datetime) -> datetime:
    """When a stone was laid; by its event for one of a Reelvec that did not note it, `now` where nothing tells."""
    if entry.deleted_at:
        return datetime.fromisoformat(entry.deleted_at)
    happened = seconds_of(entry.event)
    return now if happened is None else datetime.fromtimestamp(happened, UTC)


def _entries(store: VectorStore, state: VideoState) -> list[LedgerEntry]:
    where = Where((Equals("kind", "video"), Equals("state", state)))
    return [entry_of(point.payload) for point in store.scroll(where)]
