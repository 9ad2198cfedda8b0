"""Where new shots begin, from a small rendition of every frame.

Two measures tell how much a frame differs from the one before it. `change` is the median over 48 blocks of the mean
difference of their pixels: what moves within less than half of the picture does not count. `colours` is the share of
pixels that take another place in the colour histograms, which motion leaves as it is. A frame begins a shot where
both together stand out from their neighbours (as the adaptive detector of PySceneDetect has it for one measure),
where the picture does not come back at once, as it does after a flash, and where it is another picture: at the key
frames of poorly compressed films all of it is drawn anew, and correlates with what was there.

Frames are measured as they come and forgotten; what is kept is a few numbers a frame.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from transforms.records import FrameSpec

Frames = NDArray[np.uint8]
Float = NDArray[np.float64]

#: What is looked at, in RGB.
SHOT_SPEC: Final = FrameSpec(64, 36)
#: The rule and its numbers, as one word: part of the id of every clip that is cut by shots.
SHOT_RULE: Final = "shots-1"

_BLOCKS_DOWN: Final = 6
_BLOCKS_ACROSS: Final = 8
_BINS: Final = 32  # of each colour's histogram
_FLASH_FRAMES: Final = 4  # a picture that is back after so many frames was never gone
_FLASH_SECONDS: Final = 0.25
_NEIGHBOURS: Final = 6  # frames at each side that a frame must stand out from
_NEIGHBOURS_SECONDS: Final = 0.5  # those that are further away say nothing about the motion
_LEAST_CHANGE: Final = 3.0  # of 255
_LEAST_COLOURS: Final = 1.5  # per cent
_STANDS_OUT: Final = 6.0  # the product of how many times each measure exceeds its neighbours
_ALIKE: Final = 0.75  # the correlation of two frames above which they show one picture, unless its brightness jumps
_BACK: Final = 0.5  # the share of a change that is left when the picture comes back


class ShotMeasures:
    """The measures of the frames of one decoding; `feed` takes raw RGB in pieces of any size."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._before: Frames | None = None  # the last frames, as many as a flash may last and one
        self._change: list[Float] = []  # of each piece: (frames, 1 + _FLASH_FRAMES), by how many frames back
        self._colours: list[Float] = []
        self._same: list[NDArray[np.bool_]] = []  # whether it shows the picture of the frame before

    def feed(self, raw: bytes) -> None:
        """Measure the frames that are whole by now."""
        self._rest += raw
        size = SHOT_SPEC.width * SHOT_SPEC.height * 3
        whole = len(self._rest) // size * size
        if whole:
            pixels = np.frombuffer(bytes(self._rest[:whole]), np.uint8)
            del self._rest[:whole]
            self._measure(pixels.reshape(-1, SHOT_SPEC.height, SHOT_SPEC.width, 3))

    def starts_us(self, times_us: Sequence[int]) -> list[int]:
        """When shots begin, given the time of each frame: the time of a shot's first frame, but for the first shot's.

        Frames whose time lies before that of the one before them begin nothing.
        """
        if not self._change:
            return []
        change, colours = np.concatenate(self._change), np.concatenate(self._colours)
        same = np.concatenate(self._same)
        count = min(len(times_us), len(colours))
        times = np.asarray(times_us[:count], np.float64) / 1e6
        found = first_frames(change[:count], colours[:count], same[:count], times)
        return [times_us[place] for place in found]

    def _measure(self, frames: Frames) -> None:
        before = frames[:1] if self._before is None else self._before
        known = np.concatenate([before, frames])
        new = np.arange(len(before), len(known))
        blocks = [_block_change(known[np.maximum(new - back, 0)], frames) for back in range(1, _FLASH_FRAMES + 2)]
        histograms = _histograms(known[len(before) - 1 :])
        self._change.append(np.stack(blocks, axis=1))
        self._colours.append(np.abs(np.diff(histograms, axis=0)).sum(axis=1) * 50 / 3)
        self._same.append(_show_the_same(known[len(before) - 1 :], blocks[0]))
        self._before = known[-(_FLASH_FRAMES + 1) :]


