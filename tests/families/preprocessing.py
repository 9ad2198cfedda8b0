"""What a library shows its model of full-size frames, beside what Reelvec shows it of the frames that ffmpeg scaled.

The models are tiny and know nothing, but they take pictures in the sizes that real ones do.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from tests.families.clips import saver as clip_saver
from tests.families.image import save_open_clip, save_timm, save_torchvision
from tests.families.image_language import saver as language_saver
from tests.families.tokenizers import save_bpe_tokenizer, save_wordpiece_tokenizer
from transforms.encoders.encoder import Encoder
from transforms.encoders.network import ClipInput, Pixels
from transforms.media.decode import decode
from transforms.media.probe import probe
from transforms.records import Clip, FrameSpec, FrameWant

#: As large as the frames of any file here.
FULL_SIZE = FrameSpec(16384, 16384, "whole")
FRAMES = 4  # of each video: what one pass of a model takes on a processor


@dataclass(frozen=True, slots=True)
class Prepares:
    """A model that is saved by `save`, and its library's tensor of full-size pictures, from the same folder."""

    label: str
    save: Callable[[Path], str]
    library: Callable[[Path, Sequence[Image.Image]], torch.Tensor]

    def __str__(self) -> str:
        return self.label


@dataclass(frozen=True, slots=True)
class Difference:
    """Of two tensors, elementwise, in the numbers that the model sees."""

    largest: float
    mean: float

    @classmethod
    def of(cls, ours: torch.Tensor, theirs: torch.Tensor) -> "Difference":
        if ours.shape != theirs.shape:
            raise ValueError(f"tensors of different shapes: {tuple(ours.shape)}, {tuple(theirs.shape)}")
        off = (ours.float() - theirs.float()).abs()
        return cls(float(off.max()), float(off.mean()))


def decoded(path: Path, *specs: FrameSpec) -> list[Pixels]:
    """The same frames of a video, `FRAMES` at even distances, in each of these sizes: (k, height, width, 3)."""
    info = probe(path)
    wants = [FrameWant(spec, f"uniform:{FRAMES}") for spec in specs]
    clip = Clip(0, info.start_seconds, info.end_seconds)
    pictures = decode(path, info, [clip], wants=wants, sample_rates_hz=[]).pictures
    return [pictures[want].pixels for want in wants]


def shown(encoder: Encoder, frames: Pixels) -> torch.Tensor:
    """What the first layer of the model sees of frames."""
    caught: list[torch.Tensor] = []
    layers = (torch.nn.ZeroPad2d, torch.nn.Conv2d, torch.nn.Conv3d, torch.nn.Linear)

    def catch(module: Any, given: Any) -> None:
        if not caught and isinstance(module, layers):
            caught.append(given[0].detach().clone())

    handle = torch.nn.modules.module.register_module_forward_pre_hook(catch)
    try:
        if "image" in encoder.card.accepts:
            encoder.frames(frames)
        else:
            encoder.clips([ClipInput(frames, np.arange(len(frames), dtype=np.float64))])
    finally:
        handle.remove()
    return caught[0]


def difference(case: Prepares, folder: Path, encoder: Encoder, video: Path) -> Difference:
    """How far Reelvec's tensor is from the library's, on the frames of a video."""
    spec = encoder.card.frame_spec
    assert spec is not None
    small, full = decoded(video, spec, FULL_SIZE)
    theirs = case.library(folder, [Image.fromarray(frame) for frame in full])
    return Difference.of(shown(encoder, small), theirs)


def _open_clip(folder: Path, pictures: Sequence[Image.Image]) -> torch.Tensor:
    import open_clip

    _, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    return torch.stack([preprocess(picture) for picture in pictures])


def _transformers(folder: Path, pictures: Sequence[Image.Image]) -> torch.Tensor:
    from transformers import AutoImageProcessor

    found: torch.Tensor = AutoImageProcessor.from_pretrained(folder)(list(pictures), return_tensors="pt")[
        "pixel_values"
    ]
    return found


