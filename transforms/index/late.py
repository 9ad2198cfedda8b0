"""Late fusion: the rankings of several named vectors become one when a question is asked.

`rrf` looks at ranks alone (Cormack, Clarke and Buettcher, 2009). `weighted` and `dbsf` look at scores, which are
brought to one scale first, since a cosine of a picture, a cosine of speech and BM25 share none: by the least and the
best score of each ranking ("relative score fusion"; see Bruch, Gai and Ingber, 2023), or by their distribution.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from transforms.errors import UsageError
from transforms.index.hits import Hit, ordered

RRF, WEIGHTED, DBSF = "rrf", "weighted", "dbsf"
LATE = (RRF, WEIGHTED, DBSF)

#: How fast the worth of a rank falls; the value of the paper.
RRF_K = 60

#: Shares are what weights are for; sums of larger ones overflow.
MOST_WEIGHT = 1e6

Rankings = Mapping[str, Sequence[Hit]]


def fuse(by: str, rankings: Rankings, *, weights: Mapping[str, float]) -> list[Hit]:
    """One ranking out of several, by one of LATE; `weights` are those of "weighted"."""
    if by == RRF:
        return fuse_rankings(rankings)
    return weighted_sum(rankings, weights) if by == WEIGHTED else distribution_based(rankings)


def fuse_rankings(rankings: Rankings, *, k: int = RRF_K, weights: Mapping[str, float] | None = None) -> list[Hit]:
    """A clip scores the sum of weight / (k + rank), ranks counted from 1; every weight is 1 unless it is given.

    Among equals, the names that come first in `rankings` win.
    """
    weighs = weights or {}
    worth = {
        name: [weighs.get(name, 1.0) / (k + rank) for rank in range(1, len(hits) + 1)]
        for name, hits in rankings.items()
    }
    return _summed(worth, rankings)


def weighted_sum(rankings: Rankings, weights: Mapping[str, float]) -> list[Hit]:
    """A clip scores sum(weight * scaled score) / sum(weights); 0 where a ranking does not have it.

    The best of a ranking counts 1, its least 0; a ranking whose scores are all equal counts 1 throughout.
    """
    total = sum(weights.get(name, 0.0) for name in rankings)
    scaled = {
        name: [weights[name] / total * score for score in between_extremes([hit.score for hit in hits])]
        for name, hits in rankings.items()
        if weights.get(name)
    }
    return _summed(scaled, rankings)


def distribution_based(rankings: Rankings) -> list[Hit]:
    """A clip scores the sum of its scores, each as its place between mean - 3 sd and mean + 3 sd of its ranking.

    This is distribution-based score fusion as Qdrant defines it (`score_fusion.rs`, after Mazzeschi, 2023): the sample
    deviation, 0.5 for a ranking of one clip or of equal scores, nothing cut off.
    """
    return _summed({name: by_deviation([hit.score for hit in hits]) for name, hits in rankings.items()}, rankings)


def check_weights(weights: Mapping[str, float], names: Sequence[str]) -> None:
    """Raise UsageError for weights that cannot weigh these named vectors."""
    for name, weight in weights.items():
        if name not in names:
            raise UsageError(f"no ranking is called {name!r}, so it has no weight; there are {', '.join(names)}")
        if not 0 <= weight <= MOST_WEIGHT:
            raise UsageError(f"a weight is a number from 0 to {MOST_WEIGHT:g}: {name}={weight:g}")
    if not any(weights.get(name) for name in names):
        raise UsageError(f"one weight at least is more than 0; given: {_shown(weights) or 'none'}")


def between_extremes(scores: Sequence[float]) -> list[float]:
    """Each score's place between the least and the best, in [0, 1]; 1 where all are equal."""
    low, high = min(scores, default=0.0), max(scores, default=0.0)
    return [1.0 if high == low else (score - low) / (high - low) for score in scores]


def by_deviation(scores: Sequence[float]) -> list[float]:
    """Each score's place between three sample deviations below and above the mean; 0.5 where all are equal."""
    if len(scores) < 2:
        return [0.5] * len(scores)
    mean = math.fsum(scores) / len(scores)
    deviation = math.sqrt(math.fsum((score - mean) ** 2 for score in scores) / (len(scores) - 1))
    if deviation == 0.0:
        return [0.5] * len(scores)
    return [(score - mean + 3 * deviation) / (6 * deviation) for score in scores]


def _summed(worth: Mapping[str, Sequence[float]], rankings: Rankings) -> list[Hit]:
    """The sum of what each ranking gives a clip; `by` is the ranking that has it highest."""
    fused: dict[str, Hit] = {}
    best_rank: dict[str, int] = {}
    for name, scores in worth.items():
        for rank, (hit, score) in enumerate(zip(rankings[name], scores, strict=True), start=1):
            known = fused.get(hit.id)
            if known is None or rank < best_rank[hit.id]:
                by, best_rank[hit.id] = name, rank
            else:
                by = known.by
            fused[hit.id] = replace(hit, score=score + (known.score if known else 0.0), by=by)
    return ordered(fused.values(), names=list(worth))


def _shown(weights: Mapping[str, float]) -> str:
    return ", ".join(f"{name}={weight:g}" for name, weight in weights.items())
