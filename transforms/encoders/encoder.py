"""A loaded encoder: what every family shares around its network.

Inputs of any number go through in sub-batches that fit the device; long ones in windows; rows come out as
float32 unit vectors of the card's dimensions.
"""

import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from transforms.encoders.batching import SharedBatches
from transforms.encoders.cards import Card
from transforms.encoders.device import in_halves
from transforms.encoders.family import family
from transforms.encoders.fusion.adapter import Adapter
from transforms.encoders.network import ClipInput, Detected, Kind, Network, Pixels, Role, Where
from transforms.encoders.reduce import Reduction
from transforms.encoders.windows import encodable, pooled, sound_windows, text_windows, unit_length
from transforms.errors import BadVectors, UsageError
from transforms.records import Audio, Float32, Transcript


@dataclass(eq=False)
class Encoder:
    """A model on its device; one thread at a time. Raises UsageError for what the model does not take."""

    card: Card
    network: Network
    where: Where = Where()
    reduction: Reduction = Reduction()
    adapter: Adapter | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        network = self.network
        self._batches = {
            "texts query": self._queue("text", lambda part: network.texts(part, "query")),
            "texts document": self._queue("text", lambda part: network.texts(part, "document")),
            "frames": self._queue("image", network.frames),
            "sounds": self._queue("sound", network.sounds),
            "clips": self._queue("clip", network.clips),
            "detect": self._queue("image", network.detect),
        }
        asking = network.in_role("query")
        if asking is not network:
            self._batches["frames query"] = self._queue("image", asking.frames)
            self._batches["clips query"] = self._queue("clip", asking.clips)
        for role in ("query", "document"):
            self._check_prompt(self._prompt(role), role)

    def register(self, bundle: Hashable) -> None:
        """A bundle that works with this encoder has begun; its inputs share batches with those of others."""
        for batches in self._batches.values():
            batches.register(bundle)

    def unregister(self, bundle: Hashable) -> None:
        """The bundle is over."""
        for batches in self._batches.values():
            batches.unregister(bundle)

    @property
    def batches(self) -> Mapping[str, SharedBatches]:
        """The queues by what they run, with their counts."""
        return self._batches

    def texts(self, texts: Sequence[str], role: Role = "document") -> list[Float32]:
        """One unit vector (dim,) a text, or (tokens, dim) of a late-interaction model; prompts are put in here."""
        self._takes("text")
        prompt = self._prompt(role)
        whole = [prompt + encodable(text) for text in texts]
        if self.card.multivector:
            tokens = self._batches[f"texts {role}"](whole)
            return [self._unit(self._checked(np.asarray(rows, np.float32))) for rows in tokens]
        pieces = [self._pieces(text, prompt) for text in whole]
        rows = self._rows(f"texts {role}", [piece for text in pieces for piece, _ in text])
        return list(self._pooled(rows, pieces))

    def frames(self, pixels: Pixels, role: Role = "document") -> Float32:
        """Frames (n, height, width, 3) uint8 of the card's size -> unit vectors (n, dim)."""
        self._takes("image")
        check_pixels(pixels, self.card)
        return self._adapted(self._unit(self._rows(self._in_role("frames", role), pixels)))

    def sounds(self, sounds: Sequence[Audio]) -> Float32:
        """Sounds at the card's rate -> unit vectors (n, dim); long ones in windows, weighted by their length."""
        self._takes("sound")
        longest = 0
        for audio in sounds:
            check_rate(audio, self.card)
            longest = round(self.card.longest_seconds * audio.sample_rate_hz)
        pieces = [sound_windows(usable_samples(audio.samples), longest) for audio in sounds]
        rows = self._rows("sounds", [piece for sound in pieces for piece, _ in sound])
        return self._adapted(self._pooled(rows, pieces))

    def clips(self, clips: Sequence[ClipInput], role: Role = "document") -> Float32:
        """Clips, their frames of the card's size -> unit vectors (n, dim); long words in windows."""
        self._takes("clip")
        for clip in clips:
            check_pixels(clip.frames, self.card)
        pieces = [self._clip_pieces(clip) for clip in clips]
        rows = self._rows(self._in_role("clips", role), [piece for clip in pieces for piece, _ in clip])
        return self._adapted(self._pooled(rows, pieces))

    def transcribe(self, audio: Audio) -> Transcript:
        """The words of one stretch of sound."""
        check_rate(audio, self.card)
        with self.lock:
            return self.network.transcribe(audio)

    def read(self, picture: Pixels) -> str:
        """The text on one picture."""
        with self.lock:
            return self.network.read(picture)

    def detect(self, pixels: Pixels) -> list[list[Detected]]:
        """The objects of each frame."""
        return self._batches["detect"](pixels)

    def _takes(self, kind: Kind) -> None:
        if kind not in self.card.accepts:
            kept_back = kind != "text" and family(self.card.family).weights == "service"
            raise UsageError(
                f"{self.card.name} takes {' and '.join(self.card.accepts) or 'no input of its own'}, not {kind}"
                f"{'; media go to a service only where its name says send_media=true' if kept_back else ''}"
            )

    def _prompt(self, role: Role) -> str:
        return str(dict(self.card.settings).get(f"{role}_prompt", ""))

    def _check_prompt(self, prompt: str, role: Role) -> None:
        """Raise UsageError for a prompt that leaves a text less than half of a window: it would drown it."""
        longest = self.card.longest_tokens
        if longest > 0 and prompt and (tokens := len(self.network.token_spans(prompt))) > longest // 2:
            raise UsageError(
                f"the {role}_prompt takes at most half of the {longest} tokens that {self.card.family}:... reads at "
                f"once, this one has {tokens}; shorten it: name={self.card.name!r}"
            )

    def _in_role(self, what: str, role: Role) -> str:
        """The queue of a role; both roles share one where the model makes no difference."""
        own = f"{what} {role}"
        return own if own in self._batches else what

    def _pieces(self, text: str, prompt: str) -> list[tuple[str, float]]:
        longest = self.card.longest_tokens
        # A token is an ASCII character at least, but for one that a tokenizer puts before the text. Of other texts
        # nothing is sure: one character can become eighteen when it is normalised.
        if longest <= 0 or (text.isascii() and len(text) < longest):
            return [(text, 1.0)]
        with self.lock:  # a tokenizer cuts off at another length while a model's texts go through it
            spans = self.network.token_spans(text)
            if len(spans) <= longest:
                return [(text, 1.0)]
            body = text[len(prompt) :]
            used = len(self.network.token_spans(prompt)) if prompt else 0
            spans = self.network.token_spans(body)
        pieces = text_windows(body, spans, max(1, longest - used))
        return [(prompt + piece, weight) for piece, weight in pieces]

    def _clip_pieces(self, clip: ClipInput) -> list[tuple[ClipInput, float]]:
        if not clip.words:
            return [(clip, 1.0)]
        if not self.card.takes_words:
            raise UsageError(f"{self.card.name} takes no words beside the pictures of a clip")
        return [(replace(clip, words=piece), weight) for piece, weight in self._pieces(encodable(clip.words), "")]

    def _adapted(self, vectors: Float32) -> Float32:
        """What is no text goes through the adapter, where there is one; texts are what it was trained towards."""
        return vectors if self.adapter is None or not len(vectors) else self.adapter.apply(vectors)

    def _rows(self, what: str, items: Any) -> Float32:
        """One row an item; sub-batches fit the device, and are halved where its memory is full."""
        parts = self._batches[what](items)
        if not parts:
            return np.zeros((0, self.card.dimensions), np.float32)
        rows = self._checked(np.stack(parts))
        lost = [place for place, row in enumerate(rows) if not row.any() and self._says_something(items[place])]
        if lost and not family(self.card.family).may_know_nothing:
            raise BadVectors(
                f"{self.card.name} gave {len(lost)} of {len(rows)} rows of zeros, which have no direction; its weights "
                f"or its precision are broken: device={self.where.device}, precision={self.where.precision}"
            )
        return rows

    def _says_something(self, item: Any) -> bool:
        """Whether there is anything in an input: of a text without a token, of pure silence, nothing can be known."""
        if isinstance(item, str):
            return bool(self.network.token_spans(item))
        return bool(item.any()) if isinstance(item, np.ndarray) else True

    def _checked(self, rows: Float32) -> Float32:
        if not np.isfinite(rows).all():
            broken = int((~np.isfinite(rows)).any(axis=tuple(range(1, rows.ndim))).sum())
            raise BadVectors(
                f"{self.card.name} gave {broken} of {len(rows)} vectors that are not finite; "
                f"its weights or its precision are broken: device={self.where.device}, precision={self.where.precision}"
            )
        return rows

    def _queue(self, kind: Kind, run: Callable[[Any], Any]) -> SharedBatches:
        def forward(batch: Any) -> list[Any]:
            return in_halves(lambda part: [_as_float32(row) for row in run(part)], _writable(batch))

        return SharedBatches(forward, max(1, self.network.batch_items(kind)), self.lock)

    def _pooled(self, rows: Float32, pieces: Sequence[Sequence[tuple[Any, float]]]) -> Float32:
        owners = [owner for owner, own in enumerate(pieces) for _ in own]
        weights = [weight for own in pieces for _, weight in own]
        if len(owners) == len(pieces):
            return self._unit(rows)
        return self._unit(pooled(rows, owners, weights, len(pieces)))

    def _unit(self, rows: Float32) -> Float32:
        return self.reduction.apply(unit_length(rows)) if len(rows) else np.zeros((0, self.card.dimensions), np.float32)