def _timm(folder: Path, pictures: Sequence[Image.Image]) -> torch.Tensor:
    from timm.data import create_transform, resolve_data_config

    said = json.loads((folder / "config.json").read_text())["pretrained_cfg"]
    transform = create_transform(**resolve_data_config({}, pretrained_cfg=said))
    return torch.stack([transform(picture) for picture in pictures])


def _torchvision(folder: Path, pictures: Sequence[Image.Image]) -> torch.Tensor:
    from torchvision.models import ResNet18_Weights

    transform = ResNet18_Weights.IMAGENET1K_V1.transforms()
    return torch.stack([transform(picture) for picture in pictures])


def _conse(folder: Path, pictures: Sequence[Image.Image]) -> torch.Tensor:
    """timm's way for the network, with the whole picture stretched as the card says."""
    from timm.data import create_transform

    mean, std = (127 / 255,) * 3, (128 / 255,) * 3
    transform = create_transform(
        (3, 260, 260), interpolation="bicubic", mean=mean, std=std, crop_mode="squash", crop_pct=1
    )
    return torch.stack([transform(picture) for picture in pictures])


def _clip_of(processor: str, frames_first: bool = False) -> Callable[[Path, Sequence[Image.Image]], torch.Tensor]:
    def library(folder: Path, pictures: Sequence[Image.Image]) -> torch.Tensor:
        import transformers

        prepare = getattr(transformers, processor).from_pretrained(folder)
        found = (
            prepare([np.stack([np.asarray(one) for one in pictures])], return_tensors="pt")
            if ("Video" in processor and "Image" not in processor)
            else prepare([list(pictures)], return_tensors="pt")
        )
        values: torch.Tensor = found["pixel_values_videos" if "pixel_values_videos" in found else "pixel_values"]
        return values.flatten(0, 1) if frames_first else values.transpose(1, 2)

    return library


def _timm_saver(architecture: str, **changed: Any) -> Callable[[Path], str]:
    def save(folder: Path) -> str:
        name = save_timm(folder, architecture)
        config = json.loads((folder / "config.json").read_text())
        config["pretrained_cfg"].update(changed)
        (folder / "config.json").write_text(json.dumps(config))
        return name

    return save


def _save_resnet(folder: Path) -> str:
    return save_torchvision(folder, "resnet18").partition("&")[0]


def _bpe(folder: Path) -> None:
    save_bpe_tokenizer(folder, size=400)


_SMALL = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 37}
_TEXT = _SMALL | {"vocab_size": 400, "max_position_embeddings": 64, "projection_size": 32, "projection_dim": 24}
_VISION = _SMALL | {"image_size": 224, "patch_size": 56, "projection_dim": 24}
_CLIP = {
    "text_config": _TEXT | {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1},
    "vision_config": _VISION,
    "projection_dim": 24,
}
_ALIGN_SIZE = {"height": 289, "width": 289}
_ALIGN_VISION = {"image_size": 289, "width_coefficient": 0.2, "depth_coefficient": 0.2, "hidden_dim": 32} | {
    "num_block_repeats": [1] * 7
}
_BLIP2 = {
    "vision_config": _VISION | {"image_size": 384, "patch_size": 96},
    "qformer_config": _SMALL
    | {"vocab_size": 400, "max_position_embeddings": 64, "encoder_hidden_size": 32}
    | {"use_qformer_text_input": True, "cross_attention_frequency": 1},
    "text_config": {"model_type": "opt", "hidden_size": 32, "num_hidden_layers": 1, "vocab_size": 400}
    | {"num_attention_heads": 2, "ffn_dim": 37, "word_embed_proj_dim": 32},
    "image_text_hidden_size": 24,
    "num_query_tokens": 4,
}
_CUT = {"height": 224, "width": 224}

