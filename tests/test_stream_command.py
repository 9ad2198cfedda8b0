"""`reelvec stream --folder` over real sounds, its dead letters, and options that make no sense."""

import json
import os
import shutil

import pytest
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.stream_folder import FolderSource
from tests.test_histories import RECIPE
from tests.test_ingest import Box
from tests.test_stream_kafka import tone
from transforms.index.ledger import read_entries
from transforms.index.open import open_reader
from transforms.records import LedgerEntry
from transforms.stream.events import events_of
from transforms.uris import uri_of_path


@pytest.fixture
def box(tmp_path):
    made = Box(tmp_path)
    made.corpus.mkdir()
    (tmp_path / "sounds.toml").write_text(RECIPE)
    return made


def run(*args):
    result = CliRunner().invoke(app, [*map(str, args)])
    return result.exit_code, result.stdout, result.stderr


def follow(box, *options):
    recipe = box.index.with_name("sounds.toml")
    common = ("--folder", box.corpus, "--index", box.index, "--recipe", recipe, "--every", "50ms", "--settle", "0")
    return run("stream", *common, "--end-when-idle", "300ms", "--json", *options)


def entries(box):
    reader = open_reader(box.location)
    try:
        return read_entries(reader)
    finally:
        reader.close()


def test_a_folder_is_followed_and_a_second_start_goes_on_from_the_ledger(box):
    a, b = tone(box.corpus / "a.wav", 200), tone(box.corpus / "b.wav", 300)
    code, out, err = follow(box)
    assert code == 0 and json.loads(out.splitlines()[0])["indexed"] == 2, err
    assert {point.payload["uri"] for point in box.points()} == {uri_of_path(a), uri_of_path(b)}
    assert follow(box)[1] == ""  # nothing happened meanwhile
    b.unlink()
    (box.corpus / "notes.txt").write_text("no film")
    assert [json.loads(line)["removed"] for line in follow(box)[1].splitlines()] == [1]
    assert entries(box)[uri_of_path(b)].state == "deleted"
    assert {video.state for video in box.videos().values()} == {"committed"}
    assert not os.path.exists(box.index / "UNPUBLISHED")


@pytest.mark.skipif(shutil.which("prism") is None, reason="prism is not on PATH: make prism")
def test_batches_run_on_another_engine_too(box):
    a = tone(box.corpus / "a.wav", 200)
    code, out, err = follow(box, "--runner", "prism")
    assert code == 0 and json.loads(out.splitlines()[0])["indexed"] == 1, err
    assert {point.payload["uri"] for point in box.points()} == {uri_of_path(a)}


def test_a_dead_letter_of_a_message_is_listed_shown_left_alone_and_dropped(box):
    import threading

    from pipelines.settings import IngestSettings
    from tests.test_stream import Queue, StreamSettings, stream

    settings = IngestSettings(index=str(box.index), recipe=str(box.index.with_name("sounds.toml")), command="stream")
    how = StreamSettings(idle_seconds=0.0, max_failures=1)
    list(stream(settings, Queue(b"no event"), how=how, stop=threading.Event()))
    code, out, _ = run("dlq", "list", "--index", box.index, "--json")
    (reject,) = json.loads(out)
    assert (code, reject["error"], reject["stage"], reject["uri"]) == (
        0,
        "MalformedEvent",
        "event",
        "kafka://queue/0/0",
    )
    assert "sent again" in run("dlq", "show", reject["id"], "--index", box.index)[1]
    code, _, err = run("dlq", "replay", "--index", box.index)
    assert code == 0 and "1 messages of a stream are left alone" in err
    assert run("dlq", "drop", "--cause", "MalformedEvent", "--index", box.index)[0] == 0
    assert not entries(box) and json.loads(run("dlq", "list", "--index", box.index, "--json")[1]) == []


def looks(source):
    """What one look at the folder tells: (kind, name)."""
    found = [events_of(message.data)[0] for message in source.take(100, 0.2)]
    return [(event.kind, event.uri.rsplit("/", 1)[1]) for event in found]


