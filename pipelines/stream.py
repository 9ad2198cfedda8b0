"""Events -> the index, without an end: bounded batches in one process, models stay loaded.

While a batch works nothing new is taken. A message is done, and told so to its source, when what it asked for is
committed and published: whatever kills the process in between makes messages come twice, which changes nothing.
"""

import itertools
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pipelines import jobs
from pipelines.ingest import OPTIMIZE_FROM_CLIPS, CorpusRun, check_free_space, recipe_of
from pipelines.run_log import Spent, recorded
from pipelines.settings import IngestSettings
from pipelines.stream_batch import Applied, Named, apply_events, letter
from pipelines.stream_bounds import drop_old_letters, drop_old_stones
from pipelines.watch import Stop, pause_seconds
from transforms import heap, interrupt, progress
from transforms.errors import ForbiddenUri, IndexLocked, MalformedEvent, Outage, UsageError, VideoChanged
from transforms.index.location import IndexLocation
from transforms.index.lock import writing
from transforms.index.spaces import drop_expired, spaces_of
from transforms.index.unpublished import mark_unpublished
from transforms.order import is_older
from transforms.progress import Progress, Silent
from transforms.records import Reject
from transforms.remote.clients import use_options
from transforms.stream.events import Event, events_of
from transforms.stream.look import Places
from transforms.stream.messages import EventSource, Message
from transforms.uris import shown

