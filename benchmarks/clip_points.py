"""Points shaped like the clips of the offline recipe, with random vectors."""

import numpy as np

from transforms.records import ClipPoint, DenseVector, Schema, SparseVector, stable_id

SCHEMA = Schema(
    recipe_name="bench",
    recipe="b" * 64,
    dense=(
        DenseVector("frame", 384),
        DenseVector("frames", 384, multi=True),
        DenseVector("transcript", 384),
        DenseVector("clip", 1184, quantization="int8"),
    ),
    sparse=("words",),
)
FRAMES = 8
WORDS = 20
CLIPS_A_VIDEO = 100


def clip_points(start: int, stop: int) -> list[ClipPoint]:
    """Clips number `start` to `stop` of an endless corpus; the same numbers give the same clips."""
    chance = np.random.default_rng([7, start])
    count = stop - start
    frames = _unit(chance, count, FRAMES, 384)
    transcript, clip = _unit(chance, count, 384), _unit(chance, count, 1184)
    frame = frames.mean(axis=1)
    frame /= np.linalg.norm(frame, axis=-1, keepdims=True)
    return [
        ClipPoint(
            stable_id("bench", start + index),
            {
                "frame": frame[index],
                "frames": frames[index],
                "transcript": transcript[index],
                "clip": clip[index],
                "words": SparseVector(
                    np.unique(chance.integers(0, 50_000, WORDS)).astype(np.uint32)[: WORDS - 2],
                    np.ones(WORDS - 2, np.float32),
                ),
            },
            _payload(start + index),
        )
        for index in range(count)
    ]


def _payload(number: int) -> dict[str, object]:
    video, clip = divmod(number, CLIPS_A_VIDEO)
    return {
        "kind": "clip",
        "live": True,
        "video_id": stable_id("video", video),
        "uri": f"file:///films/{video:06d}.mp4",
        "content": f"{video:064x}",
        "recipe": SCHEMA.recipe,
        "clip_index": clip,
        "start_seconds": 8.0 * clip,
        "end_seconds": 8.0 * clip + 8.0,
        "frame_times": [8.0 * clip + second for second in range(FRAMES)],
        "transcript": "and so my fellow citizens ask what you can do for the town you live in",
        "language": None,
    }


def _unit(chance: np.random.Generator, *shape: int) -> np.ndarray:
    vectors = chance.standard_normal(shape, dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
