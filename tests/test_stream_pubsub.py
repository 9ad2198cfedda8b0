"""Pub/Sub through Google's client, against a local server that speaks its protocol."""

import json
import time

import pytest

pytest.importorskip(
    "google.cloud.pubsub_v1", reason="google-cloud-pubsub is not installed: pip install 'reelvec[pubsub]'"
)

import transforms.stream.pubsub
from tests.pubsub_server import SUBSCRIPTION, PubSubServer
from tests.test_histories import world
from tests.test_stream import Stream, event, fake_vectors
from transforms.errors import UsageError
from transforms.stream.look import Places
from transforms.stream.pubsub import PubSubSource


@pytest.fixture
def server(monkeypatch):
    made = PubSubServer()
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", made.address)
    monkeypatch.setattr(transforms.stream.pubsub, "_PULL_SECONDS", 0.2)
    yield made
    made.stop()


@pytest.fixture
def here(monkeypatch):
    with world(monkeypatch, Stream) as (made, patch):
        fake_vectors(made, patch)
        yield made


def opened(said=None):
    source = PubSubSource(SUBSCRIPTION, tell=(said if said is not None else []).append)
    source.open()
    return source


def notice(kind, name, generation):
    return {
        "eventType": kind,
        "bucketId": "films",
        "objectId": name,
        "objectGeneration": str(generation),
        "eventTime": "2026-11-30T14:20:00.1Z",
    }


def test_notices_of_a_bucket_and_own_events_are_acknowledged_when_they_are_in_the_index(server, here):
    here.put("a", "AA")
    here.put("b", "BB")
    server.publish(b"", notice("OBJECT_FINALIZE", "a.wav", 2))
    server.publish(b"", notice("OBJECT_DELETE", "a.wav", 1))  # of the version before, and late
    server.publish(json.dumps(event("create", here.path("b"))).encode())
    bad = server.publish(b"no event")
    source = PubSubSource(SUBSCRIPTION)
    here.follow(source, places=Places((here.corpus,), (("gs://films/", here.corpus),)), idle_seconds=1.0)
    assert here.names() == "ab" and server.left == 0
    assert f"pubsub://p/s/{bad}" in {entry.uri for entry in here.entries().values()}


def test_what_is_not_done_is_delivered_again_at_once_after_a_close(server):
    server.publish(b"x")
    server.publish(b"y")
    source = opened()
    first = source.take(10, 2.0)
    assert len(first) == 2
    source.done(first[:1])
    source.close()
    assert server.left == 1
    again = opened()
    assert [message.data for message in again.take(10, 2.0)] == [first[1].data]
    again.close()


def test_a_message_stays_ours_while_a_batch_works(server, monkeypatch):
    monkeypatch.setattr(transforms.stream.pubsub, "_EVERY_SECONDS", 0.2)
    monkeypatch.setattr(transforms.stream.pubsub, "_LEASE_SECONDS", 3)
    server.publish(b"x")
    source, other = opened(), opened()
    held = source.take(10, 2.0)
    time.sleep(3.5)
    assert not other.take(10, 0.3)
    source.done(held)
    assert server.left == 0
    source.close()
    other.close()


def test_a_service_that_goes_away_is_waited_for_and_told_what_was_done_meanwhile(server):
    said: list[str] = []
    server.publish(b"x")
    source = opened(said)
    held = source.take(10, 2.0)
    server.stop()
    source.done(held)
    assert source.take(10, 0.3) == [] and source.take(10, 0.3) == []
    assert len(said) == 1 and "waiting for it" in said[0]
    server.start()
    server.publish(b"y")
    until = time.monotonic() + 30
    while not (found := source.take(10, 1.0)) and time.monotonic() < until:
        pass
    assert [message.data for message in found] == [b"y"]
    assert "answers again" in said[-1] and server.acknowledged == [held[0].uri.rsplit("/", 1)[1]]
    source.close()


def test_a_subscription_that_is_not_there_is_wrong_usage(server):
    source = PubSubSource("projects/p/subscriptions/none")
    source.open()
    with pytest.raises(UsageError, match="none"):
        source.take(1, 2.0)
    source.close()
    with pytest.raises(UsageError, match="projects/P/subscriptions/S"):
        PubSubSource("s")


def test_missing_credentials_are_wrong_usage(monkeypatch, tmp_path):
    monkeypatch.delenv("PUBSUB_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(UsageError, match="credentials"):
        PubSubSource(SUBSCRIPTION).open()