#: Before the next try of an event whose file is not there yet the pause doubles, up to this.
LONGEST_WAIT_SECONDS = 60.0
#: So many batches of events may wait for their files; then nothing more is taken before some of them are settled.
MOST_WAITING_BATCHES = 8
CALIBRATE_EVERY_SECONDS = 60.0
LOOK_FOR_OLD_STONES_EVERY_SECONDS = 3600.0
_TURN_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """How events are taken up; checked when it is made."""

    batch_events: int = 256
    tries: int = 5  # for a file that is not there, or not whole
    wait_seconds: float = 2.0  # before the second try; each further one doubles it
    idle_seconds: float | None = None  # end after so long without anything to do
    max_failures: int | None = None  # end after so many failed batches in a row
    places: Places = field(default_factory=Places)
    keep_tombstones_days: float = 30.0  # for which a deletion outlives a late creation
    keep_dead_letters: int = 10_000  # of events; the oldest go

    def __post_init__(self) -> None:
        if self.batch_events < 1 or self.tries < 1 or self.wait_seconds < 0:
            raise ValueError(f"a batch has an event and an event a try at least: {self}")
        if self.keep_tombstones_days < 0 or self.keep_dead_letters < 1:
            raise ValueError(f"a deletion is kept for no time at least, and a letter is kept: {self}")


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch: what became of its events, or why it failed; then all of them come again."""

    number: int
    events: int = 0  # new ones: what is tried again was counted before
    counts: Counter[str] = field(default_factory=Counter)
    clips: int = 0
    waiting: int = 0  # events that are tried again later
    seconds: float = 0.0
    error: Exception | None = None
    pause_seconds: float = 0.0


@dataclass(slots=True, eq=False)
class _Open:
    """A message, and how much of it is not done yet."""

    message: Message
    left: int


@dataclass(slots=True, eq=False)
class _Held:
    """One event that is in hand; `tries` are those that were made."""

    event: Event
    of: _Open
    tries: int = 0
    due: float = 0.0  # monotonic seconds


class Inbox:
    """Events in hand, and the messages that they came with."""

    def __init__(self, settings: StreamSettings) -> None:
        self._settings = settings
        self._held: list[_Held] = []
        self._letters: list[tuple[Reject, _Open]] = []
        self._done: deque[Message] = deque()

    @property
    def waiting(self) -> int:
        return len(self._held)

    @property
    def room(self) -> int:
        """How many more messages may be taken now."""
        most = self._settings.batch_events
        if len(self._held) >= most * MOST_WAITING_BATCHES:
            return 0
        return max(0, most - self.due)

    @property
    def due(self) -> int:
        """What there is to do now."""
        return len(self._letters) + sum(1 for _ in self._due())

    def put(self, message: Message) -> None:
        """Read a message; what is no event becomes a dead letter."""
        try:
            events = [self._placed(event) for event in events_of(message.data, message.attributes)]
        except (MalformedEvent, ForbiddenUri) as error:
            self._letters.append((letter(message.uri, error), _Open(message, 1)))
            return
        if not events:
            self._done.append(message)
        opened = _Open(message, len(events))
        self._held += [_Held(event, opened) for event in events]

    def batch(self) -> tuple[dict[str, Named], list[Reject], int]:
        """The newest event of each video that is due, the dead letters, and how many events are new among all."""
        newest: dict[str, _Held] = {}
        due = list(self._due())
        for held in due:
            known = newest.get(held.event.uri)
            if known is None or not is_older(held.event.order, known.event.order):
                newest[held.event.uri] = held
        named = {
            uri: Named(held.event, held.of.message.uri, last=held.tries + 1 >= self._settings.tries)
            for uri, held in newest.items()
        }
        self._in_hand = due, newest, list(self._letters)
        letters = [one for one, _ in self._letters]
        new = sum(not held.tries for held in due) + sum(one.error != VideoChanged.__name__ for one in letters)
        return named, letters, new

    def settle(self, applied: Applied) -> None:
        """Take what the last batch did off the inbox, and put off what is tried again."""
        due, newest, letters = self._in_hand
        self._letters = self._letters[len(letters) :]
        for _, opened in letters:
            self._finish(opened)
        gone = set()
        for held in due:
            uri = held.event.uri
            if newest[uri] is not held or uri not in applied.again:
                gone.add(held)
                self._finish(held.of)
            elif not interrupt.requested():
                held.tries += 1
                wait = self._settings.wait_seconds * 2.0 ** (held.tries - 1)
                held.due = time.monotonic() + min(LONGEST_WAIT_SECONDS, wait)
                if held.tries >= self._settings.tries:
                    gone.add(held)
                    changed = f"each time that it was taken up: {shown(uri)}: {applied.again[uri]}"
                    self._letters.append((letter(held.of.message.uri, VideoChanged(changed)), held.of))
        self._held = [held for held in self._held if held not in gone]

    def done(self) -> list[Message]:
        """The messages that were done since this was asked last."""
        done, self._done = list(self._done), deque()
        return done

    def _due(self) -> Iterator[_Held]:
        now = time.monotonic()
        return (held for held in self._held if held.due <= now)

    def _placed(self, event: Event) -> Event:
        local = self._settings.places.local(event.uri)
        return event if local == event.uri else Event(event.kind, local, event.order, event.size_bytes, event.metadata)

    def _finish(self, opened: _Open) -> None:
        opened.left -= 1
        if opened.left == 0:
            self._done.append(opened.message)


def stream(
    settings: IngestSettings,
    source: EventSource,
    *,
    how: StreamSettings,
    stop: Stop,
    listen: Callable[[], Progress] = Silent,
) -> Iterator[Batch]:
    """Follow a source until `stop` is set, and yield what each batch did; its messages are done before the yield.

    Raises UsageError for what is wrong with the command; an Outage is waited out, until `how.max_failures` in a row.
    """
    heap.share_heaps()
    _check(settings, how.places)
    spent = Spent(listen())
    inbox, turns = Inbox(how), _Turns(settings, how, source.name, spent)
    source.open()
    try:
        with recorded(IndexLocation.parse(settings.index), settings.command, spent) as record:
            failures = 0
            for number in itertools.count(1):
                if not _filled(inbox, source, how, stop, turns):
                    return
                named, letters, events = inbox.batch()
                began = time.monotonic()
                try:
                    applied = turns.take(named, letters)
                except (Outage, OSError) as error:
                    failures += not isinstance(error, IndexLocked)
                    pause = pause_seconds(_TURN_SECONDS, spent_seconds=0.0, failures=failures, more=False)
                    yield Batch(number, events, error=error, waiting=inbox.waiting, pause_seconds=pause)
                    if failures == how.max_failures:
                        raise
                    if stop.wait(pause):
                        return
                    continue
                record.exists, record.recipe, failures = True, turns.recipe, 0
                inbox.settle(applied)
                source.done(inbox.done())
                seconds = time.monotonic() - began
                yield Batch(number, events, applied.counts, applied.clips, inbox.waiting, seconds)
    finally:
        source.close()


def _check(settings: IngestSettings, places: Places) -> None:
    """Raise UsageError for what is wrong before anything is taken, Outage where a bucket does not answer."""
    location = IndexLocation.parse(settings.index)
    if settings.detach:
        raise UsageError("a stream tells its source what was committed, so it waits for its jobs: leave detach out")
    if settings.beam_options:
        engine = jobs.engine_of(settings.beam_options)
        if engine.runner == "dataflow" and (places.roots or places.mapped or not places.prefixes):
            raise UsageError(
                "workers of dataflow do not see the files of this machine: events that they work on name objects only, "
                "--root s3://bucket/prefix or gs://bucket/prefix"
            )
        jobs.check_settings(settings, location)
    recipe_of(settings, location)
    use_options(settings.beam_options)
    places.check_stores(settings.remote)


def _filled(inbox: Inbox, source: EventSource, how: StreamSettings, stop: Stop, turns: "_Turns") -> bool:
    """Take messages until there is something to do; False when the stream is over."""
    since = time.monotonic()
    while not stop.is_set():
        room = inbox.room
        for message in source.take(room, _TURN_SECONDS) if room else ():
            inbox.put(message)
        source.done(inbox.done())  # those that say nothing
        if inbox.due:
            return True
        if not inbox.waiting:
            turns.tend()
            if how.idle_seconds is not None and time.monotonic() - since >= how.idle_seconds:
                return False
        if not room:
            stop.wait(_TURN_SECONDS)
    return False


class _Turns:
    """The turns at writing that the batches take, each of its own: between them others may write, or migrate."""

    def __init__(self, settings: IngestSettings, how: StreamSettings, origin: str, spent: Spent) -> None:
        self._settings, self._how, self._origin, self._spent = settings, how, origin, spent
        self._calibrated = 0.0  # monotonic seconds
        self._changed = False  # since it was calibrated
        self._clips = 0  # since graphs were built
        self._looked_for_stones: float | None = None  # monotonic seconds
        self._letters: int | None = None  # in the ledger; None: not counted yet
        self.recipe = ""

    def tend(self) -> None:
        """While nothing comes: find out anew what chance is worth, where that has changed for a while."""
        if self._changed and time.monotonic() - self._calibrated > CALIBRATE_EVERY_SECONDS:
            try:
                self.take({}, [])
            except (Outage, OSError) as error:
                self._changed = False  # the next batch sees to it, or says what is wrong
                self._spent.message(f"hits may not say how sure they are: {error}")

    def take(self, named: dict[str, Named], letters: list[Reject]) -> Applied:
        """Apply a batch. Raises Outage."""
        location = IndexLocation.parse(self._settings.index)
        interrupt.reset()
        progress.listen(self._spent)
        calibrate = not self._calibrated or time.monotonic() - self._calibrated > CALIBRATE_EVERY_SECONDS
        optimize = self._clips >= OPTIMIZE_FROM_CLIPS
        with writing(location, command=self._settings.command, wait=False) as turn:
            if len(spaces_of(location)) > 1:
                drop_expired(location)
            check_free_space(location, self._settings.min_free_megabytes)
            run = CorpusRun(self._settings, location, recipe_of(self._settings, location), turn)
            try:
                self.recipe = run.store.schema.recipe
                dropped = self._bounded(run)
                applied = apply_events(
                    run,
                    named,
                    letters,
                    origin=self._origin,
                    places=self._how.places,
                    calibrate=calibrate,
                    optimize=optimize,
                )
            finally:
                run.close()
        applied.counts.update(dropped)
        if self._letters is not None:
            self._letters += applied.counts["dead letters"]
        self._changed = not calibrate and (self._changed or bool(applied.clips or applied.counts["removed"]))
        self._clips = applied.clips + (0 if optimize else self._clips)
        if calibrate:
            self._calibrated = time.monotonic()
        return applied

    def _bounded(self, run: CorpusRun) -> Counter[str]:
        """Drop what a stream need not keep any longer, and count it; the batch that follows publishes."""
        dropped: Counter[str] = Counter()
        since = self._looked_for_stones
        if since is None or time.monotonic() - since > LOOK_FOR_OLD_STONES_EVERY_SECONDS:
            days = self._how.keep_tombstones_days
            if stones := drop_old_stones(run.store, keep_days=days):
                dropped["tombstones dropped"] = stones
                self._spent.message(f"{stones} deletions were heeded more than {days:g} days ago and are not kept")
            self._looked_for_stones = time.monotonic()
        keep = self._how.keep_dead_letters
        if self._letters is None or self._letters > keep:
            letters, self._letters = drop_old_letters(run.store, run.location, keep=keep)
            if letters:
                dropped["dead letters dropped"] = letters
                self._spent.message(
                    f"the oldest {letters} dead letters of events were dropped, since no more than {keep} are kept; "
                    "`reelvec dlq list --group` shows what is left"
                )
        if dropped:
            mark_unpublished(run.location)
        return dropped
