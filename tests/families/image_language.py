"""Tiny models of pictures and words: CLIP and its kin in transformers."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from tests.families.tiny import Tiny
from tests.families.tokenizers import save_bpe_tokenizer, save_wordpiece_tokenizer
from transforms.encoders.network import Kind

_TEXT = {
    "vocab_size": 400,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 37,
    "max_position_embeddings": 64,
}
_VISION = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 37,
    "image_size": 32,
    "patch_size": 8,
}
_SIZE = {"height": 32, "width": 32}


def saver(
    model: str, config: str, parts: dict[str, Any], processor: str, seen: dict[str, Any], tokenize: Callable[..., None]
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
        tokenize(folder)
        return f"transformers:{folder}"

    return save


def reference(folder: Path, kind: Kind, inputs: Sequence[Any]) -> Any:
    """transformers' own way, by its automatic classes."""
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        if kind == "text":
            padding: dict[str, Any] = {"padding": True}
            if "siglip" in model.config.model_type:
                padding = {"padding": "max_length", "max_length": 64}
            tokens = AutoTokenizer.from_pretrained(folder)(list(inputs), return_tensors="pt", **padding)
            rows = model.get_text_features(**tokens).pooler_output
        else:
            images = [Image.fromarray(one) for one in inputs]
            seen = AutoImageProcessor.from_pretrained(folder)(images=images, return_tensors="pt")
            rows = model.get_image_features(**seen).pooler_output
    return rows[:, 0] if rows.ndim == 3 else rows


def blip2_reference(folder: Path, kind: Kind, inputs: Sequence[Any]) -> Any:
    """The embeddings that the model's own forward pass gives beside its scores."""
    from transformers import AutoImageProcessor, AutoTokenizer, Blip2ForImageTextRetrieval

    model = Blip2ForImageTextRetrieval.from_pretrained(folder).eval()
    texts = list(inputs) if kind == "text" else ["stop"]
    images = [Image.fromarray(one) for one in inputs] if kind == "image" else [np.zeros((32, 32, 3), np.uint8)]
    with torch.inference_mode():
        tokens = AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
        seen = AutoImageProcessor.from_pretrained(folder)(images=images, return_tensors="pt")
        found = model(
            pixel_values=seen["pixel_values"],
            input_ids=tokens["input_ids"],
            attention_mask=tokens["attention_mask"],
        )
    return found.text_embeds if kind == "text" else found.image_embeds.mean(1)


def _bpe(folder: Path) -> None:
    save_bpe_tokenizer(folder, size=400)


def _wordpiece(folder: Path) -> None:
    save_wordpiece_tokenizer(folder)


_CLIP_TEXT = _TEXT | {"projection_dim": 24, "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
_CLIP = {"text_config": _CLIP_TEXT, "vision_config": _VISION | {"projection_dim": 24}, "projection_dim": 24}
_CLIP_SEEN = {"size": {"shortest_edge": 32}, "crop_size": _SIZE}
_ALIGN_VISION = {
    "image_size": 32,
    "width_coefficient": 0.2,
    "depth_coefficient": 0.2,
    "depth_divisor": 8,
    "hidden_dim": 32,
    "num_block_repeats": [1, 1, 1, 1, 1, 1, 1],
}
_QFORMER = {"vocab_size": 400, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2} | {
    "intermediate_size": 37,
    "max_position_embeddings": 64,
    "encoder_hidden_size": 32,
    "use_qformer_text_input": True,
    "cross_attention_frequency": 1,
}

TINY = (
    Tiny(
        "transformers",
        saver("CLIPModel", "CLIPConfig", _CLIP, "CLIPImageProcessor", _CLIP_SEEN, _bpe),
        reference,
        "clip",
    ),
    Tiny(
        "transformers",
        saver("MetaClip2Model", "MetaClip2Config", _CLIP, "CLIPImageProcessor", _CLIP_SEEN, _bpe),
        reference,
        "metaclip-2",
    ),
    Tiny(
        "transformers",
        saver(
            "SiglipModel",
            "SiglipConfig",
            {"text_config": _TEXT | {"projection_size": 32}, "vision_config": _VISION},
            "SiglipImageProcessor",
            {"size": _SIZE},
            _bpe,
        ),
        reference,
        "siglip",
    ),
    Tiny(
        "transformers",
        saver(
            "Siglip2Model",
            "Siglip2Config",
            {
                "text_config": _TEXT | {"projection_size": 32},
                "vision_config": {key: value for key, value in _VISION.items() if key != "image_size"}
                | {"num_patches": 16},
            },
            "Siglip2ImageProcessor",
            {"patch_size": 8, "max_num_patches": 16},
            _bpe,
        ),
        reference,
        "siglip2-naflex",
    ),
    Tiny(
        "transformers",
        saver(
            "AlignModel",
            "AlignConfig",
            {"text_config": _TEXT, "vision_config": _ALIGN_VISION, "projection_dim": 64},
            "EfficientNetImageProcessor",
            {"size": _SIZE, "crop_size": _SIZE, "do_center_crop": True, "include_top": False},
            _wordpiece,
        ),
        reference,
        "align",
    ),
    Tiny(
        "transformers",
        saver(
            "FlavaModel",
            "FlavaConfig",
            {"text_config": _TEXT, "image_config": _VISION, "projection_dim": 24, "hidden_size": 32},
            "FlavaImageProcessor",
            {"size": _SIZE, "crop_size": _SIZE},
            _wordpiece,
        ),
        reference,
        "flava",
    ),
    Tiny(
        "transformers",
        saver(
            "Blip2ForImageTextRetrieval",
            "Blip2Config",
            {
                "vision_config": _VISION,
                "qformer_config": _QFORMER,
                "text_config": {"model_type": "opt", "hidden_size": 32, "num_hidden_layers": 1, "vocab_size": 400}
                | {"num_attention_heads": 2, "ffn_dim": 37, "word_embed_proj_dim": 32},
                "image_text_hidden_size": 24,
                "num_query_tokens": 4,
            },
            "BlipImageProcessor",
            {"size": _SIZE},
            _wordpiece,
        ),
        blip2_reference,
        "blip-2",
    ),
)
