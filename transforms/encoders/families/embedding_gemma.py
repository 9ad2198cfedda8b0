"""EmbeddingGemma 2: text, pictures, sound and clips in one space, the mean of all tokens of an input.

    embedding-gemma:google/embeddinggemma-2
    embedding-gemma:./folder?frames=8

A clip is its frames; its sound has vectors of its own. The prompts of texts are those of the model's files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transforms.encoders.cards import Card
from transforms.encoders.families.qwen3_vl import LAYOUT, frame_times
from transforms.encoders.folders import hub_card, read_config
from transforms.encoders.names import Name
from transforms.encoders.network import ClipInput, Kind, Network, Pixels, Role, Where, as_float32
from transforms.encoders.precision import moved, placed
from transforms.encoders.text_models import longest_pass, pretrained, prompt_settings, token_spans
from transforms.errors import MissingWeights
from transforms.records import Float32, FrameSpec

FRAMES = 16  # its processor samples one a second, 32 at most
SIDE_PIXELS = 768
_FEWEST_STEPS = 8  # of 10 ms; without one it hears nothing
_SOUND_SAMPLES = 480_000  # its feature extractor cuts off what is longer


@dataclass(eq=False)
class EmbeddingGemmaNetwork(Network):
    """The model and its processor."""

    model: Any
    processor: Any
    where: Where = Where()

    def texts(self, texts: Sequence[str], role: Role) -> Float32:
        """(n, dim)."""
        return self._mean(self.processor.tokenizer(list(texts), padding=True, return_tensors="pt"))

    def frames(self, pixels: Pixels) -> Float32:
        """(n, dim)."""
        return self._mean(
            self.processor(images=[[picture] for picture in pixels], images_kwargs=LAYOUT, return_tensors="pt")
        )

    def sounds(self, windows: Sequence[Float32]) -> Float32:
        """(n, dim); sound that is shorter than a few of the model's steps goes on in silence."""
        shortest = _FEWEST_STEPS * self.processor.feature_extractor.hop_length
        whole = [np.pad(window, (0, max(0, shortest - len(window)))) for window in windows]
        return self._mean(self.processor(audio=whole, return_tensors="pt"))

    def clips(self, clips: Sequence[ClipInput]) -> Float32:
        """(n, dim)."""
        times = [frame_times(clip) for clip in clips]
        settings = {"video_metadata": times, "do_sample_frames": False, **LAYOUT}
        given = {"videos": [clip.frames for clip in clips], "videos_kwargs": settings}
        if any(clip.words for clip in clips):  # interleaved inputs: the frames' token, then the words
            token = self.processor.video_token
            given["text"] = [f"{token} {self._plain(clip.words)}" if clip.words else token for clip in clips]
        return self._mean(self.processor(**given, return_tensors="pt"))

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Where each token begins and ends."""
        return token_spans(self.processor.tokenizer, text)

    def _plain(self, words: str) -> str:
        """The words without the tokens that stand for pictures and sound: none of those belongs to them."""
        for token in filter(None, (self.processor.image_token, self.processor.video_token, self.processor.audio_token)):
            words = words.replace(token, token.replace("|", " "))
        return words

    def _mean(self, given: Any) -> Float32:
        """(n, dim): the mean of the last layer over the tokens that are no padding."""
        inputs = moved(given, self.where)
        hidden = self.model(**inputs).last_hidden_state  # (n, tokens, dim)
        mask = inputs["attention_mask"][..., None].to(hidden.dtype)  # (n, tokens, 1)
        return as_float32((hidden * mask).sum(1) / mask.sum(1))


def describe(name: Name, folder: Path) -> Card:
    """The card of a model's folder."""
    name.check_options("frames", "side", "query_prompt", "document_prompt", "max_tokens")
    config = read_config(folder)
    if config.get("model_type") != "embedding_gemma2":
        kind = config.get("model_type")
        raise MissingWeights(f"the folder holds no EmbeddingGemma 2: model_type={kind!r}, folder={folder}")
    sees, hears = bool(config.get("vision_config")), bool(config.get("audio_config"))
    seen: tuple[Kind, ...] = ("image", "clip") if sees else ()
    heard: tuple[Kind, ...] = ("sound",) if hears else ()
    frames, side = name.number("frames", FRAMES), name.number("side", SIDE_PIXELS)
    rate_hz, longest_seconds = _hearing(folder) if hears else (None, 0.0)
    tokens = longest_pass(folder, config, name.number("max_tokens", 0))[1]
    return hub_card(
        name,
        folder,
        modality="video" if sees else "sound" if hears else "text",
        accepts=("text", *seen, *heard),
        dimensions=config["text_config"]["embedding_dim"],
        text_queries=True,
        frame_spec=FrameSpec(side, side, "whole") if sees else None,
        frames_per_clip=frames if sees else 0,
        frame_choice=f"uniform:{frames}" if sees else "",
        sample_rate_hz=rate_hz,
        longest_seconds=longest_seconds,
        longest_tokens=tokens,
        takes_words=sees,
        matryoshka_dimensions=tuple(config.get("matryoshka_dimensions") or ()),
        settings=prompt_settings(name, *_prompts(folder)),
    )


def _hearing(folder: Path) -> tuple[int, float]:
    """(Hz, seconds of sound in one pass) as the processor's files have them."""
    said = read_config(folder, "processor_config.json")
    extractor = said.get("feature_extractor") or read_config(folder, "preprocessor_config.json")
    rate_hz = int(extractor["sampling_rate"])
    tokens, milliseconds = said.get("audio_seq_length"), said.get("audio_ms_per_token")
    longest = _SOUND_SAMPLES / rate_hz
    return rate_hz, min(longest, tokens * milliseconds / 1000) if tokens and milliseconds else longest


def _prompts(folder: Path) -> tuple[str, str]:
    """What the model's files have before queries and documents."""
    file = "config_sentence_transformers.json"
    if not (folder / file).is_file():
        return "", ""
    prompts = read_config(folder, file).get("prompts") or {}
    return prompts.get("query") or "", prompts.get("document") or ""


def load(card: Card, where: Where) -> EmbeddingGemmaNetwork:
    """The model of a card."""
    from transformers import EmbeddingGemma2Model, EmbeddingGemma2Processor

    model = pretrained(EmbeddingGemma2Model, card.folder, unsafe=Name.parse(card.name).flag("unsafe"))
    processor = EmbeddingGemma2Processor.from_pretrained(card.folder, local_files_only=True, trust_remote_code=False)
    return EmbeddingGemmaNetwork(placed(model, where, exact=("patch_embedder.input_proj",)), processor, where)