def first_frames(change: Float, colours: Float, same: NDArray[np.bool_], times_seconds: Float) -> list[int]:
    """The places of the frames that begin a shot.

    `change` (n, k): from the frame 1 to k before; `colours` (n,); `same` (n,): whether it shows the picture of the
    frame before; `times_seconds` (n,). The very first frame is none.
    """
    out = _standing_out(change[:, 0], times_seconds) * _standing_out(colours, times_seconds)
    enough = (change[:, 0] >= _LEAST_CHANGE) & (colours >= _LEAST_COLOURS) & ~same
    candidates = np.flatnonzero((out >= _STANDS_OUT) & enough)
    forward = np.diff(times_seconds, prepend=-np.inf) > 0
    return [
        int(place)
        for place in candidates
        if place and forward[place] and not _is_flash(int(place), change, times_seconds)
    ]


def _standing_out(measure: Float, times_seconds: Float) -> Float:
    """How many times each value exceeds the second largest one around it; one cut may have another one near it."""
    around = [np.zeros_like(measure), np.zeros_like(measure)]
    for away in range(1, _NEIGHBOURS + 1):
        for shift in (-away, away):
            neighbour = np.roll(measure, shift)
            distance = np.abs(times_seconds - np.roll(times_seconds, shift))
            neighbour[distance > _NEIGHBOURS_SECONDS] = 0.0
            neighbour[:away] = 0.0 if shift > 0 else neighbour[:away]
            neighbour[-away:] = 0.0 if shift < 0 else neighbour[-away:]
            around.append(neighbour)
    second = np.sort(np.stack(around), axis=0)[-2]
    return np.asarray(measure / np.maximum(1.0, second), np.float64)


def _is_flash(place: int, change: Float, times_seconds: Float) -> bool:
    """Whether some frame before looks like some frame after it, a moment apart."""
    limit = _BACK * change[place, 0]
    for after in range(place, min(place + _FLASH_FRAMES, len(change) - 1) + 1):
        for back in range(2, change.shape[1] + 1):
            before = after - back
            a_moment = 0 <= before < place and times_seconds[after] - times_seconds[before] <= _FLASH_SECONDS
            if a_moment and change[after, back - 1] < limit:
                return True
    return False


def _block_change(before: Frames, after: Frames) -> Float:
    """The median over the blocks of the mean difference of their pixels: (n,)."""
    difference = np.abs(before.astype(np.int16) - after)
    shape = (len(after), _BLOCKS_DOWN, SHOT_SPEC.height // _BLOCKS_DOWN, _BLOCKS_ACROSS, -1)
    blocks = difference.reshape(shape).mean(axis=(2, 4), dtype=np.float64)
    return np.asarray(np.median(blocks.reshape(len(after), -1), axis=1), np.float64)


def _show_the_same(frames: Frames, change: Float) -> NDArray[np.bool_]:
    """Whether each frame but the first shows the picture of the one before it.

    `change` (n,): of each from the one before. Where it exceeds the contrast of both, as between plain colours, what
    correlates is noise.
    """
    pixels = frames.reshape(len(frames), -1, 3).astype(np.float32)
    around = (pixels - pixels.mean(axis=1, keepdims=True)).reshape(len(frames), -1)
    deviation = np.sqrt(np.square(around).mean(axis=1, dtype=np.float64))
    together = (around[1:] * around[:-1]).mean(axis=1, dtype=np.float64)
    alike = together > _ALIKE * deviation[1:] * deviation[:-1]
    return np.asarray(alike & (change < np.maximum(deviation[1:], deviation[:-1])), np.bool_)


def _histograms(frames: Frames) -> Float:
    """For each frame the shares of its pixels in each bin of each colour, a little blurred: (n, 3 * bins)."""
    count, pixels = len(frames), SHOT_SPEC.height * SHOT_SPEC.width
    places = np.arange(count * 3).reshape(count, 1, 1, 3) * _BINS + (frames >> 3)
    counts = np.bincount(places.ravel(), minlength=count * 3 * _BINS).reshape(count, 3, _BINS) / pixels
    padded = np.pad(counts, ((0, 0), (0, 0), (1, 1)), mode="edge")
    blurred = (padded[:, :, :-2] + 2 * padded[:, :, 1:-1] + padded[:, :, 2:]) / 4
    return np.asarray(blurred.reshape(count, -1), np.float64)
