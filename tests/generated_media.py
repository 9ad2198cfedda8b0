"""Tiny media whose truth is known, rendered by ffmpeg when a test asks for it.

Frames that carry a number show it as sixteen black or white blocks in one row, the highest bit
first, so that `number_in` reads it back from pixels that were compressed and scaled.
"""

import struct
import subprocess
import wave
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

BITS = 16
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255), "black": (0, 0, 0)}
Frame = NDArray[np.uint8]
#: Solid colours without loss of hue: no subsampling of chroma is visible in them.
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
_UPRIGHT = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)  # a matrix of the mp4 container


def ffmpeg(*arguments: object, pixels: bytes | None = None) -> None:
    """Run ffmpeg; fails with its own words."""
    command = ["ffmpeg", "-hide_banner", "-loglevel", "error", "-y", *(str(argument) for argument in arguments)]
    ran = subprocess.run(command, input=pixels or b"", capture_output=True)
    if ran.returncode != 0:
        raise RuntimeError(f"ffmpeg failed: {ran.stderr.decode(errors='replace')}")


def colour_frame(name: str, width: int = 64, height: int = 48) -> Frame:
    """One frame of one colour: (height, width, 3)."""
    return np.full((height, width, 3), COLOURS[name], dtype=np.uint8)


def numbered_frame(number: int, width: int = 128, height: int = 32) -> Frame:
    """A frame that shows a number up to 65535 in black and white blocks."""
    bits = [(number >> place) & 1 for place in reversed(range(BITS))]
    row = np.repeat(np.array(bits, dtype=np.uint8) * 255, width // BITS)
    return np.ascontiguousarray(np.broadcast_to(row[None, :, None], (height, width, 3)))


def number_in(frame: Frame) -> int:
    """The number that a frame shows."""
    height, width, _ = frame.shape
    middles = (np.arange(BITS) * width // BITS) + width // (2 * BITS)
    bits = frame[height // 2, middles].mean(axis=-1) > 127
    return int("".join("1" if bit else "0" for bit in bits), 2)


def nearest_colour(frame: Frame) -> str:
    """The name of the colour that a frame mostly shows."""
    mean = frame.reshape(-1, 3).mean(axis=0)
    return min(COLOURS, key=lambda name: float(np.abs(mean - COLOURS[name]).sum()))


def tone(
    seconds: float, *, rate_hz: int = 16000, frequency_hz: float = 440.0, volume: float = 0.5
) -> NDArray[np.int16]:
    """A sine of 16-bit samples."""
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    return (np.sin(2 * np.pi * frequency_hz * times) * volume * 32767).astype(np.int16)


def write_wav(path: Path, samples: NDArray[np.int16], *, rate_hz: int = 16000) -> Path:
    """A mono WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(samples.tobytes())
    return path


def write_video(
    path: Path,
    frames: Iterable[Frame],
    *,
    fps: float = 10.0,
    sound: Path | None = None,
    options: Sequence[object] = (),
    codec: Sequence[object] = H264,
    input_options: Sequence[object] = (),
) -> Path:
    """A video of the frames at an even rate; `options` are ffmpeg's, for the output."""
    stacked = list(frames)
    height, width, _ = stacked[0].shape
    raw = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", fps, *input_options, "-i", "pipe:0")
    beside = ("-i", sound) if sound else ()
    ffmpeg(*raw, *beside, *codec, *options, path, pixels=b"".join(frame.tobytes() for frame in stacked))
    return path


def numbered_video(path: Path, count: int, *, fps: float = 10.0, **kwargs: object) -> Path:
    """Frame n shows the number n."""
    return write_video(path, (numbered_frame(number) for number in range(count)), fps=fps, **kwargs)  # type: ignore[arg-type]


def colour_video(path: Path, parts: Sequence[tuple[str, float]], *, fps: float = 10.0, **kwargs: object) -> Path:
    """Solid colours one after the other: (name, seconds) of each; the cuts lie at the running sums."""
    frames = [colour_frame(name) for name, seconds in parts for _ in range(round(seconds * fps))]
    return write_video(path, frames, fps=fps, **kwargs)  # type: ignore[arg-type]


def variable_rate_video(path: Path, pts_seconds: Sequence[float], *, options_after: Sequence[object] = ()) -> Path:
    """Frame n shows n, at its own time (to the millisecond); `path` is best an mkv."""
    expression = "+".join(f"eq(N,{n})*{round(when * 1000)}" for n, when in enumerate(pts_seconds))
    timing = ("-vf", f"settb=1/1000,setpts='{expression}'", "-fps_mode", "passthrough", "-enc_time_base", "1/1000")
    frames = (numbered_frame(n) for n in range(len(pts_seconds)))
    return write_video(path, frames, options=(*timing, *options_after))


def delayed_video(path: Path, count: int, *, start_seconds: float, fps: float = 10.0) -> Path:
    """Frame n shows n; the first one comes at `start_seconds` of the container's clock (an mkv or ts)."""
    options = ("-output_ts_offset", start_seconds, "-muxdelay", 0, "-muxpreload", 0)
    return numbered_video(path, count, fps=fps, options=options)


def long_gop_video(path: Path, count: int, *, fps: float = 10.0, **kwargs: object) -> Path:
    """Frame n shows n; only the first is a key frame."""
    options = ("-g", count + 1, "-keyint_min", count + 1, "-sc_threshold", 0)
    return numbered_video(path, count, fps=fps, options=options, **kwargs)


def turned_video(path: Path, frames: Sequence[Frame], *, degrees: int) -> Path:
    """An mp4 whose track header says to turn the picture by 90, 180 or 270 degrees clockwise."""
    data = write_video(path, frames).read_bytes()
    place = data.index(_UPRIGHT, data.index(b"tkhd"))
    turns = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[degrees]
    a, b, c, d = (turn * 0x10000 for turn in turns)
    turned = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 0x40000000)
    path.write_bytes(data[:place] + turned + data[place + len(turned) :])
    return path


def still_picture(path: Path, colour: str = "red", width: int = 64, height: int = 48) -> Path:
    """One picture in the format of its suffix."""
    raw = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-i", "pipe:0")
    ffmpeg(*raw, "-frames:v", 1, "-update", 1, path, pixels=colour_frame(colour, width, height).tobytes())
    return path


def cut_off(source: Path, target: Path, *, share: float) -> Path:
    """The first part of a file, as an interrupted copy leaves it."""
    data = source.read_bytes()
    target.write_bytes(data[: round(len(data) * share)])
    return target


def huge_picture_video(path: Path, *, side: int = 16000) -> Path:
    """A PNG of side x side black pixels in a MOV: small on disk, gigabytes when decoded."""
    raw = f"color=black:size={side}x{side}:rate=1:duration=1,format=gray"
    ffmpeg("-f", "lavfi", "-i", raw, "-frames:v", 1, "-c:v", "png", path)
    return path