def check_pixels(pixels: Pixels, card: Card) -> None:
    """Raise ValueError unless these are frames of the size that the card wants."""
    spec = card.frame_spec
    shaped = pixels.dtype == np.uint8 and pixels.ndim == 4 and pixels.shape[3] == 3 and min(pixels.shape[1:3]) > 0
    if shaped and (spec is None or spec.fit == "whole"):
        return
    if not shaped or spec is None or pixels.shape[1:3] != (spec.height, spec.width):
        size = f"{spec.height}, {spec.width}" if spec else "height, width"
        raise ValueError(
            f"frames are (n, {size}, 3) uint8; decode them with the card's frame_spec: "
            f"name={card.name!r}, shape={pixels.shape}, dtype={pixels.dtype}"
        )


def check_rate(audio: Audio, card: Card) -> None:
    """Raise ValueError for another sample rate than the card's."""
    if audio.sample_rate_hz != card.sample_rate_hz:
        raise ValueError(
            f"{card.name} hears {card.sample_rate_hz} Hz; decode the sound at the card's sample_rate_hz: "
            f"sample_rate_hz={audio.sample_rate_hz}"
        )


def usable_samples(samples: Float32) -> Float32:
    """The samples with those that are no number as silence, and none beyond full scale."""
    return np.clip(np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0), -1.0, 1.0)


def _writable(batch: Any) -> Any:
    """What came out of a pipe is read-only, and torch warns of that."""
    return np.require(batch, requirements=("C", "W")) if isinstance(batch, np.ndarray) else batch


def _as_float32(row: Any) -> Any:
    return row if isinstance(row, list) else np.asarray(row, np.float32)
