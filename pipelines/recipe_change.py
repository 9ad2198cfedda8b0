"""What another recipe asks of an index: for each named vector whether it is kept, made from what is stored, or decoded.

A vector is kept where its fingerprint is the held one. Texts count as stored where it is proven that the new recipe
would read the same ones: the old recipe with the new one's reading still has the held fingerprint.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from transforms.encoders.names import Name
from transforms.errors import MissingPackage, MissingWeights
from transforms.fusion_settings import BLOCKS
from transforms.recipe import SECTIONS, Recipe
from transforms.records import Quantization

How = Literal["keep", "from_stored", "decode"]

#: Sections that give texts: the vector of the text, and the field of a clip's payload that keeps it.
READINGS: Mapping[str, tuple[str, str]] = {"speech": ("transcript", "transcript"), "ocr": ("ocr", "screen_text")}


@dataclass(frozen=True, slots=True)
class VectorChange:
    """What becomes of one named vector of the new recipe."""

    name: str
    how: How
    reason: str  # "" for one that is kept
    sections: tuple[str, ...] = ()  # of the recipe, whose encoders have to run for it


@dataclass(frozen=True, slots=True)
class RecipeChange:
    """Everything that differs between what an index holds and what a recipe would make."""

    vectors: tuple[VectorChange, ...]  # one for each vector of the new recipe
    dropped: tuple[str, ...] = ()  # vectors that the new recipe does not have
    reread: tuple[str, ...] = ()  # sections (speech, ocr) whose texts have to be made again from media
    unread: tuple[str, ...] = ()  # sections whose texts the new recipe does not have
    requantized: tuple[str, ...] = ()  # kept vectors that the store is to keep a smaller copy of in another way
    recut: bool = False  # clips begin and end elsewhere: no clip of the old recipe is one of the new

    @property
    def must_decode(self) -> bool:
        """Whether any vector needs the media."""
        return any(change.how == "decode" for change in self.vectors)

    @property
    def empty(self) -> bool:
        """Whether an index of the old recipe is one of the new as it is."""
        return not (self.dropped or self.requantized or any(change.how != "keep" for change in self.vectors))

    @property
    def sections(self) -> tuple[str, ...]:
        """The sections whose encoders have to run, in the order of a recipe."""
        wanted = {section for change in self.vectors for section in change.sections}
        return tuple(section for section in SECTIONS if section in wanted)

    def of(self, how: How) -> tuple[VectorChange, ...]:
        """The vectors of which this becomes."""
        return tuple(change for change in self.vectors if change.how == how)


def changes(old: Recipe, new: Recipe, *, held: Mapping[str, str] | None = None) -> RecipeChange:
    """Compare two recipes vector by vector.

    `held` are the fingerprints of the vectors that an index holds (`Schema.vector_fingerprints`); without them those of
    `old` as this machine would make it. With them the weights of `old` need not be here. Raises MissingWeights and
    MissingPackage for what `new` lacks.
    """
    held = old.vector_fingerprints() if held is None else held
    return _Comparison(old, new, held, new.vector_fingerprints()).result()


@dataclass(frozen=True, slots=True)
class _Comparison:
    old: Recipe
    new: Recipe
    held: Mapping[str, str]
    prints: Mapping[str, str]  # of the new recipe

    def result(self) -> RecipeChange:
        recut = _segmenter(self.old) != self.new.segmenter
        kept_readings = () if recut else tuple(section for section in READINGS if self._reads_the_same(section))
        found: dict[str, VectorChange] = {}
        for name in sorted(self.prints, key=lambda name: name == "clip"):  # last: it looks at the others
            found[name] = self._recut(name) if recut else self._change(name, found, kept_readings)
        readings = [section for section in READINGS if section in self.new.encoders()]
        before, after = (self._quantized(recipe) for recipe in (self.old, self.new))
        return RecipeChange(
            vectors=tuple(found[name] for name in self.prints),
            dropped=tuple(name for name in self.held if name not in self.prints),
            reread=tuple(section for section in readings if section not in kept_readings),
            unread=self._unread(),
            requantized=tuple(
                name for name, change in found.items() if change.how == "keep" and before.get(name) != after.get(name)
            ),
            recut=recut,
        )

    def _recut(self, name: str) -> VectorChange:
        reason = f"clips are cut otherwise: {_segmenter(self.old) or '?'} became {self.new.segmenter}"
        return VectorChange(name, "decode", reason, self._sections(name, ()))

    def _change(self, name: str, found: Mapping[str, VectorChange], kept_readings: Sequence[str]) -> VectorChange:
        if self.held.get(name) == self.prints[name]:
            return VectorChange(name, "keep", "")
        if name == "clip":
            return self._clip(found, kept_readings)
        sections = self._sections(name, kept_readings)
        reason = "; ".join(self._reasons(name, kept_readings))
        stored = self._frames_are_stored(name) or not set(sections) - {"text", "words"}
        return VectorChange(name, "from_stored" if stored else "decode", reason, sections)

    def _clip(self, found: Mapping[str, VectorChange], kept_readings: Sequence[str]) -> VectorChange:
        fusion = "; ".join(self._fusion_reasons())
        if self.new.fusion.strategy == "joint":
            reasons = [*filter(None, [fusion]), *self._encoder_reasons(("joint", *self._unkept(kept_readings)))]
            reason = "; ".join(dict.fromkeys(reasons)) or self._unexplained("clip")
            return VectorChange("clip", "decode", reason, self._sections("clip", kept_readings))
        inputs = [found[name] for name in ("frame", "frames", "transcript", "ocr", "audio") if name in found]
        other = [change.name for change in inputs if change.how != "keep"]
        gone = [name for name in BLOCKS if name in self.held and name not in self.prints]
        parts = [f"made of {_listed(other)}, which changes" if other else ""]
        parts += [f"{_listed(gone)} is no part of it any more" if gone else "", fusion]
        reason = "; ".join(filter(None, parts)) or self._unexplained("clip")
        how: How = "decode" if any(change.how == "decode" for change in inputs) else "from_stored"
        return VectorChange("clip", how, reason)

    def _frames_are_stored(self, name: str) -> bool:
        return name == "frame" and self.held.get("frames") == self.prints.get("frames")

    def _sections(self, name: str, kept_readings: Sequence[str]) -> tuple[str, ...]:
        """The sections whose encoders have to run to make a vector anew."""
        if self._frames_are_stored(name) and _segmenter(self.old) == self.new.segmenter:
            return ()
        unkept = self._unkept(kept_readings)
        if name == "clip":
            return (*unkept, "joint") if self.new.fusion.strategy == "joint" else ()
        if name == "words":
            return (*unkept, "words")
        for section, (vector, _) in READINGS.items():
            if name == vector:
                return (section, "text") if section in unkept else ("text",)
        return tuple(section for section, (_, vectors) in SECTIONS.items() if name in vectors)

    def _unkept(self, kept_readings: Sequence[str]) -> tuple[str, ...]:
        return tuple(s for s in READINGS if s in self.new.encoders() and s not in kept_readings)

    def _unread(self) -> tuple[str, ...]:
        return tuple(s for s in READINGS if s in self.old.encoders() and s not in self.new.encoders())

    def _reads_the_same(self, section: str) -> bool:
        """Whether the texts that are stored are those that the new recipe's section would read."""
        if not {section} <= self.old.encoders().keys() & self.new.encoders().keys():
            return False
        vector, _ = READINGS[section]
        bare = Recipe(
            "",
            self.new.segment,
            self.new.choice,
            speech_encoder=self.new.speech_encoder,
            text_encoder=self.new.text_encoder,
        )
        if section == "ocr":
            own = replace(bare, ocr_encoder=self.new.ocr_encoder)
            both = replace(own, speech_encoder=self.old.speech_encoder)
        else:
            own = bare
            both = replace(bare, ocr_encoder=self.old.ocr_encoder)
        return self._is_held(replace(own, text_encoder=self.old.text_encoder), vector) or self._is_held(
            replace(both, words_encoder=self.old.words_encoder), "words"
        )

    def _is_held(self, recipe: Recipe, vector: str) -> bool:
        try:
            found = recipe.vector_fingerprints().get(vector)
        except (MissingWeights, MissingPackage):  # of the old recipe: nothing can be proven with it
            return False
        return found is not None and found == self.held.get(vector)

    def _reasons(self, name: str, kept_readings: Sequence[str]) -> Iterator[str]:
        if name not in self.held:
            yield f"the index has no vector {name!r}"
            return
        said = list(self._encoder_reasons(self._sections(name, kept_readings)))
        gone = [
            section for section in READINGS if section in self.old.encoders() and section not in self.new.encoders()
        ]
        if name == "words" and gone:
            said.append(f"what [{'] and ['.join(gone)}] gave is no part of it any more")
        before, after = self.old.fusion, self.new.fusion
        if name == "frame" and before.pooling != after.pooling:
            said.append(f"the pooling of frames changed from {before.pooling} to {after.pooling}")
        yield from dict.fromkeys(said) if said else [self._unexplained(name)]

    def _encoder_reasons(self, sections: Sequence[str]) -> Iterator[str]:
        for section in sections:
            before, after = (recipe.encoders().get(section, "") for recipe in (self.old, self.new))
            if not before:
                yield f"the encoder {Name.parse(after).shown} of [{section}] is new"
            elif before != after:
                yield f"the encoder of [{section}] changed from {Name.parse(before).shown} to {Name.parse(after).shown}"
            looks = self.new.frame_want(section)
            if looks is not None and self.old.choice != self.new.choice and looks.choice == self.new.choice:
                yield f"the choice of frames changed from {self.old.choice} to {self.new.choice}"

    def _fusion_reasons(self) -> Iterator[str]:
        before, after = self.old.fusion, self.new.fusion
        differ = [name for name in BLOCKS if getattr(before, name) != getattr(after, name)]
        if before.strategy != after.strategy:
            yield f"the fusion changed from {before.strategy} to {after.strategy}"
            return
        if differ and after.strategy == "blocks":
            each = (f"{name} from {getattr(before, name):g} to {getattr(after, name):g}" for name in differ)
            yield f"fusion weights changed: {', '.join(each)}"
        settings = {name: value for name, value in after.plain().items() if before.plain().get(name) != value}
        settings |= {name: getattr(after, name) for name in before.plain() if name not in after.plain()}
        other = [name for name in settings if name not in (*BLOCKS, "strategy", "pooling", "pooling_file")]
        if other:
            yield f"fusion settings changed: {', '.join(other)}"

    @staticmethod
    def _unexplained(name: str) -> str:
        """The settings are the same: what they stand for is not."""
        return f"{name} is made otherwise: the weights of its encoders, a trained file or Reelvec itself changed"

    @staticmethod
    def _quantized(recipe: Recipe) -> dict[str, Quantization]:
        return {name: kind for name, kind in recipe.quantization if kind != "none"}


def _segmenter(recipe: Recipe) -> str:
    """The segmenter of a recipe; "" where it depends on weights that are not here."""
    try:
        return recipe.segmenter
    except (MissingWeights, MissingPackage):
        return ""


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + (" and " if names[:-1] else "") + names[-1]
