"""Whatever happened to a corpus and its runs: after the next clean run the index is the one built from scratch.

Histories are drawn by hypothesis: files come, change, move, are copied, touched, taken away and brought back; runs are
cut off between any two calls of the store; bundles come twice, in any order, and late. Planning, store and commits are
the real ones. Most histories take vectors from a table instead of a pipeline, so that thousands of them can be tried;
a few run the pipeline over real sounds, and a few change the recipe too: its weights, its vectors, how it cuts.

REELVEC_TEST_EXAMPLES is the number of histories (default 25), e.g. 2000 for a night.
"""

import hashlib
import os
import random
import shutil
import tempfile
import wave
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import pipelines.filling
import pipelines.ingest
import transforms.write.stage
from pipelines.ingest import ingest, recipe_of
from pipelines.settings import IngestSettings
from transforms.errors import RunOvertaken
from transforms.index.edge import EdgeStore
from transforms.index.kinds import clips_of
from transforms.index.ledger import read_entries
from transforms.index.location import IndexLocation
from transforms.index.open import open_writer, release
from transforms.index.publish import Publication
from transforms.index.spaces import in_use
from transforms.index.store import AnyOf, Where
from transforms.records import (
    MAX_ATTEMPTS,
    AudioStream,
    Clip,
    ClipPoint,
    Reject,
    RejectedVideo,
    Segment,
    SegmentResult,
    VideoInfo,
    clip_id,
    stable_id,
)
from transforms.write.commit import may_be_mended, record_reject, write_results

EXAMPLES = int(os.environ.get("REELVEC_TEST_EXAMPLES", "25"))
RECIPE = 'name = "sounds"\n[segment]\nclip_seconds = 1.0\nsegment_seconds = 2.0\n[sound]\nencoder = "mfcc:statistics"\n'
VOLATILE = {"searchable_since", "attempts", "run", "decoder"}
NAMES = ("a", "b", "c", "d")
#: By their first letter: A to C are whole (A and B of one size), P has a segment that cannot be read, X none that can,
#: T crashes its decoder once, Q always.
KINDS = ("AA", "BB", "CCC", "PPP", "XX", "TT", "QQ")


class Killed(Exception):
    """The process ends here; nothing that it would have done after this is done."""


class Killing:
    """Ends a run at one call of its store."""

    def __init__(self) -> None:
        self.calls_left: int | None = None

    def tick(self) -> None:
        if self.calls_left is not None:
            self.calls_left -= 1
            if self.calls_left <= 0:
                raise Killed


def killable(killing):
    """The real store, whose calls a killed process no longer makes."""

    class Store(EdgeStore):
        def together(self):
            killing.tick()
            return super().together()

    for name in ("upsert", "set_payload", "delete", "flush", "count", "retrieve", "scroll"):
        real = getattr(EdgeStore, name)
        setattr(Store, name, lambda self, *a, _real=real, **k: killing.tick() or _real(self, *a, **k))
    return Store


