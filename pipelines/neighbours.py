"""How well each modality, alone and beside the others, finds what belongs to a clip.

Without questions the corpus asks itself: a clip of a sample is a query, and right are the other clips of its video.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.clip_sample import SampledClip
from pipelines.metrics import SEED, Float64, difference_interval, mean_interval
from transforms.fuse import as_block
from transforms.index.query import FUSION_DEPTH
from transforms.records import Float32, SparseVector

#: Neighbours that are compared between modalities.
NEAR = 10

#: Of reciprocal-rank fusion, as in search.
K = 60

#: Scores of equal vectors differ in their last digits with the order of summation.
_SCORE_DIGITS = 6

Places = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Modality:
    """One named vector over a sample: how similar each pair of clips is; NaN where either lacks it, and to itself."""

    name: str
    similarity: Float32  # (clips, clips)
    carried: NDArray[np.bool_]  # (clips,)

    @cached_property
    def nearest(self) -> Places:
        """(clips, FUSION_DEPTH) places of the most similar clips, best first; -1 where there are no more."""
        return _best(np.nan_to_num(self.similarity, nan=-np.inf).round(_SCORE_DIGITS), above=-np.inf)

    @property
    def mean_similarity(self) -> float | None:
        """Over all pairs of different clips."""
        values = self.similarity[~np.isnan(self.similarity)]
        return float(values.mean()) if len(values) else None


def modalities(clips: Sequence[SampledClip], names: Sequence[str]) -> list[Modality]:
    """The named vectors that at least one clip of the sample carries; a multivector counts by its mean direction."""
    found = []
    for name in names:
        carried = np.array([name in clip.vectors for clip in clips], bool)
        if carried.any():
            vectors = [clip.vectors[name] for clip in clips if name in clip.vectors]
            similarity = np.full((len(clips), len(clips)), np.nan, np.float32)
            similarity[np.ix_(carried, carried)] = _similarity(vectors)
            np.fill_diagonal(similarity, np.nan)
            found.append(Modality(name, similarity, carried))
    return found


def contributions(clips: Sequence[SampledClip], held: Sequence[Modality]) -> dict[str, Any]:
    """What each modality finds alone and what all find without it; {} where no video has two sampled clips.

    Figures are means over videos of their clips' figures: `same_video_map`, the mean average precision with which
    the other clips of the video are found, and `neighbour_mrr`, the mean reciprocal rank of the clip before or after;
    `chance` is what one random ranking finds.
    """
    codes = np.unique([clip.uri for clip in clips], return_inverse=True)[1] if clips else np.array([], np.int64)
    places = np.array([clip.place for clip in clips])
    same = codes[:, None] == codes[None, :]
    np.fill_diagonal(same, False)
    beside = same & (np.abs(places[:, None] - places[None, :]) == 1)
    asking = np.flatnonzero(same.any(axis=1))
    if not len(asking):
        return {}

    def measured(order: Places) -> dict[str, Float64]:
        return {
            "same_video_map": _by_video(_average_precision(order[asking], same[asking]), codes[asking]),
            "neighbour_mrr": _by_video(_reciprocal_rank(order[asking], beside[asking]), codes[asking]),
        }

    together = measured(fused(held))
    told: dict[str, Any] = {"queries": len(asking), "videos": len(np.unique(codes[asking])), "together": {}}
    for what, values in together.items():
        told["together"][what] = _figure(values)
        told["together"][f"{what}_ci95"] = mean_interval(values)
    told["chance"] = {what: _figure(values) for what, values in measured(_at_random(len(clips))).items()}
    told["modalities"] = {}
    for one in held:
        own: dict[str, Any] = {"alone": {}, "added_to_the_others": {}}
        alone = measured(fused([one]))
        others = [other for other in held if other is not one]
        rest = measured(fused(others)) if others else {}
        for what in together:
            own["alone"][what] = _figure(alone[what])
            own["alone"][f"{what}_ci95"] = mean_interval(alone[what])
            if rest:
                added = together[what] - rest[what]
                own["added_to_the_others"][what] = _figure(added)
                own["added_to_the_others"][f"{what}_ci95"] = difference_interval(added)
        told["modalities"][one.name] = own
    return told


def redundancy(held: Sequence[Modality]) -> dict[str, dict[str, dict[str, Any] | None]]:
    """For each pair: the share of the NEAR nearest by one that are among the NEAR nearest by the other.

    Over the clips that carry both, among those clips; beside it the share that chance gives. None where fewer than
    three clips carry both, so that there is no choice.
    """
    return {one.name: {other.name: overlap(one, other) for other in held if other is not one} for one in held}


def mass(held: Sequence[Modality]) -> dict[str, float]:
    """Each modality's share of the reciprocal-rank scores of the first NEAR clips of the fusion of all."""
    order = fused(held)[:, :NEAR]
    shares = {}
    for one in held:
        scores = _scores(one)
        got = np.take_along_axis(scores, np.maximum(order, 0), axis=1)
        shares[one.name] = float(got[order >= 0].sum())
    whole = sum(shares.values())
    return {name: round(share / whole, 4) for name, share in shares.items()} if whole else {}


