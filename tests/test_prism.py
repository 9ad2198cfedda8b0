"""The same pipeline out of process: Prism by itself, and as a job server with workers in processes of their own."""

import re
import shutil
import subprocess
import threading
import time
import uuid
from pathlib import Path

import pytest

from pipelines.ingest import ingest
from pipelines.run_log import past_runs
from pipelines.settings import IngestSettings
from pipelines.status import status
from tests.job_server import job_server
from tests.test_engines import SOUNDS, sound
from transforms import interrupt, progress
from transforms.errors import IndexLocked, Outage
from transforms.index.location import IndexLocation
from transforms.index.open import open_reader, read_schema
from transforms.index.store import Where

pytestmark = pytest.mark.skipif(
    shutil.which("prism") is None, reason="prism is not on PATH: `make prism` builds it where Go is"
)
OFFLINE = Path(__file__).parents[1] / "transforms/recipes/offline.toml"
VOLATILE = {"searchable_since", "run"}


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """A job server and a worker pool with another working directory and another HOME."""
    folder = tmp_path_factory.mktemp("engine")
    home = folder / "home"
    home.mkdir()
    with job_server(folder, home=home) as made:
        yield made


class Tones:
    """Three sounds of five segments each, and a recipe that hears them by a real encoder that costs nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.corpus = folder, folder / "corpus"
        self.corpus.mkdir()
        (folder / "sounds.toml").write_text(SOUNDS)
        for number in range(3):
            sound(self.corpus / f"{number}.wav", seconds=10.0, hertz=150.0 + 50.0 * number)

    def run(self, name: str, options: tuple[str, ...] = (), *, listen=None, **more):
        settings = IngestSettings(
            sources=(str(self.corpus),),
            index=name if "://" in name else str(self.folder / name),
            recipe=str(self.folder / "sounds.toml"),
            min_free_megabytes=0,
            beam_options=options,
            **more,
        )
        return ingest(settings, listen=listen)

    def points(self, name: str):
        return points(IndexLocation.parse(name if "://" in name else str(self.folder / name)))

    def wait_for_a_writer(self, name: str, engine) -> None:
        """Until a worker has been started and has opened the index."""
        until, folder = time.monotonic() + 60, self.folder / name
        while not engine.workers() and time.monotonic() < until:
            time.sleep(0.02)
        started = time.time()
        while time.monotonic() < until:
            changed = [path.stat().st_mtime for path in folder.rglob("*") if path.is_file()]
            if max(changed, default=0.0) > started:
                return
            time.sleep(0.02)
        raise TimeoutError(f"no worker opened {folder}: {engine.log.read_text()[-2000:]}")


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    return Tones(tmp_path_factory.mktemp("tones"))


@pytest.fixture(scope="module")
def whole(tones):
    """The points of an index that one run in process made."""
    assert tones.run("whole").videos_indexed == 3
    return tones.points("whole")


def points(location: IndexLocation):
    reader = open_reader(location)
    try:
        return {point.id: point for point in reader.scroll(Where(), vectors=True)}
    finally:
        reader.close()


def plain(point):
    return {key: value for key, value in point.payload.items() if key not in VOLATILE}


def assert_same(ours, theirs):
    """The same points with the same payloads, and vectors that differ by rounding only."""
    assert ours.keys() == theirs.keys()
    for name, point in ours.items():
        assert plain(point) == plain(theirs[name])
        assert point.vectors.keys() == theirs[name].vectors.keys()
        for vector, held in point.vectors.items():
            other = theirs[name].vectors[vector]
            if vector == "words":
                assert list(held.indices) == list(other.indices)
                held, other = held.values, other.values
            assert held.shape == other.shape and abs(held - other).max() <= 1e-5, (vector, point.payload["uri"])


def test_one_index_comes_of_four_ways_to_run(engine, examples, tmp_path):
    """In process, on Prism in batch and in streaming, and through a job endpoint with a worker pool."""
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    film = ["ffmpeg", "-v", "error", "-t", "6", "-i", str(examples / "launch.mp4"), "-c", "copy"]
    subprocess.run([*film, str(corpus / "launch.mp4")], check=True)
    shutil.copy(corpus / "launch.mp4", corpus / "copy.mp4")
    (corpus / "broken.mp4").write_bytes(b"\x00" * 4096)
    recipe = tmp_path / "seen-and-said.toml"  # the default recipe without its slowest part, the words on screen
    recipe.write_text(re.sub(r"\[ocr\]\nencoder.*\n|ocr = .*\n", "", OFFLINE.read_text()))
    ways = {
        "process": (),
        "batch": ("--runner=prism",),
        "streaming": ("--runner=prism", "--streaming"),
        "endpoint": engine.options,
    }
    made, counted = {}, {}
    for way, options in ways.items():
        index = tmp_path / way
        given = {"sources": (str(corpus),), "index": str(index), "recipe": str(recipe)}
        summary = ingest(IngestSettings(**given, beam_options=options))
        assert (summary.videos_indexed, summary.videos_rejected, summary.videos_copied) == (2, 1, 1), way
        location = IndexLocation.parse(str(index))
        made[way], counted[way] = points(location), (summary.clips_written, summary.seconds_of_video)
        schema = read_schema(location)
        (past,) = past_runs(location, recipe=schema.recipe)  # from which the next plan knows how fast this goes
        assert past.seconds_embedded > 0
        assert [reject.rejects for reject in status(location).videos if reject.state == "rejected"]
    assert any("words" in point.vectors for point in made["process"].values())
    for way in ("batch", "streaming", "endpoint"):
        assert_same(made["process"], made[way])
        assert counted[way] == counted["process"]


@pytest.mark.parametrize("streaming", [(), ("--streaming",)], ids=["batch", "streaming"])
def test_a_worker_killed_in_the_middle_costs_what_it_held_and_the_next_run_mends_it(
    engine, tones, whole, streaming, request
):
    index = request.node.callspec.id
    refused: list[type] = []

    def strike() -> None:
        tones.wait_for_a_writer(index, engine)
        try:
            tones.run(index, engine.options)  # the same job, submitted twice
        except IndexLocked as locked:
            refused.append(type(locked))
        engine.kill_worker()

    striking = threading.Thread(target=strike)
    striking.start()
    with pytest.raises(Outage, match="run again: what was committed stays"):
        tones.run(index, (*engine.options, *streaming))
    striking.join()
    assert refused == [IndexLocked]
    mended = tones.run(index)
    assert mended.videos_indexed + mended.videos_unchanged == 3
    assert_same(whole, tones.points(index))


def test_workers_elsewhere_hear_of_the_end_of_the_time(engine, tones):
    late = tones.run("late", engine.options, max_hours=0.05 / 3600, command="reindex")
    assert (late.videos_deferred, late.clips_written, late.interrupted) == (3, 0, False)


def test_whoever_asks_to_stop_has_the_job_cancelled(engine, tones):
    def ask() -> None:
        tones.wait_for_a_writer("stopped", engine)
        interrupt.request()

    asking = threading.Thread(target=ask)
    asking.start()
    stopped = tones.run("stopped", engine.options)
    asking.join()
    assert stopped.interrupted and stopped.videos_deferred >= 1


def test_prism_by_itself_hears_this_process(tones):
    """Its stages run here, so progress is shown, and a request to stop is heard by them."""

    class Heard(progress.Silent):
        clips = 0

        def segment_done(self, seconds, clips):
            self.clips += clips
            interrupt.request()

    heard = Heard()
    stopped = tones.run("heard", ("--runner=prism",), listen=heard, prefetch=1)
    assert stopped.interrupted and heard.clips == stopped.clips_written > 0


def test_a_job_that_is_left_to_its_engine_is_settled_by_the_next_run(
    engine, tones, whole, qdrant_url, tmp_path, monkeypatch
):
    from qdrant_client import QdrantClient

    monkeypatch.chdir(tmp_path)
    name = f"test-{uuid.uuid4().hex[:8]}"
    index = f"{qdrant_url}/{name}"
    try:
        left = tones.run(index, engine.options, detach=True)
        assert (left.videos_indexed, left.videos_deferred) == (0, 3)
        until = time.monotonic() + 120
        while status(IndexLocation.parse(index)).totals.get("committed", 0) < 3:
            assert time.monotonic() < until, engine.log.read_text()[-2000:]
            time.sleep(0.2)
        again = tones.run(index)
        assert (again.videos_unchanged, again.clips_written) == (3, 0)
        assert_same(whole, tones.points(index))
    finally:
        client = QdrantClient(qdrant_url)
        for collection in client.get_collections().collections:
            if collection.name.startswith(f"{name}--"):
                client.delete_collection(collection.name)