class World:
    """A corpus, its index, the bundles that runs wrote or were about to, and what may still happen."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.corpus = folder, folder / "corpus"
        self.corpus.mkdir()
        (folder / "sounds.toml").write_text(RECIPE)
        self.killing = Killing()
        self.bundles: list[tuple[str, object]] = []
        self.away: dict[str, Path] = {}
        self.chance, self.repeats, self.deferred = random.Random(0), 1, 0
        self.clock_ns = 10**18
        self.put("always", "AA")  # a corpus that shows nothing is taken for not mounted

    def path(self, name: str) -> Path:
        return self.corpus / f"{name}.wav"

    def bytes_of(self, kind: str) -> bytes:
        return kind.encode() * 25

    def put(self, name: str, kind: str) -> None:
        self.path(name).write_bytes(self.bytes_of(kind))
        self._stamp(self.path(name))

    def move(self, name: str, to: str) -> None:
        if self.path(name).exists():
            os.replace(self.path(name), self.path(to))

    def copy(self, name: str, to: str) -> None:
        if self.path(name).exists() and name != to:
            shutil.copy(self.path(name), self.path(to))
            self._stamp(self.path(to))

    def delete(self, name: str) -> None:
        self.path(name).unlink(missing_ok=True)

    def touch(self, name: str) -> None:
        if self.path(name).exists():
            self._stamp(self.path(name))

    def take_away(self, name: str) -> None:
        """The very file, with its time stamp, may come back later."""
        if self.path(name).exists():
            self.away[name] = self.folder / f"{name}.away"
            os.replace(self.path(name), self.away[name])

    def bring_back(self, name: str) -> None:
        if name in self.away:
            os.replace(self.away.pop(name), self.path(name))

    def run(self, killed_at: int | None, repeats: int, seed: int, index: str = "index") -> None:
        self.killing.calls_left, self.repeats, self.chance = killed_at, repeats, random.Random(seed)
        try:
            self.deferred = ingest(self.settings(index)).videos_deferred
        except Exception:
            if self.killing.calls_left is None or self.killing.calls_left > 0:
                raise
            release(self.location(index))
        finally:
            self.killing.calls_left = None

    def late(self, seed: int) -> None:
        """A bundle that some run wrote, or was about to write when it was killed, comes now."""
        if not self.bundles:
            return
        kind, bundle = random.Random(seed).choice(self.bundles)
        with self.store() as store:
            run = bundle[0].segment.run if kind == "results" else bundle.run
            expected = nullcontext() if run == store.current_run() else pytest.raises(RunOvertaken)
            with expected:
                if kind == "results":
                    write_results(store, bundle, store.schema.recipe)
                else:
                    record_reject(store, bundle)

    def settings(self, index: str) -> IngestSettings:
        return IngestSettings(
            sources=(str(self.corpus),),
            index=str(self.folder / index),
            recipe=str(self.folder / "sounds.toml"),
            max_delete="100%",
            min_free_megabytes=0,
            beam_options=self.beam_options(),
        )

    def beam_options(self) -> tuple[str, ...]:
        return ()

    def location(self, index: str) -> IndexLocation:
        return IndexLocation.parse(str(self.folder / index))

    @contextmanager
    def store(self, index: str = "index"):
        location = self.location(index)
        opened = open_writer(location, recipe_of(self.settings(index), location).schema())
        try:
            yield opened
        finally:
            opened.close()
            release(location)

    def clean_runs(self, index: str) -> None:
        """One, and those that take up what it put off, or try again what may still be mended.

        The first of five files of the same bytes is tried three times, each other one from one run later on.
        """
        for seed in range(MAX_ATTEMPTS + len(NAMES)):
            self.run(None, 1, seed, index)
            with self.store(index) as store:
                mended = any(may_be_mended(entry) for entry in read_entries(store).values())
            if not mended and not self.deferred:
                return
        raise AssertionError("something is tried again for ever")

    def kept_for_being_whole(self) -> set[str]:
        """Videos whose new bytes cannot be read to their end: a whole older version stays, as it should."""
        with self.store() as store:
            entries = read_entries(store).values()
            kept = [entry for entry in entries if entry.live_content not in ("", entry.content)]
            for entry in kept:
                assert entry.state == "partial" and entry.live_whole
                live = list(store.scroll(clips_of(entry.uri)))
                assert {(clip.payload["content"], clip.payload["live"]) for clip in live} == {
                    (entry.live_content, True)
                }
                assert len(live) == entry.clips
        return {entry.uri for entry in kept}

    def everything(self, index: str, without: set[str]):
        with self.store(index) as store:
            kinds = AnyOf("kind", ("clip", "whole", "video", "receipt"))
            points = store.scroll(Where((kinds,)), vectors=True)
            return {point.id: point for point in points if point.payload["uri"] not in without}

    def check(self) -> None:
        shutil.rmtree(self.folder / "scratch", ignore_errors=True)
        self.clean_runs("index")
        self.clean_runs("scratch")
        kept = self.kept_for_being_whole()
        found, wanted = (self.everything(index, without=kept) for index in ("index", "scratch"))
        assert described(found) == described(wanted)
        for id, point in wanted.items():
            assert found[id].vectors.keys() == point.vectors.keys()
            for name, vector in point.vectors.items():
                assert float(np.dot(found[id].vectors[name], vector)) >= 0.9999

    def _stamp(self, path: Path) -> None:
        self.clock_ns += 10**9
        os.utime(path, ns=(self.clock_ns, self.clock_ns))


def described(points):
    """What may be compared: payloads without times, tries, and the names that a copy's rejects have elsewhere."""
    return {id: without_volatile(dict(point.payload)) for id, point in points.items()}


