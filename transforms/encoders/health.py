"""Whether an encoder's vectors may be stored: finite, of the right size, unit length, not collapsed."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from transforms.encoders.cards import card
from transforms.errors import BadVectors
from transforms.records import Float32

_UNIT_TOLERANCE = 1e-3
_SAME = 1e-6  # largest difference of two vectors that count as one
_CLEARLY_DIFFERENT = 16.0  # of 255: mean difference of two frames, over an 8 x 8 grid
_GRID = 8


def check_vectors(vectors: Float32, *, count: int, name: str) -> None:
    """Raise BadVectors unless these are `count` finite unit vectors of the encoder's dimensions."""
    wanted = (count, card(name).dimensions)
    if vectors.shape != wanted or vectors.dtype != np.float32:
        raise BadVectors(f"{name} gave vectors {vectors.shape} {vectors.dtype}, wanted {wanted} float32")
    if not np.isfinite(vectors).all():
        broken = int((~np.isfinite(vectors)).any(1).sum())
        raise BadVectors(f"{name} gave {broken} of {count} vectors that are not finite")
    lengths = np.linalg.norm(vectors, axis=1)
    if count and np.abs(lengths - 1).max() > _UNIT_TOLERANCE:
        raise BadVectors(f"{name} gave vectors that are not of unit length: {lengths.min():.4f} to {lengths.max():.4f}")


def check_frames(pixels: NDArray[np.uint8], vectors: Float32, *, name: str) -> None:
    """Raise BadVectors for vectors (n, dim) that frames (n, height, width, 3) cannot have.

    Different frames with one and the same vector mean a broken driver or model; equal
    frames (black film, a slide) have equal vectors rightly.
    """
    check_vectors(vectors, count=len(pixels), name=name)
    if len(pixels) < 2 or not _all_same(vectors):
        return
    thumbnails = _thumbnails(pixels)
    spread = float(np.abs(thumbnails - thumbnails[0]).mean(axis=1).max())
    if spread > _CLEARLY_DIFFERENT:
        raise BadVectors(
            f"{name} gave one and the same vector for {len(pixels)} frames that differ by up to {spread:.0f} of 255; "
            "its weights, its driver or its device are broken"
        )


def check_texts(texts: Sequence[str], vectors: Float32, *, name: str) -> None:
    """Raise BadVectors for vectors (n, dim) that these texts cannot have."""
    check_vectors(vectors, count=len(texts), name=name)
    different = {" ".join(text.casefold().split()) for text in texts}
    if len(different) > 1 and _all_same(vectors):
        raise BadVectors(
            f"{name} gave one and the same vector for {len(different)} different texts; "
            "its weights, its driver or its device are broken"
        )


def _all_same(vectors: Float32) -> bool:
    return bool(np.abs(vectors - vectors[0]).max() < _SAME)


def _thumbnails(pixels: NDArray[np.uint8]) -> Float32:
    """Frames (n, height, width, 3) -> (n, cells) float32: every so many rows and columns, three colours."""
    rows, columns = (np.linspace(0, size - 1, _GRID).round().astype(int) for size in pixels.shape[1:3])
    return pixels[:, rows][:, :, columns].reshape(len(pixels), -1).astype(np.float32)
