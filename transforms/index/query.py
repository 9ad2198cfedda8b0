"""Search over clips: one named vector, or several whose rankings are fused by reciprocal rank."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from transforms.errors import UsageError
from transforms.index.store import AnyOf, Equals, Query, Reader, ScoredPoint, Where
from transforms.records import SparseVector, Vector

AUTO = "auto"

#: Frames are compared one by one only in the videos of the clips that their mean finds first: they have no graph.
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


def _rankings(reader: Reader, vectors: Mapping[str, Vector], *, depth: int, where: Where) -> dict[str, list[Hit]]:
    """One ranking a name, in the order of the names."""
    direct = [Query(name, vector, where, depth) for name, vector in vectors.items() if name not in MEAN_OF]
    first = [
        Query(MEAN_OF[name], vector, where, max(depth, RERANK_CANDIDATES))
        for name, vector in vectors.items()
        if name in MEAN_OF
    ]
    found = reader.query([*direct, *first])
    rankings = {query.using: _hits(query.using, points) for query, points in zip(direct, found, strict=False)}
    for query, points in zip(first, found[len(direct) :], strict=True):
        name = next(name for name, mean in MEAN_OF.items() if mean == query.using)
        videos = AnyOf("uri", tuple(sorted({str(point.payload["uri"]) for point in points})))
        among = Where((*where.must, videos), where.must_not)
        again = Query(name, _as_one_of_many(query.vector), among, depth, exact=True)
        rankings[name] = _hits(name, reader.query([again])[0] if points else [])
    return {name: rankings[name] for name in vectors}


def _as_one_of_many(vector: Vector) -> Vector:
    """A dense query (dim,) as a multivector (1, dim), which local mode insists on."""
    return vector if isinstance(vector, SparseVector) else np.atleast_2d(vector)


def _hits(name: str, points: Iterable[ScoredPoint]) -> list[Hit]:
    return _ordered(Hit(point.id, point.score, name, point.payload) for point in points)


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