def fused(held: Sequence[Modality]) -> Places:
    """(clips, FUSION_DEPTH) places by reciprocal-rank fusion of the modalities' nearest; -1 where there are no more."""
    scores = np.zeros_like(held[0].similarity)
    for one in held:
        scores += _scores(one)
    return _best(scores, above=0.0)


def _scores(one: Modality) -> Float32:
    """(clips, clips): 1 / (K + rank) where a clip is among the nearest, 0 elsewhere."""
    rows, ranks = np.nonzero(one.nearest >= 0)
    scores = np.zeros(one.similarity.shape, np.float32)
    scores[rows, one.nearest[rows, ranks]] = 1.0 / (K + 1 + ranks)
    return scores


def _at_random(count: int) -> Places:
    """(clips, FUSION_DEPTH) other clips in random order, for what chance would find."""
    scores = np.random.default_rng(SEED).random((count, count), np.float32)
    np.fill_diagonal(scores, -np.inf)
    return _best(scores, above=-np.inf)


def _best(scores: Float32, *, above: float) -> Places:
    """Places of the highest scores of each row, best first; -1 for those that are not above the bound."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :FUSION_DEPTH]
    return np.where(np.take_along_axis(scores, order, axis=1) > above, order, -1)


def _average_precision(order: Places, right: NDArray[np.bool_]) -> Float64:
    """(queries,) average precision of rankings whose right answers are marked by clip."""
    hits = np.take_along_axis(right, np.maximum(order, 0), axis=1) & (order >= 0)
    precision = hits.cumsum(axis=1) / np.arange(1, order.shape[1] + 1)
    average: Float64 = (precision * hits).sum(axis=1) / np.maximum(1, right.sum(axis=1))
    return average


def _reciprocal_rank(order: Places, right: NDArray[np.bool_]) -> Float64:
    hits = np.take_along_axis(right, np.maximum(order, 0), axis=1) & (order >= 0)
    return np.where(hits.any(axis=1), 1.0 / (1 + hits.argmax(axis=1)), 0.0)


def _by_video(values: Float64, codes: NDArray[np.int64]) -> Float64:
    """(videos,) means: clips of one video are no independent witnesses."""
    return np.array([values[codes == code].mean() for code in np.unique(codes)])


def overlap(one: Modality, other: Modality) -> dict[str, Any] | None:
    """The share of the NEAR nearest by one that are among the NEAR nearest by the other, as `redundancy` tells it."""
    both = np.flatnonzero(one.carried & other.carried)
    near = min(NEAR, len(both) - 2)  # of all but itself one must be left out, or every choice is the same
    if near < 1:
        return None
    nearest = [
        np.argsort(-np.nan_to_num(m.similarity[np.ix_(both, both)], nan=-np.inf), axis=1)[:, :near]
        for m in (one, other)
    ]
    shared = [len(np.intersect1d(ours, theirs)) / near for ours, theirs in zip(*nearest, strict=True)]
    return {
        "overlap": round(float(np.mean(shared)), 4),
        "chance": round(near / (len(both) - 1), 4),
        "neighbours": near,
        "clips": len(both),
    }


def _similarity(vectors: Sequence[Any]) -> Float32:
    """(n, n) cosines; of sparse vectors after weighing each term by its rarity, as the store does for queries."""
    if not isinstance(vectors[0], SparseVector):
        rows = np.stack([as_block(vector) for vector in vectors]).astype(np.float32)
        return _unit(rows) @ _unit(rows).T
    postings: dict[int, list[tuple[int, float]]] = {}
    for place, vector in enumerate(vectors):
        for index, value in zip(vector.indices.tolist(), vector.values.tolist(), strict=True):
            postings.setdefault(index, []).append((place, value))
    products = np.zeros((len(vectors), len(vectors)), np.float32)
    for posting in postings.values():
        rarity = np.log(1 + (len(vectors) - len(posting) + 0.5) / (len(posting) + 0.5))
        places, values = np.array([at for at, _ in posting]), np.array([value for _, value in posting])
        products[np.ix_(places, places)] += rarity**2 * np.outer(values, values)
    lengths = np.sqrt(np.maximum(products.diagonal(), 1e-12))
    cosines: Float32 = products / np.outer(lengths, lengths)
    return cosines


def _unit(rows: Float32) -> Float32:
    unit: Float32 = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return unit


def _figure(values: Float64) -> float:
    return round(float(values.mean()), 4)
