"""Search over clips: one named vector, or several whose rankings are fused by reciprocal rank."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from transforms.errors import UsageError
from transforms.index.store import Equals, Query, Reader, Where
from transforms.records import SparseVector, Vector

AUTO = "auto"

#: Frames of a clip are compared one by one only for the clips that their mean finds first.
RERANK_CANDIDATES = 200
MEAN_OF = {"frames": "frame"}

#: Rankings are fused at least this deep, whatever the number of hits wanted.
FUSION_DEPTH = 100

#: Scores of equal vectors differ in their last digits with the order of summation.
_SCORE_DIGITS = 6

EVERY_CLIP = Where()
LIVE_CLIPS = Where(must=(Equals("kind", "clip"), Equals("live", True)))


@dataclass(frozen=True, slots=True, eq=False)
class Hit:
    """A clip that was found; `by` names the vector that ranked it best."""

    id: str
    score: float  # cosine, MaxSim or weighted overlap; in a fusion the sum of 1 / (k + rank)
    by: str
    payload: Mapping[str, Any] = field(default_factory=dict)


def search_clips(
    reader: Reader,
    vectors: Mapping[str, Vector],
    *,
    by: str,
    limit: int,
    k: int = 60,
    where: Where = EVERY_CLIP,
    counts: Mapping[str, Callable[[Hit], bool]] | None = None,
) -> list[Hit]:
    """The `limit` best searchable clips for the query vectors of `vectors`, by vector name.

    `by` is one of those names, or "auto": reciprocal-rank fusion of all of them that the index
    holds (Cormack, Clarke and Buettcher, 2009), without the hits that `counts` refuses for a name:
    ranks say nothing of how good a hit is, and what is only the least bad must not outvote an
    answer. "frames" re-ranks by the frame that fits best what the mean of a clip's frames, "frame",
    finds first. Equal scores are ordered by name as given (in a fusion), then by video and start.
    Raises UsageError for a vector that was not given or that this index does not hold.
    """
    if limit < 1:
        raise UsageError(f"at least one hit is asked for: limit={limit}")
    held = reader.schema.vector_names
    names = tuple(name for name in vectors if name in held) if by == AUTO else (by,)
    if not names or any(name not in held or name not in vectors for name in names):
        raise UsageError(f"this index cannot be searched by {by!r}; it can by {', '.join((AUTO, *held))}")
    only = Where(must=(*LIVE_CLIPS.must, *where.must), must_not=where.must_not)
    rankings = _rankings(reader, {name: vectors[name] for name in names}, depth=max(limit, FUSION_DEPTH), where=only)
    if by != AUTO:
        return rankings[by][:limit]
    kept = {name: list(filter((counts or {}).get(name), hits)) for name, hits in rankings.items()}
    return fuse_rankings(kept, k=k)[:limit]


def fuse_rankings(rankings: Mapping[str, Sequence[Hit]], *, k: int = 60) -> list[Hit]:
    """One ranking out of several: a clip scores the sum of 1 / (k + rank), ranks counted from 1.

    Among equals, the names that come first in `rankings` win.
    """
    fused: dict[str, Hit] = {}
    best_rank: dict[str, int] = {}
    for name, hits in rankings.items():
        for rank, hit in enumerate(hits, start=1):
            known = fused.get(hit.id)
            score = 1 / (k + rank)
            if known is None:
                fused[hit.id] = replace(hit, score=score, by=name)
                best_rank[hit.id] = rank
                continue
            by, best_rank[hit.id] = (name, rank) if rank < best_rank[hit.id] else (known.by, best_rank[hit.id])
            fused[hit.id] = replace(known, score=known.score + score, by=by)
    return _ordered(fused.values(), names=list(rankings))


def best_frame(query: Vector, frames: Vector) -> float:
    """MaxSim of one query vector (dim,) over a clip's unit frame vectors (n, dim): the best cosine."""
    if isinstance(query, SparseVector) or isinstance(frames, SparseVector):
        raise TypeError("frames are compared by dense vectors")
    return float(np.max(np.atleast_2d(frames) @ query))


def _rankings(reader: Reader, vectors: Mapping[str, Vector], *, depth: int, where: Where) -> dict[str, list[Hit]]:
    """One ranking a name. What "frames" needs of "frame" is asked once for both."""
    depths: dict[str, int] = {}
    for name in vectors:
        using = MEAN_OF.get(name, name)
        wanted = max(depth, RERANK_CANDIDATES) if name in MEAN_OF else depth
        depths[using] = max(wanted, depths.get(using, 0))
    asked = {**{MEAN_OF[name]: vector for name, vector in vectors.items() if name in MEAN_OF}, **vectors}
    queries = [Query(using, asked[using], where, limit) for using, limit in depths.items()]
    found = {
        query.using: _ordered(Hit(point.id, point.score, query.using, point.payload) for point in points)
        for query, points in zip(queries, reader.query(queries), strict=True)
    }
    return {
        name: _by_best_frame(reader, found[MEAN_OF[name]], name, vector) if name in MEAN_OF else found[name]
        for name, vector in vectors.items()
    }


def _by_best_frame(reader: Reader, candidates: Sequence[Hit], name: str, vector: Vector) -> list[Hit]:
    points = {point.id: point for point in reader.retrieve([hit.id for hit in candidates], vectors=True)}
    return _ordered(
        replace(hit, score=best_frame(vector, points[hit.id].vectors[name]), by=name)
        for hit in candidates
        if hit.id in points and name in points[hit.id].vectors
    )


def _ordered(hits: Iterable[Hit], *, names: Sequence[str] = ()) -> list[Hit]:
    """Best first; among equals by name, video and time, so that the same question has the same answer."""
    return sorted(
        hits,
        key=lambda hit: (
            -round(hit.score, _SCORE_DIGITS),
            names.index(hit.by) if names else 0,
            str(hit.payload.get("uri", "")),
            float(hit.payload.get("start_seconds", 0.0)),
            hit.id,
        ),
    )
