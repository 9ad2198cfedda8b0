"""Media -> vectors: all that the models of a recipe make of one segment, clip by clip."""

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np

from transforms import measures
from transforms.encoders import health
from transforms.encoders.objects import best_of_clip
from transforms.encoders.registry import loaded
from transforms.encoders.screen import read_clips
from transforms.encoders.words import document_vector
from transforms.recipe import Recipe
from transforms.records import (
    Audio,
    Clip,
    Encoded,
    EncodedClip,
    Float32,
    Media,
    Pictures,
    Segment,
    Transcript,
    Vector,
    Word,
)

if TYPE_CHECKING:
    from transforms.encoders.encoder import Encoder

#: A sound that nowhere reaches this share of full scale (-80 dB) is silence: the clip has no vector of it.
SILENCE = 1e-4
_SHORTEST_SOUND_SECONDS = 0.1

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Models:
    """The loaded models of a recipe, by its sections; one set a process, kept over runs."""

    recipe: Recipe
    by_section: Mapping[str, "Encoder"]

    @classmethod
    def load(cls, recipe: Recipe, *, device: str = "auto", only: Collection[str] | None = None) -> Self:
        """Load what the recipe names, or these sections of it; raises MissingPackage, MissingWeights, MissingKey."""
        wanted = set(recipe.encoders()) if only is None else set(only)
        named = {section: name for section, name in recipe.encoders().items() if section in wanted - {"words"}}
        return cls(recipe, {section: loaded(name, device=device).model for section, name in named.items()})

    def register(self, bundle: Hashable) -> None:
        """A bundle that works with these models has begun."""
        for encoder in self.by_section.values():
            encoder.register(bundle)

    def unregister(self, bundle: Hashable) -> None:
        """The bundle is over; calling it twice does no harm."""
        for encoder in self.by_section.values():
            encoder.unregister(bundle)

    def get(self, section: str) -> "Encoder | None":
        """The encoder of a section; None where the recipe leaves it out."""
        return self.by_section.get(section)


@dataclass(frozen=True, slots=True)
class KnownTexts:
    """What was heard and read in the clips of a segment before; None for what is to be heard or read now."""

    spoken: tuple[str, ...] | None = None
    screen: tuple[str, ...] | None = None


def encode_segment(
    segment: Segment,
    media: Media,
    models: Models,
    *,
    transcript: Transcript | None = None,
    known: KnownTexts = KnownTexts(),
) -> Encoded:
    """Vectors of one segment, of which nothing is heard again where its transcript is given.

    Raises BadVectors for vectors that must not be stored.
    """
    clips, timed = segment.clips, _Timed(models.recipe, segment.video.uri)
    transcript = transcript or heard(media, models)
    spoken = texts_of_clips(transcript.words, clips) if known.spoken is None else known.spoken
    screen = timed("ocr", lambda: _read(clips, media, models)) if known.screen is None else known.screen
    objects = timed("objects", lambda: _objects(clips, media, models))
    columns: dict[str, Sequence[Vector | None]] = {
        "transcript": timed("text", lambda: text_vectors(spoken, models)),
        "ocr": timed("text", lambda: text_vectors(screen, models)),
        "words": timed("words", lambda: word_vectors(spoken, screen, models)),
        "audio": timed("audio", lambda: _sound_vectors("audio", clips, media, models)),
        "speech": timed("sound", lambda: _sound_vectors("sound", clips, media, models)),
        "video": timed("video", lambda: _clip_vectors("video", clips, media, models)),
        "motion": timed("motion", lambda: _clip_vectors("motion", clips, media, models)),
        "clip": timed("joint", lambda: _joint_vectors(clips, media, models, list(map(_words, spoken, screen)))),
        "objects": [np.stack([found.vector for found, _ in own]) if own else None for own in objects],
    }
    return Encoded(
        frames=timed("frames", lambda: _frame_vectors(media, models)),
        clips=tuple(
            EncodedClip(
                vectors={name: vector for name, column in columns.items() if (vector := column[place]) is not None},
                transcript=spoken[place],
                screen=screen[place],
                objects=tuple(_described(found, seconds) for found, seconds in objects[place]),
            )
            for place in range(len(clips))
        ),
        language=transcript.language,
    )


