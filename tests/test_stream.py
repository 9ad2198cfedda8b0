"""A stream of events: whatever comes late, twice or in another order, the index ends as the files are.

The source is a queue in memory that delivers again what was not done, as brokers do. Most tests take vectors from a
table instead of a pipeline; one runs the pipeline over real sounds.
"""

import json
import random
import threading
from collections import deque
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pipelines.ingest
import pipelines.stream_batch
from pipelines.ingest import ingest
from pipelines.rejects import rejects_path
from pipelines.settings import IngestSettings
from pipelines.stream import Inbox, StreamSettings, stream
from pipelines.stream_batch import Applied
from pipelines.stream_bounds import drop_old_stones
from tests.test_histories import EXAMPLES, KINDS, NAMES, Killed, World, embed_from_a_table, world
from transforms import interrupt
from transforms.errors import Outage, StoreUnavailable
from transforms.index.ledger import read_entries, write_entries
from transforms.index.lock import writing
from transforms.index.open import release
from transforms.index.publish import Publication
from transforms.index.store import AnyOf, Where
from transforms.order import place
from transforms.records import LedgerEntry
from transforms.remove import forget_video
from transforms.stream.look import Places
from transforms.stream.messages import Message
from transforms.uris import uri_of_path

T0 = 1_700_000_000


def event(kind, path, *, at=0.0, **more):
    moment = datetime.fromtimestamp(T0 + at, UTC).isoformat()
    return {"type": kind, "uri": uri_of_path(path), "time": moment, **more}


class Queue:
    """Delivers its messages in order, and after `open` again those that were not done."""

    name = "kafka://queue"

    def __init__(self, *documents):
        self.messages = {}
        self.put(*documents)

    def put(self, *documents):
        for document in documents:
            number = len(self.messages)
            data = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.messages[number] = Message(f"{self.name}/0/{number}", data, {}, number)
        self.open()

    def open(self):
        self.ahead = deque(number for number in self.messages if self.messages[number] is not None)

    def take(self, most, wait_seconds):
        return [self.messages[self.ahead.popleft()] for _ in range(min(most, len(self.ahead)))]

    def done(self, messages):
        for message in messages:
            self.messages[message.token] = None

    def close(self):
        pass

    @property
    def left(self):
        return sum(message is not None for message in self.messages.values())


class Stream(World):
    """A corpus whose changes are told by events."""

    sources = ()

    def follow(self, source, *, stop=None, max_failures=1, **how):
        given = StreamSettings(**{"wait_seconds": 0.0, "idle_seconds": 0.0, "max_failures": max_failures, **how})
        return list(stream(self.stream_settings(), source, how=given, stop=stop or threading.Event()))

    def stream_settings(self):
        return replace_settings(self.settings("index"), command="stream", sources=())

    def live(self):
        with self.store() as store:
            points = list(store.scroll(Where((AnyOf("kind", ("clip",)),))))
            assert all(point.payload["live"] for point in points)
            return sorted({(Path(point.payload["uri"]).stem, point.payload["content"][:4]) for point in points})

    def names(self):
        return "".join(name for name, _ in self.live())

    def entries(self):
        with self.store() as store:
            return {Path(uri).stem: entry for uri, entry in read_entries(store).items()}


def replace_settings(settings, **more):
    return IngestSettings(**{**settings.model_dump(), **more})


@pytest.fixture
def here(monkeypatch):
    with world(monkeypatch, Stream) as (made, patch):
        fake_vectors(made, patch)
        yield made


def fake_vectors(made, patch):
    patch.setattr(pipelines.ingest.CorpusRun, "embed", embed_from_a_table(made))
    for module in (pipelines.ingest, pipelines.stream_batch):
        patch.setattr(module, "publish", lambda *_, **__: Publication())
    patch.setattr(pipelines.stream_batch, "note_some", lambda *_: [])


