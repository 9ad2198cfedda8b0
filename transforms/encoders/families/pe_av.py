"""Perception Encoder Audiovisual (PE-AV, in transformers): clips, their sound and text.

What can be compared depends on the head that the text goes through, so a name says which pair it means:

    pe-av:facebook/pe-av-large                # pair=video: frames and text
    pe-av:facebook/pe-av-large?pair=sound     # sound and text
    pe-av:facebook/pe-av-large?pair=both      # a clip's frames together with its sound, and text

A text of one pair cannot be compared with the clips or sounds of another, so each pair is a space of its own.
A clip without sound has no vector of the pair `both`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transforms.encoders.cards import Card
from transforms.encoders.encoder import check_rate, usable_samples
from transforms.encoders.families.whole_clips import frame_spec, in_range, seen_settings
from transforms.encoders.folders import hub_card, read_config
from transforms.encoders.frame_sampling import sampled
from transforms.encoders.names import Name
from transforms.encoders.network import ClipInput, Network, Pixels, Role, Where, as_float32
from transforms.encoders.precision import dtype_of, moved, placed
from transforms.encoders.sounds import at_least, extractor_settings
from transforms.encoders.text_models import longest_pass, pretrained, token_spans
from transforms.errors import UsageError
from transforms.records import Float32

_FRAMES = 16
_WINDOW_SECONDS = 30.0


@dataclass(eq=False)
class PeAvNetwork(Network):
    """The model, its tokenizer and its two processors' settings."""

    model: Any
    tokenizer: Any
    listener: Any
    seen: dict[str, Any]
    card: Card
    where: Where = Where()

    def texts(self, texts: Sequence[str], role: Role) -> Float32:
        """(n, dim), by the head of the pair."""
        inputs = moved(self.tokenizer(list(texts), padding=True, return_tensors="pt"), self.where)
        hidden = self.model.text_model(**inputs, output_hidden_states=True).hidden_states[-1][:, 0]
        head = {
            "video": self.model.video_model.text_video_head,
            "sound": self.model.audio_model.text_audio_head,
            "both": self.model.text_audio_video_head,
        }[str(dict(self.card.settings)["pair"])]
        return as_float32(head(hidden))

    def sounds(self, windows: Sequence[Float32]) -> Float32:
        """(n, dim); one by one, since its convolutions would hear the padding."""
        return np.concatenate([self._heard(window) for window in windows])

    def clips(self, clips: Sequence[ClipInput]) -> Float32:
        """(n, dim); rows of zeros for clips without sound where the pair is `both`."""
        pixels = self._pixels(np.stack([sampled(clip.frames, self.card.frames_per_clip) for clip in clips]))
        if self.card.sample_rate_hz is None:  # the pair `video`
            seen = self.model.video_model.video_encoder(pixel_values_videos=pixels).pooler_output
            return as_float32(self.model.video_model.video_head(seen))
        rows = [self._heard_and_seen(clip, pixels[place : place + 1]) for place, clip in enumerate(clips)]
        return np.concatenate(rows)

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Where each token begins and ends."""
        return token_spans(self.tokenizer, text)

    def _heard(self, window: Float32) -> Float32:
        found = self.model.audio_model.audio_encoder(input_values=self._samples(window)).pooler_output
        return as_float32(self.model.audio_model.audio_head(found))

    def _heard_and_seen(self, clip: ClipInput, pixels: Any) -> Float32:
        if clip.audio is None or not len(clip.audio.samples):
            return np.zeros((1, self.card.dimensions), np.float32)
        check_rate(clip.audio, self.card)
        samples = self._samples(usable_samples(clip.audio.samples))
        both = self.model.audio_video_encoder(input_values=samples, pixel_values_videos=pixels).pooler_output
        return as_float32(self.model.audio_video_head(both))

    def _samples(self, samples: Float32) -> Any:
        heard = self.listener(at_least(samples, 1), sampling_rate=self.listener.sampling_rate, return_tensors="pt")
        return heard["input_values"].to(self.where.device, dtype_of(self.where))

    def _pixels(self, frames: Pixels) -> Any:
        return in_range(frames, self.seen, self.where)


def describe(name: Name, folder: Path) -> Card:
    """The card of a model's folder, for one pair."""
    name.check_options("pair", "frames")
    config = read_config(folder)
    if config.get("model_type") != "pe_audio_video":
        raise UsageError(f"{name} is a model of type {config.get('model_type')!r}, not pe_audio_video")
    pair = name.choice("pair", ("video", "sound", "both"))
    looks, hears = pair != "sound", pair != "video"
    seen = seen_settings(folder, "video_preprocessor_config.json")
    frames = name.number("frames", int(seen.get("num_frames") or _FRAMES))
    return hub_card(
        name,
        folder,
        modality="video" if looks else "sound",
        accepts=("text", "clip") if looks else ("text", "sound"),
        dimensions=config["text_config"]["hidden_size"],
        text_queries=True,
        settings=(("pair", pair),),
        frame_spec=frame_spec(seen) if looks else None,
        frames_per_clip=frames if looks else 0,
        frame_choice=f"uniform:{frames}" if looks else "",
        sample_rate_hz=extractor_settings(folder)["sampling_rate"] if hears else None,
        longest_seconds=0.0 if looks else _WINDOW_SECONDS,
        longest_tokens=longest_pass(folder, config["text_config"])[1],
    )


def load(card: Card, where: Where) -> PeAvNetwork:
    """The model of a card."""
    import transformers

    name = Name.parse(card.name)
    model = pretrained(transformers.PeAudioVideoModel, card.folder, unsafe=name.flag("unsafe"))
    return PeAvNetwork(
        model=placed(model, where),
        tokenizer=transformers.AutoTokenizer.from_pretrained(card.folder, local_files_only=True),
        listener=transformers.PeAudioFeatureExtractor.from_pretrained(card.folder, local_files_only=True),
        seen=seen_settings(card.folder, "video_preprocessor_config.json"),
        card=card,
    )
