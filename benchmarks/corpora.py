"""Videos that benchmarks render for themselves, in any number and length."""

import subprocess
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples" / "videos"


def render(path: Path, *, seconds: float, size: str = "320x180", seed: int = 0) -> Path:
    """A moving test picture with a tone: h264 at 25 frames a second, aac."""
    picture = f"testsrc2=size={size}:rate=25:duration={seconds},hue=h={seed * 37 % 360}"
    command = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", picture]
    command += ["-f", "lavfi", "-i", f"sine=frequency={300 + seed}:duration={seconds}"]
    command += ["-c:v", "libx264", "-preset", "ultrafast", "-g", "250", "-pix_fmt", "yuv420p", "-c:a", "aac"]
    path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([*command, str(path)], check=True)
    return path


def lengthened(source: Path, path: Path, *, seconds: float) -> Path:
    """The same video again and again until it is so long; copied, not encoded."""
    command = ["ffmpeg", "-v", "error", "-y", "-stream_loop", "-1", "-i", str(source), "-t", str(seconds), "-c", "copy"]
    path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([*command, str(path)], check=True)
    return path
