"""A recipe is everything that decides a vector; its fingerprint tells when one must be made again."""

import hashlib
import json
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

from transforms.encoders.cards import Card
from transforms.encoders.catalog import card
from transforms.encoders.family import family
from transforms.encoders.lock import Lock, apply, lock_path, read_lock
from transforms.encoders.names import Name
from transforms.encoders.services import require_key
from transforms.errors import UsageError
from transforms.fusion_settings import FusionSettings as FusionSettings
from transforms.index import payloads
from transforms.media.choice import FrameChoice
from transforms.media.shots import SHOT_RULE
from transforms.records import DenseVector, FrameWant, Quantization, Schema
from transforms.segment_settings import SegmentSettings as SegmentSettings
from transforms.written import check_kinds

#: Raised when the code makes other vectors from the same settings; payloads have a revision of their own
#: (`transforms.index.payloads`), which asks for no vector.
REVISION = 2
#: How pauses are chosen to cut at (`transforms.cut`); another word where other pauses would be.
PAUSE_RULE = "pauses-1"

#: A recipe's sections that name an encoder: what the encoder must take, and the vectors that it fills.
SECTIONS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "frames": ("image", ("frame", "frames")),
    "speech": ("speech", ()),  # gives words: `transcript` and `words`
    "ocr": ("ocr", ()),  # gives words: `ocr` and `words`
    "text": ("text", ("transcript", "ocr")),
    "words": ("words", ("words",)),
    "audio": ("sound", ("audio",)),
    "sound": ("sound", ("speech",)),
    "video": ("clip", ("video",)),
    "objects": ("objects", ("objects",)),
    "motion": ("clip", ("motion",)),
    "joint": ("clip", ("clip",)),  # pictures and words of a clip in one input
}


#: What decides which frames a joint vector has seen, its words included.
_SEEN = ("joint", "ocr")

_QUANTIZATION: tuple[tuple[str, Quantization], ...] = (("clip", "int8"),)


