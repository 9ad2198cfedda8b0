"""Classifiers of torchvision without their last layer: ResNet, AlexNet, GoogLeNet, VGG and the rest.

    torchvision:./folder?model=resnet50                # model.safetensors, the network's state dict
    torchvision:./folder?model=resnet50&unsafe=true    # torchvision's own resnet50-<checksum>.pth, tensors only

torchvision's weights lie on no hub. The checksum in the name of a .pth file is compared with the file. Pictures are
scaled to 256 pixels and 224 of them cut out (Inception v3: 342 and 299). Other weights want other sizes, by the options
`resize` and `size`; a .pth file that torchvision knows by its name is refused with the wrong ones.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from transforms.encoders.cards import Card
from transforms.encoders.folders import hub_card
from transforms.encoders.image_models import IMAGENET_MEAN, IMAGENET_STD, fill, normalised, read_tensors, the_one_file
from transforms.encoders.names import Name
from transforms.encoders.network import Network, Pixels, Where, as_float32
from transforms.encoders.precision import placed
from transforms.errors import MissingWeights, UsageError
from transforms.records import Float32, FrameSpec

_SIZES = {"inception_v3": (299, 342)}  # cut out, scaled to
#: They bring pictures into the range of Inception's makers themselves, and have classifiers for training only.
_INCEPTIONS = ("googlenet", "inception_v3")
_CLASSIFIER = re.compile(r"(fc|classifier|head|heads)(\.[\w.]+)?\.weight")
_TRAINING_ONLY = ("aux1.", "aux2.", "AuxLogits.")


@dataclass(eq=False)
class TorchvisionNetwork(Network):
    """The network, its last layer replaced by nothing."""

    model: Any
    where: Where = Where()

    def frames(self, pixels: Pixels) -> Float32:
        """(n, dim)."""
        return as_float32(self.model(normalised(pixels, IMAGENET_MEAN, IMAGENET_STD, self.where)))


def repository(name: Name) -> str:
    """The hub's id of a name like org/model; raises MissingWeights for a network's bare name."""
    if name.is_local or name.is_bucket or "/" in name.model:
        return name.model
    raise MissingWeights(
        f"torchvision's weights lie on no hub; put {name.model}'s model.safetensors, or torchvision's own .pth, "
        f"into a folder and name it: torchvision:./FOLDER?model={name.model} (a .pth file needs &unsafe=true)"
    )


def describe(name: Name, folder: Path) -> Card:
    """The card of a folder: the shape of the last layer tells the dimensions."""
    name.check_options("model", "size", "resize", "transform_input")
    model = name.option("model")
    if not model:
        raise UsageError(f"say which network lies in the folder, e.g. {name}?model=resnet50")
    size, resize = _SIZES.get(model, (224, 256))
    size, resize = name.number("size", size), name.number("resize", max(resize, name.number("size", size)))
    if resize < size:
        raise UsageError(
            f"no more can be cut out of a picture than there is: size={size}, resize={resize}, name={str(name)!r}"
        )
    settings: list[tuple[str, Any]] = [("model", model)]
    if model in _INCEPTIONS:
        settings.append(("transform_input", name.choice("transform_input", ("true", "false"))))
    file = the_one_file(folder, "model.safetensors")
    card = hub_card(
        name,
        folder,
        modality="image",
        accepts=("image",),
        dimensions=1,
        text_queries=False,
        tensors=(file,) if file else ("*.safetensors",),
        settings=settings,
        frame_spec=FrameSpec(size, size, "crop", size / resize, "bilinear"),
    )
    path = _weights_path(card)
    shapes = shapes_of(path)
    return replace(card, dimensions=shapes[classifier_of(shapes, path)][1])


def _weights_path(card: Card) -> Path:
    weights = next(one for one in card.weights if Path(one.file).suffix != ".json")
    said = re.fullmatch(r".*-([0-9a-f]{8,64})\.pth", weights.file)
    if said and not weights.sha256.startswith(said[1]):
        raise MissingWeights(
            f"the weights are damaged: {weights.file} begins with {weights.sha256[:8]} by its SHA-256; copy them again"
        )
    return card.folder / weights.file


def shapes_of(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor; of a safetensors file only its header is read."""
    if path.suffix != ".safetensors":
        return {key: tuple(tensor.shape) for key, tensor in read_tensors(path).items()}
    from safetensors import safe_open

    with safe_open(path, framework="np") as opened:
        return {key: tuple(opened.get_slice(key).get_shape()) for key in opened.keys()}  # noqa: SIM118


def classifier_of(shapes: Mapping[str, tuple[int, ...]], path: Path) -> str:
    """The weights of the last layer, which gives a number a class; raises MissingWeights where there is none."""
    found = [key for key, shape in shapes.items() if _CLASSIFIER.fullmatch(key) and len(shape) in (2, 4)]
    if not found:
        raise MissingWeights(f"the weights have no classifier (fc, classifier or head): {path}; take another file")
    return max(found, key=lambda key: [int(part) for part in re.findall(r"\d+", key)])


def check_size(model: str, path: Path, spec: FrameSpec) -> None:
    """Raise UsageError where torchvision says that this file of its own wants pictures of another size."""
    from torchvision.models import get_model_weights

    for weights in get_model_weights(model):
        if weights.value.url.rpartition("/")[2] == path.name:
            wanted = weights.transforms()
            (size,), (resize,) = wanted.crop_size, wanted.resize_size
            if (spec.width, round(spec.width / spec.crop_fraction)) != (size, resize):
                raise UsageError(
                    f"{path.name} wants pictures of other sizes; add to the name: size={size}&resize={resize}"
                )


def load(card: Card, where: Where) -> TorchvisionNetwork:
    """The network of a card, every tensor read from its file."""
    import torch
    from torchvision import models

    settings = dict(card.settings)
    name, path = str(settings["model"]), _weights_path(card)
    known = models.list_models(module=models)
    if name not in known:
        near = get_close_matches(name, known, n=3, cutoff=0.0)
        raise UsageError(
            f"torchvision has no classifier {name!r}; the nearest are {', '.join(near)}: name={card.name!r}"
        )
    assert card.frame_spec is not None
    if not {"size", "resize"} & dict(Name.parse(card.name).options).keys():
        check_size(name, path, card.frame_spec)
    tensors = read_tensors(path)
    last = classifier_of({key: tuple(tensor.shape) for key, tensor in tensors.items()}, path)
    options: dict[str, Any] = {}
    if name in _INCEPTIONS:
        transformed = settings["transform_input"] == "true"
        options = {"aux_logits": False, "init_weights": False, "transform_input": transformed}
        tensors = {key: tensor for key, tensor in tensors.items() if not key.startswith(_TRAINING_ONLY)}
    model = models.get_model(name, weights=None, num_classes=tensors[last].shape[0], **options)
    fill(model, tensors, path, name)
    model.set_submodule(last.removesuffix(".weight"), torch.nn.Identity())
    return TorchvisionNetwork(placed(model, where))
