"""Whether one thing is seen before another in a clip, from the similarities of its frames in the order of time."""

import numpy as np

from transforms.records import Float32


def pair_in_order(first: Float32, second: Float32) -> float:
    """The best mean of first[i] and second[j] with frame i before frame j; -1 where there are no two frames.

    first and second (n,) are the similarities of each frame with what is to come first and with what is to come second.
    """
    if len(first) < 2:
        return -1.0
    best_so_far = np.maximum.accumulate(first)[:-1]
    return float(np.max(best_so_far + second[1:])) / 2


def turn_in_order(first: Float32, second: Float32) -> float:
    """How much the clip turns from the first thing to the second: the best cut's mean difference, before minus after.

    max over cuts t of mean(first - second, before t) - mean(first - second, from t on), halved; -1 for one frame.
    """
    if len(first) < 2:
        return -1.0
    leans = first - second
    before = np.cumsum(leans)[:-1] / np.arange(1, len(leans))
    after = np.cumsum(leans[::-1])[:-1][::-1] / np.arange(len(leans) - 1, 0, -1)
    return float(np.max(before - after)) / 2


def in_order(first: Float32, second: Float32) -> float:
    """How well a clip shows the first thing and then the second: the best pair of frames, and the turn between them."""
    return pair_in_order(first, second) + turn_in_order(first, second)
