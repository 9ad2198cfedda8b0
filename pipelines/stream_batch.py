"""One batch of events -> the index: a bounded run over the videos that they name."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from pipelines.ingest import CorpusRun
from pipelines.planning import plan_named
from pipelines.rejects import update_rejects
from pipelines.searchable import note_searchable, note_some, prove_committed
from pipelines.summary import outcome
from transforms import interrupt, progress
from transforms.errors import ForbiddenUri, IngestError, MissingFile
from transforms.index.ledger import read_some, write_entries
from transforms.index.publish import publish
from transforms.index.unpublished import is_unpublished, mark_published, mark_unpublished
from transforms.order import is_older, newest
from transforms.records import LedgerEntry, Reject, VideoRef
from transforms.remote.settings import RemoteSettings
from transforms.remove import delete_videos
from transforms.stream.events import Event
from transforms.stream.look import Places, look
from transforms.uris import shown
from transforms.write.commit import commit_leftovers, may_be_mended, now, sweep
from transforms.write.copies import copy_video, relabel
from transforms.write.sweep import sweep_unvouched

#: Files, or objects of a bucket, that are looked at at once.
_LOOKS = 8


@dataclass(frozen=True, slots=True)
class Named:
    """The newest of the waiting events of one video. `last`: what cannot be done now will not be tried again."""

    event: Event
    message_uri: str  # of the message that brought it
    last: bool = False


@dataclass(slots=True)
class Applied:
    """What became of a batch: URIs of the videos whose events wait on, and counts of what was done."""

    again: dict[str, str] = field(default_factory=dict)  # URI -> why
    counts: Counter[str] = field(default_factory=Counter)
    clips: int = 0


def letter(uri: str, error: IngestError, *, attempts: int = 1) -> Reject:
    """The dead letter of a message, or of a video that an event named."""
    return Reject(uri, "event", type(error).__name__, str(error), transient=False, attempts=attempts)


def apply_events(
    run: CorpusRun,
    named: Mapping[str, Named],
    letters: Sequence[Reject],
    *,
    origin: str,
    places: Places,
    calibrate: bool = False,
    optimize: bool = False,
) -> Applied:
    """Bring the index up to what these events say, and publish it. Raises Outage; then all of them are to come again.

    The store is asked for these videos only, so that a batch costs the same however large the index is. `calibrate`
    finds out anew what chance is worth, `optimize` builds graphs.
    """
    applied, store = Applied(), run.store
    places.check_mounted()
    unpublished = is_unpublished(run.location)  # by a process that was killed
    commit_leftovers(store)
    if run.turn.after_crash:
        sweep_unvouched(store)
    ledger = read_some(store, named)
    sorted_out = _look(named, ledger, origin=origin, remote=run.settings.remote, applied=applied)
    plan = plan_named(store, sorted_out.videos, ledger, gone=sorted_out.deleted)
    letters = [*letters, *sorted_out.letters]
    changes = not plan.empty or bool(letters) or bool(sorted_out.deleted) or not named
    if changes:
        mark_unpublished(run.location)
    applied.clips = run.embed(plan.to_embed) if plan.to_embed and not interrupt.stopping() else 0
    store = run.store  # workers in other processes had the one before
    write_entries(store, plan.updated)
    for entry in plan.relabelled:
        relabel(store, entry)
    copied = {copy.video.uri for copy in plan.copies if not interrupt.requested() and copy_video(store, copy)}
    unmoved = {copy.source_uri for copy in plan.copies if copy.video.uri not in copied}
    needed = {uri for uri in unmoved & sorted_out.deleted if not named[uri].last}
    stones = [
        _stone(uri, named[uri].event, ledger.get(uri), run.turn.number)
        for uri in sorted_out.deleted
        if uri not in needed
    ]
    delete_videos(store, stones)
    _write_letters(run, letters, named)
    taken_up = [*(work.video for work in plan.to_embed), *(copy.video for copy in plan.copies)]
    after = read_some(store, [*named, *(one.uri for one in letters)])
    _settle(taken_up, after, named, applied)
    applied.again |= dict.fromkeys(needed, "what has its bytes now is not written yet")
    applied.counts["unchanged"] += len(plan.unchanged) + len(plan.rejected) + len(plan.skipped)
    removed = [stone.uri for stone in stones if stone.uri in ledger and ledger[stone.uri].state != "deleted"]
    applied.counts["removed"] += len(removed)
    applied.counts["dead letters"] += len(letters)
    if changes or unpublished:
        seen = [video.uri for video in taken_up if video.uri not in applied.again]
        came_or_left = [*seen, *(uri for uri in removed if ledger[uri].live_content)]
        _publish(run, None if unpublished else came_or_left, calibrate=calibrate, optimize=optimize)
    if letters or any(entry.rejects for entry in (*ledger.values(), *after.values())):
        uris = {*named, *(one.uri for one in letters)}
        update_rejects(run.location, uris, after.values())
    return applied


@dataclass(slots=True)
class _Looked:
    videos: list[VideoRef] = field(default_factory=list)
    deleted: set[str] = field(default_factory=set)
    letters: list[Reject] = field(default_factory=list)


def _look(
    named: Mapping[str, Named],
    ledger: Mapping[str, LedgerEntry],
    *,
    origin: str,
    remote: RemoteSettings,
    applied: Applied,
) -> _Looked:
    """What each event asks for, by its place among those that were heeded and by what is there now."""
    looked, there = _Looked(), []
    for uri, one in named.items():
        event, entry = one.event, ledger.get(uri)
        if entry is not None and is_older(event.order, entry.event):
            applied.counts["late"] += 1
        elif entry is not None and entry.state == "forgotten":
            applied.counts["unchanged"] += 1
        elif event.kind == "delete":
            looked.deleted.add(uri)
        else:
            there.append(uri)

    def answer(uri: str) -> VideoRef | ForbiddenUri | None:
        event, entry = named[uri].event, ledger.get(uri)
        kept = entry.metadata if entry is not None else ()
        metadata = kept if event.metadata is None else event.metadata
        try:
            return look(uri, origin=origin, metadata=metadata, event=event.order, remote=remote)
        except ForbiddenUri as error:
            return error

    with ThreadPoolExecutor(_LOOKS, thread_name_prefix="look") as pool:
        answers = list(pool.map(answer, there))
    for uri, video in zip(there, answers, strict=True):
        one, event, entry = named[uri], named[uri].event, ledger.get(uri)
        if isinstance(video, ForbiddenUri):
            looked.letters.append(letter(one.message_uri, video))
        elif video is None and event.kind == "check":
            looked.deleted.add(uri)
        elif video is None and one.last:
            where = one.message_uri if entry is not None and entry.live_content else uri
            looked.letters.append(letter(where, MissingFile(f"an event names a file that did not come: {shown(uri)}")))
        elif video is None:
            applied.again[uri] = "there is no such file yet"
        elif event.size_bytes not in (None, video.size_bytes) and not one.last:
            applied.again[uri] = f"it has {video.size_bytes} bytes of {event.size_bytes} yet"
        else:
            looked.videos.append(video)
    return looked


def _stone(uri: str, event: Event, entry: LedgerEntry | None, run: int) -> LedgerEntry:
    order = newest("" if entry is None else entry.event, event.order)
    origin = "" if entry is None else entry.origin
    return LedgerEntry(uri, 0, "", "deleted", origin=origin, run=run, event=order, deleted_at=now())


def _write_letters(run: CorpusRun, letters: Sequence[Reject], named: Mapping[str, Named]) -> None:
    """A letter is kept in the ledger like any reject; under the name of its message where the video has clips."""
    entries = [
        LedgerEntry(
            one.uri,
            0,
            "",
            "rejected",
            rejects=(one,),
            attempts=one.attempts,
            run=run.turn.number,
            event=named[one.uri].event.order if one.uri in named else "",
        )
        for one in letters
    ]
    write_entries(run.store, entries)


def _settle(
    taken_up: Sequence[VideoRef], after: Mapping[str, LedgerEntry], named: Mapping[str, Named], applied: Applied
) -> None:
    """Which of the videos that were taken up have an outcome, and which are tried again."""
    for video in taken_up:
        entry = after.get(video.uri)
        done = outcome(video, entry)
        if done == "deferred":  # it changed while it was read, or the stream is being stopped
            applied.again[video.uri] = "it was not read to its end"
        elif entry is not None and entry.rejects and may_be_mended(entry) and not named[video.uri].last:
            applied.again[video.uri] = entry.rejects[0].message
        else:
            applied.counts[done] += 1


def _publish(run: CorpusRun, uris: Collection[str] | None, *, calibrate: bool, optimize: bool) -> None:
    """Show readers what was done, and prove that they find it. `uris` came or left; None: whatever did."""
    store, location = run.store, run.location
    commit_leftovers(store)
    sweep(store, uris or ())
    if calibrate:
        run.calibrate()
    store.flush()
    publish(location, store, optimize=False)  # what is there can be found now
    mark_published(location)
    if location.kind == "server":
        missed = prove_committed(location, uris or ())
    else:
        missed = note_searchable(location) if uris is None else note_some(location, uris)
    for entry in missed:
        progress.listener().message(f"committed, and yet no search finds it; `reelvec fsck` says more: {entry.uri}")
    if optimize and not interrupt.requested():
        publish(location, store, optimize=True)