def test_a_file_comes_changes_and_goes(here):
    here.put("a", "AA")
    queue = Queue(event("create", here.path("a"), metadata={"title": "x"}))
    (batch,) = here.follow(queue)
    assert (batch.counts["indexed"], queue.left, here.names()) == (1, 0, "a")
    first = here.live()
    here.put("a", "CCC")
    queue.put(event("change", here.path("a"), at=1))
    here.follow(queue)
    assert here.names() == "a" and here.live() != first
    assert here.entries()["a"].metadata == (("title", "x"),)  # an event that says nothing of it leaves it
    queue.put(event("delete", here.path("a"), at=2))
    (batch,) = here.follow(queue)
    assert (batch.counts["removed"], here.names()) == (1, "")


def test_an_older_event_changes_nothing_that_a_newer_one_said(here):
    here.put("a", "AA")
    queue = Queue(event("create", here.path("a"), at=5))
    here.follow(queue)
    queue.put(event("delete", here.path("a"), at=4), event("create", here.path("a"), at=3))
    (batch,) = here.follow(queue)
    assert (batch.counts["late"], here.names()) == (1, "a")  # the older of the two is not even looked at


def test_a_deletion_outlives_a_late_creation_of_the_same_version(here):
    here.put("a", "AA")
    here.put("b", "BB")
    queue = Queue(*(event("delete", here.path(name), generation=7, at=9) for name in "ab"))
    here.follow(queue)
    queue.put(event("create", here.path("a"), generation=7, at=10), event("create", here.path("b"), generation=8, at=1))
    (batch,) = here.follow(queue)
    assert (batch.counts["late"], here.names()) == (1, "b")


def test_a_deletion_is_kept_for_so_many_days_after_it_was_heeded_and_then_a_late_creation_finds_nothing(here):
    here.put("a", "AA")
    queue = Queue(event("delete", here.path("a"), at=9), event("delete", here.path("b"), at=9))
    here.follow(queue)  # events of years ago, heeded now
    late = event("create", here.path("a"), at=1)
    queue.put(late)
    (batch,) = here.follow(queue)
    assert (batch.counts["late"], batch.counts["tombstones dropped"], here.names()) == (1, 0, "")
    with here.store() as store:
        old = (datetime.now(UTC) - timedelta(days=31)).isoformat()
        write_entries(store, [replace(entry, deleted_at=old) for entry in read_entries(store).values()])
    queue.put(late)
    (batch,) = here.follow(queue, keep_tombstones_days=32)
    assert (batch.counts["late"], here.names()) == (1, "")
    queue.put(late)
    (batch,) = here.follow(queue)
    assert (batch.counts["late"], batch.counts["tombstones dropped"]) == (0, 2)
    assert (here.names(), list(here.entries())) == ("a", ["a"])


def test_a_stone_that_does_not_say_when_it_was_laid_counts_from_its_event(here):
    gone = [f"file:///films/{name}" for name in "abc"]
    now = datetime.now(UTC)
    places = [place(int((now - timedelta(days=days)).timestamp()) * 10**9, kind="delete") for days in (1, 31)]
    with here.store() as store:
        stones = zip(gone, [*places, ""], strict=True)
        write_entries(store, [LedgerEntry(uri, 0, "", "deleted", event=order) for uri, order in stones])
        assert drop_old_stones(store, keep_days=30) == 1
        assert sorted(read_entries(store)) == [gone[0], gone[2]]


def test_the_oldest_dead_letters_of_events_go_where_there_are_too_many_and_other_rejects_stay(here):
    here.put("a", "AA")
    here.put("x", "XX")  # which no decoder can read
    queue = Queue(*[b"{"] * 4, *(event("create", here.path(name)) for name in "ax"))
    batches = here.follow(queue, batch_events=2, keep_dead_letters=2)
    assert sum(batch.counts["dead letters"] for batch in batches) == 4
    assert sum(batch.counts["dead letters dropped"] for batch in batches) == 2
    lines = [json.loads(line) for line in rejects_path(here.location("index")).read_text().splitlines()]
    assert {line["uri"] for line in lines if line["stage"] == "event"} == {f"kafka://queue/0/{n}" for n in (2, 3)}
    assert here.entries()["x"].rejects and here.names() == "a"
    assert {entry.uri for entry in here.entries().values() if entry.uri.startswith("kafka")} == {
        f"kafka://queue/0/{number}" for number in (2, 3)
    }


