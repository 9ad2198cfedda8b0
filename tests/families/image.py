"""Tiny image encoders of open_clip, timm and torchvision, saved as their makers lay them on a hub."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.families.tiny import Tiny
from transforms.encoders.network import Kind

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_VISION = {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8}
_TEXT = {"context_length": 24, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}


def save_open_clip(
    folder: Path, *, siglip: bool = False, file: str = "open_clip_model.safetensors", size: int = 32
) -> str:
    """A CLIP with open_clip's own tokenizer, or one like SigLIP with a tokenizer of transformers."""
    import open_clip
    from safetensors.torch import save_file

    from tests.families.tokenizers import save_bpe_tokenizer

    torch.manual_seed(0)
    text: dict[str, Any] = dict(_TEXT)
    if siglip:
        save_bpe_tokenizer(folder)
        text |= {
            "vocab_size": 400,
            "context_length": 96,
            "hf_tokenizer_name": "org/tokenizer",
            "no_causal_mask": True,
            "pool_type": "last",
        }
    vision = _VISION | {"image_size": size, "patch_size": size // 4}
    model_config = {"embed_dim": 24, "vision_cfg": vision, "text_cfg": text}
    shown = {"mean": [0.5] * 3, "std": [0.5] * 3, "resize_mode": "squash"} if siglip else {"resize_mode": "shortest"}
    config = {"model_cfg": {**model_config, "custom_text": siglip}, "preprocess_cfg": shown}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    model_class = open_clip.CustomTextCLIP if siglip else open_clip.CLIP
    save_file(model_class(**model_config).state_dict(), folder / file)
    return f"open_clip:{folder}"


def save_siglip(folder: Path) -> str:
    return save_open_clip(folder, siglip=True, file="model.safetensors")


def open_clip_reference(folder: Path, kind: Kind, inputs: Sequence[Any]) -> Any:
    """open_clip's own preprocessing, tokenizer and model."""
    import open_clip
    from PIL import Image

    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    with torch.inference_mode():
        if kind == "image":
            return model.eval().encode_image(torch.stack([preprocess(Image.fromarray(one)) for one in inputs]))
        return model.eval().encode_text(open_clip.get_tokenizer(f"local-dir:{folder}")(list(inputs)))


def save_timm(folder: Path, architecture: str, options: str = "", classes: int = 10, **asked: Any) -> str:
    """A randomly initialised network of timm, in the hub's layout."""
    import timm
    from timm.models._hub import save_for_hf

    torch.manual_seed(0)
    model = timm.create_model(architecture, num_classes=classes, **asked)
    save_for_hf(model, str(folder), safe_serialization=True, model_args=asked)
    return f"timm:{folder}{options}"


def timm_saver(architecture: str, options: str = "") -> Callable[[Path], str]:
    return lambda folder: save_timm(folder, architecture, options)


def timm_reference(pool: Callable[[Any, Any], Any]) -> Callable[[Path, Kind, Sequence[Any]], Any]:
    """timm's network without its classifier, read by timm, and what `pool` makes of (model, pictures)."""

    def reference(folder: Path, kind: Kind, inputs: Sequence[Any]) -> Any:
        import timm
        from timm.data import create_transform, resolve_model_data_config
        from torchvision.transforms import Normalize

        model = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0).eval()
        data = resolve_model_data_config(model)
        assert create_transform(**data).transforms[-1].mean.tolist() == list(data["mean"])
        shown = torch.stack([torch.from_numpy(one).permute(2, 0, 1) / 255 for one in inputs])
        with torch.inference_mode():
            return pool(model, Normalize(data["mean"], data["std"])(shown))

    return reference


def pooled_by_timm(model: Any, shown: Any, pool: str) -> Any:
    """What timm's own head makes of the features with `global_pool`."""
    model.reset_classifier(0, global_pool=pool)
    return model.forward_head(model.forward_features(shown))


