"""A change of fusion weights alone, which decodes nothing, against the bare engine; and searches while it goes on.

The clips are made up (shape of the offline recipe) and belong to films that no disk has: whoever decoded would fail.
The bare loop scrolls the vectors that the new ones are made of and upserts the same points, in the same run.
With --searches another process asks all the time, before and during a whole migration.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import qdrant_edge as edge
from clip_points import CLIPS_A_VIDEO, clip_points
from report import figure, finish

from pipelines.filling import Filling
from pipelines.migrate import migrate
from pipelines.settings import IngestSettings
from transforms.fuse.strategies import ClipParts, fusion_of
from transforms.index.engine import create_shard, page_out, point_in, points_out
from transforms.index.kinds import LIVE_CLIPS
from transforms.index.ledger import write_entries
from transforms.index.live import CURRENT, PUBLISHED
from transforms.index.location import IndexLocation
from transforms.index.lock import writing
from transforms.index.open import open_writer, release
from transforms.index.publish import publish
from transforms.recipe import Recipe, load_recipe
from transforms.records import ClipPoint, LedgerEntry, SparseVector
from transforms.write.whole import whole_from

_BATCH = 500
_CLIP_SECONDS = 8.0

SEARCHING = """
import json, sys, time
import numpy as np
from transforms.index.location import IndexLocation
from transforms.index.open import open_reader
from transforms.index.kinds import LIVE_CLIPS
from transforms.index.store import Query
reader = open_reader(IndexLocation.parse(sys.argv[1]))
chance = np.random.default_rng(0)
print("asking", flush=True)
while True:
    began = time.time()
    answer = {"at": began, "failed": "", "recipes": []}
    try:
        with reader.pinned() as held:
            queries = []
            for name in ("frame", "transcript", "clip"):
                size = next(v.dimensions for v in held.schema.dense if v.name == name)
                vector = chance.standard_normal(size, dtype=np.float32)
                queries.append(Query(name, vector / np.linalg.norm(vector), LIVE_CLIPS, limit=10))
            hits = [hit for some in held.query(queries) for hit in some]
            answer["recipes"] = sorted({hit.payload["recipe"] for hit in hits} | {held.schema.recipe})
            answer["hits"] = len(hits)
    except Exception as error:
        answer["failed"] = f"{type(error).__name__}: {error}"
    answer["seconds"] = time.time() - began
    print(json.dumps(answer), flush=True)
    time.sleep(0.02)
