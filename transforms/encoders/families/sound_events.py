"""Sounds -> unit vectors in the text encoder's space, near the words for what is heard.

The network was trained by the project on sounds that it synthesised (training/sounds, docs/sound-model.md). It knows
sixteen kinds of sound. Where it hears none of them, the row is zeros, and the clip has no vector. Its vectors are a
linear map of what it hears, fitted to the text vectors of the kinds' names.

    sound-events:synthetic-v1                   # packaged
    sound-events:synthetic-v1?precision=bf16
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from transforms.encoders.cards import SOUND_LABELS, SOUND_WEIGHTS, Card
from transforms.encoders.image_models import fill, read_tensors
from transforms.encoders.names import Name
from transforms.encoders.network import Network, Where, as_float32
from transforms.encoders.precision import dtype_of, placed
from transforms.encoders.sounds import at_least
from transforms.encoders.weights import verify
from transforms.encoders.windows import of_equal_length
from transforms.errors import UsageError
from transforms.records import Float32

if TYPE_CHECKING:
    import torch

NO_EVENT = "no sound event"
_SHORTEST = 16_000  # samples; what is shorter is followed by silence


@dataclass(eq=False)
class SoundEventsNetwork(Network):
    """The network on its device, its mel bands, and the labels of its outputs."""

    network: "torch.nn.Module"
    bands: "torch.Tensor"  # (frequencies, mel bands)
    labels: tuple[str, ...]
    threshold: float  # the least probability of what is heard
    where: Where = Where()
    nothing: ClassVar[str] = NO_EVENT

    def sounds(self, windows: Sequence[Float32]) -> Float32:
        """(n, dim); a row of zeros where nothing is heard."""
        probabilities, vectors = self.heard(windows)
        return np.where(probabilities.max(1, keepdims=True) >= self.threshold, vectors, np.float32(0))

    def events(self, samples: Float32) -> tuple[tuple[str, float], ...]:
        """What is heard in one window, as (label, probability), the likeliest first; empty where nothing is."""
        (probabilities,), _ = self.heard([samples])
        order = np.argsort(-probabilities, kind="stable")
        return tuple(
            (self.labels[place], float(probabilities[place]))
            for place in order
            if probabilities[place] >= self.threshold
        )

    def heard(self, windows: Sequence[Float32]) -> tuple[Float32, Float32]:
        """The probability of each label (n, labels), and the vectors (n, dim) whatever is heard."""
        import torch

        from transforms.encoders.sound_network import log_mel

        padded = [at_least(window, _SHORTEST) for window in windows]
        rows: dict[int, tuple[Float32, Float32]] = {}
        with torch.inference_mode():
            for own in of_equal_length(padded):
                samples = torch.from_numpy(np.stack([padded[place] for place in own])).to(self.where.device)
                scores, vectors = self.network(log_mel(samples, self.bands).to(dtype_of(self.where)))
                found = zip(as_float32(scores.float().sigmoid()), as_float32(vectors), strict=True)
                rows.update(zip(own, found, strict=True))
        probabilities, vectors = zip(*(rows[place] for place in range(len(windows))), strict=True)
        return np.stack(probabilities), np.stack(vectors)


def described(events: Sequence[tuple[str, float]]) -> str:
    """The events in words: "siren and speech", or "no sound event"."""
    return " and ".join(label for label, _ in events) or NO_EVENT


def describe(name: Name, folder: Path | None) -> Card:
    """There is one model, and its card comes with the project; raises UsageError for another."""
    raise UsageError(f"there is no revision of {name.family}:{name.model}: leave @{name.revision} out")


def load(card: Card, where: Where) -> SoundEventsNetwork:
    """Load what the card pins; raises MissingWeights."""
    from transforms.encoders.sound_network import SoundNetwork, mel_bands

    labels = tuple(json.loads(verify(card.weights_of(SOUND_LABELS)).read_text()))
    path = verify(card.weights_of(SOUND_WEIGHTS))
    network = SoundNetwork(len(labels), card.dimensions)
    fill(network, read_tensors(path), path, "the sound network")
    return SoundEventsNetwork(
        network=placed(network, where),
        bands=mel_bands().to(where.device),
        labels=labels,
        threshold=float(card.setting("threshold")),
        where=where,
    )