LANGUAGE = tuple(
    Prepares(f"transformers {label}", language_saver(*made), _transformers)
    for label, *made in (
        ("CLIP", "CLIPModel", "CLIPConfig", _CLIP, "CLIPImageProcessor", {}, _bpe),
        ("MetaCLIP 2", "MetaClip2Model", "MetaClip2Config", _CLIP, "CLIPImageProcessor", {}, _bpe),
        (
            "SigLIP",
            *("SiglipModel", "SiglipConfig", {"text_config": _TEXT, "vision_config": _VISION}),
            *("SiglipImageProcessor", {}, _bpe),
        ),
        (
            "SigLIP 2 NaFlex",
            *("Siglip2Model", "Siglip2Config"),
            {"text_config": _TEXT, "vision_config": _SMALL | {"patch_size": 16, "num_patches": 256}},
            *("Siglip2ImageProcessor", {}, _bpe),
        ),
        (
            "ALIGN",
            *("AlignModel", "AlignConfig"),
            {"text_config": _TEXT, "vision_config": _ALIGN_VISION, "projection_dim": 64},
            "EfficientNetImageProcessor",
            {"size": _ALIGN_SIZE, "crop_size": _ALIGN_SIZE, "do_center_crop": True, "rescale_factor": 1 / 127.5}
            | {"rescale_offset": True, "do_normalize": False, "include_top": False},
            save_wordpiece_tokenizer,
        ),
        (
            "FLAVA",
            *("FlavaModel", "FlavaConfig"),
            {"text_config": _TEXT, "image_config": _VISION, "projection_dim": 24, "hidden_size": 32},
            *("FlavaImageProcessor", {}, save_wordpiece_tokenizer),
        ),
        (
            "BLIP-2",
            *("Blip2ForImageTextRetrieval", "Blip2Config", _BLIP2),
            *("BlipImageProcessor", {}, save_wordpiece_tokenizer),
        ),
    )
)

CLIPS = (
    Prepares(
        "transformers-video VideoMAE",
        clip_saver(
            *("VideoMAEModel", "VideoMAEConfig", _VISION | {"num_frames": FRAMES, "tubelet_size": 2}),
            *("VideoMAEImageProcessor", {}),
        ),
        _clip_of("VideoMAEImageProcessor"),
    ),
    Prepares(
        "transformers-video V-JEPA 2",
        clip_saver(
            *("VJEPA2Model", "VJEPA2Config"),
            {"hidden_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2, "crop_size": 256, "patch_size": 64}
            | {"frames_per_clip": FRAMES, "tubelet_size": 2, "mlp_ratio": 1.0, "pred_hidden_size": 24}
            | {"pred_num_attention_heads": 2, "pred_num_hidden_layers": 1, "pred_num_mask_tokens": 1},
            *("VJEPA2VideoProcessor", {"crop_size": 256, "size": {"shortest_edge": 292}}),
        ),
        _clip_of("VJEPA2VideoProcessor"),
    ),
    Prepares(
        "transformers-video TimeSformer",
        clip_saver(
            *("TimesformerModel", "TimesformerConfig", _VISION | {"num_frames": FRAMES}),
            *("VideoMAEImageProcessor", {}),
        ),
        _clip_of("VideoMAEImageProcessor", frames_first=True),
    ),
    Prepares(
        "transformers-video ViViT",
        clip_saver(
            *("VivitModel", "VivitConfig", _VISION | {"num_frames": FRAMES, "tubelet_size": [2, 56, 56]}),
            *("VivitImageProcessor", {"size": {"shortest_edge": 256}, "crop_size": _CUT}),
        ),
        _clip_of("VivitImageProcessor"),
    ),
)

CONSE = Prepares("conse", lambda folder: "conse:tf_efficientnet_lite2", _conse)

CASES = (
    CONSE,
    Prepares("open_clip, short side scaled", lambda folder: save_open_clip(folder, size=224), _open_clip),
    Prepares("open_clip, squashed", lambda folder: save_open_clip(folder, siglip=True, size=224), _open_clip),
    *LANGUAGE,
    Prepares("timm, bicubic", _timm_saver("test_vit"), _timm),
    Prepares("timm, bilinear", _timm_saver("test_resnet"), _timm),
    Prepares("timm, squashed", _timm_saver("test_vit", crop_mode="squash", crop_pct=1.0), _timm),
    Prepares("torchvision", _save_resnet, _torchvision),
    *CLIPS,
)
