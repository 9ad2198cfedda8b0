"""Events about objects: they are read from the bucket itself, here moto's, and Google's emulator."""

import os
import threading
from datetime import UTC, datetime
from urllib.parse import quote_plus

import pytest
import urllib3

from pipelines.settings import IngestSettings
from pipelines.stream import StreamSettings, stream
from tests.bucket_servers import gcs_server, s3_server
from tests.test_histories import RECIPE, world
from tests.test_ingest import Box
from tests.test_stream import Queue, Stream, fake_vectors
from tests.test_stream_kafka import tone
from transforms.errors import ForbiddenUri, Outage, UsageError
from transforms.remote.clients import forget_clients
from transforms.source import list_videos
from transforms.stream.look import look, places_of


@pytest.fixture
def s3(monkeypatch):
    with s3_server(monkeypatch) as client:
        client.create_bucket(Bucket="films")
        yield client


@pytest.fixture
def gcs(monkeypatch):
    with gcs_server(monkeypatch) as client:
        yield client.create_bucket("films")


@pytest.fixture
def here(monkeypatch):
    with world(monkeypatch, Stream) as (made, patch):
        fake_vectors(made, patch)
        yield made


@pytest.fixture
def nobody_answers(monkeypatch):
    monkeypatch.setattr("transforms.remote.tries.LONGEST_PAUSE_SECONDS", 0.01)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    forget_clients()
    yield
    forget_clients()


def notice(name, key, sequencer, **found):
    """What S3 sends through a queue."""
    detail = {"bucket": {"name": "films"}, "object": {"key": quote_plus(key), "sequencer": sequencer, **found}}
    return {"Records": [{"eventTime": datetime.now(UTC).isoformat(), "eventName": name, "s3": detail}]}


def at(uri):
    return look(uri, origin="o", metadata=(("a", 1),), event="e")


def test_a_notice_of_a_bucket_leads_to_an_indexed_video_and_that_of_its_deletion_takes_it_out(s3, tmp_path):
    box, data = Box(tmp_path), tone(tmp_path / "a.wav", 200).read_bytes()
    (tmp_path / "sounds.toml").write_text(RECIPE)
    for key in ("cam/a b+c.wav", "cam2/x.wav"):
        s3.put_object(Bucket="films", Key=key, Body=data)
    settings = IngestSettings(
        index=str(box.index),
        recipe=str(tmp_path / "sounds.toml"),
        remote_cache=tmp_path / "cache",
        min_free_megabytes=0,
        command="stream",
    )
    how = StreamSettings(idle_seconds=0.0, max_failures=1, places=places_of(["s3://films/cam"], []))
    queue = Queue(
        notice("ObjectCreated:Put", "cam/a b+c.wav", "01", size=len(data)),
        notice("ObjectCreated:Put", "cam2/x.wav", "01"),
    )
    batches = stream(settings, queue, how=how, stop=threading.Event())
    first = next(batches)
    assert (first.counts["indexed"], first.counts["dead letters"], first.clips > 0) == (1, 1, True)
    listed = {video.uri for video in list_videos(["s3://films/cam"]).videos}  # to an ingest it is the same
    assert {point.payload["uri"] for point in box.points()} == listed
    s3.delete_object(Bucket="films", Key="cam/a b+c.wav")
    queue.put(notice("ObjectRemoved:Delete", "cam/a b+c.wav", "02"))
    (second,) = batches
    assert (second.counts["removed"], queue.left, box.points()) == (1, 0, [])


def test_an_object_is_looked_at_as_it_is_now(s3, gcs):
    s3.put_object(Bucket="films", Key="a.mp4", Body=b"xyz")
    gcs.blob("a.mp4").upload_from_string(b"xyz")
    for scheme in ("s3", "gs"):
        video = at(f"{scheme}://films/a.mp4")
        assert (video.size_bytes, video.expected, video.origin, video.metadata) == (3, True, "o", (("a", 1),))
        assert video.version == list_videos([f"{scheme}://films/a.mp4"]).videos[0].version
        assert at(f"{scheme}://films/b.mp4") is None


def test_a_refused_object_is_forbidden_and_not_taken_for_deleted(s3):
    s3.put_object(Bucket="films", Key="a.mp4", Body=b"xyz")
    accounts = f"{os.environ['AWS_ENDPOINT_URL_S3']}/moto-api/reset-auth"
    urllib3.request("POST", accounts, body=b"0")  # from now on this account has no rights
    try:
        with pytest.raises(ForbiddenUri, match="refuses"):
            at("s3://films/a.mp4")
    finally:
        urllib3.request("POST", accounts, body=b"inf")


def test_a_store_that_goes_away_keeps_every_event(s3, here, request, monkeypatch):
    s3.put_object(Bucket="films", Key="a.wav", Body=b"x")
    queue = Queue(notice("ObjectCreated:Put", "a.wav", "01"))
    how = StreamSettings(idle_seconds=0.0, max_failures=1, places=places_of(["s3://films"], []))
    running = stream(here.stream_settings(), queue, how=how, stop=threading.Event())
    taken = queue.take

    def take_and_lose_the_store(most, wait_seconds):
        request.getfixturevalue("nobody_answers")
        return taken(most, wait_seconds)

    monkeypatch.setattr(queue, "take", take_and_lose_the_store)
    assert "does not answer" in str(next(running).error)
    with pytest.raises(Outage):
        next(running)
    assert queue.left == 1


def test_a_bucket_that_nobody_can_ask_is_said_before_anything_is_taken(here, nobody_answers, monkeypatch, tmp_path):
    queue = Queue(notice("ObjectCreated:Put", "a.wav", "01"))
    places = places_of(["s3://films"], [])
    with pytest.raises(Outage, match="does not answer"):
        here.follow(queue, places=places)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    forget_clients()
    with pytest.raises(UsageError, match="AWS_ACCESS_KEY_ID"):
        here.follow(queue, places=places)
    assert queue.left == 1 and not here.location("index").path.exists()


def test_a_stream_waits_for_its_jobs(here, monkeypatch):
    monkeypatch.setenv("REELVEC_DETACH", "true")
    with pytest.raises(UsageError, match="leave detach out"):
        here.follow(Queue())


def test_dataflow_is_given_objects_only(here, monkeypatch):
    options = ("--runner=dataflow", "--project=p", "--region=r", "--temp_location=gs://b/t")
    monkeypatch.setattr(here, "beam_options", lambda: options)
    for places in (places_of(["/"], []), places_of(["s3://b", str(here.corpus)], [])):
        with pytest.raises(UsageError, match="do not see the files of this machine"):
            here.follow(Queue(), places=places)