@dataclass(frozen=True, slots=True)
class _Timed:
    """Measures what the sections of a recipe take; of a section that the recipe does not have nothing is said."""

    recipe: Recipe
    uri: str

    def __call__(self, section: str, make: Callable[[], T]) -> T:
        if section not in self.recipe.encoders():
            return make()
        with measures.timed(measures.ENCODING, of=section, video=self.uri):
            return make()


def texts_of_clips(words: Sequence[Word], clips: Sequence[Clip]) -> tuple[str, ...]:
    """What is said in each clip: a word belongs to the clips that hold its midpoint."""
    return tuple(
        " ".join(
            word.text.strip() for word in words if clip.start_seconds <= word.midpoint_seconds < clip.end_seconds
        ).strip()
        for clip in clips
    )


def sound_of_clip(audio: Audio, clip: Clip) -> Audio | None:
    """The clip's own stretch of a segment's sound; None where there is none, or nothing but silence."""
    rate = audio.sample_rate_hz
    first = max(0, round((clip.start_seconds - audio.start_seconds) * rate))
    last = max(first, round((clip.end_seconds - audio.start_seconds) * rate))
    samples = audio.samples[first:last]
    loudest = np.max(np.abs(samples), initial=0.0, where=np.isfinite(samples))
    if len(samples) < _SHORTEST_SOUND_SECONDS * rate or loudest <= SILENCE:
        return None
    return Audio(samples, rate, audio.start_seconds + first / rate)


def heard(media: Media, models: Models) -> Transcript:
    """What is said in a segment; several threads may ask."""
    speech = models.get("speech")
    audio = media.sounds.get(speech.card.sample_rate_hz or 0) if speech else None
    if speech is None or audio is None:
        return Transcript()
    with measures.timed(measures.ENCODING, of="speech"):
        return speech.transcribe(audio)


def _read(clips: Sequence[Clip], media: Media, models: Models) -> tuple[str, ...]:
    """The text on screen of each clip."""
    ocr, shown = models.get("ocr"), _pictures("ocr", media, models)
    if ocr is None or shown is None:
        return ("",) * len(clips)
    pictures = [shown.pixels[own[0]] if own else None for own in shown.clip_frames]
    return read_clips(pictures, ocr.read)


def _frame_vectors(media: Media, models: Models) -> Float32 | None:
    encoder, shown = models.get("frames"), _pictures("frames", media, models)
    if encoder is None or shown is None:
        return None
    vectors = encoder.frames(shown.pixels)
    health.check_frames(shown.pixels, vectors, encoder.card)
    return vectors


def text_vectors(texts: Sequence[str], models: Models) -> list[Vector | None]:
    """One vector a text; None for a text that is empty or of which nothing is known."""
    encoder = models.get("text")
    if encoder is None:
        return [None] * len(texts)
    given = [text or None for text in texts]
    return _spread(given, encoder.texts, lambda said, rows: health.check_texts(said, rows, encoder.card))


def _sound_vectors(section: str, clips: Sequence[Clip], media: Media, models: Models) -> list[Vector | None]:
    encoder = models.get(section)
    audio = media.sounds.get(encoder.card.sample_rate_hz or 0) if encoder else None
    if encoder is None or audio is None:
        return [None] * len(clips)
    own = [sound_of_clip(audio, clip) for clip in clips]
    return _spread(own, encoder.sounds, lambda sounds, rows: health.check_sounds(sounds, rows, encoder.card))


def _words(said: str, shown: str) -> str:
    """What is said and shown in a clip, as one text."""
    return "\n".join(filter(None, (said, shown)))


