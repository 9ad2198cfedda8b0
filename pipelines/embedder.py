"""`reelvec.load`: one encoder, or a whole recipe, that takes whatever it is given.

A `str` is text, a `Path` a file, a PIL image or a uint8 array a picture, `(samples, rate)` sound.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from transforms.encoders.cards import Card
from transforms.encoders.catalog import card, text_encoder_of
from transforms.encoders.network import ClipInput, Kind, Role
from transforms.encoders.pictures import opened_picture, prepared
from transforms.encoders.registry import Loaded, loaded
from transforms.errors import UsageError
from transforms.media.choice import FrameChoice
from transforms.media.decode import decode
from transforms.media.probe import probe
from transforms.recipe import Recipe, load_recipe
from transforms.records import Audio, Clip, Float32, FrameSpec, FrameWant, Media, VideoInfo

#: Text, a file, a picture, or sound: (samples (n,) or (n, channels), sample rate in Hz).
Input = Any

#: A file that is looked at as a whole gives this many frames where its encoder names no number of its own.
_FRAMES_A_FILE = 16


@dataclass(frozen=True, slots=True, eq=False)
class ModelEmbedder:
    """One encoder, loaded: inputs of its kinds -> float32 unit vectors."""

    loaded: Loaded

    @property
    def card(self) -> Card:
        """What the encoder is."""
        return self.loaded.model.card

    def embed(self, given: Input, role: Role = "document") -> Float32:
        """The unit vector (dim,) of one input, or (tokens, dim) of a late-interaction model.

        `role` tells models with two towers, prompts or prefixes whether a text asks or answers. A video's picture is
        the mean of frames at even distances. Raises UsageError for an input that the encoder does not take.
        """
        return self.embed_batch([given], role)[0]

    def embed_batch(self, given: Sequence[Input], role: Role = "document") -> list[Float32]:
        """One vector an input, in order; inputs of several kinds may be mixed."""
        kinds = [self._kind_of(one) for one in given]
        rows: dict[int, Float32] = {}
        for kind in dict.fromkeys(kinds):
            places = [place for place, own in enumerate(kinds) if own == kind]
            vectors = self._embed_kind(kind, [given[place] for place in places], role)
            rows.update(zip(places, vectors, strict=True))
        return [rows[place] for place in range(len(given))]

    def similarity(self, query: Input, document: Input) -> float:
        """The cosine of two inputs, or MaxSim of late-interaction vectors; the first one asks."""
        return _similarity(self.embed(query, "query"), self.embed(document, "document"))

    def _kind_of(self, given: Input) -> Kind:
        accepts = self.card.accepts
        kind: Kind
        if isinstance(given, str):
            kind = "text"
        elif isinstance(given, tuple):
            kind = "sound"
        elif isinstance(given, Path):
            kind = self._kind_of_file(given)
        else:
            kind = "image"
        if kind not in accepts:
            raise UsageError(
                f"{self.card.name} takes {' and '.join(accepts) or 'no input of its own'}, not {kind}: {_shown(given)}"
            )
        return kind

    def _kind_of_file(self, path: Path) -> Kind:
        """What this encoder looks for in a file: the whole clip, its picture, or its sound."""
        if opened_picture(path) is not None:
            return "image"
        info = probe(path)
        accepts = self.card.accepts
        if info.video is not None and not info.video.still and "clip" in accepts:
            return "clip"
        if info.video is not None and "image" in accepts:
            return "image"
        if info.audio is not None and "sound" in accepts:
            return "sound"
        return "clip" if info.video is not None else "sound"

    def _embed_kind(self, kind: Kind, given: Sequence[Input], role: Role) -> Sequence[Float32]:
        encoder = self.loaded.model
        if kind == "text":
            return encoder.texts(list(given), role)
        if kind == "sound":
            return list(encoder.sounds([self._sound(one) for one in given]))
        if kind == "clip":
            return list(encoder.clips([self._clip(one) for one in given]))
        return [_mean(encoder.frames(self._frames(one))) for one in given]

    def _frames(self, given: Input) -> Any:
        """Frames (n, height, width, 3) uint8 of the card's size."""
        picture = opened_picture(given) if isinstance(given, Path) else given
        if picture is None:
            media, want = self._decoded(given, "image")
            return media.pictures[want].pixels
        return prepared(picture, self.card.frame_spec)[np.newaxis]

    def _sound(self, given: Input) -> Audio:
        rate = self.card.sample_rate_hz
        assert rate is not None
        if isinstance(given, Path):
            media, _ = self._decoded(given, "sound")
            if rate not in media.sounds:
                raise UsageError(f"there is no sound in {given}")
            return media.sounds[rate]
        samples, own_rate = given
        return Audio(resampled(np.asarray(samples), int(own_rate), rate), rate, 0.0)

    def _clip(self, given: Input) -> ClipInput:
        media, want = self._decoded(given, "clip")
        shown = media.pictures[want]
        return ClipInput(shown.pixels, shown.pts_seconds, media.sounds.get(self.card.sample_rate_hz or 0))

    def _decoded(self, path: Path, kind: Kind) -> tuple[Media, FrameWant]:
        """The whole file as one clip."""
        info: VideoInfo = probe(path)
        spec = self.card.frame_spec or FrameSpec(224, 224)
        choice = self.card.frame_choice or f"uniform:{self.card.frames_per_clip or _FRAMES_A_FILE}"
        want = FrameWant(spec, str(FrameChoice.parse(choice)))
        rates = (self.card.sample_rate_hz,) if self.card.sample_rate_hz else ()
        clip = Clip(0, info.start_seconds, info.end_seconds)
        wants = [want] if kind != "sound" else []
        media = decode(path, info, [clip], wants=wants, sample_rates_hz=rates)
        if wants and want not in media.pictures:
            raise UsageError(f"there is no picture in {path}")
        return media, want


