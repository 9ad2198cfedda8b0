"""A first answer of `search` in a fresh process over an index of 10,000 clips."""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
from report import figure, finish

from transforms.encoders.light import export
from transforms.encoders.words import document_vector
from transforms.index.location import IndexLocation
from transforms.index.open import open_writer, release
from transforms.index.publish import publish
from transforms.recipe import load_recipe
from transforms.records import ClipPoint, Float32, stable_id

RECIPE = load_recipe("offline")
WORDS = "rocket launch pad cat garden coffee morning engine palace stone clock page brick wall night street".split()


def units(rng: np.random.Generator, *shape: int) -> Float32:
    vectors = rng.normal(size=shape).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def fill(index: str, clips: int) -> None:
    """Clips with vectors of chance and a few words each, live and published."""
    rng = np.random.default_rng(0)
    location = IndexLocation.parse(index)
    store = open_writer(location, RECIPE.schema())
    sizes = {vector.name: vector.dimensions for vector in RECIPE.schema().dense}
    for start in range(0, clips, 500):
        points = []
        for number in range(start, min(start + 500, clips)):
            text = " ".join(rng.choice(WORDS, 12))
            uri = f"file:///v/{number // 8}.mp4"
            payload = {
                "kind": "clip",
                "live": True,
                "uri": uri,
                "clip_index": number % 8,
                "transcript": text,
                "start_seconds": 8.0 * (number % 8),
                "end_seconds": 8.0 * (number % 8) + 8.0,
            }
            vectors = {name: units(rng, size) for name, size in sizes.items() if name != "frames"}
            points.append(
                ClipPoint(
                    stable_id(number),
                    vectors | {"frames": units(rng, 8, sizes["frames"]), "words": document_vector(text)},
                    payload,
                )
            )
        store.upsert(points)
    store.flush()
    publish(location, store, optimize=True)
    store.close()
    release(location)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--clips", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    export(RECIPE.text_encoder)
    with tempfile.TemporaryDirectory() as folder:
        fill(f"{folder}/index", chosen.clips)
        command = [sys.executable, "-m", "pipelines.cli", "search", "a rocket on the launch pad", "--json"]
        times = []
        for _ in range(5):
            started = time.perf_counter()
            subprocess.run([*command, "--index", f"{folder}/index"], check=True, capture_output=True)
            times.append(time.perf_counter() - started)
    figure(f"first answer in a fresh process, {chosen.clips} clips", statistics.median(times), "s", at_most=3)
    finish()
