"""VGGish (Hershey et al., 2017) as the package torchvggish has it: a convolutional network over log-mel patches.

A model is a folder with the package's state dict (features.*, embeddings.*) in a safetensors file. The package would
download its weights, and the parameters of its post-processing; that is never called, so the 128 numbers are those of
the network itself. Sound is cut into patches of 0.96 s as the package does; what is left at the end makes one more
patch, filled up with silence, which counts by how much sound it holds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transforms.encoders.cards import Card
from transforms.encoders.folders import hub_card
from transforms.encoders.image_models import fill, read_tensors
from transforms.encoders.names import Name
from transforms.encoders.network import Network, Where, as_float32
from transforms.encoders.precision import dtype_of, placed
from transforms.encoders.sounds import at_least
from transforms.records import Float32

RATE_HZ = 16_000
PATCH_HOP = 15_360  # samples from one patch of 96 frames to the next
PATCH = 15_600  # samples that a patch looks at: 95 steps of 10 ms and a window of 25 ms
_LONGEST_SECONDS = 30.0
_TENSORS = (".safetensors", ".bin", ".pth", ".pt")


@dataclass(eq=False)
class VggishNetwork(Network):
    """The network."""

    model: Any
    where: Where = Where()

    def sounds(self, windows: Sequence[Float32]) -> Float32:
        """(n, 128)."""
        import torch

        found = [patches(window) for window in windows]
        inputs = torch.cat([own for own, _ in found]).to(self.where.device, dtype_of(self.where))
        with torch.inference_mode():
            rows = as_float32(self.model(inputs))
        ends = np.cumsum([len(own) for own, _ in found])[:-1]
        return np.stack(
            [np.average(own, axis=0, weights=held) for own, (_, held) in zip(np.split(rows, ends), found, strict=True)]
        ).astype(np.float32)


def patches(samples: Float32) -> tuple[Any, list[int]]:
    """Samples (n,) -> log-mel patches (k, 1, 96, 64), by the package itself, and how many new samples each holds."""
    from torchvggish.vggish_input import waveform_to_examples  # type: ignore[import-untyped]

    count = max(1, -(-(len(samples) - (PATCH - PATCH_HOP)) // PATCH_HOP))
    held = [min(PATCH_HOP, max(1, len(samples) - PATCH_HOP * place)) for place in range(count)]
    whole = at_least(samples, PATCH_HOP * (count - 1) + PATCH)
    return waveform_to_examples(whole, RATE_HZ).detach(), held


def describe(name: Name, folder: Path) -> Card:
    """The card of a folder with the state dict in a safetensors file."""
    name.check_options()
    return hub_card(
        name,
        folder,
        modality="sound",
        accepts=("sound",),
        dimensions=128,
        text_queries=False,
        sample_rate_hz=RATE_HZ,
        longest_seconds=_LONGEST_SECONDS,
    )


def load(card: Card, where: Where) -> VggishNetwork:
    """The network with the folder's tensors; raises MissingWeights where they are not its own."""
    from torchvggish.torchvggish import VGG, make_layers  # type: ignore[import-untyped]

    model = VGG(make_layers(), postprocess=False)
    files = [one.file for one in card.weights if Path(one.file).suffix in _TENSORS]
    tensors = {key: value for file in files for key, value in read_tensors(card.folder / file).items()}
    fill(model, tensors, card.folder, "torchvggish's network")
    return VggishNetwork(placed(model, where))