def without_volatile(value):
    if isinstance(value, dict):
        return {key: without_volatile(held) for key, held in value.items() if key not in VOLATILE}
    return [without_volatile(item) for item in value] if isinstance(value, list) else value


def embed_from_a_table(world: World):
    """Instead of the pipeline: one bundle a segment, in any order, as often as the history says."""

    def embed(run, works):
        bundles: list[tuple[str, Any]] = []
        for work in (replace(one, run=run.turn.number) for one in works):
            data = Path(work.video.uri.removeprefix("file://")).read_bytes()
            content = hashlib.sha256(data).hexdigest()
            if data[:1] == b"X":
                reject = Reject(work.video.uri, "probe", "UnreadableVideo", "broken", False, None, None, work.attempts)
                reject = replace(reject, content=content, size_bytes=len(data), version=work.video.version)
                bundles.append(("reject", RejectedVideo(work.video, reject, work.run)))
                continue
            todo = [one for one in cut(work, content, data) if (content, one.index) not in work.done]
            bundles += [("results", [result_of(one, data, run.store.schema)]) for one in todo]
        bundles *= world.repeats
        world.chance.shuffle(bundles)
        world.bundles += bundles
        for kind, bundle in bundles:
            if kind == "results":
                write_results(run.store, bundle, run.store.schema.recipe)
            else:
                record_reject(run.store, bundle)
        return 0

    return embed


def cut(work, content, data):
    count = len(data) // 25
    sound = AudioStream(0, "pcm", 8000, 1, 0.0, 2.0 * count)
    info = VideoInfo("wav", 0.0, 2.0 * count, None, sound)
    clips = [Clip(n, float(n), n + 1.0) for n in range(2 * count)]
    return [
        Segment(work.video, content, info, n, count, tuple(clips[2 * n : 2 * n + 2]), work.attempts, work.run)
        for n in range(count)
    ]


def result_of(segment, data, schema):
    letter, video = data[:1].decode(), segment.video
    crashes = letter == "Q" or (letter == "T" and segment.attempts == 1)
    if (crashes or letter == "P") and segment.index == 1:
        error = "DecoderCrashed" if crashes else "UnreadableVideo"
        times = segment.start_seconds, segment.end_seconds
        seen = {"content": segment.content, "size_bytes": video.size_bytes, "version": video.version}
        reject = Reject(video.uri, "decode", error, "it broke", crashes, *times, segment.attempts)
        return SegmentResult(segment, "rejected", reject=replace(reject, **seen))
    points = []
    for clip in segment.clips:
        vector = np.random.default_rng([data[0], clip.index]).normal(size=schema.dense[0].dimensions)
        vector = (vector / np.linalg.norm(vector)).astype(np.float32)
        payload = {
            "kind": "clip",
            "live": False,
            "video_id": stable_id("video", video.uri),
            "uri": video.uri,
            "content": segment.content,
            "recipe": schema.recipe,
            "segmenter": "w",
            "segment_index": segment.index,
            "clip_index": clip.index,
            "start_seconds": clip.start_seconds,
            "end_seconds": clip.end_seconds,
            "metadata": {},
        }
        id = clip_id(video.uri, segment.content, "w", clip.start_seconds)
        points.append(ClipPoint(id, {schema.dense[0].name: vector}, payload))
    return SegmentResult(segment, "ok", points)


#: Of the recipe that a corpus of sounds may be taken up by: as it is, weighed otherwise, with motion, cut otherwise.
RECIPES = {
    "sounds": RECIPE,
    "weighed": RECIPE + "[fusion]\nposition = 0.9\n",
    "moving": RECIPE + '[motion]\nencoder = "motion:dis"\n',
    "longer": RECIPE.replace("clip_seconds = 1.0", "clip_seconds = 2.0"),
}

names, seeds = st.sampled_from(NAMES), st.integers(0, 99)
changes = st.one_of(
    st.tuples(st.just("put"), names, st.sampled_from(KINDS)),
    st.tuples(st.just("move"), names, names),
    st.tuples(st.just("copy"), names, names),
    st.tuples(st.sampled_from(["delete", "touch", "take_away", "bring_back"]), names),
    st.tuples(st.just("late"), seeds),
)
timely = changes.filter(lambda change: change[0] != "late")
recipes = st.tuples(st.just("take_up"), st.sampled_from(list(RECIPES)))
runs = st.tuples(st.just("run"), st.none() | st.integers(1, 70), st.integers(1, 2), seeds)
histories = st.lists(st.one_of(changes, changes, runs), min_size=4, max_size=14)


