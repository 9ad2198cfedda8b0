"""Tiny models of whole clips."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.families.tiny import Tiny
from tests.families.tokenizers import save_bpe_tokenizer
from transforms.encoders.network import Kind

_SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 37,
    "image_size": 32,
    "patch_size": 8,
}
_SIZE = {"height": 32, "width": 32}
_XCLIP_TEXT = (
    _SMALL
    | {"vocab_size": 400, "max_position_embeddings": 64, "projection_dim": 24}
    | {
        "bos_token_id": 0,
        "eos_token_id": 2,
        "pad_token_id": 1,
    }
)


def saver(
    model: str, config: str, parts: dict[str, Any], processor: str, seen: dict[str, Any], *, text: bool = False
) -> Callable[[Path], str]:
    def save(folder: Path) -> str:
        import transformers

        torch.manual_seed(0)
        made = getattr(transformers, model)(getattr(transformers, config)(**parts))
        for tensor in made.parameters():  # freshly made ones are too small to tell inputs apart
            if tensor.ndim > 1:
                torch.nn.init.normal_(tensor, std=0.15)
        made.save_pretrained(folder)
        getattr(transformers, processor)(**seen).save_pretrained(folder)
        if text:
            save_bpe_tokenizer(folder, size=400)
        return f"transformers-video:{folder}"

    return save


def _reference(processor: str, rows: Callable[[Any, Any], Any]) -> Callable[[Path, Kind, Sequence[Any]], Any]:
    """transformers' own processor and model; `rows` takes the model and the processor's tensors."""

    def reference(folder: Path, kind: Kind, inputs: Sequence[Any]) -> Any:
        import transformers

        model = transformers.AutoModel.from_pretrained(folder).eval()
        with torch.inference_mode():
            if kind == "text":
                tokens = transformers.AutoTokenizer.from_pretrained(folder)(
                    list(inputs), padding=True, return_tensors="pt"
                )
                return model.get_text_features(**tokens).pooler_output
            prepare = getattr(transformers, processor).from_pretrained(folder)
            found = [prepare([list(clip.frames)], return_tensors="pt") for clip in inputs]
            return torch.cat([rows(model, one) for one in found])

    return reference


def _vjepa2_reference(folder: Path, kind: Kind, inputs: Sequence[Any]) -> Any:
    """Frames that are cut already go through its processor as they are."""
    from transformers import VJEPA2Model, VJEPA2VideoProcessor

    model, prepare = VJEPA2Model.from_pretrained(folder).eval(), VJEPA2VideoProcessor.from_pretrained(folder)
    with torch.inference_mode():
        seen = prepare([one.frames for one in inputs], return_tensors="pt", do_resize=False, do_center_crop=False)
        return model.get_vision_features(**seen).mean(1)


_LAYERS = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 1, "num_attention_heads": 2} | {
    "head_dim": 16,
    "max_position_embeddings": 512,
}


def save_pe_av(folder: Path, *, pair: str, together: bool = False) -> str:
    """A PE-AV of small towers; the settings of its processors each in a file of its own, or `together` in one."""
    from transformers import (
        AutoTokenizer,
        PeAudioFeatureExtractor,
        PeAudioVideoConfig,
        PeAudioVideoModel,
        PeAudioVideoProcessor,
        PeVideoVideoProcessor,
    )

    torch.manual_seed(0)
    codec = {"encoder_hidden_size": 8, "hidden_size": 32, "decoder_hidden_size": 16, "n_codebooks": 1} | {
        "downsampling_ratios": [8, 10],
        "upsampling_ratios": [10, 8],
        "codebook_dim": 8,
        "codebook_size": 16,
    }
    sight = {
        "architecture": "vit_tiny_patch16_224",
        "do_pooling": True,
        "num_classes": 24,
        "global_pool": "map",
    } | {"model_args": {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 1, "num_heads": 2}}
    text = {"model_type": "modernbert", "hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 2} | {
        "num_attention_heads": 2,
        "vocab_size": 400,
        "pad_token_id": 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "cls_token_id": 0,
        "sep_token_id": 2,
        "max_position_embeddings": 64,
    }
    towers = {
        "audio_config": _LAYERS | {"model_type": "pe_audio_encoder", "dac_config": codec},
        "video_config": _LAYERS | {"model_type": "pe_video_encoder", "vision_config": sight},
    }
    model = PeAudioVideoModel(PeAudioVideoConfig(text_config=text, audio_video_config=_LAYERS | towers))
    model.save_pretrained(folder)
    hear = PeAudioFeatureExtractor(sampling_rate=8_000, hop_length=80)
    scaling = {"do_rescale": True, "do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    look = PeVideoVideoProcessor(size=_SIZE, **scaling)
    save_bpe_tokenizer(folder, size=400)
    if together:
        PeAudioVideoProcessor(hear, look, AutoTokenizer.from_pretrained(folder)).save_pretrained(folder)
    else:
        hear.save_pretrained(folder)
        look.save_pretrained(folder)
    return f"pe-av:{folder}?frames=4&pair={pair}"


def pe_av_reference(folder: Path, kind: Kind, inputs: Sequence[Any], *, pair: str) -> Any:
    """The embeddings that the forward pass gives beside its scores, one input at a time, blank what an input lacks.

    Those of a video and text, or of a sound and text, are the model's parts': its own stumbles over what they give.
    """
    from transformers import AutoTokenizer, PeAudioFeatureExtractor, PeAudioVideoModel, PeVideoVideoProcessor

    model = PeAudioVideoModel.from_pretrained(folder).eval()
    ask = AutoTokenizer.from_pretrained(folder)
    hear, look = PeAudioFeatureExtractor.from_pretrained(folder), PeVideoVideoProcessor.from_pretrained(folder)
    part, modality = {
        "video": (model.video_model, "video"),
        "sound": (model.audio_model, "audio"),
        "both": (model, "audio_video"),
    }[pair]
    rows = []
    for one in inputs:
        asked = dict(ask([one if kind == "text" else "stop"], return_tensors="pt"))
        if pair != "sound":
            frames = one.frames if kind == "clip" else np.zeros((4, 32, 32, 3), np.uint8)
            asked |= look([frames], return_tensors="pt", do_resize=False, do_center_crop=False)
        if pair != "video":
            audio = one if kind == "sound" else one.audio if kind == "clip" else None
            samples = np.zeros(800, np.float32) if audio is None else audio.samples
            asked |= hear(samples, sampling_rate=8_000, return_tensors="pt")
        with torch.inference_mode():
            found = part(**asked)
        rows.append(found[f"text_{modality}_embeds" if kind == "text" else f"{modality}_embeds"][0])
    return torch.stack(rows)


def _pe_av(pair: str) -> Tiny:
    return Tiny("pe-av", partial(save_pe_av, pair=pair), partial(pe_av_reference, pair=pair), pair)


TINY = (
    _pe_av("video"),
    _pe_av("sound"),
    _pe_av("both"),
    Tiny(
        "transformers-video",
        saver(
            "XCLIPModel",
            "XCLIPConfig",
            {
                "text_config": _XCLIP_TEXT,
                "vision_config": _SMALL
                | {"num_frames": 4, "mit_hidden_size": 24, "mit_intermediate_size": 37, "projection_dim": 24}
                | {"mit_num_hidden_layers": 1, "mit_num_attention_heads": 2},
                "projection_dim": 24,
                "prompt_num_attention_heads": 2,
            },
            "VideoMAEImageProcessor",
            {"size": {"shortest_edge": 32}, "crop_size": _SIZE},
            text=True,
        ),
        _reference("VideoMAEImageProcessor", lambda model, seen: model.get_video_features(**seen).pooler_output),
        "xclip",
    ),
    Tiny(
        "transformers-video",
        saver(
            "VideoMAEModel",
            "VideoMAEConfig",
            _SMALL | {"num_frames": 4, "tubelet_size": 2},
            "VideoMAEImageProcessor",
            {"size": {"shortest_edge": 32}, "crop_size": _SIZE},
        ),
        _reference("VideoMAEImageProcessor", lambda model, seen: model(**seen).last_hidden_state.mean(1)),
        "videomae",
    ),
    Tiny(
        "transformers-video",
        saver(
            "VJEPA2Model",
            "VJEPA2Config",
            {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2, "crop_size": 32, "patch_size": 8}
            | {"frames_per_clip": 4, "tubelet_size": 2, "mlp_ratio": 1.0, "pred_hidden_size": 24}
            | {"pred_num_hidden_layers": 1, "pred_num_attention_heads": 2, "pred_num_mask_tokens": 2},
            "VJEPA2VideoProcessor",
            {"size": {"shortest_edge": 36}, "crop_size": _SIZE},
        ),
        _vjepa2_reference,
        "vjepa2",
    ),
    Tiny(
        "transformers-video",
        saver(
            "TimesformerModel",
            "TimesformerConfig",
            _SMALL | {"num_frames": 4},
            "VideoMAEImageProcessor",
            {"size": {"shortest_edge": 32}, "crop_size": _SIZE},
        ),
        _reference("VideoMAEImageProcessor", lambda model, seen: model(**seen).last_hidden_state[:, 0]),
        "timesformer",
    ),
    Tiny(
        "transformers-video",
        saver(
            "VivitModel",
            "VivitConfig",
            _SMALL | {"num_frames": 4, "tubelet_size": [2, 8, 8]},
            "VivitImageProcessor",
            {"size": {"shortest_edge": 32}, "crop_size": _SIZE},
        ),
        _reference("VivitImageProcessor", lambda model, seen: model(**seen).last_hidden_state[:, 0]),
        "vivit",
    ),
)
