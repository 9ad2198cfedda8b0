"""What a trained part gains on videos that it never saw: ranks of the right clip, before and after. No torch here.

Clips of one video are alike, so intervals come from drawing whole videos, never clips (cluster bootstrap; Efron, 1979).
Over a few videos such an interval is too narrow, so a gain counts as proven only if a sign-flip test over the videos
(Fisher, 1935) says so too; on fewer than six it cannot.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from transforms.records import Float32

Ranks = NDArray[np.float64]
RECALLS = (1, 5, 10)
_DRAWS = 2000
_UNLIKELY = 0.025
_EVERY_WAY = 12  # up to so many videos all signs are tried


@dataclass(frozen=True, slots=True)
class Change:
    """A figure before and after, the 95 % interval of what lies between, and how likely chance alone gains as much."""

    before: float
    after: float
    gain_low: float
    gain_high: float
    chance: float

    @property
    def proven(self) -> bool:
        """Whether the whole interval lies above zero, and chance would do as well once in forty times at most."""
        return self.gain_low > 0.0 and self.chance <= _UNLIKELY

    def plain(self) -> dict[str, float]:
        """As JSON holds it."""
        gain = self.after - self.before
        values = {"before": self.before, "after": self.after, "gain": gain}
        return {name: round(value, 4) for name, value in values.items()} | {
            "gain_ci95_low": round(self.gain_low, 4),
            "gain_ci95_high": round(self.gain_high, 4),
            "chance": round(self.chance, 4),
        }


def ranks(made: Float32, targets: Float32) -> Ranks:
    """For each target (n, dim), the rank of its own row of `made` (n, dim) among all of them; ties share theirs."""
    scores = targets.astype(np.float64) @ made.T.astype(np.float64)  # (targets, clips)
    own = np.diagonal(scores)[:, None]
    above = (scores > own + 1e-9).sum(axis=1)
    equal = (np.abs(scores - own) <= 1e-9).sum(axis=1) - 1
    return np.asarray(1.0 + above + equal / 2, np.float64)


def recall(found: Ranks, k: int) -> NDArray[np.float64]:
    """1.0 where the right one is among the first k."""
    return (found <= k).astype(np.float64)


def change(before: NDArray[np.float64], after: NDArray[np.float64], videos: Sequence[str], seed: int = 0) -> Change:
    """The means of one figure a pair, and the interval of their difference over whole videos."""
    names = sorted(set(videos))
    place = {name: index for index, name in enumerate(names)}
    owner = np.array([place[name] for name in videos])
    gain = np.bincount(owner, weights=after - before, minlength=len(names)).astype(np.float64)
    count = np.bincount(owner, minlength=len(names)).astype(np.float64)
    random = np.random.default_rng(seed)
    drawn = random.integers(0, len(names), (_DRAWS, len(names)))
    gains = gain[drawn].sum(axis=1) / count[drawn].sum(axis=1)
    low, high = np.percentile(gains, [2.5, 97.5])
    return Change(float(before.mean()), float(after.mean()), float(low), float(high), _chance(gain, random))


def _chance(gains: NDArray[np.float64], random: np.random.Generator) -> float:
    """How often the sum is as large when each video's gain may as well have been a loss: every way, or some of many."""
    if len(gains) <= _EVERY_WAY:
        signs = np.array(list(product((1.0, -1.0), repeat=len(gains))))
    else:
        signs = random.choice((1.0, -1.0), (2**_EVERY_WAY, len(gains)))
        signs[0] = 1.0  # what was seen is one of them
    return float(np.mean(signs @ gains >= gains.sum() - 1e-12))


def changes(before: Ranks, after: Ranks, videos: Sequence[str], seed: int = 0) -> dict[str, Change]:
    """Recall in the first 1, 5 and 10, and the mean reciprocal rank, which decides."""
    figures = {f"recall@{k}": change(recall(before, k), recall(after, k), videos, seed) for k in RECALLS}
    return {**figures, "reciprocal_rank": change(1 / before, 1 / after, videos, seed)}
