"""What each modality finds of a user's own questions, and weights for their fusion that hold on questions not seen.

Every modality is asked alone, FUSION_DEPTH clips deep. A clip of the fusion scores the mean, by weight, of its scores,
each ranking scaled from its least (0) to its best (1) first (Bruch, Gai and Ingber, 2023); 0 where it was not found.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluate import answer
from pipelines.metrics import HALVES, Float64, difference_interval, halving_interval, mean_interval
from pipelines.neighbours import NEAR
from pipelines.questions import Copies, Question
from pipelines.search import Searcher, SearchHit
from transforms.index.query import AUTO, FUSION_DEPTH
from transforms.uris import shown

#: Weights that are tried for each modality, the finest set of them that gives at most MOST_WEIGHTS combinations.
LEVELS = ((0.0, 0.25, 0.5, 1.0), (0.0, 0.5, 1.0), (0.0, 1.0))
MOST_WEIGHTS = 4000

#: The fewest questions that are worth halving.
LEAST_QUESTIONS = 10

RECALL_DEPTH = 5

_FOUND = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """What the modalities found for one question: clips by the video they lie in, and their ranks."""

    gains: Float64  # (clips, modalities) scaled scores; 0 where the modality did not find the clip
    group: NDArray[np.intp]  # (clips,) number of the video, copies of one alike
    right: NDArray[np.bool_]  # (videos,) whether it answers the question
    auto_rank: float  # of the first right video by `auto`; infinite where there is none


def ask(searcher: Searcher, questions: Sequence[Question], names: Sequence[str], copies: Copies) -> list[Asked]:
    """Ask every question of every modality alone, and of `auto`. Raises UsageError as a search does."""
    asked = []
    for question in questions:
        found = {name: searcher.search(question.text, by=name, limit=FUSION_DEPTH) for name in names}
        auto = answer(searcher.ask, question, by=AUTO, copies=copies)
        asked.append(_asked(question, found, copies, auto.judged.first_rank))
    return asked


def question_contributions(asked: Sequence[Asked], names: Sequence[str]) -> dict[str, Any]:
    """What each modality finds of the questions alone and adds to the others, in a fusion with equal weights."""
    everything = np.ones(len(names))
    together = _both(ranks(asked, everything[:, None])[:, 0])
    auto = _both(np.array([one.auto_rank for one in asked]))
    told: dict[str, Any] = {"queries": len(asked), "auto": _means(auto), "together": _means(together), "modalities": {}}
    for place, name in enumerate(names):
        only, others = np.zeros(len(names)), everything.copy()
        only[place], others[place] = 1.0, 0.0
        own: dict[str, Any] = {"alone": _means(_both(ranks(asked, only[:, None])[:, 0])), "added_to_the_others": {}}
        if len(names) > 1:
            rest = _both(ranks(asked, others[:, None])[:, 0])
            for what, values in together.items():
                own["added_to_the_others"][what] = round(float((values - rest[what]).mean()), 4)
                own["added_to_the_others"][f"{what}_ci95"] = difference_interval(values - rest[what])
        told["modalities"][name] = own
    return told


def recommend(asked: Sequence[Asked], names: Sequence[str], *, seed: int) -> dict[str, Any]:
    """Weights whose mean reciprocal rank on questions that they were not fitted on beats `auto`, or none.

    The questions are halved at random, again and again; the weights that are best on one half are measured on the
    other, HALVES in all. Weights are recommended, fitted on all questions, where the interval of the mean gain over
    `auto` lies above zero.
    """
    if len(names) < 2:
        return _none(f"there is nothing to weigh: text can ask {len(names)} modality of this index")
    if len(asked) < LEAST_QUESTIONS:
        return _none(f"{len(asked)} questions are too few to fit on one half and measure on the other")
    weights = candidates(len(names))  # (modalities, candidates)
    reciprocal = 1 / ranks(asked, weights)  # (questions, candidates)
    equal = reciprocal[:, int(np.flatnonzero((weights == 1.0).all(axis=0))[0])]
    auto = 1 / np.array([one.auto_rank for one in asked])
    held_out = _held_out(reciprocal, weights, seed=seed)
    best = _fitted(reciprocal, weights)
    told: dict[str, Any] = {
        "fitted": dict(zip(names, weights[:, best].tolist(), strict=True)),
        "held_out_mrr": round(float(np.mean([reciprocal[rest, column].mean() for rest, column in held_out])), 4),
        "fitted_mrr": round(float(reciprocal[:, best].mean()), 4),  # of the very questions it was fitted on
        "auto_mrr": round(float(auto.mean()), 4),
        "equal_weights_mrr": round(float(equal.mean()), 4),
        "halves": HALVES,
    }
    for what, others in (("auto", auto), ("equal_weights", equal)):
        gains = np.array([(reciprocal[rest, column] - others[rest]).mean() for rest, column in held_out])
        told[f"gain_over_{what}"] = round(float(gains.mean()), 4)
        told[f"gain_over_{what}_ci95"] = halving_interval(gains)
    low = told["gain_over_auto_ci95"][0]
    if low is None or low <= 0.0:
        return {"recommended": None, "reason": _reason(told), **told}
    return {"recommended": told["fitted"], "reason": _reason(told), **told}


def candidates(count: int) -> Float64:
    """(modalities, candidates) weights to try, the largest of each 1: only their ratios matter."""
    for levels in LEVELS:
        if len(levels) ** count - (len(levels) - 1) ** count <= MOST_WEIGHTS or levels is LEVELS[-1]:
            break
    return np.array([row for row in product(levels, repeat=count) if max(row) == 1.0], np.float64).T


def ranks(asked: Sequence[Asked], weights: Float64) -> Float64:
    """(questions, candidates) rank of the first right video under each column of weights; infinite if not found.

    A wrong video with the same score as the right one stands before it.
    """
    return np.array([_ranks_of(one, weights) for one in asked])


def shares_of_hits(asked: Sequence[Asked], names: Sequence[str]) -> dict[str, float]:
    """Each modality's share of the scores of the first NEAR clips of the equally weighted fusion."""
    got = np.zeros(len(names))
    for one in asked:
        first = np.argsort(-one.gains.sum(axis=1), kind="stable")[:NEAR]
        got += one.gains[first].sum(axis=0)
    return {name: round(float(share), 4) for name, share in zip(names, got / max(got.sum(), 1e-12), strict=True)}