def test_the_same_bytes_seen_by_a_newer_event_outlive_an_older_deletion(here):
    here.put("a", "AA")
    queue = Queue(event("create", here.path("a"), at=1), event("create", here.path("a"), at=3))
    here.follow(queue, batch_events=1)
    queue.put(event("delete", here.path("a"), at=2))
    (batch,) = here.follow(queue)
    assert (batch.counts["late"], here.names()) == (1, "a")


def test_a_move_keeps_its_vectors(here):
    here.put("a", "AA")
    queue = Queue(event("create", here.path("a")))
    here.follow(queue)
    here.move("a", "b")
    embedded = len(here.bundles)
    queue.put(event("delete", here.path("a"), at=1), event("create", here.path("b"), at=1))
    here.follow(queue)
    assert here.names() == "b" and len(here.bundles) == embedded


def test_what_is_no_event_becomes_a_dead_letter_and_the_stream_goes_on(here):
    here.put("a", "AA")
    queue = Queue(b"{", event("create", here.path("a")), event("create", "/x", at=10**9), b"")
    (batch,) = here.follow(queue)
    assert (batch.counts["dead letters"], batch.counts["indexed"], queue.left) == (3, 1, 0)
    lines = [json.loads(line) for line in rejects_path(here.location("index")).read_text().splitlines()]
    assert {(line["error"], line["stage"]) for line in lines} == {("MalformedEvent", "event")}
    assert {line["uri"] for line in lines} == {f"kafka://queue/0/{number}" for number in (0, 2, 3)}


def test_a_file_that_comes_after_its_event_is_waited_for(here):
    queue = Queue(event("create", here.path("a")))
    how = StreamSettings(wait_seconds=0.1, tries=9, idle_seconds=0.0)
    running = stream(here.stream_settings(), queue, how=how, stop=threading.Event())
    first = next(running)
    assert (first.waiting, first.counts["indexed"], queue.left) == (1, 0, 1)
    here.put("a", "AA")
    (second,) = running
    assert (second.counts["indexed"], here.names(), queue.left) == (1, "a", 0)


def test_a_file_that_never_comes_becomes_a_dead_letter_and_is_taken_up_when_a_new_event_finds_it(here):
    queue = Queue(event("create", here.path("a")))
    batches = here.follow(queue, tries=3)
    assert [batch.waiting for batch in batches] == [1, 1, 0] and queue.left == 0
    (reject,) = here.entries()["a"].rejects
    assert (reject.error, reject.stage) == ("MissingFile", "event")
    here.put("a", "AA")
    queue.put(event("create", here.path("a"), at=1))
    here.follow(queue)
    assert here.names() == "a" and not here.entries()["a"].rejects
    assert not rejects_path(here.location("index")).read_text()


def test_a_missing_file_takes_no_clips_of_its_older_version_away(here):
    here.put("a", "AA")
    queue = Queue(event("create", here.path("a")))
    here.follow(queue)
    here.delete("a")
    queue.put(event("change", here.path("a"), at=1))
    here.follow(queue, tries=1)
    assert here.names() == "a"
    assert [entry.rejects[0].error for entry in here.entries().values() if entry.rejects] == ["MissingFile"]


def test_a_file_that_is_shorter_than_its_event_says_is_waited_for_and_then_taken_as_it_is(here):
    here.put("a", "AA")
    batches = here.follow(Queue(event("create", here.path("a"), size=75)), tries=2)
    assert [batch.counts["indexed"] for batch in batches] == [0, 1]


def test_a_decoder_that_crashes_is_tried_again(here):
    here.put("t", "TT")
    queue = Queue(event("create", here.path("t")))
    here.follow(queue)
    assert (here.entries()["t"].state, queue.left) == ("committed", 0)


