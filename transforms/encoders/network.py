"""What a family of encoders brings: a loaded model that turns one batch into rows of numbers.

A family overrides the methods for what its model takes. Everything around them - sub-batches,
long inputs, unit length, smaller vectors, memory, checks - is `encoder.Encoder`'s, once for all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from transforms.records import Audio, Float32, Transcript

Pixels = NDArray[np.uint8]
Role = Literal["query", "document"]
#: What goes in. `clip` is a stretch of video: frames with their times, and its sound.
Kind = Literal["text", "image", "sound", "clip"]

_BATCH_ITEMS: Mapping[str, Mapping[Kind, int]] = {
    # On two cores 4 frames at once ran at 49 frames/s, 32 at 29 and in 700 MB more memory.
    "cpu": {"text": 32, "image": 4, "sound": 4, "clip": 1},
    "gpu": {"text": 256, "image": 32, "sound": 16, "clip": 8},
}


@dataclass(frozen=True, slots=True)
class Where:
    """The device that a model runs on, and how exactly: all that `load` needs beside the card."""

    device: str = "cpu"  # cpu, cuda, cuda:1, mps
    precision: Literal["fp32", "bf16", "fp16", "int8"] = "fp32"
    compile: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class ClipInput:
    """One clip for a whole-clip encoder: frames (k, height, width, 3) uint8 and their times (k,), and its sound.

    `words` is what is said and shown, for networks whose card says that they take it.
    """

    frames: Pixels
    pts_seconds: NDArray[np.float64]
    audio: Audio | None = None
    words: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Detected:
    """One object in one frame; the box is (left, top, right, bottom) as fractions of the picture."""

    label: str
    score: float
    box: tuple[float, float, float, float]
    vector: Float32  # (dim,) unit


class Network:
    """A model on its device. Rows that it gives are float32 and need not be of unit length."""

    where: Where = Where()
    #: What a row of zeros means, in words, for whoever asked for a vector.
    nothing: ClassVar[str] = "it has no vector"

    def texts(self, texts: Sequence[str], role: Role) -> Float32 | list[Float32]:
        """(n, dim), or for a late-interaction model a list of (tokens, dim); prompts are already in the texts."""
        raise NotImplementedError

    def frames(self, pixels: Pixels) -> Float32:
        """Frames (n, height, width, 3) uint8 of the card's `frame_spec` -> (n, dim)."""
        raise NotImplementedError

    def sounds(self, windows: Sequence[Float32]) -> Float32:
        """Windows, each (samples,) at the card's rate and no longer than its `longest_seconds` -> (n, dim)."""
        raise NotImplementedError

    def clips(self, clips: Sequence[ClipInput]) -> Float32:
        """Clips, each of the card's `frames_per_clip` frames -> (n, dim)."""
        raise NotImplementedError

    def transcribe(self, audio: Audio) -> Transcript:
        """The words of one stretch of sound, on its own clock."""
        raise NotImplementedError

    def read(self, picture: Pixels) -> str:
        """The text on one picture (height, width, 3), line after line; "" where there is none."""
        raise NotImplementedError

    def detect(self, pixels: Pixels) -> list[list[Detected]]:
        """The objects of each frame (n, height, width, 3), the surest first."""
        raise NotImplementedError

    def in_role(self, role: Role) -> "Network":
        """The network as it embeds pictures, sound and clips in this role: itself, where only texts know roles."""
        return self

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Where each token of a text begins and ends, in characters; by default its words."""
        import re

        return [found.span() for found in re.finditer(r"\S+", text)]

    def batch_items(self, kind: Kind) -> int:
        """How many inputs of a kind one forward pass takes."""
        return _BATCH_ITEMS["cpu" if self.where.device == "cpu" else "gpu"][kind]

    def close(self) -> None:
        """Let go of what the model holds outside of memory (a client's connections)."""


def as_float32(tensor: Any) -> Float32:
    """A torch tensor of any precision and device as float32 numpy."""
    rows: Float32 = tensor.detach().float().cpu().numpy()
    return rows