@dataclass(frozen=True, slots=True)
class Recipe:
    """Segmenter, choice of frames, encoders, fusion and quantization; "" leaves a modality out.

    Making one looks at names only, so that a recipe can be read before its weights are here.
    """

    name: str
    segment: SegmentSettings = SegmentSettings()
    choice: str = "every:1s"
    frame_encoder: str = ""
    speech_encoder: str = ""
    text_encoder: str = ""
    words_encoder: str = ""
    ocr_encoder: str = ""
    audio_encoder: str = ""  # joint with text
    sound_encoder: str = ""  # for sound-to-sound search: the vector `speech`
    video_encoder: str = ""
    objects_encoder: str = ""
    motion_encoder: str = ""
    joint_encoder: str = ""  # with [fusion] strategy = "joint"
    fusion: FusionSettings = FusionSettings()
    quantization: tuple[tuple[str, Quantization], ...] = _QUANTIZATION  # by vector

    def __post_init__(self) -> None:
        FrameChoice.parse(self.choice)
        for section, encoder in self.encoders().items():
            _check_family(section, encoder)
        if self.segment.kind == "speech" and not self.speech_encoder:
            raise UsageError(
                f"cutting by speech needs a speech encoder: recipe={self.name!r}; name one in [speech], or cut by shots"
            )
        if (self.speech_encoder or self.ocr_encoder) and not self.text_encoder:
            raise UsageError(f"a recipe with speech or ocr needs a text encoder too: recipe={self.name!r}")
        if bool(self.joint_encoder) != (self.fusion.strategy == "joint"):
            raise UsageError(
                f'[joint] encoder and [fusion] strategy = "joint" go together: encoder={self.joint_encoder!r}, '
                f"strategy={self.fusion.strategy!r}"
            )
        for vector, kind in self.quantization:
            if kind not in ("none", "int8", "binary", "product"):
                raise UsageError(f"vectors are quantized to none, int8, binary or product: {vector}={kind!r}")

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """The recipe that `settings()` or a TOML file describes.

        What a section holds beside `encoder` and `choice` are options of its encoder. Raises UsageError for unknown
        keys, values of another kind, and settings that would have no effect.
        """
        known = ("name", "segment", "fusion", "quantization", *SECTIONS)
        for key in settings:
            if key not in known:
                raise UsageError(f"a recipe has no such part: {key!r}; it has {', '.join(known)}")
        check_kinds(settings, {"segment": asdict(SegmentSettings()), "fusion": asdict(FusionSettings())})
        encoders = {_field_of(section): _encoder_of(section, settings.get(section, {})) for section in SECTIONS}
        quantized = {**dict(_QUANTIZATION), **settings.get("quantization", {})}
        try:
            made = cls(
                name=settings["name"],
                segment=SegmentSettings(**settings.get("segment", {})),
                choice=settings.get("frames", {}).get("choice", "every:1s"),
                fusion=FusionSettings.of(settings.get("fusion", {})),
                quantization=tuple(sorted(quantized.items())),
                **encoders,
            )
        except (KeyError, TypeError) as error:
            raise UsageError(f"a recipe is not complete or has a setting too many: {error}") from error
        made._check_effects(settings.get("quantization", {}), settings.get("segment", {}))
        return made

    def _check_effects(self, quantized: Mapping[str, str], segment: Mapping[str, Any]) -> None:
        """Raise UsageError for what would be passed over in silence."""
        lengths = [f"{key}={segment[key]}" for key in ("shortest_seconds", "longest_seconds") if key in segment]
        if lengths and self.segment.kind == "windows":
            raise UsageError(
                f"windows have one length, clip_seconds; {', '.join(lengths)} in [segment] belongs to "
                'kind = "shots" or "speech"'
            )
        named = self.encoders()
        if not named:
            raise UsageError(
                f"the recipe {self.name!r} names no encoder, so it makes no vectors; name one, e.g. in [frames]: "
                'encoder = "conse:tf_efficientnet_lite2"'
            )
        vectors = [vector for section in named if section not in ("text", "words") for vector in SECTIONS[section][1]]
        vectors += [vector for vector, gives in (("transcript", "speech"), ("ocr", "ocr")) if gives in named]
        for vector in quantized:
            if vector not in (*vectors, "clip"):
                raise UsageError(
                    f"[quantization] names {vector!r}, which is no dense vector of the recipe {self.name!r}; "
                    f"it has {', '.join((*vectors, 'clip'))}"
                )

    def settings(self) -> dict[str, Any]:
        """The recipe as plain values, as a TOML file would hold them; `of` reads it back."""
        return {
            "name": self.name,
            "segment": self.segment.settings(),
            **{section: {"encoder": encoder} for section, encoder in self.encoders().items()},
            "frames": {"choice": self.choice, "encoder": self.frame_encoder},
            "fusion": self.fusion.plain(),
            "quantization": dict(self.quantization),
        }

    def encoders(self) -> dict[str, str]:
        """The encoders by section, without those that are left out."""
        named = {section: str(getattr(self, _field_of(section))) for section in SECTIONS}
        return {section: encoder for section, encoder in named.items() if encoder}

    @property
    def encoder_names(self) -> tuple[str, ...]:
        """Every encoder, each once."""
        return tuple(dict.fromkeys(self.encoders().values()))

    def locked(self, lock: Lock | None) -> Self:
        """The same recipe with the revisions of a lock. Raises MissingWeights for weights that are other ones."""
        if lock is None:
            return self
        pinned: dict[str, Any] = {_field_of(section): apply(name, lock) for section, name in self.encoders().items()}
        return replace(self, **pinned)

    def check(self) -> None:
        """Raise UsageError for an encoder in a section that it cannot serve; MissingPackage, -Weights and -Key."""
        for section, encoder in self.encoders().items():
            wanted, _ = SECTIONS[section]
            found = card(encoder)
            if wanted not in (found.modality, *found.accepts):
                able = " and ".join(dict.fromkeys((found.modality, *found.accepts)))
                raise UsageError(f"[{section}] wants an encoder for {wanted}; {encoder} is one for {able}")
            if family(found.family).weights == "service":
                require_key(Name.parse(encoder))
            if section == "motion" and found.modality != "motion":
                raise UsageError(f"[motion] wants an encoder of motion; {encoder} belongs into [video]")
            if section == "joint" and not found.takes_words:
                raise UsageError(
                    f"[joint] wants an encoder that takes pictures and words in one input, as qwen3-vl and "
                    f"embedding-gemma do; {encoder} takes them one by one"
                )
        named = {name: card(encoder) for name, encoder in self.encoders().items()}
        self.fusion.check_trained(self.name, self.vector_fingerprints, named.get("text"), named.get("frames"))

    @property
    def segmenter(self) -> str:
        """The segmenter with its settings, as one word: part of every clip's id."""
        segment = self.segment
        if segment.kind == "windows":
            return f"windows:{segment.clip_seconds:g}s/{segment.segment_seconds:g}s/{segment.overlap_seconds:g}s"
        lengths = (segment.shortest_seconds, segment.clip_seconds, segment.longest_seconds, segment.segment_seconds)
        found_by = SHOT_RULE if segment.kind == "shots" else f"{PAUSE_RULE}/{card(self.speech_encoder).fingerprint}"
        return f"{segment.kind}:{'/'.join(f'{length:g}s' for length in lengths)}/{found_by}"

    def frame_want(self, section: str) -> FrameWant | None:
        """The frames that the encoder of a section wants; None where it looks at none."""
        encoder = self.encoders().get(section)
        found = card(encoder) if encoder else None
        if found is None or found.frame_spec is None:
            return None
        return FrameWant(found.frame_spec, found.frame_choice or self.choice)

    def frame_wants(self, only: Collection[str] | None = None) -> tuple[FrameWant, ...]:
        """Every set of frames that decoding must give, each once; for these sections alone where they are named."""
        looking = ("frames", "ocr", "video", "objects", "motion", "joint")
        wants = (self.frame_want(section) for section in looking if only is None or section in only)
        return tuple(dict.fromkeys(want for want in wants if want is not None))

    def sample_rates_hz(self, only: Collection[str] | None = None) -> tuple[int, ...]:
        """Every sample rate that decoding must give, each once; for these sections alone where they are named."""
        named = self.encoders().items()
        rates = (card(name).sample_rate_hz for section, name in named if only is None or section in only)
        return tuple(sorted({rate for rate in rates if rate is not None}))

    def vector_fingerprints(self) -> dict[str, str]:
        """For each named vector, a hash of all that decides it."""
        own = {section: card(encoder) for section, encoder in self.encoders().items()}
        prints: dict[str, str] = {}
        for section in ("frames", "audio", "sound", "video", "objects", "motion"):
            if section in own:
                looks = self._look(section, own[section])
                for vector in SECTIONS[section][1]:
                    prints[vector] = _hash(REVISION, self.segmenter, *looks, own[section].fingerprint)
        read = {
            section: (*self._look(section, own[section]), own[section].fingerprint)
            for section in ("speech", "ocr")
            if section in own
        }
        for section, vector in (("speech", "transcript"), ("ocr", "ocr")):
            if section in read:
                prints[vector] = _hash(REVISION, self.segmenter, *read[section], own["text"].fingerprint)
        if "words" in own and read:
            every = [part for parts in read.values() for part in parts]
            prints["words"] = _hash(REVISION, self.segmenter, *every, own["words"].fingerprint)
        if self.fusion.pooling != "mean" and "frame" in prints:
            decides = self.fusion.decides()
            prints["frame"] = _hash(prints["frame"], decides["pooling"], decides.get("pooling_file", ""))
        prints["clip"] = self._clip_print(prints)
        return prints

    def _clip_print(self, prints: Mapping[str, str]) -> str:
        """What decides the vector `clip`, given what decides the others."""
        if self.fusion.strategy == "joint":
            model = card(self.joint_encoder)
            read = [card(name).fingerprint for name in (self.speech_encoder, self.ocr_encoder) if name]
            looks = [self._look(section, card(name)) for section, name in self.encoders().items() if section in _SEEN]
            return _hash(REVISION, "joint", self.segmenter, *looks, model.fingerprint, *read)
        if self.fusion.strategy == "head":
            tokens = [f"{name}={prints[name]}" for name in ("frames", "transcript", "ocr", "audio") if name in prints]
            return _hash(REVISION, "head", *tokens, self.fusion.decides()["head"])
        blocks = [prints[name] for name in ("frame", "transcript", "ocr", "audio") if name in prints]
        return _hash(REVISION, *blocks, json.dumps(self._fusion_of_blocks(), sort_keys=True))

    def _look(self, section: str, own: Card) -> tuple[str, ...]:
        """Which frames an encoder looks at; nothing for one that only listens."""
        return () if own.frame_spec is None else (own.frame_choice or self.choice,)

    def _fusion_of_blocks(self) -> dict[str, Any]:
        """The settings of the fusion, without the weights of blocks that this recipe does not have."""
        absent = {"frame", "transcript", "ocr", "audio", "change"} - {name for name, _ in self.blocks()}
        kept = self.fusion.decides()
        return {key: value for key, value in kept.items() if key not in absent - {"frame", "transcript", "change"}}

    @property
    def fingerprint(self) -> str:
        """A hash of everything that decides any vector of this recipe; its name is not part of it."""
        return _hash(*(f"{name}={print_}" for name, print_ in sorted(self.vector_fingerprints().items())))

    def schema(self) -> Schema:
        """What the store must hold for this recipe. Raises UsageError, MissingPackage, MissingWeights.

        UsageError also for [text] and [words] without [speech] and [ocr]: they fill no vector of a clip. A trained
        head is asked with texts.
        """
        idle = () if self.speech_encoder or self.ocr_encoder else ("text", "words")
        for section in idle[1:] if self.fusion.strategy == "head" else idle:
            if section in self.encoders():
                raise UsageError(
                    f"[{section}] has no text to work on in the recipe {self.name!r}: add [speech] or [ocr], "
                    f"or leave [{section}] out"
                )
        self.check()
        dense = [
            DenseVector(name, size, multi=multi, quantization=dict(self.quantization).get(name, "none"))
            for name, size, multi in self._dense()
        ]
        has_words = self.words_encoder and (self.speech_encoder or self.ocr_encoder)
        return Schema(
            recipe_name=self.name,
            recipe=self.fingerprint,
            dense=tuple(dense),
            sparse=("words",) if has_words else (),
            vector_fingerprints=self.vector_fingerprints(),
            settings=self.settings(),
            payloads=payloads.revision(),
        )

    def _dense(self) -> Iterator[tuple[str, int, bool]]:
        """(name, dimensions, whether it is a multivector) of each dense vector."""
        if self.frame_encoder:
            size = card(self.frame_encoder).dimensions
            yield "frame", size, False
            yield "frames", size, True
        if self.text_encoder:
            text = card(self.text_encoder)
            for vector, gives in (("transcript", self.speech_encoder), ("ocr", self.ocr_encoder)):
                if gives:
                    yield vector, text.dimensions, text.multivector
        for section in ("audio", "sound", "video", "objects", "motion"):
            if encoder := self.encoders().get(section):
                (vector,) = SECTIONS[section][1]
                yield vector, card(encoder).dimensions, card(encoder).multivector
        yield "clip", self._clip_dimensions(), False

    def _clip_dimensions(self) -> int:
        if self.fusion.strategy == "joint":
            return card(self.joint_encoder).dimensions
        if self.fusion.strategy == "head":
            return self.fusion.trained("head").dimensions
        return sum(size for _, size in self.blocks())

    @property
    def clip_encoder(self) -> str:
        """The encoder whose texts are compared with `clip` as they are; "" where a text is laid out in its blocks."""
        return {"joint": self.joint_encoder, "head": self.text_encoder}.get(self.fusion.strategy, "")

    def blocks(self) -> tuple[tuple[str, int], ...]:
        """The blocks of the `clip` vector in order: (name, dimensions)."""
        blocks: list[tuple[str, int]] = []
        if self.frame_encoder:
            blocks.append(("frame", card(self.frame_encoder).dimensions))
        for name, gives in (("transcript", self.speech_encoder), ("ocr", self.ocr_encoder)):
            if gives:
                blocks.append((name, card(self.text_encoder).dimensions))
        if self.audio_encoder:
            blocks.append(("audio", card(self.audio_encoder).dimensions))
        if self.frame_encoder:
            blocks.append(("change", card(self.frame_encoder).dimensions))
        size = self.fusion.position_dimensions
        return (*blocks, ("position", size)) if size else tuple(blocks)

    def changed(self, **settings: Any) -> Self:
        """The same recipe with other segment settings or another `choice`; None leaves a setting as it is."""
        given = {key: value for key, value in settings.items() if value is not None}
        windows = {field.name for field in fields(SegmentSettings)}
        segment = replace(self.segment, **{key: given.pop(key) for key in list(given) if key in windows})
        return replace(self, segment=segment, **given)