def test_a_forgotten_video_stays_out(here):
    here.put("a", "AA")
    queue = Queue(event("create", here.path("a")))
    here.follow(queue)
    with here.store() as store:
        forget_video(store, read_entries(store)[uri_of_path(here.path("a"))])
    queue.put(event("change", here.path("a"), at=1), event("create", here.path("a"), at=2))
    here.follow(queue)
    assert here.names() == ""


def test_an_outage_keeps_every_event_for_the_next_try(here, monkeypatch):
    here.put("a", "AA")
    queue = Queue(b"{", event("create", here.path("a")))
    fails = iter([StoreUnavailable("the store is away"), OSError(5, "a disk fails")])
    real = pipelines.stream.apply_events

    def failing(*given, **more):
        for error in fails:
            raise error
        return real(*given, **more)

    monkeypatch.setattr(pipelines.stream, "apply_events", failing)
    batches = here.follow(queue, max_failures=None)
    assert [bool(batch.error) for batch in batches] == [True, True, False]
    assert (batches[-1].counts["indexed"], batches[-1].counts["dead letters"], queue.left) == (1, 1, 0)


def test_so_many_failures_in_a_row_end_a_stream_and_nothing_is_done(here, monkeypatch):
    here.put("a", "AA")
    queue = Queue(event("create", here.path("a")))
    monkeypatch.setattr(pipelines.stream, "apply_events", raising(StoreUnavailable("away")))
    with pytest.raises(Outage):
        here.follow(queue, max_failures=2)
    assert queue.left == 1


def raising(error):
    def raises(*_, **__):
        raise error

    return raises


def test_an_index_that_another_writes_is_waited_for(here):
    here.put("a", "AA")
    queue = Queue(event("create", here.path("a")))
    how = StreamSettings(idle_seconds=0.0, max_failures=1)
    running = stream(here.stream_settings(), queue, how=how, stop=threading.Event())
    with writing(here.location("index"), command="another", wait=False):
        taken = next(running)
    assert "another" in str(taken.error)
    assert [batch.counts["indexed"] for batch in running] == [1]


def test_files_whose_disk_is_not_mounted_are_not_missing(here):
    queue = Queue(event("create", here.path("a")))
    places = Places(roots=(here.corpus,))
    here.delete("always")
    here.corpus.rmdir()
    with pytest.raises(Outage, match="mounted"):
        here.follow(queue, places=places)
    assert queue.left == 1


def test_no_more_is_taken_than_a_batch_and_what_waits_has_a_limit(here):
    queue = Queue(*(event("create", here.path(f"x{number}")) for number in range(100)))
    inbox = Inbox(StreamSettings(batch_events=4, tries=9))
    taken = []
    while room := inbox.room:
        for message in queue.take(room, 0.0):
            inbox.put(message)
        taken.append(inbox.due)
        inbox.batch()
        inbox.settle(Applied(again={held.event.uri: "not there" for held in inbox._held}))
    assert max(taken) == 4 and inbox.waiting == 32


def test_a_stop_leaves_what_was_not_begun_to_the_next_start(here):
    for name in "ab":
        here.put(name, "AA" if name == "a" else "BB")
    stop = threading.Event()
    queue = Queue(event("create", here.path("a")), event("create", here.path("b")))
    how = StreamSettings(batch_events=1, idle_seconds=0.0)
    running = stream(here.stream_settings(), queue, how=how, stop=stop)
    next(running)
    stop.set()
    assert list(running) == [] and queue.left == 1
    queue.open()
    here.follow(queue)
    assert here.names() == "ab" and queue.left == 0


def test_a_batch_that_is_interrupted_is_delivered_again(here, monkeypatch):
    here.put("a", "AA")
    queue, stop = Queue(event("create", here.path("a"))), threading.Event()

    def interrupted(run, works):
        interrupt.request()
        stop.set()
        return 0

    with monkeypatch.context() as patch:
        patch.setattr(pipelines.ingest.CorpusRun, "embed", interrupted)
        here.follow(queue, stop=stop)
    assert queue.left == 1
    queue.open()
    here.follow(queue)
    assert here.names() == "a" and queue.left == 0


