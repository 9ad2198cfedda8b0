"""Search over clips: one named vector, or several whose rankings are fused."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from transforms.errors import UsageError
from transforms.index.hits import Hit, hits_of
from transforms.index.kinds import LIVE_CLIPS as LIVE_CLIPS
from transforms.index.late import LATE, RRF_K, fuse, fuse_rankings
from transforms.index.store import AnyOf, HasId, Query, Reader, Where
from transforms.records import SparseVector, Vector

AUTO = "auto"
FUSIONS = (AUTO, *LATE)

#: Frames are compared one by one only in the videos of the clips that their mean finds first: they have no graph.
RERANK_CANDIDATES = 200
MEAN_OF = {"frames": "frame"}

#: Rankings are fused at least this deep, whatever the number of hits wanted.
FUSION_DEPTH = 100

EVERY_CLIP = Where()


def search_clips(
    reader: Reader,
    vectors: Mapping[str, Vector],
    *,
    by: str,
    limit: int,
    k: int = RRF_K,
    where: Where = EVERY_CLIP,
    counts: Mapping[str, Callable[[Hit], bool]] | None = None,
    weights: Mapping[str, float] | None = None,
    trust: Callable[[str, float], float] | None = None,
    among: Where = LIVE_CLIPS,
) -> list[Hit]:
    """The `limit` best searchable clips, or points of `among`, for the query vectors of `vectors`, by vector name.

    `by` is one of those names, or a fusion of all of them that the index holds: "rrf", "weighted" and "dbsf"
    (transforms/index/late.py), or "auto", which is "rrf" without the hits that `counts` refuses for a name: ranks say
    nothing of how good a hit is, and what is only the least bad must not outvote an answer. There `trust`, more than 0,
    weighs each ranking by its name and its best score; the most trusted one weighs 1. "frames" re-ranks by the
    frame that fits best what the mean of a clip's frames, "frame", finds first. Equal scores are ordered by name as
    given (in a fusion), then by video and start. Raises UsageError for a vector that was not given or that this index
    does not hold, and for weights that weigh nothing.
    """
    if limit < 1:
        raise UsageError(f"at least one hit is asked for: limit={limit}")
    held = reader.schema.vector_names
    names = tuple(name for name in vectors if name in held) if by in FUSIONS else (by,)
    if not names or any(name not in held or name not in vectors for name in names):
        raise UsageError(f"this index cannot be searched by {by!r}; it can by {', '.join((*FUSIONS, *held))}")
    only = Where(must=(*among.must, *where.must), must_not=where.must_not)
    found = rankings(reader, {name: vectors[name] for name in names}, depth=max(limit, FUSION_DEPTH), where=only)
    if by not in FUSIONS:
        return found[by][:limit]
    if by != AUTO:
        return fuse(by, found, weights=dict.fromkeys(names, 1.0) if weights is None else weights)[:limit]
    kept = {name: list(filter((counts or {}).get(name), hits)) for name, hits in found.items()}
    trusted = {name: trust(name, hits[0].score) for name, hits in kept.items() if trust and hits}
    most = max(trusted.values(), default=1.0)
    return fuse_rankings(kept, k=k, weights={name: own / most for name, own in trusted.items()})[:limit]


def rankings(reader: Reader, vectors: Mapping[str, Vector], *, depth: int, where: Where) -> dict[str, list[Hit]]:
    """One ranking a name, in the order of the names."""
    direct = [Query(name, vector, where, depth) for name, vector in vectors.items() if name not in MEAN_OF]
    first = [
        Query(MEAN_OF[name], vector, where, max(depth, RERANK_CANDIDATES))
        for name, vector in vectors.items()
        if name in MEAN_OF
    ]
    found = reader.query([*direct, *first])
    ranked = {query.using: hits_of(query.using, points) for query, points in zip(direct, found, strict=False)}
    for query, points in zip(first, found[len(direct) :], strict=True):
        name = next(name for name, mean in MEAN_OF.items() if mean == query.using)
        videos = AnyOf("uri", tuple(sorted({str(point.payload["uri"]) for point in points})))
        among = Where((*where.must, videos), where.must_not)
        again = Query(name, _as_one_of_many(query.vector), among, depth, exact=True)
        ranked[name] = hits_of(name, reader.query([again])[0] if points else [])
    return {name: ranked[name] for name in vectors}


def exact_scores(reader: Reader, ids: Sequence[str], vectors: Mapping[str, Vector]) -> dict[str, dict[str, float]]:
    """By id, the exact score of each named vector that the point has; of these points only, from full vectors."""
    scores: dict[str, dict[str, float]] = {one: {} for one in ids}
    if not ids:
        return scores
    multi = {vector.name for vector in reader.schema.dense if vector.multi}
    only = Where(must=(HasId(tuple(ids)),))
    asked = {name: _as_one_of_many(vector) if name in multi else vector for name, vector in vectors.items()}
    queries = [Query(name, vector, only, len(scores), exact=True) for name, vector in asked.items()]
    for query, points in zip(queries, reader.query(queries), strict=True):
        for point in points:
            scores[point.id][query.using] = point.score
    return scores


def _as_one_of_many(vector: Vector) -> Vector:
    """A dense query (dim,) as a multivector (1, dim), which local mode insists on."""
    return vector if isinstance(vector, SparseVector) else np.atleast_2d(vector)
