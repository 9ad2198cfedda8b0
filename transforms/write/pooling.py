"""The vectors of a video's clips -> one vector of the video."""

from typing import Literal

import numpy as np

from transforms.encoders.windows import unit_length
from transforms.records import Float32

#: Of the softmax over the distances from the mean: at 0.1 a clip that is 0.2 further off weighs e^2 = 7 times as much.
TEMPERATURE = 0.1

Pooling = Literal["mean", "attention"]


def pool_clips(clips: Float32, pooling: Pooling) -> Float32:
    """Unit vectors (n, dim) of a video's clips -> one unit vector (dim,); zeros where they cancel out.

    mean       unit(mean)
    attention  unit(sum_i a_i v_i), a = softmax((1 - <v_i, unit(mean)>) / 0.1): attention by distinctiveness; what
               sets a clip apart from the rest of its video weighs more, what is in every clip less

    The vector of a video of one clip is that clip's own, to the last bit.
    """
    if len(clips) == 1:
        return clips[0]
    rows = clips.astype(np.float64)
    weights = np.full(len(rows), 1 / len(rows))
    if pooling == "attention":
        mean = rows.mean(axis=0)
        distances = 1 - rows @ (mean / max(float(np.linalg.norm(mean)), _TINY))
        weights = np.exp((distances - distances.max()) / TEMPERATURE)
        weights /= weights.sum()
    pooled = weights @ rows
    return unit_length(pooled.astype(np.float32)) if np.linalg.norm(pooled) > _TINY else np.zeros_like(clips[0])


#: Shorter than this, a sum of unit vectors has no direction that means anything.
_TINY = 1e-6
