"""Receipts and commits: what makes a video searchable, and keeps a good version until a better one is whole.

Every function may run twice, or be cut short and run again: ids are stable, and each step is
either done or not. The order is what matters: clips, then receipts, then the flip to `live` and the point of the whole
video, then the old version's points, then the ledger entry, then the receipts go.

Only the run that has the right to write now may write: a bundle of an older run that comes late is refused.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from transforms import measures
from transforms.errors import RunOvertaken, StoreUnavailable
from transforms.index.kinds import clips_of, points_of
from transforms.index.ledger import (
    delete_receipts,
    read_all_receipts,
    read_entry,
    read_receipts,
    read_some,
    write_entries,
    write_receipts,
)
from transforms.index.payloads import FIRST, MARK, revision
from transforms.index.store import Equals, VectorStore, Where
from transforms.order import is_older, newest
from transforms.progress import listener
from transforms.records import (
    MAX_ATTEMPTS,
    ClipPoint,
    LedgerEntry,
    Receipt,
    RejectedVideo,
    SegmentResult,
    VideoState,
)
from transforms.write.whole import whole_of

_log = logging.getLogger(__name__)


def write_results(store: VectorStore, results: Sequence[SegmentResult], recipe: str) -> list[Receipt]:
    """Store clips, check that they arrived, leave a receipt a segment, commit what is complete.

    Raises StoreUnavailable, BadVectors and RunOvertaken; nothing is vouched for that was not flushed before.
    """
    runs = {result.segment.run for result in results}
    _refuse_other_runs(store, runs)
    entries = read_some(store, {result.segment.video.uri for result in results})
    fresh = [result for result in results if not _is_settled(result, entries.get(result.segment.video.uri), recipe)]
    points = _kept_live(store, [point for result in fresh for point in result.points])
    for result in fresh:
        _forget_other_cuts(store, result, recipe)
    if points:
        store.upsert(points)
        store.flush()
        found = len(store.retrieve([point.id for point in points], payload=False))
        if found != len(points):
            raise StoreUnavailable(f"the store took {len(points)} clips and holds {found} of them; run again")
    receipts = [receipt_of(result, recipe) for result in fresh]
    _refuse_other_runs(store, runs)
    write_receipts(store, receipts)
    commit_complete(store, receipts)
    return receipts


def _refuse_other_runs(store: VectorStore, runs: Iterable[int]) -> None:
    current = store.current_run()
    if others := set(runs) - {current}:
        raise RunOvertaken(
            f"a bundle of run {min(others)} comes when run {current} has the right to write: nothing of it is stored; "
            "what it held is taken up by the newer run or the next"
        )


def _kept_live(store: VectorStore, points: Sequence[ClipPoint]) -> list[ClipPoint]:
    """The points, live where the store holds them live: making clips again does not hide them."""
    held = store.retrieve([point.id for point in points]) if points else []
    live = {point.id for point in held if point.payload.get("live")}
    return [replace(point, payload={**point.payload, "live": True}) if point.id in live else point for point in points]


def _forget_other_cuts(store: VectorStore, result: SegmentResult, recipe: str) -> None:
    """Delete what an earlier, unfinished try of a segment left, where another look may cut it elsewhere.

    Windows need none of it: they lie where they lie.
    """
    if store.schema.settings.get("segment", {}).get("kind", "windows") != "windows":
        segment = result.segment
        version = (Equals("content", segment.content), Equals("recipe", recipe))
        store.delete(clips_of(segment.video.uri, *version, Equals("segment_index", segment.index)))


def receipt_of(result: SegmentResult, recipe: str) -> Receipt:
    """What a segment leaves in the store."""
    segment = result.segment
    return Receipt(
        video=segment.video,
        content=segment.content,
        recipe=recipe,
        index=segment.index,
        count=segment.count,
        clips=len(result.points),
        outcome=result.outcome,
        duration_seconds=segment.info.duration_seconds,
        attempts=segment.attempts,
        damaged=result.damaged or segment.info.damaged,
        reject=result.reject,
        run=segment.run,
    )


def commit_complete(store: VectorStore, written: Iterable[Receipt]) -> list[LedgerEntry]:
    """Commit those videos of these receipts whose every segment has left one."""
    versions: dict[tuple[str, str, str], list[Receipt]] = defaultdict(list)
    for receipt in written:
        versions[receipt.uri, receipt.content, receipt.recipe].append(receipt)
    held = [own if _are_all(own) else read_receipts(store, *version) for version, own in versions.items()]
    complete = [receipts for receipts in held if receipts and _are_all(receipts)]
    entries = commit_videos(store, complete)
    for _ in entries:
        listener().video_done()
    return entries


def _are_all(receipts: Sequence[Receipt]) -> bool:
    """Whether every segment of one version left its receipt among these."""
    return len({receipt.index for receipt in receipts}) >= receipts[0].count


def commit_leftovers(store: VectorStore) -> list[LedgerEntry]:
    """Commit what a killed run, or a race between two workers, left complete but open."""
    by_video: dict[tuple[str, str, str], list[Receipt]] = defaultdict(list)
    for receipt in read_all_receipts(store):
        by_video[receipt.uri, receipt.content, receipt.recipe].append(receipt)
    complete = []
    for (uri, content, _), receipts in by_video.items():
        entry = read_entry(store, uri)
        newest = max((receipt.run, receipt.attempts) for receipt in receipts)
        if entry is not None and entry.content == content and (entry.run, entry.attempts) >= newest:
            if not may_be_mended(entry):  # killed between the ledger entry and what goes after it
                _drop_receipts(store, entry)
            elif entry.live_content == content and all(receipt.outcome != "rejected" for receipt in receipts):
                delete_receipts(store, uri, content=content)
        elif len(receipts) == receipts[0].count:
            complete.append(receipts)
    return commit_videos(store, complete)


def commit_videos(store: VectorStore, complete: Sequence[Sequence[Receipt]]) -> list[LedgerEntry]:
    """Make one version of each video what searches see, if it is better than what they see now.

    Takes all receipts of each version. Raises StoreUnavailable when the store holds another
    number of clips than they vouch for.
    """
    known = read_some(store, {receipts[0].uri for receipts in complete})
    entries = [
        _entry_of(store, receipts, old)
        for receipts in complete
        if not _drop_older(store, receipts, old := known.get(receipts[0].uri))
    ]
    if not entries:
        return []
    now_live = [entry for entry in entries if entry.live_content == entry.content]
    wholes = [whole_of(store, entry, _version_of(entry)) for entry in now_live]
    with store.together():
        for entry in entries:
            if entry.live_content == entry.content:
                store.set_payload({"live": True}, _version_of(entry))
            if entry.live_content in (entry.content, ""):
                store.delete(Where(points_of(entry.uri).must, (Equals("content", entry.content),)))
        store.upsert([whole for whole in wholes if whole is not None])
        store.flush()
        write_entries(store, entries)
    for entry in entries:
        _tell(entry)
        if not may_be_mended(entry):
            _drop_receipts(store, entry)
    return entries


def _tell(entry: LedgerEntry) -> None:
    """Count and log what became of a video."""
    measures.count(measures.SETTLED, of=entry.state)
    said = {"event": "video_settled", "video": entry.uri, "content": entry.content, "state": entry.state}
    why = "".join(f": {reject.error}: {reject.message}" for reject in entry.rejects[:1])
    extra = said | {"clips": entry.clips, "causes": sorted({reject.error for reject in entry.rejects})}
    _log.info("%s: %s, %d clips%s", entry.state, entry.uri, entry.clips, why, extra=extra)


def _drop_receipts(store: VectorStore, entry: LedgerEntry) -> None:
    """Delete what nothing waits for once a version is settled: its receipts, and its clips where others stay live."""
    if entry.live_content != entry.content:
        store.delete(clips_of(entry.uri, Equals("content", entry.content)))
    delete_receipts(store, entry.uri, content=entry.content)


def _drop_older(store: VectorStore, receipts: Sequence[Receipt], entry: LedgerEntry | None) -> bool:
    """Whether a newer run, or a newer event, settled other bytes of this video, or that there are none: so its `entry`.

    If so the older version and its receipts are deleted.

    A number above the store's own is from another index that this one was restored or imported from: it says nothing.
    """
    first, newest_run = receipts[0], max(receipt.run for receipt in receipts)
    if entry is None or entry.content == first.content:
        return False
    if not newest_run < entry.run <= store.current_run() and not is_older(first.video.event, entry.event):
        return False
    if first.content != entry.live_content:
        store.delete(points_of(first.uri, Equals("content", first.content)))
    delete_receipts(store, first.uri, content=first.content)
    return True


def may_be_mended(entry: LedgerEntry) -> bool:
    """Whether a later run tries the rejects of this video again."""
    return entry.attempts < MAX_ATTEMPTS and any(reject.transient for reject in entry.rejects)


def _entry_of(store: VectorStore, receipts: Sequence[Receipt], old: LedgerEntry | None) -> LedgerEntry:
    """What the ledger will say of a version that is complete, after its clips were counted; `old` is what it says."""
    first = receipts[0]
    rejects = tuple(receipt.reject for receipt in receipts if receipt.reject is not None)
    entry = LedgerEntry(
        uri=first.uri,
        size_bytes=first.video.size_bytes,
        version=first.video.version,
        state="committed",
        content=first.content,
        recipe=first.recipe,
        duration_seconds=first.duration_seconds,
        attempts=max(receipt.attempts for receipt in receipts),
        rejects=rejects,
        origin=first.video.origin,
        metadata=first.video.metadata,
        run=max(receipt.run for receipt in receipts),
        event=first.video.event,
    )
    vouched, held = sum(receipt.clips for receipt in receipts), store.count(_version_of(entry))
    if held != vouched:
        raise StoreUnavailable(
            f"the receipts of {first.uri} vouch for {vouched} clips and the store holds {held}; run again"
        )
    retry = may_be_mended(entry)
    entry = replace(entry, state=_state(receipts, retry=retry))
    if old is not None:
        entry = replace(entry, event=newest(old.event, first.video.event))
    if old is not None and _keeps_old(old, entry, retry=retry):
        return _with_live_clips_of(old, entry)
    return replace(
        entry,
        live_content=first.content if held else "",
        live_whole=entry.state == "committed",
        vectors=tuple(sorted(store.schema.vector_fingerprints.items())) if held else (),
        clips=held,
        searchable_since=now() if held else "",
        payloads=_payloads_of(store, entry, held),
    )


def _payloads_of(store: VectorStore, entry: LedgerEntry, held: int) -> int:
    """The revision that all clips of a version have; some may be of a run of an older Reelvec."""
    if revision() == FIRST:
        return FIRST
    newest = Where((*_version_of(entry).must, Equals(MARK, revision())))
    return revision() if store.count(newest) == held else FIRST


def _version_of(entry: LedgerEntry) -> Where:
    return clips_of(entry.uri, Equals("content", entry.content), Equals("recipe", entry.recipe))


def _with_live_clips_of(old: LedgerEntry, new: LedgerEntry) -> LedgerEntry:
    return replace(
        new,
        live_content=old.live_content,
        live_whole=old.live_whole,
        vectors=old.vectors,
        clips=old.clips,
        searchable_since=old.searchable_since,
        payloads=old.payloads,
    )


def record_reject(store: VectorStore, rejected: RejectedVideo) -> LedgerEntry:
    """Enter a video that could not be cut into segments; its old clips go once that is final.

    A reject of an older event than the ledger knows changes nothing. Raises RunOvertaken for a reject of an older run.
    """
    _refuse_other_runs(store, [rejected.run])
    video, reject = rejected.video, rejected.reject
    old = read_entry(store, video.uri)
    if old is not None and is_older(video.event, old.event):
        return old
    retry = reject.transient and reject.attempts < MAX_ATTEMPTS
    state: VideoState = "rejected"
    if reject.error == "NoMedia" and not video.expected:
        state = "skipped"
    elif reject.transient and not retry:
        state = "quarantined"
    entry = LedgerEntry(
        uri=video.uri,
        size_bytes=video.size_bytes,
        version=video.version,
        state=state,
        content=reject.content,
        attempts=reject.attempts,
        rejects=() if state == "skipped" else (reject,),
        origin=video.origin,
        metadata=video.metadata,
        run=rejected.run,
        event=newest("" if old is None else old.event, video.event),
    )
    if retry and old is not None and old.live_content:
        entry = _with_live_clips_of(old, replace(entry, recipe=old.recipe, duration_seconds=old.duration_seconds))
    else:
        store.delete(points_of(video.uri))
    write_entries(store, [entry])
    store.flush()
    _tell(entry)
    return entry


def sweep(store: VectorStore, uris: Iterable[str]) -> None:
    """Delete what unfinished older versions of these settled videos left behind."""
    unfinished = {(receipt.uri, receipt.content) for receipt in read_all_receipts(store)}
    entries = read_some(store, {uri for uri, _ in unfinished} & set(uris)) if unfinished else {}
    for uri, content in unfinished:
        entry = entries.get(uri)
        if entry is not None and content not in (entry.content, entry.live_content):
            store.delete(points_of(uri, Equals("content", content)))
            delete_receipts(store, uri, content=content)


def now() -> str:
    """This moment, ISO 8601, UTC, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _is_settled(result: SegmentResult, entry: LedgerEntry | None, recipe: str) -> bool:
    """Whether this result is a late repetition of work that is in the index already, or of an older event."""
    segment = result.segment
    if entry is not None and is_older(segment.video.event, entry.event):
        return True
    if entry is None or (entry.content, entry.recipe) != (segment.content, recipe):
        return False
    if entry.state == "committed":
        return entry.live_content == segment.content
    return (entry.run, entry.attempts) >= (segment.run, segment.attempts)


def _state(receipts: Sequence[Receipt], *, retry: bool) -> VideoState:
    rejected = [receipt for receipt in receipts if receipt.outcome == "rejected"]
    if len(rejected) == len(receipts):
        final_crash = not retry and any(receipt.reject and receipt.reject.transient for receipt in rejected)
        return "quarantined" if final_crash else "rejected"
    return "partial" if rejected or any(receipt.damaged for receipt in receipts) else "committed"


def _keeps_old(old: LedgerEntry, new: LedgerEntry, *, retry: bool) -> bool:
    """Whether another version that is live now stays: it was whole and the new one is not."""
    if not old.live_content or old.live_content == new.content or new.state == "committed":
        return False
    return old.live_whole if new.state == "partial" else retry
