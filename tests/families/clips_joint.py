"""Tiny models of several kinds of input in one space."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from tests.families.tiny import Tiny
from tests.families.tokenizers import save_bpe_tokenizer
from transforms.encoders.network import Kind

_QWEN_TOKENS = (
    "<|im_start|>",
    "<|im_end|>",
    "<|endoftext|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
_QWEN_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{% for part in message.content %}"
    "{% if part.type == 'text' %}{{ part.text }}"
    "{% else %}<|vision_start|><|{{ part.type }}_pad|><|vision_end|>{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def save_qwen3_vl(folder: Path, architecture: str = "Qwen3VLForConditionalGeneration") -> str:
    """A Qwen3-VL of two layers, with the processor of a real one."""
    import transformers
    from transformers import (
        AutoTokenizer,
        Qwen2VLImageProcessor,
        Qwen3VLConfig,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )

    torch.manual_seed(0)
    save_bpe_tokenizer(folder, size=300)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": list(_QWEN_TOKENS)})
    ids = dict(zip(_QWEN_TOKENS, tokenizer.convert_tokens_to_ids(list(_QWEN_TOKENS)), strict=True))
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 32,
            "intermediate_size": 37,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 16,
            "max_position_embeddings": 4096,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10_000.0,
                "mrope_section": [4, 2, 2],
                "mrope_interleaved": True,
            },
        },
        vision_config={
            "depth": 2,
            "hidden_size": 16,
            "intermediate_size": 24,
            "num_heads": 2,
            "out_hidden_size": 32,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )
    getattr(transformers, architecture)(config).save_pretrained(folder)
    images = Qwen2VLImageProcessor(patch_size=16, merge_size=2, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    Qwen3VLProcessor(images, tokenizer, Qwen3VLVideoProcessor(), chat_template=_QWEN_TEMPLATE).save_pretrained(folder)
    return f"qwen3-vl:{folder}?frames=4"


def qwen3_vl_reference(folder: Path, kind: Kind, inputs: Sequence[Any]) -> Any:
    """transformers' own way, one input after the other: the conversation of the model's makers, its last token."""
    from transformers import AutoProcessor, Qwen3VLForConditionalGeneration

    model = Qwen3VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval().model
    processor = AutoProcessor.from_pretrained(folder)

    def row(one: Any) -> Any:
        shown, given = "<|vision_start|><|{}_pad|><|vision_end|>", {}
        if kind == "text":
            shown = one
        elif kind == "image":
            shown = shown.format("image")
            given = {"images": [one], "images_kwargs": {"size": {"shortest_edge": 4096, "longest_edge": 1_843_200}}}
        else:
            shown = shown.format("video") + one.words
            times = (one.pts_seconds - one.pts_seconds[0]) * 1000
            given = {
                "videos": [one.frames],
                "videos_kwargs": {
                    "video_metadata": [
                        {"fps": 1000, "frames_indices": times.astype(int).tolist(), "total_num_frames": len(times)}
                    ],
                    "do_sample_frames": False,
                    "size": {"shortest_edge": 131_072, "longest_edge": 7_864_320},
                    "cap_pixels_per_frame": True,
                },
            }
        said = "<|im_start|>system\nRepresent the user's input.<|im_end|>\n"
        asked = f"{said}<|im_start|>user\n{shown}<|im_end|>\n<|im_start|>assistant\n"
        return model(**processor(text=[asked], return_tensors="pt", **given)).last_hidden_state[0, -1]

    with torch.inference_mode():
        return torch.stack([row(one) for one in inputs])


_GEMMA_TOKENS = {
    "image_token": "<|image|>",
    "boi_token": "<|image>",
    "eoi_token": "<image|>",
    "audio_token": "<|audio|>",
    "boa_token": "<|audio>",
    "eoa_token": "<audio|>",
}
_PROMPTS = {"query": "task: search result | query: ", "document": "title: none | text: "}


def save_embedding_gemma(folder: Path) -> str:
    """An EmbeddingGemma 2 of two layers a tower, with the processor and the prompts of a real one."""
    import json

    from transformers import (
        AutoTokenizer,
        EmbeddingGemma2Config,
        EmbeddingGemma2Model,
        EmbeddingGemma2Processor,
        EmbeddingGemma2VideoProcessor,
        Gemma4AudioFeatureExtractor,
        Gemma4ImageProcessor,
    )

    torch.manual_seed(0)
    save_bpe_tokenizer(folder, size=300)
    tokenizer = AutoTokenizer.from_pretrained(folder, extra_special_tokens=_GEMMA_TOKENS)
    patches = {"patch_size": 4, "pooling_kernel_size": 3, "max_soft_tokens": 70}
    processor = EmbeddingGemma2Processor(
        Gemma4AudioFeatureExtractor(),
        Gemma4ImageProcessor(**patches),
        tokenizer,
        EmbeddingGemma2VideoProcessor(**patches),
        image_seq_length=70,
    )
    token = tokenizer.convert_tokens_to_ids
    config = EmbeddingGemma2Config(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 32,
            "intermediate_size": 37,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 16,
            "global_head_dim": 16,
            "max_position_embeddings": 4096,
            "hidden_size_per_layer_input": 8,
            "embedding_dim": 24,
            "sliding_window": 64,
            "sliding_window_pattern": 2,
            "pad_token_id": 1,
            "bos_token_id": 0,
            "eos_token_id": 2,
        },
        vision_config={
            "model_type": "gemma4_vision",
            "hidden_size": 32,
            "intermediate_size": 37,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "patch_size": 4,
            "pooling_kernel_size": 3,
            "position_embedding_size": 512,
        },
        audio_config={
            "model_type": "gemma4_audio",
            "hidden_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "subsampling_conv_channels": [128, 4],
            "output_proj_dims": 32,
        },
        image_token_id=token("<|image|>"),
        boi_token_id=token("<|image>"),
        eoi_token_id=token("<image|>"),
        audio_token_id=token("<|audio|>"),
        boa_token_id=token("<|audio>"),
        eoa_token_index=token("<audio|>"),
        video_token_id=token("<|video|>"),
    )
    model = EmbeddingGemma2Model(config)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": _PROMPTS}))
    return f"embedding-gemma:{folder}?frames=2"


def embedding_gemma_reference(folder: Path, kind: Kind, inputs: Sequence[Any]) -> Any:
    """transformers' own way, one input after the other; all tokens count in the mean."""
    from transformers import AutoProcessor, EmbeddingGemma2Model

    model = EmbeddingGemma2Model.from_pretrained(folder, dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(folder)

    def given(one: Any) -> dict[str, Any]:
        if kind == "text":
            return {"text": [_PROMPTS["document"] + one]}
        if kind == "image":
            return {"images": [[one]]}
        if kind == "sound":
            return {"audio": [one.samples]}
        said = {"text": [f"<|video|> {one.words}"]} if one.words else {}
        return {"videos": [one.frames], "videos_kwargs": {"do_sample_frames": False}, **said}

    with torch.inference_mode():
        rows = [model(**processor(**given(one), return_tensors="pt")).last_hidden_state[0].mean(0) for one in inputs]
    return torch.stack(rows)


TINY = (
    Tiny("qwen3-vl", save_qwen3_vl, qwen3_vl_reference),
    Tiny("embedding-gemma", save_embedding_gemma, embedding_gemma_reference),
)