def test_an_ingest_keeps_what_events_deleted_out_of_its_deletions_and_takes_up_what_is_there(here):
    for name, kind in (("a", "AA"), ("b", "BB")):
        here.put(name, kind)
    queue = Queue(event("create", here.path("a")), event("delete", here.path("b"), at=5))
    here.follow(queue)
    assert ingest(here.settings("index")).videos_indexed == 2  # "always" and b, which is there
    assert here.names() == "aalwaysb"
    here.delete("b")
    queue.put(event("delete", here.path("b"), at=6))
    here.follow(queue)
    summary = ingest(here.settings("index"))
    assert (summary.videos_removed, summary.videos_unchanged) == (0, 2)
    assert here.entries()["b"].state == "deleted"


histories = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(NAMES), st.sampled_from([*KINDS[:5], "TT"])),
        st.tuples(st.just("delete"), st.sampled_from(NAMES)),
        st.tuples(st.just("touch"), st.sampled_from(NAMES)),
        st.tuples(st.just("deliver"), st.integers(0, 99), st.none() | st.integers(1, 60)),
    ),
    min_size=4,
    max_size=16,
)


def play(here, history, *, counted, repeats, seed):
    """Changes and their events; some are delivered on the way, in any order; in the end all are, some twice."""
    chance, sent, put_off = random.Random(seed), [], []

    def tell(kind, name, at):
        place = {"generation": at, "at": chance.random()} if counted else {"at": at}
        put_off.append(event(kind, here.path(name), **place))
        sent.append(put_off[-1])

    def deliver(killed_at=None):
        queue = Queue(*put_off, *(chance.choices(sent, k=repeats) if sent else ()))
        put_off.clear()
        here.killing.calls_left = killed_at
        try:
            here.follow(queue, batch_events=3, tries=2)
        except Killed:
            release(here.location("index"))
        finally:
            here.killing.calls_left = None
        queue.open()
        here.follow(queue, batch_events=3, tries=2)
        assert queue.left == 0

    for at, (what, *arguments) in enumerate(history, start=1):
        if what == "deliver":
            chance.shuffle(put_off)
            late = [put_off.pop() for _ in range(len(put_off) // 2)]
            deliver(arguments[1])
            put_off += late
            continue
        existed = here.path(arguments[0]).exists()
        getattr(here, what)(*arguments)
        if what == "put" or existed:
            tell({"put": "create", "delete": "delete", "touch": "change"}[what], arguments[0], at)
    chance.shuffle(put_off)
    deliver()
    here.delete("always")  # nobody told of it


def compared(here):
    """The clips and whole videos of the stream's index, and of one that an ingest makes of the files as they are."""
    if any(here.corpus.iterdir()):
        here.clean_runs("scratch")
        wanted = without_origin(here.everything("scratch", set()))
    else:
        wanted = {}
    return without_origin(here.everything("index", here.kept_for_being_whole())), wanted


def without_origin(points):
    kept = {}
    for id, point in points.items():
        payload = dict(point.payload)
        if payload["kind"] == "video" and (payload["state"] in ("deleted", "rejected")):
            continue
        for name in ("origin", "event", "run", "searchable_since", "attempts", "version"):
            payload.pop(name, None)
        kept[id] = payload
    return kept


@settings(
    max_examples=max(5, EXAMPLES // 4),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(history=histories, counted=st.booleans(), repeats=st.integers(0, 4), seed=st.integers(0, 99))
def test_events_in_any_order_end_in_the_index_of_the_files_as_they_are(history, counted, repeats, seed, monkeypatch):
    with world(monkeypatch, Stream) as (here, patch):
        fake_vectors(here, patch)
        play(here, history, counted=counted, repeats=repeats, seed=seed)
        kept = here.kept_for_being_whole()
        told = {what[1] for what in history if what[0] == "put"}
        states = {name: entry.state for name, entry in here.entries().items()}
        assert all(states[name] == "deleted" for name in told if not here.path(name).exists())
        found, wanted = compared(here)
        assert found == {id: payload for id, payload in wanted.items() if payload["uri"] not in kept}
