"""How the vectors of a clip become its `clip` vector: the [fusion] section of a recipe."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from transforms.encoders.cards import Card
from transforms.encoders.fusion.trained import Kind, Trained, read_trained
from transforms.encoders.weights import sha256_of
from transforms.errors import MissingWeights, UsageError

#: What fills `clip`: blocks of the other vectors, one model over pictures and words, or a trained head.
STRATEGIES = ("blocks", "joint", "head")
#: How the frames of a clip become the vector `frame`.
POOLINGS = ("mean", "max", "attention", "learned")
#: What the position block holds.
POSITIONS = ("sinusoidal", "learned", "relative", "hybrid", "none")
#: The blocks of `clip`, in order; each has a weight of this name.
BLOCKS = ("frame", "transcript", "ocr", "audio", "change", "position")

#: The largest weight of a block: beside it the other blocks are lost in rounding already.
_MOST_WEIGHT = 1000.0

#: Settings that name a file: the kind of what is in it, and the choices that need it.
_FILES: Mapping[str, tuple[Kind, str, tuple[str, ...]]] = {
    "head": ("head", "strategy", ("head",)),
    "pooling_file": ("attention", "pooling", ("learned",)),
    "position_file": ("position", "position_kind", ("learned", "hybrid")),
}


@dataclass(frozen=True, slots=True)
class FusionSettings:
    """Weights of the blocks of the `clip` vector, in this order, the periods of its position block, and what else
    may take their place. A setting that stands at its default is no part of a fingerprint, periods and weights apart.
    """

    frame: float = 1.0
    transcript: float = 0.8
    ocr: float = 0.6
    audio: float = 0.6
    change: float = 0.4
    position: float = 0.4
    position_periods_seconds: tuple[float, ...] = (60.0, 600.0, 3600.0, 36000.0)
    position_periods_fraction: tuple[float, ...] = (2.0, 1.0, 0.5, 0.25)
    strategy: str = "blocks"
    pooling: str = "mean"
    position_kind: str = "sinusoidal"
    head: str = ""  # the file of a trained head
    pooling_file: str = ""  # of a learned pooling
    position_file: str = ""  # of a learned table of positions

    def __post_init__(self) -> None:
        for name, value, known in (
            ("strategy", self.strategy, STRATEGIES),
            ("pooling", self.pooling, POOLINGS),
            ("position_kind", self.position_kind, POSITIONS),
        ):
            if value not in known:
                raise UsageError(f"[fusion] {name} is one of {', '.join(known)}: {name}={value!r}")
        self._check_weights()
        self._check_periods()
        for name, (kind, decided_by, values) in _FILES.items():
            given, chosen = getattr(self, name), getattr(self, decided_by)
            if chosen in values and not given:
                raise UsageError(
                    f'[fusion] {decided_by}={chosen!r} is trained: name its file as {name} = "FILE"; make one with: '
                    f"reelvec train-fusion --kind {kind} --index I --out FILE"
                )
            if given and chosen not in values:
                raise UsageError(
                    f"[fusion] {name}={given!r} would do nothing with {decided_by}={chosen!r}; "
                    f"say {decided_by}={values[0]!r}, or leave it out"
                )

    @classmethod
    def of(cls, written: Mapping[str, Any]) -> Self:
        """The settings of a recipe's [fusion] section, whose keys and kinds of values `check_kinds` has seen."""
        known = {field.name: field.default for field in fields(cls)}
        return cls(**{key: _read(key, value, like=known[key]) for key, value in written.items()})

    def plain(self) -> dict[str, Any]:
        """The settings as a TOML file would hold them; what was added to the weights and periods only where it is set.

        So a recipe that uses none of it reads, and hashes, as it did before there was any of it.
        """
        held: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(field.default, str) and value == field.default:
                continue
            held[field.name] = list(value) if isinstance(value, tuple) else value
        return held

    def decides(self) -> dict[str, Any]:
        """What decides vectors, as plain values: the settings, with the SHA-256 of files in place of their paths.

        Raises MissingWeights for a file that is not there.
        """
        held = self.plain()
        for name in _FILES:
            if name in held:
                held[name] = _sha256(held[name], name)
        return held

    def trained(self, name: str) -> Trained:
        """What is in the file of a setting (head, pooling_file, position_file). Raises MissingWeights, UsageError."""
        return read_trained(getattr(self, name), _FILES[name][0])

    def check_trained(
        self, recipe_name: str, prints: Callable[[], Mapping[str, str]], text: Card | None, frames: Card | None
    ) -> None:
        """Raise MissingWeights, RecipeMismatch or UsageError for a trained part that does not belong to a recipe.

        `prints` gives the fingerprints of the recipe's vectors; `text` and `frames` are its encoders.
        """
        if self.head:
            if text is None:
                raise UsageError(f"a head's vectors are compared with texts: the recipe {recipe_name!r} needs [text]")
            head = self.trained("head")
            head.check_inputs({**prints(), "texts": text.fingerprint})
            if head.dimensions != text.dimensions:
                raise UsageError(
                    f"{self.head} makes vectors of {head.dimensions} dimensions; the texts of {text.name}, which "
                    f"they are compared with, have {text.dimensions}"
                )
        if self.pooling_file:
            pooling = self.trained("pooling_file")
            pooling.check_inputs(prints())
            if frames is None or pooling.dimensions != frames.dimensions:
                made_by, size = (frames.name, frames.dimensions) if frames else ("a recipe without [frames]", 0)
                raise UsageError(
                    f"{self.pooling_file} pools frames of {pooling.dimensions} dimensions; those of {made_by} have "
                    f"{size}"
                )

    @property
    def position_dimensions(self) -> int:
        """How many numbers the position block has; raises MissingWeights where a table's file is not here."""
        seconds, fractions = 2 * len(self.position_periods_seconds), 2 * len(self.position_periods_fraction)
        if self.position_kind == "none":
            return 0
        if self.position_kind == "relative":
            return seconds
        table = self.trained("position_file").dimensions if self.position_file else 0
        return table if self.position_kind == "learned" else seconds + fractions + table

    def _check_weights(self) -> None:
        weights = {name: getattr(self, name) for name in BLOCKS}
        for name, weight in weights.items():
            if not 0.0 <= weight <= _MOST_WEIGHT:
                raise UsageError(f"a block's weight is a number from 0 to {_MOST_WEIGHT:g}: [fusion] {name}={weight}")
        if not any(weights.values()):
            raise UsageError("every block of the clip vector weighs 0: give one of [fusion]'s weights more than that")

    def _check_periods(self) -> None:
        for name in ("position_periods_seconds", "position_periods_fraction"):
            periods = getattr(self, name)
            if not all(math.isfinite(period) and period > 0.0 for period in periods):
                raise UsageError(f"a period of the position block is more than 0: [fusion] {name}={list(periods)}")
        kind = self.position_kind
        of_fractions = bool(self.position_periods_fraction) and kind != "relative"
        if kind not in ("none", "learned") and not (self.position_periods_seconds or of_fractions):
            raise UsageError(f'a {kind} position needs a period; say position_kind = "none" for none at all')


def _read(key: str, value: Any, *, like: Any) -> Any:
    """A setting's value in the type of its default."""
    if isinstance(like, tuple):
        return tuple(float(one) for one in value)
    if isinstance(like, str):
        return str(Path(value).expanduser().absolute()) if key in _FILES and value else value
    return float(value)


def _sha256(path: str, name: str) -> str:
    try:
        return sha256_of(Path(path))
    except OSError as error:
        kind = _FILES[name][0]
        raise MissingWeights(
            f"[fusion] {name} cannot be read: {path} ({error.strerror}); put it back, or train one with: "
            f"reelvec train-fusion --kind {kind} --index I --out FILE"
        ) from error
