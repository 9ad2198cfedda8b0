"""Training over frozen vectors: small networks, pairs that the corpus gives for free, early stopping on other videos.

Three sets of videos, never of clips: one is learnt from, one says when to stop, and one, which nothing was chosen by,
says what was gained.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from transforms.encoders.fusion import held_out
from transforms.encoders.fusion.head import FusionHead, collate, run
from transforms.encoders.fusion.losses import Loss, loss_of
from transforms.encoders.fusion.networks import AdapterNetwork, AttentionNetwork
from transforms.encoders.fusion.tokens import ClipTokens
from transforms.encoders.fusion.trained import Kind
from transforms.records import Float32

#: A neighbour in time is a hard negative up to here; and not one whose target says nearly the same.
NEAR_SECONDS = 60.0
_SAME_COSINE = 0.95
_NEAREST = 4

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Pairs: what a clip is made of, and the vector that it shall come near."""

    clips: Sequence[ClipTokens]
    targets: Float32  # (n, dim) unit
    videos: Sequence[str]  # what may not be split
    seconds: NDArray[np.float64]  # (n,) where the clips start

    def __len__(self) -> int:
        return len(self.clips)

    def of(self, videos: frozenset[str]) -> "Examples":
        """Those of these videos."""
        kept = [place for place, video in enumerate(self.videos) if video in videos]
        return Examples(
            [self.clips[place] for place in kept],
            self.targets[kept],
            [self.videos[place] for place in kept],
            self.seconds[kept],
        )


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """How to train; the sizes are those of the head and the rank of the adapter."""

    kind: Kind = "head"
    loss: Loss = "multiple-negatives"
    epochs: int = 40
    seed: int = 0
    batch_clips: int = 64
    learning_rate: float = 1e-3
    patience_epochs: int = 8
    rank: int = 16
    width: int = 64
    layers: int = 1
    heads: int = 4


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """The tensors of the best epoch (0: nothing was better than the beginning), and the network's sizes."""

    tensors: Mapping[str, Float32]
    sizes: Mapping[str, Any]
    epoch: int
    history: tuple[float, ...]  # mean reciprocal rank on the stopping videos, epoch by epoch, from 0
    made: Float32  # what became of the clips of `test`, (n, dim)


def train(learn: Examples, stop: Examples, test: Examples, in_space: Sequence[str], settings: TrainSettings) -> Fit:
    """Train one network; the same seed and examples give the same tensors on one machine."""
    modalities = {name: clip[name].vectors.shape[1] for clip in learn.clips for name in clip}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network, sizes = _network(settings, modalities, in_space, learn.targets.shape[1])
        best, history = _fit(network, modalities, learn, stop, settings)
    network.load_state_dict(best)
    tensors = {name: tensor.numpy().copy() for name, tensor in network.state_dict().items()}
    return Fit(tensors, sizes, int(np.argmax(history)), tuple(history), run(network, test.clips, modalities))


def near_and_strange(examples: Examples, asked: Indices, chance: np.random.Generator) -> tuple[Indices, Indices]:
    """For each asked example the index of a hard negative (its video, near in time) and of one of another video.

    Where no neighbour says something else, another video's takes its place.
    """
    videos = np.array(examples.videos)
    strange = np.array([_drawn(np.flatnonzero(videos != videos[one]), one, chance) for one in asked])
    near = strange.copy()
    for place, one in enumerate(asked):
        apart = np.abs(examples.seconds - examples.seconds[one])
        same = examples.targets @ examples.targets[one] > _SAME_COSINE
        able = np.flatnonzero((videos == videos[one]) & (apart > 0) & (apart <= NEAR_SECONDS) & ~same)
        if len(able):
            near[place] = chance.choice(able[np.argsort(apart[able], kind="stable")[:_NEAREST]])
    return near, strange


def _network(
    settings: TrainSettings, modalities: Mapping[str, int], in_space: Sequence[str], dimensions: int
) -> tuple[nn.Module, dict[str, Any]]:
    if settings.kind == "head":
        sizes: dict[str, Any] = {
            "modalities": dict(modalities),
            "in_space": [name for name in in_space if name in modalities],
            "dimensions": dimensions,
            "width": settings.width,
            "layers": settings.layers,
            "heads": settings.heads,
        }
        return FusionHead(**sizes), sizes
    (name,) = modalities
    if settings.kind == "adapter":
        return AdapterNetwork(name, modalities[name], settings.rank), {"rank": settings.rank}
    return AttentionNetwork(name, modalities[name]), {}


def _fit(
    network: nn.Module, modalities: Mapping[str, int], learn: Examples, stop: Examples, settings: TrainSettings
) -> tuple[dict[str, torch.Tensor], list[float]]:
    """The tensors of the epoch that was best on the stopping videos, and how good each was."""
    chance = np.random.default_rng(settings.seed)
    steps = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate)
    targets = torch.from_numpy(learn.targets)

    def score() -> float:
        return float((1 / held_out.ranks(run(network, stop.clips, modalities), stop.targets)).mean())

    history = [score()]
    best = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    for epoch in range(1, settings.epochs + 1):
        network.train()
        order = chance.permutation(len(learn))
        for start in range(0, len(order), settings.batch_clips):
            own = order[start : start + settings.batch_clips]
            near, strange = near_and_strange(learn, own, chance)
            made = network(collate([learn.clips[place] for place in own], modalities))
            loss = loss_of(settings.loss, made, targets[own], targets[near], targets[strange])
            steps.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            steps.step()
        history.append(score())
        if history[-1] > max(history[:-1]):
            best = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        if epoch - int(np.argmax(history)) >= settings.patience_epochs:
            break
    return best, history


def _drawn(able: Indices, otherwise: np.int64, chance: np.random.Generator) -> np.int64:
    return np.int64(chance.choice(able)) if len(able) else otherwise