def _joint_vectors(clips: Sequence[Clip], media: Media, models: Models, words: Sequence[str]) -> list[Vector | None]:
    """Pictures and words of each clip by the encoder that takes them together; words alone without a picture."""
    encoder = models.get("joint")
    if encoder is None:
        return [None] * len(clips)
    together = _clip_vectors("joint", clips, media, models, words)
    unseen = [text if text and vector is None else None for text, vector in zip(words, together, strict=True)]
    alone = _spread(unseen, encoder.texts, lambda said, rows: health.check_texts(said, rows, encoder.card))
    return [other if vector is None else vector for vector, other in zip(together, alone, strict=True)]


def _clip_vectors(
    section: str, clips: Sequence[Clip], media: Media, models: Models, words: Sequence[str] = ()
) -> list[Vector | None]:
    from transforms.encoders.network import ClipInput

    encoder, shown = models.get(section), _pictures(section, media, models)
    if encoder is None or shown is None:
        return [None] * len(clips)
    audio = media.sounds.get(encoder.card.sample_rate_hz or 0)
    own = [
        ClipInput(
            shown.pixels[list(chosen)],
            shown.pts_seconds[list(chosen)],
            sound_of_clip(audio, clip) if audio else None,
            text,
        )
        if chosen
        else None
        for clip, chosen, text in zip(clips, shown.clip_frames, words or [""] * len(clips), strict=True)
    ]
    return _spread(own, encoder.clips, lambda seen, rows: health.check_clips(seen, rows, encoder.card))


def _objects(clips: Sequence[Clip], media: Media, models: Models) -> list[list[tuple[Any, float]]]:
    """For each clip its objects, each with the time of its frame."""
    encoder, shown = models.get("objects"), _pictures("objects", media, models)
    if encoder is None or shown is None:
        return [[] for _ in clips]
    found = encoder.detect(shown.pixels)
    top_k = int(encoder.card.setting("top_k"))
    best = []
    for chosen in shown.clip_frames:
        own = best_of_clip([found[place] for place in chosen], top_k)
        best.append([(one, float(shown.pts_seconds[chosen[frame]])) for one, frame in own])
    rows = [one.vector for own in best for one, _ in own]
    if rows:
        health.check_vectors(np.stack(rows), len(rows), encoder.card)
    return best


def _described(found: Any, seconds: float) -> dict[str, Any]:
    """An object as the payload keeps it."""
    return {
        "label": found.label,
        "score": round(found.score, 4),
        "box": [round(side, 5) for side in found.box],
        "seconds": round(seconds, 6),
    }


def _pictures(section: str, media: Media, models: Models) -> Pictures | None:
    want = models.recipe.frame_want(section)
    shown = media.pictures.get(want) if want else None
    return shown if shown is not None and len(shown.pts_seconds) else None


def _spread(
    inputs: Sequence[Any],
    encode: Callable[[list[Any]], Iterable[Float32]],
    check: Callable[[list[Any], Sequence[Float32]], None],
) -> list[Vector | None]:
    """Vectors of the inputs that are there, each in its place; a row of zeros is the absence of what it describes."""
    given = [one for one in inputs if one is not None]
    if not given:
        return [None] * len(inputs)
    rows = list(encode(given))
    full = [place for place, row in enumerate(rows) if np.any(row)]
    check([given[place] for place in full], [rows[place] for place in full])
    own = iter(rows)
    spread = [None if one is None else next(own) for one in inputs]
    return [row if row is not None and np.any(row) else None for row in spread]


def word_vectors(spoken: Sequence[str], screen: Sequence[str], models: Models) -> list[Vector | None]:
    """The words of what is said and shown in each clip; None for a clip without words."""
    if not models.recipe.words_encoder:
        return [None] * len(spoken)
    name = models.recipe.words_encoder
    vectors = [document_vector(f"{said}\n{shown}", name) for said, shown in zip(spoken, screen, strict=True)]
    return [vector if len(vector.indices) else None for vector in vectors]
