"""A picture of any shape -> the pixels of a `FrameSpec`, by ffmpeg's filters."""

import math
from collections.abc import Mapping
from typing import Any

from transforms.records import FrameSpec, Interpolation, VideoStream

#: How ffmpeg's scaler calls the ways of interpolating.
_FLAGS: Mapping[Interpolation, str] = {
    "bicubic": "bicubic",
    "bilinear": "bilinear",
    "lanczos": "lanczos",
    "nearest": "neighbor",
}


def size_of(spec: FrameSpec, video: VideoStream) -> tuple[int, int]:
    """(width, height) of the pictures that a spec gives of a stream, whatever sizes its frames have."""
    if spec.fit != "whole":
        return spec.width, spec.height
    share = min(1.0, spec.width / video.width, spec.height / video.height)
    return max(1, round(video.width * share)), max(1, round(video.height * share))


def fitted(frames: Any, spec: FrameSpec, video: VideoStream) -> Any:
    """The frames in the size of a spec; they arrive upright, since ffmpeg turns them before the graph."""
    if spec.fit == "pad":
        return _padded(frames, spec)
    if spec.fit == "crop":
        wide, high = f"{spec.width}/{spec.height}", f"{spec.height}/{spec.width}"
        width = f"max(1,min(iw,ih*{wide}/sar)*{_kept(spec.width, spec)!r})"
        height = f"max(1,min(ih,iw*sar*{high})*{_kept(spec.height, spec)!r})"
        frames = frames.filter("crop", w=width, h=height, exact=1)
    return frames.filter("scale", *size_of(spec, video), flags=_FLAGS[spec.interpolation])


def _kept(side: int, spec: FrameSpec) -> float:
    """The share of a scaled side that a crop keeps; the side that libraries scale to is a whole number."""
    return side / math.floor(side / spec.crop_fraction + 1e-6)


def _padded(frames: Any, spec: FrameSpec) -> Any:
    wider = f"gt(iw*sar*{spec.height},ih*{spec.width})"
    width = f"max(1,if({wider},{spec.width},round({spec.height}*iw*sar/ih)))"
    height = f"max(1,if({wider},round({spec.width}*ih/iw/sar),{spec.height}))"
    # In RGB before padding: with subsampled colours the picture could lie at even places only.
    scaled = frames.filter("scale", width, height, flags=_FLAGS[spec.interpolation]).filter("format", "rgb24")
    return scaled.filter("pad", spec.width, spec.height, "(ow-iw)/2", "(oh-ih)/2", "black")