"""


def points_of_recipe(recipe: Recipe, start: int, stop: int) -> list[ClipPoint]:
    """Made-up clips as the recipe would have stored them."""
    made = []
    for point in clip_points(start, stop):
        first = float(point.payload["clip_index"]) * _CLIP_SECONDS
        vectors = {name: vector for name, vector in point.vectors.items() if name != "clip"}
        payload = {
            **point.payload,
            "recipe": recipe.fingerprint,
            "segmenter": recipe.segmenter,
            "segment_index": 0,
            "frame_times_seconds": point.payload["frame_times"],
            "start_seconds": first,
            "end_seconds": first + _CLIP_SECONDS,
            "media_start_seconds": 0.0,
            "duration_seconds": CLIPS_A_VIDEO * _CLIP_SECONDS,
            "metadata": {},
            "vectors": sorted(point.vectors),
        }
        made.append(ClipPoint(point.id, vectors, payload))
    fused = fusion_of(recipe).fuse([ClipParts.of_point(point) for point in made], recipe)
    return [
        replace(p, vectors={**p.vectors, "clip": clip}) for p, clip in zip(made, fused, strict=True) if clip is not None
    ]


def make_index(location: IndexLocation, recipe: Recipe, clips: int) -> None:
    """A published index of so many clips, with the points of whole videos and a ledger."""
    store = open_writer(location, recipe.schema())
    prints = tuple(sorted(recipe.vector_fingerprints().items()))
    for start in range(0, clips, _BATCH):
        points = points_of_recipe(recipe, start, min(start + _BATCH, clips))
        store.upsert(points)
        entries = []
        for at in range(0, len(points), CLIPS_A_VIDEO):
            own = points[at : at + CLIPS_A_VIDEO]
            uri, content = str(own[0].payload["uri"]), str(own[0].payload["content"])
            entry = LedgerEntry(uri, 1, "1", "committed", content, recipe.fingerprint, live_content=content)
            entry = replace(entry, clips=len(own), duration_seconds=CLIPS_A_VIDEO * _CLIP_SECONDS, live_whole=True)
            entries.append(replace(entry, vectors=prints, searchable_since="2026-01-01T00:00:00+00:00"))
            whole = whole_from(entry, own)
            assert whole is not None
            store.upsert([whole])
        write_entries(store, entries)
    store.flush()
    publish(location, store, optimize=False)
    store.close()
    release(location)


def bare_seconds(location: IndexLocation, recipe: Recipe, folder: Path) -> tuple[float, float]:
    """The engine alone: scroll every point, upsert what becomes of it; seconds on the clock, and of the processor."""
    current = (location.path / CURRENT).read_text().strip()
    source = edge.EdgeShard.load(str(location.path / PUBLISHED / current))
    folder.mkdir()
    create_shard(str(folder), recipe.schema())
    target = edge.EdgeShard.load(str(folder))
    spent, processor, offset = 0.0, 0.0, None
    while True:
        began, busy = time.perf_counter(), time.process_time()
        page = page_out(LIVE_CLIPS, limit=_BATCH, offset=offset, vectors=True)
        records, offset = source.scroll(page)
        spent, processor = spent + time.perf_counter() - began, processor + time.process_time() - busy
        points = [point_in(record) for record in records]
        began, busy = time.perf_counter(), time.process_time()
        target.update(points_out(points))
        spent, processor = spent + time.perf_counter() - began, processor + time.process_time() - busy
        if offset is None:
            break
    began, busy = time.perf_counter(), time.process_time()
    target.flush()
    spent, processor = spent + time.perf_counter() - began, processor + time.process_time() - busy
    source.close()
    target.close()
    return spent, processor


def same_as_anew(location: IndexLocation, recipe: Recipe, clips: int) -> float:
    """The least cosine of the filled vectors with those that the recipe makes of the same clips."""
    store = open_writer(location, recipe.schema())
    least = 1.0
    for start in range(0, clips, max(_BATCH, clips // 4 // _BATCH * _BATCH)):
        wanted = points_of_recipe(recipe, start, min(start + _BATCH, clips))
        held = {point.id: point for point in store.retrieve([point.id for point in wanted], vectors=True)}
        for point in wanted:
            twin = held[point.id]
            assert twin.payload == point.payload, (twin.payload, point.payload)
            assert twin.vectors.keys() == point.vectors.keys()
            for name, vector in point.vectors.items():
                other = twin.vectors[name]
                if not isinstance(vector, SparseVector) and not isinstance(other, SparseVector):
                    least = min(least, float(np.sum(vector * other, axis=-1).min()))
    store.close()
    return least


def weighed_otherwise(folder: Path) -> Path:
    """The offline recipe with other fusion weights."""
    text = Path(__file__).parents[1].joinpath("transforms/recipes/offline.toml").read_text()
    assert "\ntranscript = 0.8\n" in text
    path = folder / "weighed.toml"
    path.write_text(
        text.replace("\ntranscript = 0.8\n", "\ntranscript = 0.5\n").replace("\nchange = 0.4\n", "\nchange = 0.7\n")
    )
    return path


def fill_alone(folder: Path, clips: int) -> None:
    location = IndexLocation.parse(str(folder / "index"))
    other = load_recipe(str(weighed_otherwise(folder)))
    make_index(location, load_recipe("offline"), clips)
    bare, bare_processor = bare_seconds(location, other, folder / "bare")
    settings = IngestSettings(sources=(), index=str(location))
    with writing(location, command="benchmark", wait=False) as turn:
        began, processor = time.perf_counter(), time.process_time()
        with Filling(settings, location, other, turn) as filling:
            assert not filling.change.must_decode
            written = filling.fill()
            ours, processor = time.perf_counter() - began, time.process_time() - processor
            assert written == clips, (written, clips)
            figure("least cosine with vectors made anew", same_as_anew(filling.target, other, clips), at_least=0.9999)
    figure(f"fusion weights changed, {clips} clips", clips / ours, "clips/s", at_least=5000)
    figure("the same, clips a processor second", clips / processor, "clips/s")
    figure("bare engine: scroll and upsert of every point", clips / bare, "clips/s")
    figure("bare engine, clips a processor second", clips / bare_processor, "clips/s")
    figure("fill / bare engine", ours / bare, "", at_most=1.0)
    figure("fill / bare engine, processor seconds", processor / bare_processor, "", at_most=1.0)


def asked_meanwhile(folder: Path, clips: int, before_seconds: float) -> None:
    location = IndexLocation.parse(str(folder / "asked"))
    old, path = load_recipe("offline"), weighed_otherwise(folder)
    make_index(location, old, clips)
    said = folder / "said.jsonl"
    with said.open("w") as out:
        asking = subprocess.Popen([sys.executable, "-c", SEARCHING, str(location)], stdout=out, env=os.environ)
        try:
            time.sleep(before_seconds)
            began = time.time()
            done = migrate(IngestSettings(sources=(), index=str(location)), str(path), force=True)
            ended = time.time()
            time.sleep(2.0)
        finally:
            asking.terminate()
            asking.wait()
    answers = [json.loads(line) for line in said.read_text().splitlines()[1:] if line.endswith("}")]
    before = [one["seconds"] for one in answers if one["at"] + one["seconds"] < began][3:]
    during = [one for one in answers if began <= one["at"] <= ended]
    recipes = {one["recipes"][0] for one in answers if one["recipes"]}
    assert done.state == "switched" and recipes == {old.fingerprint, load_recipe(str(path)).fingerprint}, (
        done,
        recipes,
    )
    failed = [check for check in done.checks if not check.passed]
    figure("checks that made-up vectors did not pass", len(failed))
    figure(f"whole migration of {clips} clips, checks and publication included", ended - began, "s")
    figure("searches before it", len(before), "", at_least=20)
    figure("searches during the migration", len(during), "", at_least=20)
    figure("failed searches", sum(bool(one["failed"]) for one in answers), "", at_most=0)
    figure(
        "answers without hits or of two recipes",
        sum(len(one["recipes"]) != 1 or not one["hits"] for one in answers),
        "",
        at_most=0,
    )
    slow, usual = (statistics.quantiles(times, n=20)[-1] for times in ([one["seconds"] for one in during], before))
    figure("p95 of a search before", usual * 1000, "ms")
    figure("p95 of a search during", slow * 1000, "ms")
    figure("p95 during / before", slow / usual, "", at_most=2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=20_000)
    parser.add_argument(
        "--searches", type=int, default=0, metavar="CLIPS", help="also ask during a migration of so many"
    )
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder otherwise")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as name:
        if chosen.clips:
            fill_alone(Path(name), chosen.clips)
        if chosen.searches:
            asked_meanwhile(Path(name), chosen.searches, before_seconds=15.0)
    finish()
