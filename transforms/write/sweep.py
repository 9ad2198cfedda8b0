"""What killed runs left is put right: points that nothing vouches for go, videos that lost points start again."""

from collections import Counter, defaultdict
from collections.abc import Callable, Container, Mapping

from transforms.index.kinds import CLIP, WHOLE, clips_of, points_of
from transforms.index.ledger import delete_entries, delete_receipts, read_all_receipts, read_entries, scroll_receipts
from transforms.index.store import AnyOf, Equals, VectorStore, Where
from transforms.records import LedgerEntry
from transforms.write.commit import may_be_mended


def sweep_unvouched(store: VectorStore) -> None:
    """Compare every point with the ledger and the receipts; for after a run that did not come to its end.

    Deletes clips and whole points that neither speaks of. A video with fewer or more live clips than its entry says is
    forgotten altogether, so that planning sees a new one. Reads all payloads, no vectors.
    """
    entries = read_entries(store)
    begun = {(receipt.uri, receipt.content) for receipt in read_all_receipts(store)}
    live_clips: Counter[str] = Counter()
    stray: set[tuple[str, str, bool]] = set()
    for point in store.scroll(Where((AnyOf("kind", (CLIP, WHOLE)),))):
        uri, content, live = point.payload["uri"], point.payload["content"], bool(point.payload["live"])
        entry = entries.get(uri)
        vouched = entry is not None and content == entry.live_content if live else (uri, content) in begun
        if not vouched:
            stray.add((uri, content, live))
        elif live:
            live_clips[uri] += point.payload["kind"] == CLIP
    for uri, content, live in stray:
        store.delete(points_of(uri, Equals("content", content), Equals("live", live)))
    for uri, entry in entries.items():
        if live_clips[uri] != entry.clips:
            store.delete(points_of(uri))
            delete_receipts(store, uri)
            delete_entries(store, [uri])
    store.flush()


def sweep_abandoned(
    store: VectorStore,
    *,
    taken_up: Container[str],
    listed: Container[str],
    ledger: Mapping[str, LedgerEntry],
    covered: Callable[[str, str], bool],
) -> int:
    """Delete what was begun and is not wanted any more: its file is gone, or has its old bytes again.

    `taken_up` are the videos that this run embeds; what they left earlier is continued. `covered(uri, origin)` tells
    whether the listing would have shown a video. A second try that was cut short leaves the outcome of the first. Gives
    the number of videos.
    """
    origins: dict[tuple[str, str], str] = {}
    for receipt in scroll_receipts(store):
        if receipt.uri not in taken_up:
            origins[receipt.uri, receipt.content] = receipt.video.origin
    unwanted: dict[str, set[str]] = defaultdict(set)
    for (uri, content), origin in origins.items():
        entry = ledger.get(uri)
        if entry is None:
            wanted = uri in listed or not covered(uri, origin)
        elif content == entry.content:
            wanted = may_be_mended(entry)
        else:
            wanted = uri not in listed
        if not wanted:
            unwanted[uri].add(content)
    for uri, contents in unwanted.items():
        for content in contents:
            store.delete(clips_of(uri, Equals("content", content), Equals("live", False)))
            delete_receipts(store, uri, content=content)
    return len(unwanted)
