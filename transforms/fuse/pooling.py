"""The frames of a clip -> its vector `frame`."""

import numpy as np

from transforms.fusion_settings import FusionSettings
from transforms.records import Float32

#: Of the softmax over the cosines with the mean: at 0.1 a frame that is 0.2 nearer to it weighs e^2 = 7 times as much.
TEMPERATURE = 0.1


def pool(frames: Float32, fusion: FusionSettings) -> Float32:
    """Unit vectors (n, dim) of a clip's frames -> one unit vector (dim,), by the recipe's pooling.

    mean       unit(mean)
    max        unit(elementwise maximum)
    attention  unit(sum_i a_i f_i), a = softmax(<f_i, unit(mean)> / 0.1): frames that are like the others weigh more,
               a flash or the edge of another shot less; nothing is trained
    learned    the same with a = softmax(<f_i, q>), q from the file of `reelvec train-fusion --kind attention`
    """
    if fusion.pooling == "max":
        return unit(frames.max(axis=0))
    if fusion.pooling == "attention":
        return _attended(frames, frames @ mean_direction(frames) / np.float32(TEMPERATURE))
    if fusion.pooling == "learned":
        return _attended(frames, frames @ fusion.trained("pooling_file").tensors["query"])
    return mean_direction(frames)


def mean_direction(frames: Float32) -> Float32:
    """unit(mean of unit vectors (n, dim)) -> (dim,)."""
    return unit(frames.mean(axis=0))


def unit(vector: Float32) -> Float32:
    """The vector at unit length; zeros stay zeros."""
    length = float(np.linalg.norm(vector))
    at_one: Float32 = vector / np.float32(length) if length > 0 else vector
    return at_one


def _attended(frames: Float32, scores: Float32) -> Float32:
    weights = np.exp(scores - scores.max())
    return unit((weights / weights.sum()) @ frames)
