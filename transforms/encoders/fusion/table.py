"""A learned table of positions: rows over the fraction of a video, so trained that near rows mean similar pictures.

Trained by CoSENT (Huang et al., 2024) on pairs of clips of one video: the more alike two clips are, the nearer shall
their positions be. It begins at the sinusoidal features of the fraction.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from transforms.encoders.fusion import held_out
from transforms.encoders.fusion.losses import ranking_loss
from transforms.encoders.windows import unit_length
from transforms.records import Float32

ROWS = 33
_PERIODS = (2.0, 1.0, 0.5, 0.25)
_SPARE_DIMENSIONS = 8  # beside those of the sinusoids, which begin near zero


@dataclass(frozen=True, slots=True, eq=False)
class ClipPairs:
    """Pairs of clips of one video each: where they are, as fractions (n, 2), and the cosine of their frames (n,)."""

    fractions: NDArray[np.float64]
    cosines: NDArray[np.float64]
    videos: Sequence[str]

    def of(self, videos: frozenset[str]) -> "ClipPairs":
        """Those of these videos."""
        kept = [place for place, video in enumerate(self.videos) if video in videos]
        return ClipPairs(self.fractions[kept], self.cosines[kept], [self.videos[place] for place in kept])


def first_table() -> Float32:
    """(ROWS, dim): the sinusoidal features of each row's fraction, and nearly nothing beside them."""
    angles = 2 * np.pi * np.linspace(0, 1, ROWS)[:, None] / np.array(_PERIODS)
    waves = np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(ROWS, -1)
    spare = np.random.default_rng(0).normal(0, 1e-2, (ROWS, _SPARE_DIMENSIONS))
    return unit_length(np.concatenate([waves, spare], axis=1).astype(np.float32))


def train_table(
    learn: ClipPairs, stop: ClipPairs, *, epochs: int, seed: int, batch_pairs: int = 256, patience_epochs: int = 6
) -> tuple[Float32, list[float]]:
    """The table of the epoch that was best on the stopping videos, and how good each was, from 0."""
    chance = np.random.default_rng(seed)
    table = nn.Parameter(torch.from_numpy(first_table()))
    steps = torch.optim.AdamW([table], lr=1e-2, weight_decay=0.0)

    def score() -> float:
        return float(np.mean(agreement(table.detach().numpy(), stop)[0]))

    history, best = [score()], table.detach().numpy().copy()
    for epoch in range(1, epochs + 1):
        order = chance.permutation(len(learn.videos))
        for start in range(0, len(order), batch_pairs):
            own = order[start : start + batch_pairs]
            if len(own) < 2:
                continue
            one, other = (_rows(table, learn.fractions[own, side]) for side in (0, 1))
            loss = ranking_loss(one, other, torch.from_numpy(learn.cosines[own]).float())
            steps.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            steps.step()
        history.append(score())
        if history[-1] > max(history[:-1]):
            best = table.detach().numpy().copy()
        if epoch - int(np.argmax(history)) >= patience_epochs:
            break
    return unit_length(best), history


def agreement(table: Float32, pairs: ClipPairs) -> tuple[NDArray[np.float64], list[str]]:
    """For each video Spearman's rank correlation of the positions' cosines with the frames' cosines, and the videos.

    A video whose clips are all alike, or one of fewer than three pairs, says nothing and is left out.
    """
    from scipy.stats import spearmanr

    with torch.inference_mode():
        rows = [_rows(torch.from_numpy(table), pairs.fractions[:, side]).numpy() for side in (0, 1)]
    near = (rows[0] * rows[1]).sum(axis=1)
    owners = np.array(pairs.videos)
    found, names = [], []
    for name in sorted(set(pairs.videos)):
        own = owners == name
        if own.sum() >= 3 and np.ptp(pairs.cosines[own]) > 1e-6:
            varied = np.ptp(near[own]) > 1e-9
            found.append(float(spearmanr(near[own], pairs.cosines[own]).statistic) if varied else 0.0)
            names.append(name)
    return np.array(found), names


def gain(table: Float32, pairs: ClipPairs, seed: int) -> held_out.Change:
    """The mean agreement over videos, of the sinusoidal beginning and of this table."""
    before, names = agreement(first_table(), pairs)
    after, _ = agreement(table, pairs)
    return held_out.change(before, after, names, seed)


def _rows(table: torch.Tensor, fractions: NDArray[np.float64]) -> torch.Tensor:
    """The rows at these fractions, between their neighbours, at unit length."""
    place = torch.from_numpy(np.clip(fractions, 0, 1) * (len(table) - 1))
    below = place.long().clamp(max=len(table) - 2)
    share = (place - below).float()[:, None]
    return nn.functional.normalize((1 - share) * table[below] + share * table[below + 1], dim=-1)
