"""Encoders by name, loaded once a process. Importing this module imports neither torch nor Beam."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from transforms.encoders.cards import Card
from transforms.encoders.catalog import card
from transforms.encoders.device import check_device, kept, resolve_device
from transforms.encoders.family import family
from transforms.encoders.names import Name
from transforms.encoders.network import Where
from transforms.encoders.weights import sha256_of
from transforms.errors import MissingWeights, UsageError

if TYPE_CHECKING:
    from apache_beam.ml.inference.base import ModelHandler

    from transforms.encoders.encoder import Encoder
    from transforms.encoders.reduce import Reduction


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A handler with its model: `handler.run_inference(batch, model)`."""

    handler: "ModelHandler[Any, Any, Encoder]"
    model: "Encoder"


def handler(name: str, *, device: str = "auto") -> "ModelHandler[Any, Any, Encoder]":
    """The Beam ModelHandler of this encoder, without its model; raises UsageError for an unknown name.

    text: str -> (dim,) float32 unit vector, or (tokens, dim) of a late-interaction model.
    image: (k, height, width, 3) uint8 -> (k, dim) float32 unit vectors.
    sound: Audio -> (dim,). video, motion: ClipInput -> (dim,).
    speech: Audio -> Transcript on the container's clock. ocr: (height, width, 3) -> str.
    objects: (k, height, width, 3) -> a list of Detected for each frame.

    `device` is auto, cpu, cuda, cuda:N or mps; a named one never falls back to another.
    """
    from transforms.encoders.handler import EncoderHandler

    check_device(device)
    found = card(name)
    if found.modality == "words":
        raise UsageError(f"{name} has no model to load; its vectors come from transforms.encoders.words")
    return EncoderHandler(found, device)


def loaded(name: str, *, device: str = "auto") -> Loaded:
    """The encoder, ready; its model is loaded once a process and kept over runs.

    Raises MissingPackage, MissingWeights, and UsageError for an unknown name or a device that is not there.
    """
    found = handler(name, device=device)
    return Loaded(found, found.load_model())


def load_encoder(found: Card, device: str) -> "Encoder":
    """The encoder of a card on a device; loaded once a process for the same card, device and precision."""
    where = Where(
        device=resolve_device(device, name=found.name, family=found.family),
        precision=cast(Any, dict(found.settings).get("precision", "fp32")),
        compile=Name.parse(found.name).flag("compile"),
    )
    return kept((found, where), lambda: _load(found, where))


def _load(found: Card, where: Where) -> "Encoder":
    from transforms.encoders.encoder import Encoder
    from transforms.encoders.fusion.adapter import load_adapter

    network = family(found.family).load_module().load(found, where)
    network.where = where
    adapter = Name.parse(found.name).option("adapter")
    adapted = load_adapter(Path(adapter).expanduser()) if adapter else None
    return Encoder(found, network, where, _reduction(found), adapted)


def _reduction(found: Card) -> "Reduction":
    from transforms.encoders.reduce import Reduction, load_components

    size = int(dict(found.settings).get("keep_dimensions", 0) or 0)
    if pca := Name.parse(found.name).option("pca"):
        path = Path(pca).expanduser()
        if sha256_of(path) != dict(found.settings)["pca"]:
            raise MissingWeights(f"the components are not those that the encoder was described with: {path}; run again")
        return replace(load_components(path), dimensions=size)
    return Reduction(dimensions=size)
