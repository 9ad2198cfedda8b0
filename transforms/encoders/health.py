"""Whether an encoder's vectors may be stored: finite, of the right size, unit length, not collapsed."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from transforms.encoders.cards import Card
from transforms.encoders.network import ClipInput
from transforms.errors import BadVectors
from transforms.records import Audio, Float32

_UNIT_TOLERANCE = 1e-3
_SAME = 1e-6  # largest difference of two vectors that count as one
_CLEARLY_DIFFERENT = 16.0  # of 255: mean difference of two frames, over an 8 x 8 grid
_CLEARLY_LOUDER = 4.0  # ratio of two sounds' levels, which no model can miss
_GRID = 8


def check_vectors(vectors: Float32, count: int, card: Card) -> None:
    """Raise BadVectors unless these are `count` finite unit vectors of the encoder's dimensions."""
    name, wanted = card.name, (count, card.dimensions)
    if vectors.shape != wanted or vectors.dtype != np.float32:
        raise BadVectors(f"{name} gave vectors {vectors.shape} {vectors.dtype}, wanted {wanted} float32")
    if not np.isfinite(vectors).all():
        broken = int((~np.isfinite(vectors)).any(1).sum())
        raise BadVectors(f"{name} gave {broken} of {count} vectors that are not finite")
    lengths = np.linalg.norm(vectors, axis=1)
    if count and np.abs(lengths - 1).max() > _UNIT_TOLERANCE:
        raise BadVectors(f"{name} gave vectors that are not of unit length: {lengths.min():.4f} to {lengths.max():.4f}")


def check_frames(pixels: NDArray[np.uint8], vectors: Float32, card: Card) -> None:
    """Raise BadVectors for vectors (n, dim) that frames (n, height, width, 3) cannot have.

    Different frames with one and the same vector mean a broken driver or model; equal
    frames (black film, a slide) have equal vectors rightly.
    """
    check_vectors(vectors, len(pixels), card)
    if len(pixels) < 2 or not _all_same(vectors):
        return
    thumbnails = _thumbnails(pixels)
    spread = float(np.abs(thumbnails - thumbnails[0]).mean(axis=1).max())
    if spread > _CLEARLY_DIFFERENT:
        raise BadVectors(_collapsed(card, f"{len(pixels)} frames that differ by up to {spread:.0f} of 255"))


def check_texts(texts: Sequence[str], vectors: Sequence[Float32], card: Card) -> None:
    """Raise BadVectors for vectors, each (dim,) or (tokens, dim), that these texts cannot have."""
    _check_rows(vectors, card)
    different = {" ".join(text.casefold().split()) for text in texts}
    if len(different) > 1 and not card.multivector and _all_same(np.stack(vectors)):
        raise BadVectors(_collapsed(card, f"{len(different)} different texts"))


def check_sounds(sounds: Sequence[Audio], vectors: Sequence[Float32], card: Card) -> None:
    """Raise BadVectors for vectors, each (dim,), that these sounds cannot have."""
    _check_rows(vectors, card)
    if len(sounds) < 2 or not _all_same(np.stack(vectors)):
        return
    roughness = [_roughness(audio.samples) for audio in sounds]
    if max(roughness) > _CLEARLY_LOUDER * min(roughness):
        raise BadVectors(_collapsed(card, f"{len(sounds)} sounds of clearly different kinds"))


def check_clips(clips: Sequence[ClipInput], vectors: Sequence[Float32], card: Card) -> None:
    """Raise BadVectors for vectors, each (dim,), that these clips cannot have."""
    _check_rows(vectors, card)
    if len(clips) > 1 and card.modality == "video":  # one and the same motion is nothing unusual
        check_frames(np.stack([clip.frames[len(clip.frames) // 2] for clip in clips]), np.stack(vectors), card)


def _check_rows(vectors: Sequence[Float32], card: Card) -> None:
    if len(vectors):
        rows = np.concatenate([np.atleast_2d(vector) for vector in vectors])
        check_vectors(rows, len(rows), card)


def _roughness(samples: Float32) -> float:
    """How fast a sound changes, whatever its level: a hum is near 0, a hiss near 1.4."""
    level = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) or 1.0
    return float(np.sqrt(np.mean(np.square(np.diff(samples), dtype=np.float64)))) / level + 1e-3


def _collapsed(card: Card, what: str) -> str:
    return f"{card.name} gave one and the same vector for {what}; its weights, its driver or its device are broken"


def _all_same(vectors: Float32) -> bool:
    return bool(np.abs(vectors - vectors[0]).max() < _SAME)


def _thumbnails(pixels: NDArray[np.uint8]) -> Float32:
    """Frames (n, height, width, 3) -> (n, cells) float32: every so many rows and columns, three colours."""
    rows, columns = (np.linspace(0, size - 1, _GRID).round().astype(int) for size in pixels.shape[1:3])
    return pixels[:, rows][:, :, columns].reshape(len(pixels), -1).astype(np.float32)
