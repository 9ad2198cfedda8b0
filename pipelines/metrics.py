"""Figures of rankings whose right answers are known, each with its interval.

Every figure is a mean, a ratio or a median over questions; docs/evaluation.md has the formulas and their sources.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

DEPTHS = (1, 5, 10)
NDCG_DEPTH = 10
SPAN_DEPTH = 10

#: The bootstrap: how often the questions are drawn again, the seed, and the tails that an interval leaves out.
RESAMPLES, SEED, TAIL = 2000, 20250611, 0.025

#: Random halves that something is fitted on and held out of, and the 97.5 % point of Student's t for so many gains.
HALVES, HALVES_T = 100, 1.984

Float64 = NDArray[np.float64]
Statistic = Callable[[Float64], Float64]  # (resamples, questions) -> (resamples,)


@dataclass(frozen=True, slots=True)
class Judged:
    """One ranking as judges see it: which places are right, and of how many right answers."""

    right: tuple[bool, ...]  # by place, best first; each right answer once
    answers: int  # how many right ones there are, found or not
    span_hits: tuple[bool, ...] = ()  # for right places whose span is known: whether the clip overlaps it

    def __post_init__(self) -> None:
        if self.answers < max(1, sum(self.right)):
            raise ValueError(f"a question has right answers, all that were found among them: {self}")

    @property
    def first_rank(self) -> float:
        """The first right place, counted from 1; infinite where there is none."""
        return next((float(rank) for rank, right in enumerate(self.right, start=1) if right), math.inf)

    @property
    def reciprocal_rank(self) -> float:
        return 1 / self.first_rank

    def found(self, depth: int) -> float:
        """1.0 where a right answer is among the first `depth`."""
        return float(any(self.right[:depth]))

    @property
    def average_precision(self) -> float:
        """The precision at each right place, summed and divided by the number of right answers."""
        ranks = [rank for rank, right in enumerate(self.right, start=1) if right]
        return sum(found / rank for found, rank in enumerate(ranks, start=1)) / self.answers

    def ndcg(self, depth: int = NDCG_DEPTH) -> float:
        """Gains of 1 discounted by log2(1 + rank), over those of the best ranking there could be."""
        gained = sum(1 / math.log2(1 + rank) for rank, right in enumerate(self.right[:depth], start=1) if right)
        return gained / sum(1 / math.log2(1 + rank) for rank in range(1, min(depth, self.answers) + 1))


#: Figures that are means over questions, by name.
MEANS: Mapping[str, Callable[[Judged], float]] = {
    **{f"recall@{depth}": lambda one, depth=depth: one.found(depth) for depth in DEPTHS},  # type: ignore[misc]
    "map": lambda one: one.average_precision,
    f"ndcg@{NDCG_DEPTH}": lambda one: one.ndcg(),
    "mrr": lambda one: one.reciprocal_rank,
}


def figures_over(judged: Sequence[Judged]) -> dict[str, Any]:
    """Every figure, and for each NAME its NAME_ci95: [low, high], or None where the figure is None.

    An end of None is a median rank beyond what was looked at.
    """
    figures: dict[str, Any] = {}
    for name, measure in MEANS.items():
        values = per_question(judged, measure)
        figures[name] = _rounded(values.mean())
        figures[f"{name}_ci95"] = mean_interval(values)
    ranks = per_question(judged, lambda one: one.first_rank)
    figures["median_rank"] = _rounded(np.median(ranks))
    figures["median_rank_ci95"] = _tails(np.median(ranks[_drawn(len(ranks))], axis=1))
    spans = [one.span_hits for one in judged if one.span_hits]
    figures["span_hit"], figures["span_hit_ci95"] = _ratio(spans)
    figures["queries"] = len(judged)
    return figures


def per_question(judged: Sequence[Judged], measure: Callable[[Judged], float]) -> Float64:
    """(questions,) values of one figure."""
    return np.array([measure(one) for one in judged], np.float64)


def mean_interval(values: Float64) -> list[float | None]:
    """The interval of the mean of values of 0 to 1: the percentile bootstrap over questions (Efron, 1979).

    Where all are 0 or all are 1 drawing again shows nothing, and the exact bound of Clopper and Pearson (1934) for
    the share of questions that are not stands in: [0, 1 - 0.025 ** (1/n)] or [0.025 ** (1/n), 1].
    """
    if values.max() == values.min() and values[0] in (0.0, 1.0):
        bound = TAIL ** (1 / len(values))
        return [_rounded(bound), 1.0] if values[0] else [0.0, _rounded(1 - bound)]
    return _tails(values[_drawn(len(values))].mean(axis=1))


def difference_interval(differences: Float64) -> list[float | None]:
    """The interval of a mean difference: the questions are drawn with both of their values."""
    return _tails(differences[_drawn(len(differences))].mean(axis=1))


def halving_interval(gains: Float64) -> list[float | None]:
    """The interval of a mean gain over random halves that were held out of a fit: the corrected resampled t.

    The halves overlap, so their gains scatter less than those of new questions would; the variance of the mean is
    (1/n + tested/fitted) times theirs, which for halves is (1/n + 1) (Nadeau and Bengio, 2003).
    """
    spread = HALVES_T * math.sqrt((1 / len(gains) + 1) * gains.var(ddof=1))
    return [_rounded(gains.mean() - spread), _rounded(gains.mean() + spread)]


def _ratio(spans: Sequence[tuple[bool, ...]]) -> tuple[float | None, list[float | None] | None]:
    """The share of all the judgements, and its interval when whole questions are drawn again."""
    if not spans:
        return None, None
    hits, counts = (np.array([f(one) for one in spans], np.float64) for f in (sum, len))
    share = hits.sum() / counts.sum()
    if share in (0.0, 1.0):
        return _rounded(share), mean_interval(hits / counts)
    drawn = _drawn(len(spans))
    return _rounded(share), _tails(hits[drawn].sum(axis=1) / counts[drawn].sum(axis=1))


def _tails(values: Float64) -> list[float | None]:
    """What 95 in 100 of the resampled figures lie between; no interpolation, since a rank may be infinite."""
    low = np.quantile(values, TAIL, method="lower")
    high = np.quantile(values, 1 - TAIL, method="higher")
    return [_rounded(low), _rounded(high)]


@lru_cache(maxsize=8)
def _drawn(count: int) -> NDArray[np.int32]:
    """(RESAMPLES, count) places, drawn with replacement: the same ones for every figure and way of searching."""
    return np.random.default_rng(SEED).integers(count, size=(RESAMPLES, count), dtype=np.int32)


def _rounded(value: float | np.floating[Any]) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None