def _field_of(section: str) -> str:
    return "frame_encoder" if section == "frames" else f"{section}_encoder"


def _encoder_of(section: str, written: Mapping[str, Any]) -> str:
    """The name of a section's encoder, with the section's other keys as its options."""
    encoder = written.get("encoder", "")
    options = {
        key: value for key, value in written.items() if key != "encoder" and (section, key) != ("frames", "choice")
    }
    if not options:
        return str(encoder)
    if not encoder:
        raise UsageError(f"[{section}] names no encoder that its settings could belong to: {', '.join(options)}")
    return str(Name.parse(encoder).with_options({key: _as_option(value) for key, value in options.items()}))


def _as_option(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _check_family(section: str, encoder: str) -> None:
    """Raise UsageError for a name that no family bears, or of one that gives text where vectors are wanted."""
    found = family(Name.parse(encoder).family)
    gives_text = ("speech", "ocr", "words")
    if (found.modality in gives_text or section in gives_text) and found.modality != section:
        raise UsageError(
            f"[{section}] cannot be served by {Name.parse(encoder).shown}: it is an encoder for {found.modality}"
        )


def load_recipe(name: str, *, locked: bool = True) -> Recipe:
    """The recipe of this name, or of this TOML file, with the revisions that its lock names unless `locked` is False.

    Raises UsageError when there is none; MissingWeights where weights are here that are not those of the lock.
    """
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise UsageError(f"there is no recipe file {name!r}")
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"the recipe {name!r} cannot be read, it is a text file in UTF-8: {error}") from error
    else:
        folder = files("transforms").joinpath("recipes")
        packaged = {item.name.removesuffix(".toml"): item for item in folder.iterdir()}
        if name not in packaged:
            known = ", ".join(sorted(packaged))
            raise UsageError(f"unknown recipe {name!r}; there are: {known}; a file of your own is named *.toml")
        text = packaged[name].read_text()
    try:
        written = Recipe.of(tomllib.loads(text))
        return written.locked(read_lock(lock_path(name))) if locked else written
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"the recipe {name!r} is not valid TOML: {error}") from error


def _hash(*parts: object) -> str:
    return hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).hexdigest()[:32]
