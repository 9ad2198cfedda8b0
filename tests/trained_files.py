"""Indexes to train on, in seconds, whose truth is known; and trained files made by hand."""

from pathlib import Path

import numpy as np

from transforms.encoders.fusion.trained import Trained, write_trained
from transforms.fuse.strategies import ClipParts, fusion_of
from transforms.index.edge import EdgeStore
from transforms.index.location import IndexLocation
from transforms.index.publish import publish
from transforms.recipe import Recipe
from transforms.records import ClipPoint, Float32, Vector, stable_id

CLIP_SECONDS = 8.0


def units(seed: int, count: int, size: int = 384) -> Float32:
    rows = np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def directions() -> Float32:
    """The eight directions (8, 384) in which all meaning of this corpus lies: a small network can learn them."""
    return np.linalg.qr(np.random.default_rng(7).normal(size=(384, 8)))[0].T.astype(np.float32)


def meanings(seed: int, count: int) -> Float32:
    """What clips are about, (count, 384) of unit length."""
    return units(seed, count, 8) @ directions()


def tilted(meant: Float32, seed: int, *, noise: float = 0.3) -> Float32:
    """Pictures of what is meant as a careless encoder sees them: its directions mixed up, an offset, noise."""
    basis = directions()
    mixed = (meant @ basis.T) @ (np.eye(8) + 1.5 * np.roll(np.eye(8), 1, axis=1)) @ basis
    drawn = np.random.default_rng(seed).normal(0, noise / meant.shape[1] ** 0.5, meant.shape)
    rows = (mixed + 0.5 * units(8, 1) + drawn).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def spoken_clips(
    recipe: Recipe, *, videos: int = 30, clips: int = 10, frames: int = 3, noise: float = 0.3, tilt: bool = True
) -> list[ClipPoint]:
    """Clips whose pictures show what is said in them; without `tilt` they have nothing to do with each other."""
    points = []
    for video in range(videos):
        meant = meanings(1000 + video, clips)
        seen = tilted(meant, 2000 + video, noise=noise) if tilt else units(3000 + video, clips)
        for place in range(clips):
            start = CLIP_SECONDS * place
            jitter = units(video * 1000 + place, frames) * 0.2
            rows = seen[place] + jitter
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            frame = rows.mean(axis=0)
            vectors: dict[str, Vector] = {
                "frames": rows.astype(np.float32),
                "frame": (frame / np.linalg.norm(frame)).astype(np.float32),
                "transcript": meant[place],
            }
            payload = {
                "kind": "clip",
                "live": True,
                "uri": f"file:///films/{video}.mp4",
                "content": f"{video:064x}",
                "start_seconds": start,
                "end_seconds": start + CLIP_SECONDS,
                "media_start_seconds": 0.0,
                "duration_seconds": CLIP_SECONDS * clips,
                "frame_times_seconds": [start + second for second in range(frames)],
            }
            points.append(fused(ClipPoint(stable_id("trained", video, place), vectors, payload), recipe))
    return points


def fused(point: ClipPoint, recipe: Recipe) -> ClipPoint:
    """The clip with its `clip` vector."""
    (clip,) = fusion_of(recipe).fuse([ClipParts.of_point(point)], recipe)
    assert clip is not None
    return ClipPoint(point.id, {**point.vectors, "clip": clip}, point.payload)


def make_index(folder: Path, recipe: Recipe, points: list[ClipPoint]) -> str:
    """A published Edge index of these clips."""
    location = IndexLocation.parse(str(folder))
    store = EdgeStore(location, recipe.schema())
    store.upsert(points)
    publish(location, store, optimize=False)
    store.close()
    return str(folder)


def table_file(path: Path, rows: Float32) -> str:
    """A learned table of positions."""
    write_trained(Trained("position", rows.shape[1], {"table": rows}), path)
    return str(path)


def pooling_file(path: Path, query: Float32, inputs: dict[str, str]) -> str:
    """A learned pooling."""
    write_trained(Trained("attention", len(query), {"query": query}, inputs), path)
    return str(path)
