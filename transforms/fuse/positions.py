"""Where a clip lies in its video, as a block of the `clip` vector, and how a question about a time is laid out.

sinusoidal  pairs (sin, cos) of the seconds since the start and of the fraction of the video (Vaswani et al., 2017)
relative    those of the seconds alone: with a question's reference time it depends on |t - t_ref| and nothing else,
            neither on how long the video is nor on how long it will be
learned     a table over the fraction of the video, between whose rows is interpolated
hybrid      sinusoidal and learned, half each
none        no block
"""

from collections.abc import Sequence

import numpy as np

from transforms.errors import UsageError
from transforms.fuse.pooling import unit
from transforms.fusion_settings import FusionSettings
from transforms.recipe import Recipe
from transforms.records import Clip, Float32, Segment


def position_block(segment: Segment, clip: Clip, fusion: FusionSettings) -> Float32:
    """The position of a clip's middle, (position_dimensions,) of unit length."""
    info = segment.info
    since_start_seconds = (clip.start_seconds + clip.end_seconds) / 2 - info.start_seconds
    return time_features(since_start_seconds, since_start_seconds / info.duration_seconds, fusion)


def time_features(since_start_seconds: float, fraction: float, fusion: FusionSettings) -> Float32:
    """The position features of one moment, (position_dimensions,) of unit length."""
    return _features(since_start_seconds, fraction, fusion)


def position_query(recipe: Recipe, seconds: float | None = None, fraction: float | None = None) -> Float32:
    """The position block of a question: near `seconds` since a video's start, or near a `fraction` of it, or both.

    The half that is not asked for stays zero and the rest is of unit length, so that the dot product with a clip's
    block is a constant times the mean of cos(2 pi (t - t_ref) / period) over the periods that are asked. Raises
    UsageError for a question that the recipe's positions cannot answer.
    """
    fusion, kind = recipe.fusion, recipe.fusion.position_kind
    if fusion.strategy != "blocks" or fusion.position == 0.0:
        raise UsageError(
            f"the clip vectors of the recipe {recipe.name!r} cannot tell a time, they have no position block: "
            f"strategy={fusion.strategy!r}, position={fusion.position}"
        )
    if seconds is None and fraction is None:
        raise UsageError("a question about a time has seconds or a fraction of the video: both are missing")
    if fraction is not None and not 0.0 <= fraction <= 1.0:
        raise UsageError(f"a fraction of a video lies between 0 and 1: fraction={fraction}")
    by_seconds = bool(fusion.position_periods_seconds) and kind in ("sinusoidal", "relative", "hybrid")
    by_fraction = kind in ("learned", "hybrid") or (kind == "sinusoidal" and bool(fusion.position_periods_fraction))
    if not ((seconds is not None and by_seconds) or (fraction is not None and by_fraction)):
        asked = "seconds" if fraction is None else "a fraction" if seconds is None else "a time"
        answers = {(True, True): "both", (True, False): "seconds", (False, True): "a fraction"}
        raise UsageError(
            f"the clip vectors of the recipe {recipe.name!r} cannot tell {asked}: position_kind={kind!r} answers "
            f"questions about {answers.get((by_seconds, by_fraction), 'no time')}"
        )
    return _features(seconds, fraction, fusion)


def _features(seconds: float | None, fraction: float | None, fusion: FusionSettings) -> Float32:
    """The parts of the recipe's kind, zero where their time is None, at unit length together."""
    kind = fusion.position_kind
    if kind == "none":
        return np.zeros(0, np.float32)
    if kind == "learned":
        return _from_table(fraction, fusion)
    if kind == "relative":
        return _waves(_turns(seconds, fusion.position_periods_seconds))
    waves = _waves(
        [*_turns(seconds, fusion.position_periods_seconds), *_turns(fraction, fusion.position_periods_fraction)]
    )
    if kind == "hybrid":
        return unit(np.concatenate([waves, _from_table(fraction, fusion)]))
    return waves


def _turns(moment: float | None, periods: Sequence[float]) -> list[float]:
    """How often each period has passed; NaN where no moment is asked for."""
    return [np.nan if moment is None else moment / period for period in periods]


def _waves(turns: Sequence[float]) -> Float32:
    """(sin, cos) of each, (2 * turns,) of unit length; zeros for those that are not asked for."""
    angles = 2 * np.pi * np.array(turns)
    features: Float32 = np.stack([np.sin(angles), np.cos(angles)], axis=1).reshape(-1).astype(np.float32)
    asked = np.isfinite(features)
    features[~asked] = 0.0
    return features / np.float32(np.sqrt(max(1, asked.sum() // 2)))


def _from_table(fraction: float | None, fusion: FusionSettings) -> Float32:
    """The row of the learned table (rows, dim) at a fraction of the video, between its neighbours; unit length."""
    table = fusion.trained("position_file").tensors["table"]
    if fraction is None:
        return np.zeros(table.shape[1], np.float32)
    place = float(np.clip(fraction, 0.0, 1.0)) * (len(table) - 1)
    below = min(int(place), len(table) - 2)
    share = np.float32(place - below)
    return unit((1 - share) * table[below] + share * table[below + 1])
