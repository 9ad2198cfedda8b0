"""Text on screen, clip by clip; a picture that has not changed is not read again."""

from collections.abc import Callable, Sequence

import numpy as np

from transforms.encoders.network import Pixels
from transforms.records import Float32

# Text changes in a small place: the largest difference of a cell tells, not the mean of all. In films at rest it was
# 2.8 of 255 at most after compression, one other word in letters of 18 pixels on 1920 x 1080 made it 8 (grey on grey
# 3.5); with cells of twice the size the words were lost in the noise. Grain makes it 4 and more: such films are read.
_GRID = (72, 128)  # rows and columns of cells
_CHANGED = 3.0  # of 255: the largest difference of a cell's mean colours that counts as noise


def read_clips(pictures: Sequence[Pixels | None], read: Callable[[Pixels], str]) -> tuple[str, ...]:
    """One text a clip, of the picture (height, width, 3) that stands for it; "" for a clip without one.

    A picture is compared with the one that was read last, so a slow fade is read again too.
    """
    texts: list[str] = []
    last: Float32 | None = None
    text = ""
    for picture in pictures:
        if picture is None:
            texts.append("")
            continue
        seen = cells(picture)
        if last is None or changed(last, seen):
            last, text = seen, read(picture)
        texts.append(text)
    return tuple(texts)


def changed(one: Float32, other: Float32) -> bool:
    """Whether two pictures, as their cells, differ anywhere by more than noise."""
    return one.shape != other.shape or float(np.abs(one - other).max()) > _CHANGED


def cells(picture: Pixels) -> Float32:
    """The mean colours of a picture's cells, (rows, columns, 3); of a small picture every pixel is one."""
    rows, columns = (
        np.linspace(0, size, min(size, count), endpoint=False).astype(int)
        for size, count in zip(picture.shape[:2], _GRID, strict=True)
    )
    sums = np.add.reduceat(np.add.reduceat(picture, rows, axis=0, dtype=np.int32), columns, axis=1)
    high, wide = np.diff(np.append(rows, len(picture))), np.diff(np.append(columns, picture.shape[1]))
    return np.asarray(sums / (high[:, None] * wide)[:, :, None], np.float32)
