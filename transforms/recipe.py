"""A recipe is everything that decides a vector; its fingerprint tells when one must be made again."""

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

from transforms.encoders.cards import card
from transforms.errors import UsageError
from transforms.media.choice import FrameChoice
from transforms.records import DenseVector, FrameSpec, Schema

#: Raised when the code makes other vectors or payloads from the same settings.
REVISION = 2


@dataclass(frozen=True, slots=True)
class SegmentSettings:
    """Fixed windows: clips of `clip_seconds`, each starting `overlap_seconds` before the last one's end."""

    clip_seconds: float = 8.0
    segment_seconds: float = 64.0
    overlap_seconds: float = 0.0

    def __post_init__(self) -> None:
        if not 1.0 <= self.clip_seconds <= self.segment_seconds:
            raise UsageError(
                "a clip lasts at least 1 s and at most a segment: "
                f"clip_seconds={self.clip_seconds}, segment_seconds={self.segment_seconds}"
            )
        if not 0.0 <= self.overlap_seconds <= self.clip_seconds / 2:
            raise UsageError(
                "clips overlap by half of their length at most: "
                f"overlap_seconds={self.overlap_seconds}, clip_seconds={self.clip_seconds}"
            )


@dataclass(frozen=True, slots=True)
class FusionSettings:
    """Weights of the blocks of the `clip` vector, in this order, and the periods of its position block."""

    frame: float = 1.0
    transcript: float = 0.8
    change: float = 0.4
    position: float = 0.4
    position_periods_seconds: tuple[float, ...] = (60.0, 600.0, 3600.0, 36000.0)
    position_periods_fraction: tuple[float, ...] = (2.0, 1.0, 0.5, 0.25)

    @property
    def position_dimensions(self) -> int:
        return 2 * (len(self.position_periods_seconds) + len(self.position_periods_fraction))


