"""Tiny speech models: they give words and no vectors, so the suite has nothing to ask them."""

import json
from pathlib import Path

import torch

from tests.families.tiny import Tiny

TINY: tuple[Tiny, ...] = ()

LANGUAGES = {"<|en|>": 50_259, "<|zh|>": 50_260, "<|de|>": 50_261}
FIRST_TIME = 50_365
TOKENS = 51_866


def save_multilingual(folder: Path) -> Path:
    """A small random Whisper of several languages, with the words of the packaged one's tokenizer."""
    from transformers import GenerationConfig, WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

    torch.manual_seed(0)
    special = {"bos_token_id": 50_257, "eos_token_id": 50_257, "pad_token_id": 50_257, "decoder_start_token_id": 50_258}
    config = WhisperConfig(
        vocab_size=TOKENS,
        d_model=16,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        init_std=0.3,
        **special,
    )
    model = WhisperForConditionalGeneration(config)
    given = GenerationConfig(max_length=24, **special)
    given.is_multilingual, given.no_timestamps_token_id = True, FIRST_TIME - 1
    given.lang_to_id, given.task_to_id = LANGUAGES, {"transcribe": 50_360, "translate": 50_359}
    given.alignment_heads, given.max_initial_timestamp_index = [[1, 0], [1, 1]], 50
    model.generation_config = given
    model.save_pretrained(folder)
    WhisperFeatureExtractor().save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def save_tokenizer(folder: Path) -> None:
    """The packaged tokenizer with an empty token before the special ones, as models of several languages have."""
    from transforms.encoders.cards import WHISPER_MODEL
    from transforms.encoders.catalog import card
    from transforms.encoders.weights import verify

    source = verify(card("faster-whisper:tiny.en").weights_of(WHISPER_MODEL)).with_name("tokenizer.json")
    tokenizer = json.loads(source.read_text())
    names = ["<|endoftext|>", "<|startoftranscript|>", *LANGUAGES]
    names += [f"<|unused{place}|>" for place in range(50_359 - 50_257 - len(names))]
    names += ["<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]
    names += [f"<|{place * 0.02:.2f}|>" for place in range(1501)]
    assert len(names) == TOKENS - 50_257
    words = {word: place for word, place in tokenizer["model"]["vocab"].items() if place < 50_256}
    tokenizer["model"]["vocab"] = {**words, "": 50_256}
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    tokenizer["added_tokens"] = [
        {"id": 50_257 + place, "content": name, **flags, "special": place <= FIRST_TIME - 50_258}
        for place, name in enumerate(names)
    ]
    tokenizer["post_processor"] = None
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))


def save_ctranslate2(model: Path, folder: Path) -> Path:
    """A Whisper of transformers as CTranslate2 writes it, and what the hub's folders hold beside it."""
    from ctranslate2.converters import TransformersConverter

    copied = ["tokenizer.json", "preprocessor_config.json"]
    TransformersConverter(str(model), copy_files=copied).convert(str(folder), quantization="int8")
    return folder
