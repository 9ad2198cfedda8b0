"""What `reelvec.load` is given, looked at once: a text, a picture, a sound, or a file that holds some of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from transforms.encoders.network import Kind
from transforms.encoders.pictures import opened_picture, upright
from transforms.errors import NoMedia, UsageError
from transforms.media.probe import probe
from transforms.records import Float32, VideoInfo

if TYPE_CHECKING:
    from PIL.Image import Image

#: A `str` is text, a `Path` a file, a PIL image or an array a picture, (samples, rate in Hz) sound.
Input = Any

_MOST_CHANNELS = 64
#: Real numbers are a sound's from -1 to 1; decoders go a little beyond, and whole numbers as floats far beyond.
_LOUDEST = 16.0


@dataclass(frozen=True, slots=True)
class Text:
    """Words."""

    text: str

    @property
    def kinds(self) -> tuple[Kind, ...]:
        return ("text",)

    def __str__(self) -> str:
        return repr(self.text[:80])


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One still picture, upright RGB."""

    image: "Image"
    origin: str

    @property
    def kinds(self) -> tuple[Kind, ...]:
        return ("image",)

    def __str__(self) -> str:
        return self.origin


@dataclass(frozen=True, slots=True, eq=False)
class Sound:
    """Mono samples (n,) float32."""

    samples: Float32
    rate_hz: int

    @property
    def kinds(self) -> tuple[Kind, ...]:
        return ("sound",)

    def __str__(self) -> str:
        return f"a sound of {len(self.samples)} samples at {self.rate_hz} Hz"


@dataclass(frozen=True, slots=True)
class File:
    """A video or a sound file."""

    path: Path
    info: VideoInfo

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """What it can be taken as, the fullest first; a cover beside sound is only its cover."""
        if self.info.video is None:
            return ("sound",)
        if self.info.audio is None:
            return ("image",) if self.info.video.still else ("clip", "image")
        return ("sound", "image") if self.info.video.still else ("clip", "image", "sound")

    def __str__(self) -> str:
        return repr(str(self.path))


Given = Text | Picture | Sound | File


def examined(given: Input) -> Given:
    """What an input is. Raises UsageError for what is none, and IngestError for a file that cannot be decoded."""
    if isinstance(given, str):
        return Text(given)
    if isinstance(given, Path):
        picture = opened_picture(given)
        return _file(given) if picture is None else Picture(picture, repr(str(given)))
    if isinstance(given, tuple):
        return _sound(given)
    return Picture(upright(given), f"an input of type {type(given).__name__}")


def examined_all(given: Iterable[Input]) -> list[Given]:
    """What each of several inputs is. Raises UsageError for one input where several are wanted."""
    if isinstance(given, str | Path | tuple | Mapping) or not isinstance(given, Iterable):
        raise UsageError(
            f"embed_batch takes a list of inputs, this is {type(given).__name__}; put a single one into a list"
        )
    return [examined(one) for one in given]


def _sound(given: tuple[Any, ...]) -> Sound:
    if len(given) != 2:
        raise UsageError(f"sound is (samples, rate in Hz); this tuple has {len(given)} parts")
    samples, rate = np.asarray(given[0]), np.asarray(given[1])
    if samples.ndim == 0 and rate.ndim:
        raise UsageError("sound is (samples, rate in Hz); this tuple has the rate first")
    if rate.ndim or rate.dtype.kind not in "iuf" or not np.isfinite(rate) or rate < 1 or rate != int(rate):
        raise UsageError(f"a sample rate is a whole number of Hz: {given[1]!r}")
    return Sound(mono(samples), int(rate))


def mono(samples: NDArray[Any]) -> Float32:
    """Samples (n,), (n, channels) or (channels, n) -> (n,) float32 in -1 to 1.

    The shorter side of two is that of the channels. Takes real numbers from -1 to 1, int16, int32 and uint8 (128 is
    silence), as WAV files hold them. Raises UsageError for anything else.
    """
    if samples.ndim not in (1, 2) or not samples.size or (samples.ndim == 2 and min(samples.shape) > _MOST_CHANNELS):
        raise UsageError(f"sound is samples (n,) or (n, channels): shape={samples.shape}")
    values: Float32
    if samples.dtype == np.uint8:
        values = ((samples.astype(np.float32) - 128) / 128).astype(np.float32)
    elif samples.dtype in (np.int16, np.int32):
        values = (samples / -float(np.iinfo(samples.dtype).min)).astype(np.float32)
    elif samples.dtype.kind == "f":
        values = samples.astype(np.float32)
        loudest = float(np.max(np.abs(values), initial=0.0, where=np.isfinite(values)))
        if loudest > _LOUDEST:
            raise UsageError(
                f"a sound of real numbers lies between -1 and 1, this one reaches {loudest:g}; "
                "give it as int16, or divide by 32768"
            )
    else:
        raise UsageError(f"samples are float, int16, int32 or uint8: dtype={samples.dtype}")
    if values.ndim == 1:
        return values
    channels = int(np.argmin(values.shape[::-1]))  # of a square, the second side
    mixed: Float32 = values.mean(axis=1 - channels, dtype=np.float32)
    return mixed


def resampled(samples: Float32, rate_hz: int, wanted_hz: int) -> Float32:
    """Mono sound (n,) at another rate, (m,), by polyphase filtering."""
    from scipy.signal import resample_poly

    if rate_hz == wanted_hz:
        return samples
    divisor = int(np.gcd(rate_hz, wanted_hz))
    return np.asarray(resample_poly(samples, wanted_hz // divisor, rate_hz // divisor), np.float32)


def _file(path: Path) -> File:
    try:
        return File(path, probe(path))
    except NoMedia as error:  # a question is at fault here, not a corpus
        raise UsageError(str(error)) from error
