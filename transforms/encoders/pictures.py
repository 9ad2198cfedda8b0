"""A picture of any kind -> uint8 RGB in the size that an encoder wants, as its own library would prepare it."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from transforms.encoders.network import Pixels
from transforms.errors import UsageError
from transforms.records import FrameSpec

if TYPE_CHECKING:
    from PIL.Image import Image

#: What is opened as a still picture; anything else is a video or a sound.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")

#: A long, thin picture would be scaled to gigabytes before a crop takes the middle of it; from here on it is cut first.
_MOST_SCALED = 16


def opened_picture(path: Path) -> "Image | None":
    """The picture in a file, upright; None for a file that is no still picture of FORMATS.

    Raises UsageError for a file that is not there or cannot be read.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path, formats=FORMATS) as image:
            if getattr(image, "n_frames", 1) > 1:
                return None
            return upright(image)
    except UnidentifiedImageError:
        return None
    except UsageError as error:
        raise UsageError(f"{error}: {path}") from error
    except (OSError, Image.DecompressionBombError, ValueError, SyntaxError) as error:
        raise UsageError(f"the file cannot be read as a picture: {path}: {_reason(error)}") from error


def upright(picture: Any) -> "Image":
    """A PIL image or an array as upright RGB; transparency is dropped.

    Arrays are (height, width) or (height, width, 1, 3 or 4), uint8, uint16 or floats from 0 to 1. Raises UsageError
    for anything else.
    """
    from PIL import Image, ImageOps

    if not isinstance(picture, Image.Image):
        return Image.fromarray(_as_rgb(picture))
    if min(picture.size) < 1:
        raise UsageError(f"a picture has a pixel at least: size={picture.size}")
    turned = ImageOps.exif_transpose(picture)
    if turned.mode.startswith("I;16"):  # Pillow would clip it at 255
        return Image.fromarray(_as_rgb(np.asarray(turned, np.uint16)))
    if turned.mode == "F":
        return Image.fromarray(_as_rgb(np.asarray(turned)))
    if turned.mode == "I":
        raise UsageError("a picture of 32-bit whole numbers does not say what its white is; make it 8 or 16 bits deep")
    return turned.convert("RGB")


def prepared(picture: Any, spec: FrameSpec | None) -> Pixels:
    """A PIL image or an array -> (height, width, 3) uint8 of the spec; scaled with antialiasing.

    Raises UsageError for what is no picture.
    """
    image = upright(picture)
    return np.asarray(image if spec is None else fitted(image, spec))


def fitted(image: "Image", spec: FrameSpec) -> "Image":
    """The picture in the size of the spec."""
    from PIL import Image, ImageOps

    size, way = (spec.width, spec.height), Image.Resampling[spec.interpolation.upper()]
    if image.size == size and spec.crop_fraction == 1.0:
        return image
    if spec.fit == "whole":
        scale = min(1.0, spec.width / image.width, spec.height / image.height)
        return image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))), way)
    if spec.fit == "stretch":
        return image.resize(size, way)
    if spec.fit == "pad":
        return ImageOps.pad(image, size, way)
    sides = [math.floor(side / spec.crop_fraction + 1e-6) for side in size]  # as libraries round
    scale = max(sides[0] / image.width, sides[1] / image.height)
    scaled = [max(side, int(own * scale + 1e-6)) for side, own in zip(sides, image.size, strict=True)]
    if scaled[0] * scaled[1] > _MOST_SCALED * sides[0] * sides[1]:
        return image.resize(size, way, box=_middle(image, spec, scale))
    image = image.resize((scaled[0], scaled[1]), way)
    places = ((own - side) / 2 for own, side in zip(image.size, size, strict=True))
    left, top = (math.floor(place) if spec.cut_rounds_down else round(place) for place in places)
    return image.crop((left, top, left + spec.width, top + spec.height))


def _middle(image: "Image", spec: FrameSpec, scale: float) -> tuple[float, float, float, float]:
    """The part of a picture that a crop keeps."""
    wide, high = spec.width / scale, spec.height / scale
    left, top = (image.width - wide) / 2, (image.height - high) / 2
    return left, top, left + wide, top + high


def _reason(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


def _as_rgb(picture: Any) -> Pixels:
    try:
        values = np.asarray(picture)
    except ValueError:  # a list of unequal parts
        values = np.empty(0)
    if values.ndim == 2:
        values = values[:, :, None]
    if values.ndim != 3 or values.shape[2] not in (1, 3, 4) or not values.size:
        raise UsageError(
            f"a picture is (height, width) or (height, width, 3): shape={values.shape}, type={type(picture).__name__}"
        )
    if values.dtype.kind == "f":
        if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
            raise UsageError("a picture of real numbers lies between 0 and 1; give uint8 for 0 to 255")
        values = (values * 255).round().astype(np.uint8)
    if values.dtype == np.uint16:
        values = (values / 257).round().astype(np.uint8)
    if values.dtype != np.uint8:
        raise UsageError(f"a picture is uint8, uint16 or real numbers from 0 to 1: dtype={values.dtype}")
    return np.ascontiguousarray(np.repeat(values, 3, axis=2) if values.shape[2] == 1 else values[:, :, :3])
