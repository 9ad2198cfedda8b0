"""How things move in a clip, by dense optical flow (DIS: Kroeger et al., 2016) as OpenCV computes it.

A vector has two blocks over a grid of 4 x 4 cells; entries are square roots of shares, so that a product compares
distributions (Bhattacharyya), and the blocks' squares make up 2/3 and 1/3 of it:

    directions (4, 4, 8)  where all the motion of the clip is, and which of 8 ways it goes: right, down right, down ...
    amounts    (4, 4, 2)  how much of each cell moves and how much of it is still

A pixel of speed v counts as v / (v + 0.1) moving, v in widths of the picture a second: a tenth of the width in a
second counts half. Flow counts only where the way back leads to the start (Sundaram et al., 2010) and where the
picture changes at all, for in flat places flow follows the grain; what was seen twice and is no match is a cut. A
clip without motion has a row of zeros, which is no vector: there is nothing to compare.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transforms.encoders.cards import Card
from transforms.encoders.names import Name
from transforms.encoders.network import ClipInput, Network, Where
from transforms.records import Float32, FrameSpec

_WIDTH, _HEIGHT = 160, 90
_GRID = (4, 4)  # rows and columns
_DIRECTIONS = 8
_DIRECTIONS_SHARE = 2 / 3
_HALF_SPEED = 0.1  # widths a second
_STILL_PIXELS = 0.3  # shorter ways between two frames are none
_GRAIN = 0.75  # of 255: a picture that changes less around a pixel may be grain; its mean over 9 x 9 pixels
_LEAST_MOTION = 0.006  # of a clip, mean over pixels: still films with cuts and fades reach 0.005, a moving hand 0.012
_CUT_DIFFERENCE = 20.0  # of 255, of two frames of which less than half can be found again

Picture = NDArray[np.uint8]


@dataclass(eq=False)
class MotionNetwork(Network):
    """OpenCV's estimator of flow."""

    flow: Any
    where: Where = Where()

    def clips(self, clips: Sequence[ClipInput]) -> Float32:
        """(n, 160); a row of zeros for a clip without motion or of a single frame."""
        return np.stack([descriptor(self._moving(clip)) for clip in clips])

    def _moving(self, clip: ClipInput) -> list[Float32]:
        """For each two frames the motion of every pixel, (height, width, 2); the length is how much it counts."""
        import cv2

        grey = [cv2.GaussianBlur(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), (0, 0), 1.0) for frame in clip.frames]
        pairs = zip(pairwise(grey), np.diff(clip.pts_seconds), strict=True)
        found = (self._between(one, other, float(seconds)) for (one, other), seconds in pairs if seconds > 0)
        return [motion for motion in found if motion is not None]

    def _between(self, one: Picture, other: Picture, seconds: float) -> Float32 | None:
        """The motion from one grey picture to the other; None over a cut."""
        import cv2

        difference = cv2.absdiff(one, other).astype(np.float32)
        forth, back = self.flow.calc(one, other, None), self.flow.calc(other, one, None)  # (height, width, 2) pixels
        rows, columns = np.mgrid[: one.shape[0], : one.shape[1]].astype(np.float32)
        there = cv2.remap(back, columns + forth[..., 0], rows + forth[..., 1], cv2.INTER_LINEAR)  # outside: zeros
        missed = np.square(forth + there).sum(2)
        matched = missed < 0.01 * (np.square(forth).sum(2) + np.square(there).sum(2)) + 0.1
        if difference.mean() > _CUT_DIFFERENCE and matched.mean() < 0.5:
            return None
        way = np.hypot(forth[..., 0], forth[..., 1])
        counts = matched & (way > _STILL_PIXELS) & (cv2.blur(difference, (9, 9)) > _GRAIN)
        speed = way / one.shape[1] / seconds
        share = np.where(counts, speed / (speed + _HALF_SPEED), 0.0)
        return np.asarray(forth * (share / np.maximum(way, 1e-6))[..., None], np.float32)


def descriptor(moving: Sequence[Float32]) -> Float32:
    """Motion of pixels, each (height, width, 2) of lengths below one, over a clip -> (160,) unit, or zeros."""
    empty = np.zeros(_GRID[0] * _GRID[1] * (_DIRECTIONS + 2), np.float32)
    if not moving:
        return empty
    motion = np.stack(moving)  # (pairs, height, width, 2)
    amounts = np.hypot(motion[..., 0], motion[..., 1])
    if amounts.mean() < _LEAST_MOTION:
        return empty
    turns = (np.arctan2(motion[..., 1], motion[..., 0]) / (2 * np.pi) * _DIRECTIONS) % _DIRECTIONS  # in directions
    # Each motion is shared by the two directions that it lies between: near a border a little noise changes little.
    near = [np.maximum(0, 1 - np.abs((turns - way + 4) % _DIRECTIONS - 4)) * amounts for way in range(_DIRECTIONS)]
    directions = np.stack([_cells(own) for own in near], -1)  # (rows, columns, directions)
    moved = _cells(amounts)
    shares = np.stack([moved, 1 - moved], -1) / moved.size
    blocks = (_DIRECTIONS_SHARE * directions / directions.sum(), (1 - _DIRECTIONS_SHARE) * shares)
    return np.asarray(np.sqrt(np.concatenate([block.ravel() for block in blocks])), np.float32)


def describe(name: Name, folder: Path | None) -> Card:
    """The card; there are no weights."""
    name.check_options()
    return Card(
        name=str(name),
        modality="motion",
        accepts=("clip",),
        dimensions=_GRID[0] * _GRID[1] * (_DIRECTIONS + 2),
        space="motion:dis",
        text_queries=False,
        frame_spec=FrameSpec(_WIDTH, _HEIGHT, "stretch"),
        sample_rate_hz=None,
        weights=(),
        licence="Apache-2.0 (OpenCV)",
        languages=(),
        settings=(("preset", "medium"), ("revision", 1)),
        identity="motion:dis",
        frame_choice="every:200ms",
    )


def load(card: Card, where: Where) -> MotionNetwork:
    """OpenCV's DIS with its preset for medium quality, 5 ms for two frames of 160 x 90 on one core."""
    import cv2

    return MotionNetwork(cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM), where)


def _cells(values: Any) -> Any:
    """Values (pairs, height, width) -> their means over the pairs and each cell, (rows, columns)."""
    over_pairs = values.mean(0, dtype=np.float64)
    rows = np.array_split(over_pairs, _GRID[0], axis=0)
    return np.array([[cell.mean() for cell in np.array_split(row, _GRID[1], axis=1)] for row in rows])
