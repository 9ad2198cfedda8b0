"""Whether one way of searching is better than another, or only luckier with these questions."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipelines.metrics import MEANS, SEED, Float64, Judged, difference_interval, per_question

#: What is compared: the second sees differences that the first is too coarse for.
COMPARED = ("recall@5", "mrr")

#: Up to this many questions that differ every assignment of signs is tried, beyond it so many are drawn.
EXACT_UP_TO = 13
DRAWN_SIGNS = 10_000


def against_best(judged: Mapping[str, Sequence[Judged]]) -> dict[str, dict[str, Any] | None]:
    """For each way of searching how far it lies behind the best one over the same questions; None for that one.

    The best has the highest recall@5, then the highest mean reciprocal rank, then stands first. For each figure of
    COMPARED: the difference (this minus best), its paired bootstrap interval, the p-value of a paired randomisation
    test, and that value corrected for the number of ways (Holm, 1979).
    """
    values = {name: {what: per_question(ones, MEANS[what]) for what in COMPARED} for name, ones in judged.items()}
    best = max(values, key=lambda name: tuple(float(values[name][what].mean()) for what in COMPARED))
    others = [name for name in values if name != best]
    told: dict[str, dict[str, Any] | None] = {name: None if name == best else {"strategy": best} for name in values}
    for what in COMPARED:
        differences = {name: values[name][what] - values[best][what] for name in others}
        p_values = {name: randomisation_p(difference) for name, difference in differences.items()}
        adjusted = holm(p_values)
        for name, difference in differences.items():
            row = told[name]
            assert row is not None
            row[f"{what}_difference"] = round(float(difference.mean()), 4)
            row[f"{what}_difference_ci95"] = difference_interval(difference)
            row[f"{what}_p"] = round(p_values[name], 4)
            row[f"{what}_p_holm"] = round(adjusted[name], 4)
    return told


def randomisation_p(differences: Float64) -> float:
    """Two-sided p-value of the mean of paired differences under random signs (Fisher, 1935; Smucker et al., 2007)."""
    moved = differences[differences != 0.0]
    if not len(moved):
        return 1.0
    observed = abs(moved.sum()) - 1e-9  # sums of the same numbers in another order may differ in the last digit
    if len(moved) <= EXACT_UP_TO:
        signs = 1 - 2 * ((np.arange(2 ** len(moved))[:, None] >> np.arange(len(moved))) & 1)
        return float(np.mean(np.abs(signs @ moved) >= observed))
    signs = 1 - 2 * np.random.default_rng(SEED).integers(2, size=(DRAWN_SIGNS, len(moved)), dtype=np.int8)
    return float((1 + np.sum(np.abs(signs @ moved) >= observed)) / (1 + DRAWN_SIGNS))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """The p-values times the number of hypotheses that are not yet rejected, never falling; at most 1."""
    adjusted: dict[str, float] = {}
    highest = 0.0
    for place, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[name]))
        adjusted[name] = highest
    return adjusted