@contextmanager
def world(monkeypatch, kind=World):
    """In memory where there is room for it: nothing here cuts the power."""
    shared = Path("/dev/shm")
    memory = shared if shared.is_dir() and shutil.disk_usage(shared).free > 2**31 else None
    with tempfile.TemporaryDirectory(dir=memory) as folder, monkeypatch.context() as patch:
        made = kind(Path(folder))
        store = killable(made.killing)
        patch.setattr(pipelines.ingest, "open_writer", store)
        yield made, patch


@example(history=[("put", "a", "QQ"), ("put", "c", "QQ"), ("copy", "a", "b")])
@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(history=histories)
def test_after_any_history_a_clean_run_gives_the_index_that_is_built_from_scratch(history, monkeypatch):
    with world(monkeypatch) as (here, patch):
        patch.setattr(pipelines.ingest.CorpusRun, "embed", embed_from_a_table(here))
        patch.setattr(pipelines.ingest, "publish", lambda *_, **__: Publication())
        for name, *arguments in history:
            getattr(here, name)(*arguments)
        here.check()


class WorldOfSounds(World):
    """The same with tones of real WAV files, and the whole pipeline."""

    def bytes_of(self, kind: str) -> bytes:
        if kind[0] in "XPTQ":
            return super().bytes_of(kind)
        path = self.folder / f"{kind}.tone"
        if not path.exists():
            times = np.arange(8000 * (2 * len(kind) - 1)) / 8000  # 3 s and 5 s: two and three segments
            with wave.open(str(path), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(8000)
                file.writeframes((9000 * np.sin(2 * np.pi * 40 * ord(kind[0]) * times)).astype("<i2").tobytes())
        return path.read_bytes()

    def beam_options(self) -> tuple[str, ...]:
        if self.repeats == 1:
            return ()
        threads = ("--direct_num_workers=2", "--direct_running_mode=multi_threading")
        repeated = ("--direct_runner_bundle_repeat=1",)
        return ("--runner=FnApiRunner", *(repeated if self.chance.random() < 0.5 else threads))


@settings(
    max_examples=max(2, EXAMPLES // 12),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(history=histories)
def test_the_pipeline_over_real_sounds_does_too(history, monkeypatch):
    with world(monkeypatch, WorldOfSounds) as (here, patch):
        real, store = write_results, pipelines.ingest.open_writer

        def noted(store, results, recipe):
            here.bundles.append(("results", list(results)))
            return real(store, results, recipe)

        patch.setattr(transforms.write.stage, "write_results", noted)
        patch.setattr(transforms.write.stage, "open_writer", store)
        for name, *arguments in history:
            getattr(here, name)(*arguments)
        here.check()


class WorldOfRecipes(WorldOfSounds):
    """Where the recipe changes too: the next run fills another space, which is switched to when all is there."""

    recipe = "sounds"

    def take_up(self, recipe: str) -> None:
        self.recipe = recipe

    def settings(self, index: str) -> IngestSettings:
        path = self.folder / f"{self.recipe}.toml"
        path.write_text(RECIPES[self.recipe])
        command = "reindex" if self.location(index).path.joinpath("reelvec.json").exists() else "ingest"
        return super().settings(index).model_copy(update={"recipe": str(path), "command": command})

    @contextmanager
    def store(self, index: str = "index"):
        used = in_use(self.location(index))
        opened = open_writer(used, recipe_of(self.settings(index), used).schema())
        try:
            yield opened
        finally:
            opened.close()
            release(used)


@settings(
    max_examples=max(2, EXAMPLES // 12),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@example(history=[("run", 12, 1, 29), ("take_up", "moving"), ("put", "a", "AA"), ("run", 49, 1, 40), ("touch", "a")])
@given(history=st.lists(st.one_of(timely, recipes, runs), min_size=4, max_size=12))
def test_changes_of_the_recipe_and_other_cuts_do_too(history, monkeypatch):
    with world(monkeypatch, WorldOfRecipes) as (here, patch):
        for module in (pipelines.filling, transforms.write.stage):
            patch.setattr(module, "open_writer", pipelines.ingest.open_writer)
        for name, *arguments in history:
            getattr(here, name)(*arguments)
        here.check()