def test_a_folder_that_shows_nothing_any_more_is_not_believed(tmp_path):
    said: list[str] = []
    corpus = tmp_path / "c"
    corpus.mkdir()
    files = [corpus / f"{number:02d}.wav" for number in range(30)]
    for path in files:
        path.write_bytes(b"RIFF")
    source = FolderSource(str(corpus), every_seconds=0.0, settle_seconds=0.0, tell=said.append)
    source.open()
    assert len(looks(source)) == 30 and not looks(source)
    for path in files[:12]:
        path.unlink()
    assert not looks(source) and not looks(source) and len(said) == 1 and "12 of 30" in said[0]
    files[0].write_bytes(b"RIFF")
    files[1].write_bytes(b"RIFF")
    assert sorted(kind for kind, _ in looks(source)) == ["change", "change", *["delete"] * 10]
    corpus.rename(tmp_path / "unmounted")
    corpus.mkdir()
    assert not looks(source) and "mounted" in said[-1]
    corpus.rmdir()
    assert not looks(source) and len(said) == 2  # the same thing is said once


def test_what_the_ledger_knows_is_seen_before_the_first_look(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF")
    uri, found = uri_of_path(path), path.stat()
    known = {
        uri: LedgerEntry(uri, found.st_size, str(found.st_mtime_ns), "committed"),
        uri_of_path(tmp_path / "gone.wav"): LedgerEntry(uri_of_path(tmp_path / "gone.wav"), 1, "1", "committed"),
        uri_of_path(tmp_path / "kept.wav"): LedgerEntry(uri_of_path(tmp_path / "kept.wav"), 1, "1", "forgotten"),
    }
    source = FolderSource(str(tmp_path), settle_seconds=0.0, entries=lambda: known)
    source.open()
    assert looks(source) == [("delete", "gone.wav")]


def test_a_file_that_still_grows_waits(tmp_path):
    source = FolderSource(str(tmp_path), every_seconds=0.0, settle_seconds=3600.0)
    source.open()
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    assert not looks(source)
    os.utime(tmp_path / "a.wav", (0, 0))
    assert not looks(source)  # it changed since the look before
    assert looks(source) == [("change", "a.wav")]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "one source of events"),
        (("--folder", ".", "--pubsub", "projects/p/subscriptions/s"), "one source of events"),
        (("--kafka", "localhost:9092", "--topic", "t", "--group", "g"), "--root / for every file"),
        (("--pubsub", "projects/p/subscriptions/s"), "--root FOLDER or s3://bucket/prefix or gs://bucket/prefix"),
        (("--kafka", "localhost:9092", "--root", "/"), "--topic"),
        (("--kafka", "localhost:9092", "--topic", "t", "--root", "/"), "--group"),
        (("--pubsub", "s", "--root", "/"), "projects/P/subscriptions/S"),
        (("--folder", "missing"), "nothing to read"),
        (("--folder", "s3://bucket/films"), "a bucket sends events"),
        (("--folder", ".", "--root", "missing"), "--root"),
        (("--folder", ".", "--root", "https://host/films"), "never the web"),
        (("--folder", ".", "--root", "s3:///films"), "s3://BUCKET/PREFIX"),
        (("--folder", ".", "--map", "gs://b"), "--map"),
        (("--folder", ".", "--batch", "0"), "--batch"),
        (("--folder", ".", "--retry", "soon"), "soon"),
        (("--folder", ".", "--max-delete", "some"), "--max-delete"),
        (("--folder", ".", "--recipe", "none"), "none"),
        (("--folder", ".", "--runner", "none"), "none"),
        (("--folder", ".", "--", "--direct_running_mode=multi_processing"), "--runner local"),
        (("--kafka", "h:1", "--topic", "t", "--group", "g", "--kafka-options", "missing", "--root", "/"), "missing"),
    ],
)
def test_options_that_make_no_sense_are_wrong_usage(tmp_path, monkeypatch, options, told):
    monkeypatch.chdir(tmp_path)
    code, out, err = run("stream", "--index", tmp_path / "index", *options)
    assert (code, out) == (2, "") and told in err
    assert not (tmp_path / "index").exists()
