"""The point of a whole video: each dense vector of its clips averaged, in the same collection under `kind: "whole"`.

It has no multivectors, which do not average, and no words: the store counts in how many points a word occurs, and a
point that repeats its clips' words would change the score of every clip.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transforms.index.kinds import LIVE_WHOLES, WHOLE, clips_of, pooled_names
from transforms.index.store import Equals, VectorStore, Where
from transforms.records import ClipPoint, Float32, LedgerEntry, SparseVector, Vector, stable_id, whole_id

#: Shorter than this, a mean of unit vectors has no direction that means anything.
_SHORTEST = 1e-6

_BATCH = 256


def whole_of(store: VectorStore, entry: LedgerEntry, clips: Where) -> ClipPoint | None:
    """The live point of a video from these clips of it, read a page at a time; None where there are none.

    A vector is unit(mean over the clips that have it), so that a video of one clip has that clip's vectors. The span is
    the whole video, in the container's clock.
    """
    return whole_from(entry, store.scroll(clips, vectors=pooled_names(store.schema), batch=_BATCH))


def whole_from(entry: LedgerEntry, clips: Iterable[ClipPoint]) -> ClipPoint | None:
    """The same from clips that are here; their multivectors are left out."""
    sums: dict[str, NDArray[np.float64]] = {}
    counts: dict[str, int] = defaultdict(int)
    clip: ClipPoint | None = None
    clips_count = 0
    for clip in clips:
        clips_count += 1
        for name, vector in clip.vectors.items():
            if not isinstance(vector, SparseVector) and vector.ndim == 1:
                sums[name] = sums[name] + vector if name in sums else vector.astype(np.float64)
                counts[name] += 1
    if clip is None:
        return None
    means = {name: _direction(total / counts[name]) for name, total in sums.items()}
    vectors: dict[str, Vector] = {name: mean for name, mean in means.items() if mean is not None}
    payload = payload_of_whole(entry, clip.payload, sorted(vectors), clips_count)
    return ClipPoint(whole_id(entry.uri, payload["content"], payload["segmenter"]), vectors, payload)


def add_missing(store: VectorStore, ledger: Mapping[str, LedgerEntry]) -> int:
    """Give videos that a Reelvec without whole points committed theirs; gives the number of points added."""
    if store.count(LIVE_WHOLES) == sum(bool(entry.live_content) for entry in ledger.values()):
        return 0
    held = {point.payload["uri"] for point in store.scroll(LIVE_WHOLES)}
    added = 0
    for entry in ledger.values():
        if entry.live_content and entry.uri not in held:
            point = whole_of(store, entry, clips_of(entry.uri, Equals("live", True)))
            if point is not None:
                store.upsert([point])
                added += 1
    store.flush()
    return added


def _direction(mean: NDArray[np.float64]) -> Float32 | None:
    length = float(np.linalg.norm(mean))
    return (mean / length).astype(np.float32) if length > _SHORTEST else None


def payload_of_whole(entry: LedgerEntry, clip: Mapping[str, Any], vectors: list[str], clips: int) -> dict[str, Any]:
    """What is true of every clip of the video, and its span; `clip` is the payload of any of them."""
    start_seconds = float(clip.get("media_start_seconds", 0.0))
    return {
        "kind": WHOLE,
        "live": True,
        "video_id": stable_id("video", entry.uri),
        "uri": entry.uri,
        "content": clip["content"],
        "recipe": clip["recipe"],
        "segmenter": clip["segmenter"],
        "clips": clips,
        "start_seconds": start_seconds,
        "end_seconds": round(start_seconds + entry.duration_seconds, 6),
        "media_start_seconds": start_seconds,
        "duration_seconds": round(entry.duration_seconds, 6),
        "metadata": dict(entry.metadata),
        "vectors": vectors,
    }
