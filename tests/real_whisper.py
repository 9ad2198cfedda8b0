"""The packaged Whisper tiny.en as a folder of transformers: real weights for what has no packaged ones.

CTranslate2's `model.bin` holds names, shapes and float16 numbers; they go into a safetensors file under the names
that transformers has for them.
"""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from transforms.encoders.cards import WHISPER_MODEL
from transforms.encoders.catalog import card
from transforms.encoders.weights import verify

_DTYPES = (np.float32, np.int8, np.int16, np.int32, np.float16)
_LAYERS = 4


def save_real_whisper(folder: Path, *, alignment: bool = True) -> Path:
    """Write the model into a folder; without `alignment` it does not say which heads follow the sound."""
    import torch
    from transformers import (
        GenerationConfig,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperTokenizer,
    )

    path = verify(card("faster-whisper:tiny.en").weights_of(WHISPER_MODEL))
    config = WhisperConfig(
        vocab_size=51_864,
        decoder_start_token_id=50_257,
        bos_token_id=50_256,
        eos_token_id=50_256,
        pad_token_id=50_256,
    )
    assert (config.d_model, config.encoder_layers, config.decoder_layers) == (384, _LAYERS, _LAYERS)
    model = WhisperForConditionalGeneration(config)
    state = {name: torch.from_numpy(array.astype(np.float32)) for name, array in renamed(read_tensors(path))}
    state["proj_out.weight"] = state["model.decoder.embed_tokens.weight"]
    model.load_state_dict(state)
    about = json.loads((path.parent / "config.json").read_text())
    given = GenerationConfig(
        decoder_start_token_id=50_257,
        bos_token_id=50_256,
        eos_token_id=50_256,
        pad_token_id=50_256,
        max_length=448,
        suppress_tokens=about["suppress_ids"],
        begin_suppress_tokens=about["suppress_ids_begin"],
    )
    given.is_multilingual, given.no_timestamps_token_id, given.max_initial_timestamp_index = False, 50_362, 50
    if alignment:
        given.alignment_heads = about["alignment_heads"]
    model.generation_config = given
    model.save_pretrained(folder)
    WhisperFeatureExtractor().save_pretrained(folder)
    save_tokenizer(WhisperTokenizer, path.parent, folder)
    return folder


def save_tokenizer(tokenizer_class: Any, source: Path, folder: Path) -> None:
    """The packaged tokenizer as transformers saves it."""
    (folder / "tokenizer.json").write_bytes((source / "tokenizer.json").read_bytes())
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": tokenizer_class.__name__}))


def read_tensors(path: Path) -> dict[str, Any]:
    """The arrays of a file of CTranslate2 by their names."""
    data, place = path.read_bytes(), 0

    def number(kind: str) -> int:
        nonlocal place
        place += struct.calcsize(kind)
        return int(struct.unpack_from(kind, data, place - struct.calcsize(kind))[0])

    def text() -> str:
        nonlocal place
        length = number("<H")
        place += length
        return data[place - length : place - 1].decode()

    number("<I"), text(), number("<I")
    found = {}
    for _ in range(number("<I")):
        name = text()
        shape = [number("<I") for _ in range(number("<B"))]
        dtype, length = np.dtype(_DTYPES[number("<B")]), number("<I")
        found[name] = np.frombuffer(data, dtype, length // dtype.itemsize, place).reshape(shape)
        place += length
    return found


def renamed(tensors: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """CTranslate2's arrays under the names of transformers; it keeps queries, keys and values in one."""
    for tower in ("encoder", "decoder"):
        yield f"model.{tower}.embed_positions.weight", tensors[f"{tower}/position_encodings/encodings"]
        yield from _norm(tensors, f"{tower}/layer_norm", f"model.{tower}.layer_norm")
        for layer in range(_LAYERS):
            old, new = f"{tower}/layer_{layer}", f"model.{tower}.layers.{layer}"
            yield from _attention(tensors, f"{old}/self_attention", f"{new}.self_attn")
            yield from _norm(tensors, f"{old}/ffn/layer_norm", f"{new}.final_layer_norm")
            for place in (0, 1):
                for part in ("weight", "bias"):
                    yield f"{new}.fc{place + 1}.{part}", tensors[f"{old}/ffn/linear_{place}/{part}"]
            if tower == "decoder":
                yield from _attention(tensors, f"{old}/attention", f"{new}.encoder_attn")
    for place in (1, 2):
        for part in ("weight", "bias"):
            yield f"model.encoder.conv{place}.{part}", tensors[f"encoder/conv{place}/{part}"]
    yield "model.decoder.embed_tokens.weight", tensors["decoder/embeddings/weight"]


def _norm(tensors: dict[str, Any], old: str, new: str) -> Iterator[tuple[str, Any]]:
    yield f"{new}.weight", tensors[f"{old}/gamma"]
    yield f"{new}.bias", tensors[f"{old}/beta"]


def _attention(tensors: dict[str, Any], old: str, new: str) -> Iterator[tuple[str, Any]]:
    yield from _norm(tensors, f"{old}/layer_norm", f"{new}_layer_norm")
    fused = [f"{old}/linear_{place}" for place in range(3) if f"{old}/linear_{place}/weight" in tensors]
    *inner, out = fused
    weight, bias = (np.concatenate([tensors[f"{one}/{part}"] for one in inner]) for part in ("weight", "bias"))
    for name, rows, shift in zip(("q", "k", "v"), np.split(weight, 3), np.split(bias, 3), strict=True):
        yield f"{new}.{name}_proj.weight", rows
        if name != "k":
            yield f"{new}.{name}_proj.bias", shift
    yield f"{new}.out_proj.weight", tensors[f"{out}/weight"]
    yield f"{new}.out_proj.bias", tensors[f"{out}/bias"]
