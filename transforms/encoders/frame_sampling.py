"""Another number of frames than a model takes: they are taken again at even distances."""

import numpy as np

from transforms.encoders.network import Pixels


def sampled(frames: Pixels, count: int) -> Pixels:
    """`count` frames (count, height, width, 3) out of (k, height, width, 3), in order, from the first to the last.

    Of more frames every so many are left out, of fewer some stand several times; a single one stands for all.
    """
    if not len(frames):
        raise ValueError(f"a clip has a frame at least: shape={frames.shape}")
    if len(frames) == count:
        return frames
    places = np.linspace(0, len(frames) - 1, count).round().astype(int)
    found: Pixels = frames[places]
    return found
