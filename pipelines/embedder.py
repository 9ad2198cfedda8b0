"""`reelvec.load`: one encoder, or a whole recipe, that takes whatever it is given.

A `str` is text, a `Path` a file, a PIL image or an array a picture, `(samples, rate)` sound.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.inputs import File, Given, Input, Picture, Sound, Text, examined, examined_all, resampled
from transforms.encoders.cards import Card
from transforms.encoders.catalog import card, text_encoder_of
from transforms.encoders.network import ClipInput, Kind, Pixels, Role
from transforms.encoders.pictures import prepared
from transforms.encoders.registry import Loaded, loaded
from transforms.errors import UsageError
from transforms.media.choice import FrameChoice
from transforms.media.decode import decode
from transforms.recipe import SECTIONS, Recipe, load_recipe
from transforms.records import Audio, Clip, Float32, FrameSpec, FrameWant, Media

#: A file that is looked at as a whole gives this many frames where its encoder names no number of its own.
_FRAMES_A_FILE = 16

#: Frames of several pictures and files that are in memory at once.
_FRAMES_AT_ONCE = 256

#: Where a recipe takes an input of a kind: the first of these sections that it has.
_SECTIONS_OF: dict[Kind, tuple[str, ...]] = {
    "text": ("text",),
    "image": ("frames",),
    "clip": ("frames", "video"),
    "sound": ("audio", "sound"),
}
_GIVES = {"words": "sparse words", "speech": "a transcript", "ocr": "text"}


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
        the mean of frames at even distances. A text goes to the text tower of an encoder whose pictures or sounds
        text can ask. Raises UsageError for an input that the encoder does not take, or that it knows nothing of.
        """
        return self.of([examined(given)], role)[0]

    def embed_batch(self, given: Iterable[Input], role: Role = "document") -> list[Float32]:
        """One vector an input, in order; inputs of several kinds may be mixed."""
        return self.of(examined_all(given), role)

    def similarity(self, query: Input, document: Input) -> float:
        """The cosine of two inputs, or MaxSim of late-interaction vectors; the first one asks."""
        return _similarity(self.embed(query, "query"), self.embed(document, "document"))

    def of(self, given: Sequence[Given], role: Role) -> list[Float32]:
        """The vectors of inputs that were examined."""
        if role not in ("query", "document"):
            raise UsageError(f"a role is query or document: role={role!r}")
        kinds = [self._kind_of(one) for one in given]
        rows: dict[int, Float32] = {}
        for kind in dict.fromkeys(kinds):
            places = [place for place, own in enumerate(kinds) if own == kind]
            vectors = self._of_kind(kind, [given[place] for place in places], role)
            rows.update(zip(places, vectors, strict=True))
        for place, one in enumerate(given):
            if not np.any(rows[place]):
                raise UsageError(f"{self.card.name} knows nothing of {one}: {self.loaded.model.network.nothing}")
        return [rows[place] for place in range(len(given))]

    @property
    def _accepts(self) -> tuple[Kind, ...]:
        through_tower: tuple[Kind, ...] = ("text",) if self.card.text_queries and self.card.text_encoder else ()
        return tuple(dict.fromkeys((*self.card.accepts, *through_tower)))

    def _kind_of(self, given: Given) -> Kind:
        """What this encoder takes an input as: of a file the whole clip, its picture, or its sound."""
        for kind in given.kinds:
            if kind in self._accepts:
                return kind
        able, is_one = " and ".join(self._accepts) or "no input of its own", " or ".join(given.kinds)
        silent = isinstance(given, File) and "sound" in self._accepts
        raise UsageError(f"{self.card.name} takes {able}, not {is_one}: {given}{' has no sound' if silent else ''}")

    def _of_kind(self, kind: Kind, given: Sequence[Any], role: Role) -> Sequence[Float32]:
        encoder = self.loaded.model
        if kind == "text":
            if "text" not in self.card.accepts:
                encoder = loaded(text_encoder_of(self.card.name).name, device=self.loaded.model.where.device).model
            return encoder.texts([one.text for one in given], role)
        if kind == "sound":
            return list(encoder.sounds([self._sound(one) for one in given]))
        if kind == "clip":
            return list(encoder.clips([self._clip(one) for one in given], role))
        return [vector for some in self._together(given) for vector in self._pictures(some, role)]

    def _together(self, given: Sequence[Picture | File]) -> Iterator[list[Pixels]]:
        """The frames of each input (n, height, width, 3), as many inputs at once as share a size and fit in memory."""
        some: list[Pixels] = []
        for one in given:
            frames = self._frames(one)
            held = sum(map(len, some)) + len(frames)
            if some and (frames.shape[1:] != some[0].shape[1:] or held > _FRAMES_AT_ONCE):
                yield some
                some = []
            some.append(frames)
        if some:
            yield some

    def _pictures(self, frames: Sequence[Pixels], role: Role) -> list[Float32]:
        vectors = self.loaded.model.frames(np.concatenate(frames), role)
        ends = np.cumsum([len(own) for own in frames])[:-1]
        return [_mean(own) for own in np.split(vectors, ends)]

    def _frames(self, given: Picture | File) -> Pixels:
        """Frames (n, height, width, 3) uint8 of the card's size."""
        if isinstance(given, Picture):
            return prepared(given.image, self.card.frame_spec)[np.newaxis]
        media, want = self._decoded(given, "image")
        return media.pictures[want].pixels

    def _sound(self, given: Sound | File) -> Audio:
        rate_hz = self.card.sample_rate_hz
        assert rate_hz is not None
        if isinstance(given, Sound):
            return Audio(resampled(given.samples, given.rate_hz, rate_hz), rate_hz, 0.0)
        media, _ = self._decoded(given, "sound")
        if rate_hz not in media.sounds:
            raise UsageError(f"there is no sound in {given}")
        return media.sounds[rate_hz]

    def _clip(self, given: File) -> ClipInput:
        media, want = self._decoded(given, "clip")
        shown = media.pictures[want]
        return ClipInput(shown.pixels, shown.pts_seconds, media.sounds.get(self.card.sample_rate_hz or 0))

    def _decoded(self, given: File, kind: Kind) -> tuple[Media, FrameWant]:
        """The whole file as one clip."""
        info = given.info
        spec = self.card.frame_spec or FrameSpec(224, 224)
        choice = self.card.frame_choice or f"uniform:{self.card.frames_per_clip or _FRAMES_A_FILE}"
        want = FrameWant(spec, str(FrameChoice.parse(choice)))
        rates = (self.card.sample_rate_hz,) if self.card.sample_rate_hz else ()
        clip = Clip(0, info.start_seconds, info.end_seconds)
        wants = [want] if kind != "sound" else []
        media = decode(given.path, info, [clip], wants=wants, sample_rates_hz=rates)
        if wants and want not in media.pictures:
            raise UsageError(f"there is no picture in {given}")
        return media, want


