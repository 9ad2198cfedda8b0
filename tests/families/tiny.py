"""What each module here offers: tiny, randomly initialised models of real architectures, saved as real ones are.

The suite in `tests/test_families.py` runs over all of them:

    TINY = (Tiny("clap", save_clap, reference=clap_reference), ...)
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from transforms.encoders.cards import Card
from transforms.encoders.network import ClipInput, Kind
from transforms.records import Audio


@dataclass(frozen=True, slots=True)
class Tiny:
    """One model of a family.

    `save` writes it into an empty folder and returns the encoder's name; `reference` embeds inputs with the library
    itself, from the same folder, not through Reelvec: (folder, kind, inputs) -> (n, dim), any length. Inputs are
    those of `inputs_of` below. `label` tells several models of one family apart.
    """

    family: str
    save: Callable[[Path], str]
    reference: Callable[[Path, Kind, Sequence[Any]], Any] | None = None
    label: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.family}-{self.label}" if self.label else self.family


def without(folder: Path, part: str) -> None:
    """Take the tensors with this part of a name out of every safetensors file below the folder."""
    from safetensors.torch import load_file, save_file

    taken = 0
    for path in folder.rglob("*.safetensors"):
        tensors = load_file(path)
        kept = {key: tensor for key, tensor in tensors.items() if part not in key}
        taken += len(tensors) - len(kept)
        if len(kept) < len(tensors):
            save_file(kept, path, {"format": "pt"})
    assert taken, f"no tensor of {folder} has {part!r} in its name"


def pickled(folder: Path) -> None:
    """Put the folder's one safetensors file away for a pickled one of the same tensors."""
    import torch
    from safetensors.torch import load_file

    (path,) = folder.glob("*.safetensors")
    torch.save(load_file(path), folder / "pytorch_model.bin")
    path.unlink()


TEXTS = (
    "a rocket on the launch pad",
    "two cats sleep on a sofa while it rains outside and nobody comes to feed them",
    "stop",
    "the lecture is about telescopes, mirrors and the light of distant stars",
)


def inputs_of(card: Card, kind: Kind, count: int = 4) -> list[Any]:
    """`count` clearly different inputs of a kind, in the sizes that the card asks for; the same ones every time.

    text: str. image: (height, width, 3) uint8. sound: Audio. clip: ClipInput.
    """
    if kind == "text":
        return list(TEXTS[:count])
    if kind == "image":
        return [picture(card, place) for place in range(count)]
    if kind == "sound":
        return [sound(card, place) for place in range(count)]
    return [clip(card, place) for place in range(count)]


def picture(card: Card, place: int) -> Any:
    """Gradients and noise, (height, width, 3) uint8."""
    spec = card.frame_spec
    height, width = (spec.height, spec.width) if spec and spec.fit != "whole" else (96, 128)
    random = np.random.default_rng(place)
    rows, columns = np.mgrid[0:height, 0:width]
    waves = np.stack([np.sin(rows / (7 + place + 3 * c)) * np.cos(columns / (5 + 2 * place + c)) for c in range(3)], 2)
    return np.clip(127 + 100 * waves + random.normal(0, 12, waves.shape), 0, 255).astype(np.uint8)


def sound(card: Card, place: int) -> Audio:
    """A second of two tones and noise at the card's rate."""
    rate = card.sample_rate_hz or 16_000
    random = np.random.default_rng(100 + place)
    seconds = np.arange(rate) / rate
    tones = np.sin(2 * np.pi * 220 * (place + 1) * seconds) + 0.5 * np.sin(2 * np.pi * 517 * (place + 2) * seconds)
    return Audio((0.3 * tones + random.normal(0, 0.02, rate)).astype(np.float32), rate, 0.0)


def clip(card: Card, place: int) -> ClipInput:
    """Frames that move at the card's frame count and size, over two seconds, and a sound."""
    count = card.frames_per_clip or 8
    first = picture(card, place)
    frames = np.stack([np.roll(first, step * (2 + place), axis=1) for step in range(count)])
    times = np.linspace(0.0, 2.0, count, endpoint=False)
    return ClipInput(frames, times, sound(card, place) if card.sample_rate_hz else None)
