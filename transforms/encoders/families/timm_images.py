"""Image networks of timm (Wightman, 2019), without their classifier: picture to picture, no text tower.

`pooling` turns the last feature map, or the tokens, into one vector:

    library    as timm does it before the classifier
    avg, max   as timm does it with `global_pool` of that name: over the patches, with the norms and layers of its head
    cls        the first token
    patch      the mean over the patches, and nothing after it
    attention  the patches weighed by the softmax of their lengths over the root of their dimensions

`layers=3,6,9` takes those layers instead (timm's `forward_intermediates`; negative ones count from the end), pools each
alike and puts them side by side; `library` means CLS there where the network's own head reads it, else `patch`, as
`avg` does.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transforms.encoders.cards import Card
from transforms.encoders.folders import check_safetensors, hub_card, interpolation_of, read_config
from transforms.encoders.image_models import IMAGENET_MEAN, IMAGENET_STD, fill, normalised, read_tensors, the_one_file
from transforms.encoders.names import Name
from transforms.encoders.network import Network, Pixels, Where, as_float32
from transforms.encoders.precision import placed
from transforms.encoders.text_models import tensor_shape
from transforms.errors import MissingWeights, UsageError
from transforms.records import Float32, FrameSpec

if TYPE_CHECKING:
    import torch

POOLINGS = ("library", "avg", "max", "cls", "patch", "attention")
#: What the network's own head does; `reset_classifier` has told it how.
_BY_HEAD = ("library", "avg", "max")
_LAST = "-1"


@dataclass(eq=False)
class TimmNetwork(Network):
    """The network without its classifier."""

    model: Any
    pooling: str
    layers: tuple[int, ...]  # () is what the network gives at its end
    mean: Sequence[float]
    std: Sequence[float]
    where: Where = Where()

    def frames(self, pixels: Pixels) -> Float32:
        """(n, dim)."""
        shown = normalised(pixels, self.mean, self.std, self.where)
        return as_float32(features(self.model, shown, self.pooling, self.layers))


def features(model: Any, shown: "torch.Tensor", pooling: str, layers: Sequence[int]) -> "torch.Tensor":
    """Pictures (n, 3, height, width) -> (n, dim). Raises UsageError for what the network does not have."""
    import torch

    if not layers:
        if pooling in _BY_HEAD:
            whole: torch.Tensor = model(shown)
            return whole
        return pooled(*_tokens(model, model.forward_features(shown)), pooling)
    if pooling == "library":
        pooling = "cls" if getattr(model, "global_pool", "") == "token" else "patch"
    prefixed = getattr(model, "num_prefix_tokens", 0) > 0
    options = {"return_prefix_tokens": True} if prefixed else {}
    maps = model.forward_intermediates(shown, indices=list(layers), intermediates_only=True, **options)
    rows = []
    for one in maps:
        patches, prefix = one if prefixed else (one, None)
        patches = patches.flatten(2).transpose(1, 2)
        rows.append(pooled(patches, patches[:, :0] if prefix is None else prefix, pooling))
    return torch.cat(rows, 1)


def pooled(patches: "torch.Tensor", prefix: "torch.Tensor", pooling: str) -> "torch.Tensor":
    """Patches (n, places, dim) and the tokens before them (n, k, dim) -> (n, dim)."""
    import torch

    if pooling == "cls":
        if prefix.shape[1] == 0:
            raise UsageError("the network has no CLS token; take pooling=library, avg, max, patch or attention")
        return prefix[:, 0]
    if pooling == "attention":
        lengths: torch.Tensor = patches.norm(dim=-1)  # (n, places)
        shares = torch.softmax(lengths / math.sqrt(patches.shape[-1]), 1)
        return (shares[:, :, None] * patches).sum(1)
    return patches.amax(1) if pooling == "max" else patches.mean(1)


def _tokens(model: Any, found: Any) -> tuple["torch.Tensor", "torch.Tensor"]:
    if getattr(found, "ndim", 0) == 4:  # a map: (n, dim, height, width), or (n, height, width, dim)
        channels_last = str(getattr(model, "output_fmt", "NCHW")).endswith("NHWC")
        patches = found.flatten(1, 2) if channels_last else found.flatten(2).transpose(1, 2)
        return patches, patches[:, :0]
    if getattr(found, "ndim", 0) == 3:
        before = getattr(model, "num_prefix_tokens", 0)
        return found[:, before:], found[:, :before]
    raise UsageError(f"{type(model).__name__} has neither a feature map nor tokens; take pooling=library")


def repository(name: Name) -> str:
    """The hub's id."""
    return name.model if name.is_local or name.is_bucket or "/" in name.model else f"timm/{name.model}"


