"""Encoders by name, loaded once a process. Importing this module imports neither torch nor Beam."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transforms.encoders.cards import card
from transforms.errors import UsageError

if TYPE_CHECKING:
    from apache_beam.ml.inference.base import ModelHandler


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A handler with its model: `handler.run_inference(batch, model)`."""

    handler: "ModelHandler[Any, Any, Any]"
    model: Any


def handler(name: str, *, device: str = "auto") -> "ModelHandler[Any, Any, Any]":
    """The Beam ModelHandler of this encoder, without its model; raises UsageError for an unknown name.

    frames: (k, height, width, 3) uint8 -> (k, dim) float32 unit vectors.
    speech: Audio -> Transcript on the container's clock.
    text: str -> (dim,) float32 unit vector.

    `device` is auto, cpu or cuda; cuda never falls back to the CPU.
    """
    found = card(name)
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"a device is auto, cpu or cuda: device={device!r}")
    if found.modality == "frames":
        from transforms.encoders.frames import FrameHandler

        return FrameHandler(found, device)
    if found.modality == "speech":
        from transforms.encoders.speech import SpeechHandler

        return SpeechHandler(found, device)
    if found.modality == "text":
        from transforms.encoders.text import TextHandler

        return TextHandler(found, device)
    raise UsageError(f"{name} has no model to load; its vectors come from transforms.encoders.words")


def loaded(name: str, *, device: str = "auto") -> Loaded:
    """The encoder, ready; its model is loaded once a process and kept over runs.

    Raises MissingWeights, and UsageError for an unknown name or a device that is not there.
    """
    found = handler(name, device=device)
    return Loaded(found, found.load_model())
