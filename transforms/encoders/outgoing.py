"""Media as the files that services take: JPEG, WAV, and MP4 made by ffmpeg. The same input gives the same bytes."""

import io
import shutil
import subprocess
import tempfile
import wave
from fractions import Fraction
from pathlib import Path

import numpy as np

from transforms.encoders.network import ClipInput, Pixels
from transforms.errors import ServiceFailed, UsageError
from transforms.records import Audio, Float32

_QUALITY = 90  # of JPEG
_SECONDS = 120  # that ffmpeg may take for one clip


def jpeg_of(pixels: Pixels) -> bytes:
    """A picture (height, width, 3) uint8 as JPEG."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()


def wav_of(samples: Float32, sample_rate_hz: int) -> bytes:
    """Samples (n,) in [-1, 1] as a WAV of 16 bits, mono."""
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(sample_rate_hz)
        written.writeframes((np.clip(samples, -1, 1) * 32767).round().astype("<i2").tobytes())
    return file.getvalue()


def mp4_of(clip: ClipInput) -> bytes:
    """A clip's frames at their mean rate, and its sound beside them, as H.264 and AAC in MP4."""
    with tempfile.TemporaryDirectory(prefix="reelvec-clip-") as folder:
        target = Path(folder) / "clip.mp4"
        command = [*_pictures(clip), *_sound(clip.audio, clip, Path(folder)), *_WRITING, str(target)]
        try:
            done = subprocess.run(
                command, input=clip.frames.tobytes(), capture_output=True, timeout=_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise ServiceFailed(f"ffmpeg did not finish a clip of {len(clip.frames)} frames in {_SECONDS} s") from None
        if done.returncode != 0:
            told = done.stderr.decode(errors="replace").strip()[-300:]
            raise UsageError(f"ffmpeg cannot write a clip as MP4, it needs libx264 and aac: {told}")
        return target.read_bytes()


_WRITING = (
    *("-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p"),
    *("-c:a", "aac", "-threads", "1", "-fflags", "+bitexact", "-flags", "+bitexact", "-movflags", "+faststart"),
)


def _pictures(clip: ClipInput) -> list[str]:
    program = shutil.which("ffmpeg")
    if program is None:
        raise UsageError("ffmpeg is not installed or not on PATH; install it with the system's package manager")
    count, height, width = clip.frames.shape[:3]
    return [
        *(program, "-hide_banner", "-loglevel", "error", "-nostats"),
        *("-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", f"{width}x{height}"),
        *("-framerate", str(_rate(clip.pts_seconds, count)), "-i", "pipe:0"),
    ]


def _rate(pts_seconds: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]", count: int) -> Fraction:
    """Frames a second; one for a single frame."""
    lasts = float(pts_seconds[-1] - pts_seconds[0]) if count > 1 else 0.0
    return Fraction((count - 1) / lasts).limit_denominator(1000) if lasts > 0 else Fraction(1)


def _sound(audio: Audio | None, clip: ClipInput, folder: Path) -> list[str]:
    if audio is None or not len(audio.samples):
        return []
    path = folder / "sound.wav"
    path.write_bytes(wav_of(audio.samples, audio.sample_rate_hz))
    return ["-itsoffset", f"{audio.start_seconds - float(clip.pts_seconds[0]):.6f}", "-i", str(path)]