@dataclass(frozen=True, slots=True)
class Recipe:
    """Segmenter, choice of frames, encoders and fusion, by name; "" leaves a modality out."""

    name: str
    segment: SegmentSettings = SegmentSettings()
    choice: str = "every:1s"
    frame_encoder: str = ""
    speech_encoder: str = ""
    text_encoder: str = ""
    words_encoder: str = ""
    fusion: FusionSettings = FusionSettings()

    def __post_init__(self) -> None:
        FrameChoice.parse(self.choice)
        for encoder in (self.frame_encoder, self.speech_encoder, self.text_encoder, self.words_encoder):
            if encoder:
                card(encoder)
        if self.speech_encoder and not self.text_encoder:
            raise UsageError(f"a recipe with speech needs a text encoder too: recipe={self.name!r}")

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """The recipe that `settings()` or a TOML file describes; raises UsageError for unknown keys."""
        known = ("name", "segment", "frames", "speech", "text", "words", "fusion")
        for key in settings:
            if key not in known:
                raise UsageError(f"a recipe has no such part: {key!r}; it has {', '.join(known)}")
        fusion: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list | tuple) else float(value)
            for key, value in settings.get("fusion", {}).items()
        }
        frames = settings.get("frames", {})
        try:
            return cls(
                name=settings["name"],
                segment=SegmentSettings(**settings.get("segment", {})),
                choice=frames.get("choice", "every:1s"),
                frame_encoder=frames.get("encoder", ""),
                speech_encoder=settings.get("speech", {}).get("encoder", ""),
                text_encoder=settings.get("text", {}).get("encoder", ""),
                words_encoder=settings.get("words", {}).get("encoder", ""),
                fusion=FusionSettings(**fusion),
            )
        except (KeyError, TypeError) as error:
            raise UsageError(f"a recipe is not complete or has a setting too many: {error}") from error

    def settings(self) -> dict[str, Any]:
        """The recipe as plain values, as a TOML file would hold them; `of` reads it back."""
        return {
            "name": self.name,
            "segment": asdict(self.segment),
            "frames": {"choice": self.choice, "encoder": self.frame_encoder},
            "speech": {"encoder": self.speech_encoder},
            "text": {"encoder": self.text_encoder},
            "words": {"encoder": self.words_encoder},
            "fusion": {
                key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self.fusion).items()
            },
        }

    @property
    def segmenter(self) -> str:
        """The segmenter with its settings, as one word: part of every clip's id."""
        segment = self.segment
        return f"windows:{segment.clip_seconds:g}s/{segment.segment_seconds:g}s/{segment.overlap_seconds:g}s"

    @property
    def frame_spec(self) -> FrameSpec | None:
        return card(self.frame_encoder).frame_spec if self.frame_encoder else None

    @property
    def sample_rate_hz(self) -> int | None:
        return card(self.speech_encoder).sample_rate_hz if self.speech_encoder else None

    def vector_fingerprints(self) -> dict[str, str]:
        """For each named vector, a hash of all that decides it."""
        prints: dict[str, str] = {}
        if self.frame_encoder:
            prints["frame"] = prints["frames"] = _hash(
                REVISION, self.segmenter, self.choice, card(self.frame_encoder).fingerprint
            )
        if self.speech_encoder:
            heard = (REVISION, self.segmenter, card(self.speech_encoder).fingerprint)
            prints["transcript"] = _hash(*heard, card(self.text_encoder).fingerprint)
            if self.words_encoder:
                prints["words"] = _hash(*heard, card(self.words_encoder).fingerprint)
        blocks = [prints[name] for name in ("frame", "transcript") if name in prints]
        prints["clip"] = _hash(REVISION, *blocks, json.dumps(self.settings()["fusion"], sort_keys=True))
        return prints

    @property
    def fingerprint(self) -> str:
        """A hash of everything that decides any vector of this recipe; its name is not part of it."""
        return _hash(*(f"{name}={print_}" for name, print_ in sorted(self.vector_fingerprints().items())))

    def schema(self) -> Schema:
        """What the store must hold for this recipe."""
        dense: list[DenseVector] = []
        sparse: tuple[str, ...] = ()
        if self.frame_encoder:
            size = card(self.frame_encoder).dimensions
            dense += [DenseVector("frame", size), DenseVector("frames", size, multi=True)]
        if self.speech_encoder:
            dense.append(DenseVector("transcript", card(self.text_encoder).dimensions))
            sparse = ("words",) if self.words_encoder else ()
        dense.append(DenseVector("clip", sum(size for _, size in self.blocks()), int8=True))
        return Schema(
            recipe_name=self.name,
            recipe=self.fingerprint,
            dense=tuple(dense),
            sparse=sparse,
            vector_fingerprints=self.vector_fingerprints(),
            settings=self.settings(),
        )

    def blocks(self) -> tuple[tuple[str, int], ...]:
        """The blocks of the `clip` vector in order: (name, dimensions)."""
        blocks: list[tuple[str, int]] = []
        if self.frame_encoder:
            blocks.append(("frame", card(self.frame_encoder).dimensions))
        if self.speech_encoder:
            blocks.append(("transcript", card(self.text_encoder).dimensions))
        if self.frame_encoder:
            blocks.append(("change", card(self.frame_encoder).dimensions))
        return (*blocks, ("position", self.fusion.position_dimensions))

    def changed(self, **settings: Any) -> Self:
        """The same recipe with other segment settings or another `choice`; None leaves a setting as it is."""
        given = {key: value for key, value in settings.items() if value is not None}
        windows = {field.name for field in fields(SegmentSettings)}
        segment = replace(self.segment, **{key: given.pop(key) for key in list(given) if key in windows})
        return replace(self, segment=segment, **given)


def load_recipe(name: str) -> Recipe:
    """The recipe of this name, or of this TOML file; raises UsageError when there is none."""
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise UsageError(f"there is no recipe file {name!r}")
        text = path.read_text()
    else:
        folder = files("transforms").joinpath("recipes")
        packaged = {item.name.removesuffix(".toml"): item for item in folder.iterdir()}
        if name not in packaged:
            known = ", ".join(sorted(packaged))
            raise UsageError(f"unknown recipe {name!r}; there are: {known}; a file of your own is named *.toml")
        text = packaged[name].read_text()
    try:
        return Recipe.of(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"the recipe {name!r} is not valid TOML: {error}") from error


def _hash(*parts: object) -> str:
    return hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).hexdigest()[:32]
