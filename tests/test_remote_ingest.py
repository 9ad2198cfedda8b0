"""Whole runs over remote files: the index that disk gives, only what changed is fetched, no removal in doubt."""

import json
import wave
from collections.abc import Iterator
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.testing.util import assert_that, equal_to
from typer.testing import CliRunner

from pipelines.causes import read_causes
from pipelines.cli import app
from pipelines.fsck.corpus import corpus_compared
from pipelines.ingest import ingest
from pipelines.planning import plan_run
from pipelines.settings import IngestSettings
from pipelines.summary import IngestSummary
from tests.bucket_servers import s3_server
from tests.web_server import Served, WebServer, web_server
from transforms.errors import Outage
from transforms.index.ledger import read_entries
from transforms.index.location import IndexLocation
from transforms.index.open import open_reader
from transforms.index.store import Equals, Where
from transforms.records import AudioStream, Clip, LedgerEntry, Segment, VideoInfo, VideoRef
from transforms.segment import SpreadSegments, stays_together

RECIPE = 'name = "sounds"\n[segment]\nclip_seconds = 1.0\nsegment_seconds = 2.0\n[sound]\nencoder = "mfcc:statistics"\n'


def tone(folder: Path, name: str, *, hertz: float, seconds: float = 3.0) -> Path:
    """A sound of one pitch."""
    folder.mkdir(parents=True, exist_ok=True)
    times = np.arange(int(seconds * 16000)) / 16000
    samples = (np.sin(2 * np.pi * hertz * times) * 20000).astype("<i2")
    with wave.open(str(folder / name), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(samples.tobytes())
    return folder / name


class Run:
    """An index beside a cache, both in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.location = IndexLocation.parse(str(folder / "index"))
        (folder / "recipe.toml").write_text(RECIPE)

    def settings(self, *sources: object, **more) -> IngestSettings:  # type: ignore[no-untyped-def]
        more.setdefault("index", str(self.folder / "index"))
        more.setdefault("allow_private_addresses", True)
        more.setdefault("remote_cache", self.folder / "cache")
        more.setdefault("min_free_megabytes", 0)
        return IngestSettings(sources=tuple(map(str, sources)), recipe=str(self.folder / "recipe.toml"), **more)

    def run(self, *sources: object, **more) -> IngestSummary:  # type: ignore[no-untyped-def]
        return ingest(self.settings(*sources, **more))

    def entries(self) -> dict[str, LedgerEntry]:
        reader = open_reader(self.location)
        try:
            return read_entries(reader)
        finally:
            reader.close()

    def clips(self) -> dict[tuple[str, float], np.ndarray]:
        """The vector of each clip, by its file's name and its start."""
        reader = open_reader(self.location)
        try:
            found = list(reader.scroll(Where((Equals("kind", "clip"), Equals("live", True))), vectors=True))
            names = [(str(point.payload["uri"]).rsplit("/", 1)[1], point.payload["start_seconds"]) for point in found]
            return dict(zip(names, (np.asarray(point.vectors["speech"]) for point in found), strict=True))
        finally:
            reader.close()


@pytest.fixture
def server() -> Iterator[WebServer]:
    with web_server() as made:
        yield made


@pytest.fixture
def made(tmp_path: Path) -> Run:
    return Run(tmp_path)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    for number, name in enumerate(("a.wav", "b.wav", "c.wav")):
        tone(tmp_path / "corpus", name, hertz=220.0 * (number + 1), seconds=3.0 + number)
    return tmp_path / "corpus"


def manifest_of(server: WebServer, corpus: Path) -> Path:
    """A manifest of all files of a folder, which the server serves."""
    rows = [server.serve(f"/{path.name}", path.read_bytes()) for path in sorted(corpus.iterdir())]
    path = corpus.parent / "manifest.jsonl"
    path.write_text("".join(json.dumps({"uri": uri, "show": uri[-5]}) + "\n" for uri in rows))
    return path


def test_a_manifest_of_web_addresses_gives_the_index_of_the_same_files_on_disk(
    server: WebServer, made: Run, corpus: Path, tmp_path: Path
) -> None:
    manifest = manifest_of(server, corpus)
    summary = made.run(manifest=manifest)
    assert (summary.videos_indexed, summary.videos_rejected, summary.problems) == (3, 0, ())
    assert server.bytes_sent() == sum(path.stat().st_size for path in corpus.iterdir())
    (tmp_path / "local").mkdir()
    local = Run(tmp_path / "local")
    local.run(corpus)
    remote, here = made.clips(), local.clips()
    assert remote.keys() == here.keys()
    assert all(np.array_equal(remote[key], here[key]) for key in here)
    assert {entry.content for entry in made.entries().values()} == {entry.content for entry in local.entries().values()}
    assert {entry.metadata for entry in made.entries().values()} == {(("show", name),) for name in "abc"}


def test_an_unchanged_file_costs_a_look_and_a_changed_one_is_fetched(
    server: WebServer, made: Run, corpus: Path
) -> None:
    manifest = manifest_of(server, corpus)
    made.run(manifest=manifest)
    server.log.clear()
    again = made.run(manifest=manifest)
    assert (again.videos_unchanged, again.videos_indexed) == (3, 0)
    assert [asked.method for asked in server.log] == ["HEAD"] * 3
    server.serve("/b.wav", tone(corpus, "b.wav", hertz=999.0).read_bytes())
    changed = made.run(manifest=manifest)
    assert (changed.videos_unchanged, changed.videos_indexed) == (2, 1)
    assert [asked.path for asked in server.gets()] == ["/b.wav"]


def test_what_a_server_does_not_know_any_more_goes_and_what_does_not_answer_stays(
    server: WebServer, made: Run, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transforms.remote.tries.LONGEST_PAUSE_SECONDS", 0.01)
    manifest = manifest_of(server, corpus)
    made.run(manifest=manifest)
    del server.files["/a.wav"]
    server.files["/b.wav"] = Served(b"", looks=[503] * 99)
    summary = made.run(manifest=manifest)
    assert summary.videos_removed == 1
    assert sorted(uri.rsplit("/", 1)[1] for uri in made.entries()) == ["b.wav", "c.wav"]
    assert any("cannot be listed" in problem and "503" in problem for problem in summary.problems)
    assert any("names no file" in problem for problem in summary.problems)


def test_rejects_say_whether_a_later_run_tries_again(
    server: WebServer, made: Run, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transforms.remote.tries.LONGEST_PAUSE_SECONDS", 0.01)
    manifest = manifest_of(server, corpus)
    server.files["/a.wav"].statuses = [403] * 99
    server.files["/b.wav"].statuses = [500] * 99
    server.serve("/c.wav", b"no sound, and surely no film\n" * 99)
    assert made.run(manifest=manifest).videos_rejected == 3
    rejected = {entry.uri[-5]: entry.rejects[0] for entry in made.entries().values()}
    assert [(rejected[name].error, rejected[name].transient) for name in "abc"] == [
        ("RemoteRefused", False),
        ("RemoteUnavailable", True),
        ("NoMedia", False),
    ]
    server.files["/a.wav"].statuses, server.files["/b.wav"].statuses = [], []
    again = made.run(manifest=manifest)
    assert (again.videos_indexed, again.videos_rejected) == (1, 2)
    assert {cause.error for cause in read_causes(made.location)} == {"RemoteRefused", "NoMedia"}


def test_a_file_that_grows_is_deferred_and_taken_up_by_the_next_run(server: WebServer, made: Run, corpus: Path) -> None:
    data = (corpus / "a.wav").read_bytes()
    uri = server.serve("/a.wav", data[:9000], then=Served(data))
    first = made.run(uri)
    assert (first.videos_deferred, first.videos_indexed, first.videos_rejected) == (1, 0, 0)
    assert made.run(uri).videos_indexed == 1
    assert len(made.clips()) == 3


def test_a_file_larger_than_allowed_is_a_reject_that_names_the_setting(server: WebServer, made: Run) -> None:
    uri = server.serve("/a.mp4", b"\0" * (2**20 + 1))
    assert made.run(uri, remote_largest_megabytes=1).videos_rejected == 1
    (entry,) = made.entries().values()
    assert entry.rejects[0].error == "LimitExceeded"
    assert "REELVEC_REMOTE_LARGEST_MEGABYTES" in entry.rejects[0].message
    assert server.gets() == []


def test_this_machine_is_refused_as_a_source_with_exit_code_2(server: WebServer, tmp_path: Path) -> None:
    uri = server.serve("/a.mp4", b"x")
    told = CliRunner().invoke(app, ["ingest", uri, "--index", str(tmp_path / "index")])
    assert told.exit_code == 2
    assert "--allow-private-addresses" in told.output
    assert not (tmp_path / "index").exists()
    assert server.log == []


def test_a_dry_run_fetches_nothing(server: WebServer, made: Run, corpus: Path) -> None:
    manifest = manifest_of(server, corpus)
    made.run(manifest=manifest)
    server.log.clear()
    for path in corpus.iterdir():  # the same bytes under another ETag
        server.serve(f"/{path.name}", path.read_bytes(), etag='"another"')
    reader = open_reader(made.location)
    try:
        planned = plan_run(reader, made.location, made.settings(manifest=manifest))
    finally:
        reader.close()
    assert len(planned.plan.to_embed) == 3
    assert server.gets() == []


def test_fsck_compares_remote_files_without_fetching_them(
    server: WebServer, made: Run, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REELVEC_ALLOW_PRIVATE_ADDRESSES", "true")
    uris = [server.serve(f"/{path.name}", path.read_bytes()) for path in sorted(corpus.iterdir())]
    made.run(*uris[:2])
    server.serve("/b.wav", b"other")
    server.log.clear()
    problems = {problem.kind: problem.uri for problem in corpus_compared(uris, made.entries(), made.location)}
    assert problems == {"corpus_changed": uris[1], "corpus_new": uris[2]}
    assert server.gets() == []


def test_an_object_that_moved_keeps_its_vectors_and_copies_are_encoded_once(
    made: Run, corpus: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The ETag tells that the bytes are the same: nothing of a move is fetched, and of copies only one."""
    with s3_server(monkeypatch) as client:
        client.create_bucket(Bucket="films")  # type: ignore[attr-defined]
        for key, name in (("a.wav", "a.wav"), ("b.wav", "b.wav"), ("copy/of-b.wav", "b.wav")):
            client.upload_file(str(corpus / name), "films", key)  # type: ignore[attr-defined]
        first = made.run("s3://films")
        assert (first.videos_indexed, first.videos_copied, first.videos_rejected) == (3, 1, 0)
        fetched = sum(path.stat().st_size for path in (tmp_path / "cache").iterdir() if not path.suffix)
        assert fetched == sum((corpus / name).stat().st_size for name in ("a.wav", "b.wav"))
        client.copy_object(Bucket="films", Key="new/a.wav", CopySource="films/a.wav")  # type: ignore[attr-defined]
        client.delete_object(Bucket="films", Key="a.wav")  # type: ignore[attr-defined]
        moved = made.run("s3://films", remote_cache=tmp_path / "empty")
        assert (moved.videos_moved, moved.videos_indexed, moved.videos_removed) == (1, 0, 0)
        assert not (tmp_path / "empty").exists()
        assert sorted(made.entries()) == ["s3://films/b.wav", "s3://films/copy/of-b.wav", "s3://films/new/a.wav"]
        for key in ("b.wav", "copy/of-b.wav", "new/a.wav"):
            client.delete_object(Bucket="films", Key=key)  # type: ignore[attr-defined]
        with pytest.raises(Outage, match="nothing is left of s3://films"):
            made.run("s3://films")
        assert made.run("s3://films", max_delete="100%").videos_removed == 3


def test_several_workers_over_a_small_remote_file_fetch_it_once(server: WebServer, made: Run, tmp_path: Path) -> None:
    data = tone(tmp_path / "long", "long.wav", hertz=300.0, seconds=20.0).read_bytes()
    uri = server.serve("/long.wav", data)
    options = ("--runner=FnApiRunner", "--direct_num_workers=2", "--direct_running_mode=multi_threading")
    assert made.run(uri, beam_options=options).videos_indexed == 1
    assert len(made.clips()) == 20
    assert server.bytes_sent() == len(data)


def segment(uri: str, size_bytes: int, index: int) -> Segment:
    info = VideoInfo("wav", 0.0, 20.0, None, AudioStream(0, "pcm", 16000, 1, 0.0, 20.0))
    return Segment(VideoRef(uri, size_bytes, "v"), "sha", info, index, 10, (Clip(index, index, index + 1.0),))


def test_segments_of_a_small_remote_file_cross_no_shuffle_and_all_others_do() -> None:
    small = [segment("https://example.org/a.mp4", 1000, index) for index in range(3)]
    large = [segment("s3://films/b.mp4", 2001, index) for index in range(3)]
    local = [segment("file:///c.mp4", 10, index) for index in range(3)]
    assert [stays_together(one.video, 2000) for one in (small[0], large[0], local[0])] == [True, False, False]
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        spread = pipeline | beam.Create(small + large + local) | SpreadSegments(2000)
        named = spread | beam.Map(lambda one: (one.video.uri, one.index))
        assert_that(named, equal_to([(one.video.uri, one.index) for one in small + large + local]))