def scaled(scores: Sequence[float]) -> Float64:
    """Each score's place between the least and the best of its ranking; 1 where all are equal.

    The least is not quite 0, so that it stands before what was not found.
    """
    values = np.array(scores, np.float64)
    if not len(values) or values.max() == values.min():
        return np.ones_like(values)
    places: Float64 = np.maximum(_FOUND, (values - values.min()) / np.ptp(values))
    return places


def _asked(question: Question, found: Mapping[str, Sequence[SearchHit]], copies: Copies, auto_rank: float) -> Asked:
    group_of = {shown(uri): group for uri, group in copies.group_of.items()}
    video_of = {hit.clip_id: group_of.get(hit.video, hit.video) for hits in found.values() for hit in hits}
    row_of = {clip: row for row, clip in enumerate(video_of)}
    videos = {video: number for number, video in enumerate(dict.fromkeys(video_of.values()))}
    gains = np.zeros((len(row_of), len(found)))
    for column, hits in enumerate(found.values()):
        gains[[row_of[hit.clip_id] for hit in hits], column] = scaled([hit.score for hit in hits])
    right = {shown(copies.of(uri)) for uri in question.relevant}
    return Asked(
        gains,
        np.array([videos[video] for video in video_of.values()], np.intp),
        np.array([video in right for video in videos], np.bool_),
        auto_rank,
    )


def _ranks_of(one: Asked, weights: Float64) -> Float64:
    if not one.right.any():
        return np.full(weights.shape[1], np.inf)
    scores = np.zeros((len(one.right), weights.shape[1]))  # a video's is that of its best clip
    np.maximum.at(scores, one.group, one.gains @ weights)
    best = scores[one.right].max(axis=0)
    before = (scores[~one.right] >= best).sum(axis=0)
    return np.where(best > 0, 1.0 + before, np.inf)


def _fitted(reciprocal: Float64, weights: Float64) -> int:
    """The candidate with the highest mean; among equals the one nearest to equal weights."""
    means = np.round(reciprocal.mean(axis=0), 9)
    best = np.flatnonzero(means == means.max())
    return int(best[np.argmax(weights[:, best].sum(axis=0))])


def _held_out(reciprocal: Float64, weights: Float64, *, seed: int) -> list[tuple[NDArray[np.intp], int]]:
    """HALVES of the questions, each with the candidate that is best on the other half."""
    chance = np.random.default_rng(seed)
    held_out = []
    for _ in range(HALVES // 2):
        order = chance.permutation(len(reciprocal)).astype(np.intp)
        one, other = np.array_split(order, 2)
        held_out += [(other, _fitted(reciprocal[one], weights)), (one, _fitted(reciprocal[other], weights))]
    return held_out


def _reason(told: Mapping[str, Any]) -> str:
    low, high = told["gain_over_auto_ci95"]
    gain = f"{told['gain_over_auto']:+.3f} ({low:+.3f} to {high:+.3f})"
    if low > 0:
        return f"on held-out questions these weights gain {gain} of mean reciprocal rank over auto"
    if high < 0:
        return f"weights fitted on half of the questions lose against auto on the other half: {gain}"
    return f"the gain over auto on held-out questions cannot be told from zero: {gain}"


def _none(reason: str) -> dict[str, Any]:
    return {"recommended": None, "reason": reason}


def _both(first_ranks: Float64) -> dict[str, Float64]:
    return {f"recall@{RECALL_DEPTH}": (first_ranks <= RECALL_DEPTH).astype(np.float64), "mrr": 1 / first_ranks}


def _means(values: Mapping[str, Float64]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for what, own in values.items():
        told[what] = round(float(own.mean()), 4)
        told[f"{what}_ci95"] = mean_interval(own)
    return told