@dataclass(frozen=True, slots=True, eq=False)
class RecipeEmbedder:
    """A recipe's encoders: each input goes to the encoder of its modality, loaded when it is first needed."""

    recipe: Recipe
    device: str = "auto"

    def encoder_for(self, given: Input) -> ModelEmbedder:
        """The encoder that an input goes to. Raises UsageError where the recipe has none for it."""
        return self._encoder_for(examined(given))

    def embed(self, given: Input, role: Role = "document") -> Float32:
        """The unit vector of one input, by the encoder of its modality."""
        one = examined(given)
        return self._encoder_for(one).of([one], role)[0]

    def embed_batch(self, given: Iterable[Input], role: Role = "document") -> list[Float32]:
        """One vector an input, in order; inputs of several kinds may be mixed."""
        inputs = examined_all(given)
        own = [self._encoder_for(one) for one in inputs]
        rows: dict[int, Float32] = {}
        for name in dict.fromkeys(embedder.card.name for embedder in own):
            places = [place for place, embedder in enumerate(own) if embedder.card.name == name]
            vectors = own[places[0]].of([inputs[place] for place in places], role)
            rows.update(zip(places, vectors, strict=True))
        return [rows[place] for place in range(len(inputs))]

    def similarity(self, query: Input, document: Input) -> float:
        """The cosine of two inputs; a text beside something else is taken into the other's space.

        Raises UsageError for inputs whose encoders share no space, naming both.
        """
        asked, answer = examined(query), examined(document)
        one, other = self._encoders_for(asked, answer)
        if one.card.space != other.card.space:
            raise UsageError(
                f"vectors of different spaces cannot be compared: {one.card.name} gives {one.card.space!r}, "
                f"{other.card.name} gives {other.card.space!r}"
            )
        return _similarity(one.of([asked], "query")[0], other.of([answer], "document")[0])

    def _encoders_for(self, asked: Given, answer: Given) -> tuple[ModelEmbedder, ModelEmbedder]:
        """The encoders of two inputs; a text goes to that of the other one where text can ask it."""
        if isinstance(asked, Text) != isinstance(answer, Text):
            embedder = self._encoder_for(answer if isinstance(asked, Text) else asked)
            if embedder.card.text_queries:
                return embedder, embedder
        return self._encoder_for(asked), self._encoder_for(answer)

    def _encoder_for(self, given: Given) -> ModelEmbedder:
        sections = tuple(dict.fromkeys(section for kind in given.kinds for section in _SECTIONS_OF[kind]))
        named = self.recipe.encoders()
        for section in sections:
            if section in named:
                return ModelEmbedder(loaded(named[section], device=self.device))
        if isinstance(given, Text):  # no encoder of texts alone, but perhaps one whose pictures or sounds text can ask
            for section in (section for section in SECTIONS if section in named):
                if card(named[section]).modality not in _GIVES and card(named[section]).text_queries:
                    return ModelEmbedder(loaded(named[section], device=self.device))
        raise UsageError(
            f"the recipe {self.recipe.name!r} has no encoder for {given}: it would be "
            f"{' or '.join(f'[{section}]' for section in sections)}; it has {', '.join(named)}"
        )


def load(name: str | Path, *, device: str = "auto") -> ModelEmbedder | RecipeEmbedder:
    """The encoder of this name, or the recipe of this name or .toml file, ready to embed.

    Raises UsageError for an unknown name, MissingPackage, MissingWeights and MissingKey with their cure.
    """
    name = str(name)
    if name.endswith(".toml") or ":" not in name:
        recipe = load_recipe(name)
        recipe.check()
        return RecipeEmbedder(recipe, device)
    if gives := _GIVES.get(card(name).modality):
        raise UsageError(f"{name} gives {gives}, not vectors: put it into a recipe, or load a recipe that has it")
    return ModelEmbedder(loaded(name, device=device))


def _similarity(one: Float32, other: Float32) -> float:
    if one.ndim == 2 or other.ndim == 2:  # MaxSim: every token of the question takes its best one
        return float((np.atleast_2d(one) @ np.atleast_2d(other).T).max(axis=1).sum())
    return float(one @ other)


def _mean(vectors: Float32) -> Float32:
    mean = vectors.mean(axis=0)
    unit: Float32 = mean / np.float32(np.linalg.norm(mean) or 1.0)
    return unit