def side_by_side(model: Any, shown: Any) -> Any:
    """The mean over the patches of layers 1, 3 and 5."""
    maps = model.forward_intermediates(shown, indices=[1, 3, 5], intermediates_only=True)
    return torch.cat([one.mean((2, 3)) for one in maps], 1)


def by_length(model: Any, shown: Any) -> Any:
    """Patches weighed by their lengths, one after another."""
    rows = []
    for tokens in model.forward_features(shown)[:, 1:]:
        weights = torch.stack([token.norm() / len(token) ** 0.5 for token in tokens]).exp()
        rows.append((weights[:, None] * tokens).sum(0) / weights.sum())
    return torch.stack(rows)


def save_torchvision(folder: Path, model: str) -> str:
    from safetensors.torch import save_file
    from torchvision import models

    torch.manual_seed(0)
    options = {"init_weights": True} if model == "googlenet" else {}
    network = models.get_model(model, weights=None, num_classes=10, **options)
    save_file(network.state_dict(), folder / "model.safetensors")
    return f"torchvision:{folder}?model={model}&resize=64&size=64"


def torchvision_saver(model: str) -> Callable[[Path], str]:
    return lambda folder: save_torchvision(folder, model)


def torchvision_reference(model: str, layer: str) -> Callable[[Path, Kind, Sequence[Any]], Any]:
    """What goes into torchvision's classifier, caught there."""

    def reference(folder: Path, kind: Kind, inputs: Sequence[Any]) -> Any:
        from safetensors.torch import load_file
        from torchvision import models
        from torchvision.transforms.functional import normalize, to_tensor

        network = models.get_model(model, weights=None, num_classes=10).eval()
        network.load_state_dict(load_file(folder / "model.safetensors"))
        caught: list[Any] = []
        network.get_submodule(layer).register_forward_pre_hook(lambda _, given: caught.append(given[0]))
        with torch.inference_mode():
            network(torch.stack([normalize(to_tensor(np.ascontiguousarray(one)), MEAN, STD) for one in inputs]))
        return caught[0]

    return reference


TINY = (
    Tiny("open_clip", save_open_clip, open_clip_reference),
    Tiny("open_clip", save_siglip, open_clip_reference, label="siglip"),
    Tiny("timm", timm_saver("test_resnet"), timm_reference(lambda model, shown: model(shown)), label="resnet"),
    Tiny(
        "timm",
        timm_saver("test_resnet", "?pooling=max"),
        timm_reference(lambda model, shown: model.forward_features(shown).amax((2, 3))),
        label="resnet-max",
    ),
    *(
        Tiny(
            "timm",
            timm_saver(network, f"?pooling={pool}"),
            timm_reference(partial(pooled_by_timm, pool=pool)),
            label=f"{network}-{pool}",
        )
        for network, pool in (("test_vit", "avg"), ("test_vit2", "max"), ("test_convnext", "max"))
    ),
    Tiny("timm", timm_saver("test_convnext"), timm_reference(lambda model, shown: model(shown)), label="convnext"),
    Tiny(
        "timm",
        timm_saver("test_vit", "?pooling=cls"),
        timm_reference(lambda model, shown: model.forward_features(shown)[:, 0]),
        label="vit-cls",
    ),
    Tiny(
        "timm",
        timm_saver("test_vit", "?pooling=patch"),
        timm_reference(lambda model, shown: model.forward_features(shown)[:, 1:].mean(1)),
        label="vit-patch",
    ),
    Tiny("timm", timm_saver("test_vit", "?pooling=attention"), timm_reference(by_length), label="vit-attention"),
    Tiny(
        "timm", timm_saver("test_vit", "?layers=1,3,5&pooling=patch"), timm_reference(side_by_side), label="vit-layers"
    ),
    Tiny(
        "torchvision",
        torchvision_saver("resnet18"),
        torchvision_reference("resnet18", "fc"),
        label="resnet18",
    ),
)