def describe(name: Name, folder: Path) -> Card:
    """The card of a model's folder; builds an empty network only where the files do not tell its size."""
    name.check_options("pooling", "layers")
    config = read_config(folder)
    shown = _preprocessing(config, folder)
    pooling, layers = name.choice("pooling", POOLINGS), name.option("layers", _LAST)
    places = _places(layers, name)
    try:
        _, height, width = shown["input_size"]
        fit = "stretch" if shown.get("crop_mode") == "squash" else "crop"
        kept = 1.0 if fit == "stretch" else shown.get("crop_pct") or 1.0
        way = interpolation_of(shown.get("interpolation"), "bicubic")
        spec = FrameSpec(width, height, fit, kept, way)  # type: ignore[arg-type]
    except (KeyError, TypeError, ValueError) as error:
        raise MissingWeights(f"the model's config.json has no size of pictures: {folder}: {error}") from error
    file = the_one_file(folder, "model.safetensors")
    if file:
        check_safetensors(folder / file)
    dimensions = 0 if places else _said_dimensions(config, shown, folder, pooling)
    return hub_card(
        name,
        folder,
        modality="image",
        accepts=("image",),
        dimensions=dimensions or _built_dimensions(config, spec, pooling, places, name),
        text_queries=False,
        tensors=(file,) if file else ("*.safetensors",),
        settings=(("pooling", pooling), ("layers", ",".join(map(str, places)) or _LAST)),
        frame_spec=spec,
        code_revision=2 if pooling in ("avg", "max") else 1,
    )


def _preprocessing(config: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    shown = config.get("pretrained_cfg", config)  # older files have everything in one
    if not isinstance(shown, dict) or "architecture" not in config:
        raise MissingWeights(f"this is no config.json of timm: {folder}; take a folder as timm's models lie on the hub")
    return shown


def _places(layers: str, name: Name) -> tuple[int, ...]:
    try:
        places = tuple(int(layer) for layer in layers.split(","))
    except ValueError as error:
        raise UsageError(
            f"layers are whole numbers, e.g. layers=3,6,9: layers={layers!r}, name={str(name)!r}"
        ) from error
    if list(places) != sorted(set(places)) or places[0] < 0 <= places[-1]:
        raise UsageError(
            "layers stand once each, from the first to the last, all counted from the start or all from the end: "
            f"layers={layers!r}, name={str(name)!r}"
        )
    return () if places == (int(_LAST),) else places


def _said_dimensions(config: Mapping[str, Any], shown: Mapping[str, Any], folder: Path, pooling: str) -> int:
    """The columns of the classifier, or the number of features; 0 where the files do not say it."""
    if pooling == "library":
        names = shown.get("classifier") or ()
        first = names if isinstance(names, str) else next(iter(names), "")
        if first and (shape := tensor_shape(folder, f"{first}.weight")):
            return shape[1]
        if config.get("num_classes", shown.get("num_classes")):
            return 0
    return 0 if pooling in _BY_HEAD[1:] else int(config.get("num_features") or 0)


def _built_dimensions(
    config: Mapping[str, Any], spec: FrameSpec, pooling: str, places: Sequence[int], name: Name
) -> int:
    import torch

    with torch.device("meta"):
        model = without_classifier(_created(config).eval(), pooling, places)
        try:
            return features(model, torch.zeros(1, 3, spec.height, spec.width), pooling, places).shape[1]
        except (AssertionError, AttributeError) as error:
            raise UsageError(
                f"{config['architecture']} does not give these layers: {error}: name={str(name)!r}"
            ) from error


def _created(config: Mapping[str, Any]) -> Any:
    import timm

    classes = config.get("num_classes", config.get("pretrained_cfg", {}).get("num_classes", 1000))
    try:
        arguments = {"num_classes": classes, **config.get("model_args", {})}
        return timm.create_model(config["architecture"], pretrained=False, **arguments)
    except RuntimeError as error:
        raise MissingWeights(
            f"the installed timm {timm.__version__} has no such network: {error}; install a newer one"
        ) from error


def without_classifier(model: Any, pooling: str, layers: Sequence[int]) -> Any:
    """The network with the head that this pooling needs; raises UsageError for one that it cannot have."""
    if layers or pooling not in _BY_HEAD[1:]:
        model.reset_classifier(0)
        return model
    try:
        model.reset_classifier(0, pooling)
    except (AssertionError, TypeError) as error:
        raise UsageError(
            f"{type(model).__name__} has no pooling={pooling}: {error}; take pooling=library, patch or attention"
        ) from error
    return model


def classifier_in(card: Card) -> tuple[Any, dict[str, Any]]:
    """The whole network of a card, every tensor read from its file, and how it wants its pictures."""
    weights = next(one for one in card.weights if one.folder and not one.file.endswith(".json"))
    folder = Path(weights.folder)
    config = read_config(folder)
    model = _created(config)
    fill(model, read_tensors(folder / weights.file), folder / weights.file, config["architecture"])
    return model, _preprocessing(config, folder)


def load(card: Card, where: Where) -> TimmNetwork:
    """The network of a card without its classifier."""
    model, shown = classifier_in(card)
    settings = dict(card.settings)
    pooling, said = str(settings["pooling"]), str(settings["layers"])
    layers = () if said == _LAST else tuple(map(int, said.split(",")))
    return TimmNetwork(
        placed(without_classifier(model, pooling, layers), where),
        pooling=pooling,
        layers=layers,
        mean=shown.get("mean", IMAGENET_MEAN),
        std=shown.get("std", IMAGENET_STD),
    )