@dataclass(frozen=True, slots=True, eq=False)
class RecipeEmbedder:
    """A recipe's encoders: each input goes to the encoder of its modality, loaded when it is first needed."""

    recipe: Recipe
    device: str = "auto"

    def encoder_for(self, given: Input) -> ModelEmbedder:
        """The encoder that an input goes to. Raises UsageError where the recipe has none for it."""
        sections = self._sections_for(given)
        named = self.recipe.encoders()
        for section in sections:
            if section in named:
                return ModelEmbedder(loaded(named[section], device=self.device))
        raise UsageError(
            f"the recipe {self.recipe.name!r} has no encoder for {_shown(given)}: it would be "
            f"{' or '.join(f'[{section}]' for section in sections)}; it has {', '.join(named)}"
        )

    def embed(self, given: Input, role: Role = "document") -> Float32:
        """The unit vector of one input, by the encoder of its modality."""
        return self.encoder_for(given).embed(given, role)

    def embed_batch(self, given: Sequence[Input], role: Role = "document") -> list[Float32]:
        """One vector an input, in order; inputs of several kinds may be mixed."""
        own = [self.encoder_for(one) for one in given]
        rows: dict[int, Float32] = {}
        for name in dict.fromkeys(embedder.card.name for embedder in own):
            places = [place for place, embedder in enumerate(own) if embedder.card.name == name]
            vectors = own[places[0]].embed_batch([given[place] for place in places], role)
            rows.update(zip(places, vectors, strict=True))
        return [rows[place] for place in range(len(given))]

    def similarity(self, query: Input, document: Input) -> float:
        """The cosine of two inputs; a text beside something else is taken into the other's space.

        Raises UsageError for inputs whose encoders share no space, naming both.
        """
        one, other = self.encoder_for(query), self.encoder_for(document)
        if isinstance(query, str) != isinstance(document, str):
            if isinstance(query, str) and other.card.text_queries:
                one = self._text_tower_of(other)
            elif isinstance(document, str) and one.card.text_queries:
                other = self._text_tower_of(one)
        if one.card.space != other.card.space:
            raise UsageError(
                f"vectors of different spaces cannot be compared: {one.card.name} gives {one.card.space!r}, "
                f"{other.card.name} gives {other.card.space!r}"
            )
        return _similarity(one.embed(query, "query"), other.embed(document, "document"))

    def _text_tower_of(self, embedder: ModelEmbedder) -> ModelEmbedder:
        return ModelEmbedder(loaded(text_encoder_of(embedder.card.name).name, device=self.device))

    def _sections_for(self, given: Input) -> tuple[str, ...]:
        if isinstance(given, str):
            return ("text",)
        if isinstance(given, tuple):
            return ("audio", "sound")
        if isinstance(given, Path):
            if opened_picture(given) is not None:
                return ("frames",)
            info = probe(given)
            if info.video is None:
                return ("audio", "sound")
            return ("frames",) if info.video.still else ("frames", "video")
        return ("frames",)


def load(name: str, *, device: str = "auto") -> ModelEmbedder | RecipeEmbedder:
    """The encoder of this name, or the recipe of this name or .toml file, ready to embed.

    Raises UsageError for an unknown name, MissingPackage, MissingWeights and MissingKey with their cure.
    """
    if name.endswith(".toml") or ":" not in name:
        recipe = load_recipe(name)
        recipe.check()
        return RecipeEmbedder(recipe, device)
    if card(name).modality in ("words", "speech", "ocr"):
        kind: Literal["words", "speech", "ocr"] = card(name).modality  # type: ignore[assignment]
        gives = {"words": "sparse words", "speech": "a transcript", "ocr": "text"}[kind]
        raise UsageError(f"{name} gives {gives}, not vectors: put it into a recipe, or load a recipe that has it")
    return ModelEmbedder(loaded(name, device=device))


def resampled(samples: NDArray[Any], rate_hz: int, wanted_hz: int) -> Float32:
    """Sound (n,) or (n, channels), float or int16, as mono float32 (m,) at another rate (polyphase filtering)."""
    from scipy.signal import resample_poly

    if samples.ndim not in (1, 2) or rate_hz < 1 or not samples.size:
        raise UsageError(f"sound is (samples (n,) or (n, channels), rate in Hz): {samples.shape}, {rate_hz}")
    if samples.dtype.kind in "iu":
        samples = samples / float(np.iinfo(samples.dtype.name).max)
    mono = samples.mean(axis=1) if samples.ndim == 2 else samples
    divisor = int(np.gcd(rate_hz, wanted_hz))
    if rate_hz != wanted_hz:
        mono = resample_poly(mono, wanted_hz // divisor, rate_hz // divisor)
    return np.asarray(mono, np.float32)


def _similarity(one: Float32, other: Float32) -> float:
    if one.ndim == 2 or other.ndim == 2:  # MaxSim: every token of the question takes its best one
        return float((np.atleast_2d(one) @ np.atleast_2d(other).T).max(axis=1).sum())
    return float(one @ other)


def _mean(vectors: Float32) -> Float32:
    mean = vectors.mean(axis=0)
    unit: Float32 = mean / np.float32(np.linalg.norm(mean) or 1.0)
    return unit


def _shown(given: Input) -> str:
    if isinstance(given, str | Path):
        return repr(str(given)[:80])
    return f"an input of type {type(given).__name__}"
