"""Media -> vectors: frames, transcript and words of one segment, by the models of the recipe."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from transforms.encoders import health
from transforms.encoders.registry import Loaded, loaded
from transforms.encoders.words import document_vector
from transforms.recipe import Recipe
from transforms.records import Audio, Clip, Encoded, Float32, Media, Segment, SparseVector, Transcript, Word


@dataclass(frozen=True, slots=True, eq=False)
class Models:
    """The loaded models of a recipe; one set a process, kept over runs."""

    frames: Loaded | None
    speech: Loaded | None
    text: Loaded | None
    words: bool
    names: tuple[str, str] = ("", "")  # of the frame and the text encoder, for messages

    @classmethod
    def load(cls, recipe: Recipe, *, device: str = "auto") -> Self:
        """Load what the recipe names; raises MissingWeights."""

        def get(name: str) -> Loaded | None:
            return loaded(name, device=device) if name else None

        return cls(
            frames=get(recipe.frame_encoder),
            speech=get(recipe.speech_encoder),
            text=get(recipe.text_encoder) if recipe.speech_encoder else None,
            words=bool(recipe.words_encoder),
            names=(recipe.frame_encoder, recipe.text_encoder),
        )


def encode_segment(segment: Segment, media: Media, models: Models) -> Encoded:
    """Vectors of one segment. Raises BadVectors for vectors that must not be stored."""
    frames = _encode_frames(media, models) if models.frames else None
    transcript = _run(models.speech, [media.audio])[0] if models.speech and media.audio else Transcript()
    texts = texts_of_clips(transcript.words, segment.clips)
    spoken = [text for text in texts if text]
    text_vectors = np.zeros((0, 0), np.float32)
    if spoken and models.text:
        text_vectors = np.stack(_run(models.text, spoken))
        health.check_texts(spoken, text_vectors, name=models.names[1])
    return Encoded(
        frames=frames,
        texts=texts,
        text_vectors=text_vectors,
        words=tuple(_words(text) if models.words else None for text in texts),
        language=transcript.language,
    )


def texts_of_clips(words: Sequence[Word], clips: Sequence[Clip]) -> tuple[str, ...]:
    """What is said in each clip: a word belongs to the clips that hold its midpoint."""
    return tuple(
        " ".join(
            word.text.strip() for word in words if clip.start_seconds <= word.midpoint_seconds < clip.end_seconds
        ).strip()
        for clip in clips
    )


def _encode_frames(media: Media, models: Models) -> Float32 | None:
    if not media.renditions or not len(media.pts_seconds):
        return None
    (pixels,) = media.renditions.values()
    vectors: Float32 = _run(models.frames, [pixels])[0]
    health.check_frames(pixels, vectors, name=models.names[0])
    return vectors


def _words(text: str) -> SparseVector | None:
    vector = document_vector(text)
    return vector if len(vector.indices) else None


def _run(model: Loaded | None, batch: Sequence[str | Audio | Float32 | Any]) -> list[Any]:
    assert model is not None
    run: Callable[..., Any] = model.handler.run_inference
    return list(run(batch, model.model))
