"""Indexes of made-up vectors whose modalities are known to help, to repeat each other or to be noise."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from transforms.index.edge import EdgeStore
from transforms.index.ledger import write_entries
from transforms.index.location import IndexLocation
from transforms.index.publish import publish
from transforms.recipe import load_recipe
from transforms.records import ClipPoint, Float32, LedgerEntry, SparseVector, Vector, stable_id
from transforms.uris import uri_of_path

DIMENSIONS = 384
CLIP_SECONDS = 8.0

#: (number of the video, number of the clip) -> its named vectors
Vectors = Callable[[int, int], Mapping[str, Vector]]


def unit(*seeds: int) -> Float32:
    """(384,) a direction that these numbers decide."""
    vector = np.random.default_rng(seeds).normal(size=DIMENSIONS).astype(np.float32)
    return vector / np.linalg.norm(vector)


def beside(vector: Float32, *seeds: int, share: float = 0.3) -> Float32:
    """(384,) the direction moved a little towards another one."""
    moved = vector + np.float32(share) * unit(*seeds)
    return moved / np.linalg.norm(moved)


def words(*terms: int) -> SparseVector:
    return SparseVector(np.array(terms, np.uint32), np.ones(len(terms), np.float32))


def make_index(folder: Path, vectors_of: Vectors, *, videos: int, clips: int) -> str:
    """An index of the offline recipe with so many videos of so many clips each; its path."""
    recipe = load_recipe("offline")
    location = IndexLocation.parse(str(folder))
    store = EdgeStore(location, recipe.schema())
    points, entries = [], []
    for video in range(videos):
        uri = uri_of_path(f"/films/{video}.mp4")
        for clip in range(clips):
            vectors = dict(vectors_of(video, clip))
            payload = {
                "kind": "clip",
                "live": True,
                "uri": uri,
                "content": f"bytes of {video}",
                "start_seconds": clip * CLIP_SECONDS,
                "end_seconds": (clip + 1) * CLIP_SECONDS,
                "vectors": sorted(vectors),
            }
            points.append(ClipPoint(stable_id(uri, str(clip)), vectors, payload))
        entry = LedgerEntry(uri, 5, "1", "committed", live_content=f"bytes of {video}", clips=clips)
        entries.append(replace(entry, duration_seconds=clips * CLIP_SECONDS))
    store.upsert(points)
    write_entries(store, entries)
    publish(location, store, optimize=False)
    store.close()
    return str(folder)
