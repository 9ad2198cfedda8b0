"""Vectors + temporal position -> ClipPoints.

The `clip` vector is a concatenation of weighted unit blocks, brought to unit length:

    [w_f frame | w_t transcript | w_o ocr | w_a audio | w_d change | w_p position]

A query is laid out the same way, so that their dot product is

    sum_b w_b^2 <query_b, clip_b> / (|w_b| over the query's blocks * |w_b| over the clip's blocks)

and a block that either side lacks adds nothing, while the remaining ones weigh more.
"""

from collections.abc import Mapping

import numpy as np

from transforms.recipe import FusionSettings, Recipe
from transforms.records import (
    Clip,
    ClipPoint,
    Encoded,
    EncodedClip,
    Float32,
    Media,
    Segment,
    SparseVector,
    Vector,
    clip_id,
    stable_id,
)

#: Below this length the difference between later and earlier frames is noise: the picture stands still. Measured over
#: still photographs: 0.001 to 0.011, with strong sensor noise 0.06 to 0.085.
STILL_CHANGE = 0.1


#: Named vectors that are blocks of `clip` as they are.
_OWN_BLOCKS = ("transcript", "ocr", "audio")


def fuse_segment(segment: Segment, media: Media, encoded: Encoded, recipe: Recipe) -> list[ClipPoint]:
    """One point a clip, with the vectors of the modalities that the clip has."""
    want = recipe.frame_want("frames")
    shown = media.pictures.get(want) if want else None
    points = []
    for place, (clip, own) in enumerate(zip(segment.clips, encoded.clips, strict=True)):
        chosen = list(shown.clip_frames[place]) if shown is not None and encoded.frames is not None else []
        vectors: dict[str, Vector] = dict(own.vectors)
        blocks = {name: as_block(vectors[name]) for name in _OWN_BLOCKS if name in vectors}
        if encoded.frames is not None and chosen:
            frames = encoded.frames[chosen]
            vectors["frames"] = frames
            vectors["frame"] = blocks["frame"] = mean_direction(frames)
            blocks["change"] = change_block(frames)
        if vectors:
            blocks["position"] = position_block(segment, clip, recipe.fusion)
            vectors["clip"] = lay_out(blocks, recipe)
        payload = _payload(segment, clip, media, encoded.language, own, recipe)
        if shown is not None:
            payload["frame_times_seconds"] = [round(float(shown.pts_seconds[index]), 6) for index in chosen]
        payload["vectors"] = sorted(vectors)
        name = clip_id(segment.video.uri, segment.content, recipe.segmenter, clip.start_seconds)
        points.append(ClipPoint(name, vectors, payload))
    return points


def as_block(vector: Vector) -> Float32:
    """A named vector as a block of `clip`: itself, or the mean direction of a multivector."""
    if isinstance(vector, SparseVector):
        raise TypeError("a sparse vector is no block of a clip vector")
    return mean_direction(vector) if vector.ndim == 2 else vector


def lay_out(blocks: Mapping[str, Float32], recipe: Recipe) -> Float32:
    """The `clip` vector of a clip or of a query: unit blocks in the recipe's order; absent ones are zero.

    Returns (dim,) float32 of unit length. Raises ValueError where no block has anything in it.
    """
    parts = []
    for name, size in recipe.blocks():
        block = blocks.get(name)
        weight = float(getattr(recipe.fusion, name))
        parts.append(np.zeros(size, np.float32) if block is None else weight * block)
    whole = np.concatenate(parts).astype(np.float32)
    length = float(np.linalg.norm(whole))
    if length == 0.0:
        raise ValueError(f"a clip vector needs a block with something in it: blocks={sorted(blocks)}")
    return whole / np.float32(length)


def mean_direction(frames: Float32) -> Float32:
    """unit(mean of unit vectors (n, dim)) -> (dim,)."""
    return _unit(frames.mean(axis=0))


def change_block(frames: Float32) -> Float32:
    """unit(mean of the later frames - mean of the earlier ones), (n, dim) -> (dim,); zero where it is still.

    Frames are weighted by their distance from the middle of the clip. Which way the picture
    changes tells "A, then B" from "B, then A", which a mean cannot.
    """
    count = len(frames)
    weights = np.arange(count, dtype=np.float32) - (count - 1) / 2
    if count < 2:
        return np.zeros(frames.shape[1], np.float32)
    change: Float32 = (weights[:, None] * frames).sum(axis=0) / weights[weights > 0].sum()
    if np.linalg.norm(change) < STILL_CHANGE:
        return np.zeros(frames.shape[1], np.float32)
    return _unit(change)


def position_block(segment: Segment, clip: Clip, fusion: FusionSettings) -> Float32:
    """Where the clip's middle lies in its video, as sinusoidal features of unit length.

    Pairs (sin, cos) of the seconds since the video's start and of the fraction of it, at the
    recipe's periods (after Vaswani et al., 2017). Their dot product depends on the distance in time alone.
    """
    info = segment.info
    since_start_seconds = (clip.start_seconds + clip.end_seconds) / 2 - info.start_seconds
    return time_features(since_start_seconds, since_start_seconds / info.duration_seconds, fusion)


def time_features(since_start_seconds: float, fraction: float, fusion: FusionSettings) -> Float32:
    """The position features of one moment, (2 * number of periods,) of unit length."""
    turns = np.array(
        [since_start_seconds / period for period in fusion.position_periods_seconds]
        + [fraction / period for period in fusion.position_periods_fraction]
    )
    angles = 2 * np.pi * turns
    features: Float32 = np.stack([np.sin(angles), np.cos(angles)], axis=1).reshape(-1).astype(np.float32)
    return features / np.float32(np.sqrt(len(turns)))


def _unit(vector: Float32) -> Float32:
    length = float(np.linalg.norm(vector))
    unit: Float32 = vector / np.float32(length) if length > 0 else vector
    return unit


def _payload(
    segment: Segment, clip: Clip, media: Media, language: str | None, own: EncodedClip, recipe: Recipe
) -> dict[str, object]:
    info = segment.info
    payload: dict[str, object] = {
        "kind": "clip",
        "live": False,
        "video_id": stable_id("video", segment.video.uri),
        "uri": segment.video.uri,
        "content": segment.content,
        "recipe": recipe.fingerprint,
        "segmenter": recipe.segmenter,
        "segment_index": segment.index,
        "clip_index": clip.index,
        "start_seconds": round(clip.start_seconds, 6),
        "end_seconds": round(clip.end_seconds, 6),
        "media_start_seconds": round(info.start_seconds, 6),
        "duration_seconds": round(info.duration_seconds, 6),
        "partial": info.damaged or media.damaged,
        "metadata": dict(segment.video.metadata),
    }
    if own.transcript:
        payload["transcript"] = own.transcript
    if own.transcript and language:
        payload["language"] = language
    if own.screen:
        payload["screen_text"] = own.screen
    if own.objects:
        payload["objects"] = [dict(found) for found in own.objects]
    return payload
