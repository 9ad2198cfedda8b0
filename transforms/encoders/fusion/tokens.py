"""What a head looks at: the stored vectors of a clip as tokens, each with its place in the clip. Imports no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from transforms.encoders.windows import unit_length
from transforms.records import Float32, Vector

#: The named vectors that become tokens; `frames` one a frame, the others one each in the middle of the clip.
MODALITIES = ("frames", "transcript", "ocr", "audio")


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """Tokens of one modality: unit vectors (k, dim) and their places in the clip (k,), 0 its start and 1 its end."""

    vectors: Float32
    places: Float32


ClipTokens = Mapping[str, Tokens]


def tokens_of_clip(
    vectors: Mapping[str, Vector], frame_times_seconds: Sequence[float], start_seconds: float, end_seconds: float
) -> ClipTokens:
    """The tokens of a clip by modality; a modality that it lacks is absent."""
    tokens: dict[str, Tokens] = {}
    for name in MODALITIES:
        if name not in vectors:
            continue
        rows = np.atleast_2d(np.asarray(vectors[name], np.float32))
        places = np.full(len(rows), 0.5, np.float32)
        if name == "frames" and len(frame_times_seconds) == len(rows):
            since = np.asarray(frame_times_seconds, np.float64) - start_seconds
            places = np.clip(since / (end_seconds - start_seconds), 0.0, 1.0).astype(np.float32)
        tokens[name] = Tokens(rows, places)
    return tokens


def mean_fusion(clips: Sequence[ClipTokens], in_space: Sequence[str], dimensions: int) -> Float32:
    """What needs no training: unit(mean over the modalities in the texts' space of unit(mean of their tokens)).

    (clips, dimensions); zeros for a clip that has none of them. Every head, adapter and pooling begins here, and has
    to beat it.
    """
    rows = np.zeros((len(clips), dimensions), np.float32)
    for place, clip in enumerate(clips):
        means = [clip[name].vectors.mean(axis=0) for name in in_space if name in clip]
        if means:
            rows[place] = unit_length(np.stack(means)).mean(axis=0)
    return unit_length(rows)
