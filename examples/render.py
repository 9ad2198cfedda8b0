"""Renders the six example videos: pans and zooms over photographs, hard cuts at known times, captions, speech.

The photographs ship inside the packages scikit-image and scikit-learn, so nothing is downloaded; the
speech comes from espeak-ng. README.md beside this file names the source of every picture.

    python examples/render.py [FOLDER]    # default: the folder `videos` beside this file
"""

import subprocess
import sys
import tempfile
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

WIDTH: Final = 640
HEIGHT: Final = 360
FRAMES_PER_SECOND: Final = 12
SAMPLE_RATE_HZ: Final = 22_050
VOICE: Final = ("-v", "en-us", "-s", "150")
SPEECH_DELAY_SECONDS: Final = 0.2  # after the cut, so that no word straddles it


@dataclass(frozen=True, slots=True)
class View:
    """What the virtual camera shows: its centre and its width, as fractions of the picture."""

    x: float
    y: float
    width: float


@dataclass(frozen=True, slots=True)
class Scene:
    """One picture between two cuts; the camera glides from `first` to `last`."""

    picture: str
    seconds: int
    first: View
    last: View
    says: str = ""
    caption: str = ""


WHOLE: Final = View(0.5, 0.5, 1.0)
VIDEOS: Final[dict[str, tuple[Scene, ...]]] = {
    "breakfast.mp4": (
        Scene("coffee.png", 8, WHOLE, View(0.5, 0.45, 0.75),
              "Good morning. The table is laid, the sun is up, and nobody has to go to work today."),
        Scene("coffee.png", 8, View(0.45, 0.45, 0.6), View(0.55, 0.5, 0.8),
              "The beans come from Ethiopia. They are roasted on Monday, and ground just before the water boils."),
        Scene("coins.png", 8, View(0.4, 0.35, 0.6), View(0.6, 0.65, 0.6),
              "It costs four pounds and sixty pence. Please leave the money on the table when you go.", "THE BILL"),
    ),
    "cat.mp4": (
        Scene("chelsea.png", 8, WHOLE, View(0.5, 0.45, 0.75),
              "She belongs to Professor Archimedes. She sleeps the whole day, and hunts for mice when it is dark."),
        Scene("chelsea.png", 8, View(0.42, 0.4, 0.65), View(0.58, 0.5, 0.65)),
        Scene("brick.png", 8, View(0.5, 0.3, 0.9), View(0.5, 0.7, 0.9),
              "The house was built by hand from red clay, one stone on top of the other. It keeps the wind out."),
    ),
    "launch.mp4": (
        Scene("moon.png", 8, View(0.4, 0.4, 0.8), View(0.6, 0.6, 0.8),
              "This is our nearest neighbour in the sky. There is no air, and a footprint stays there for ever."),
        Scene("rocket.jpg", 8, WHOLE, View(0.5, 0.4, 0.7),
              "It stands at Cape Canaveral. When the fire starts, it will leave the earth and climb into orbit.",
              "T MINUS 10 SECONDS"),
        Scene("rocket.jpg", 8, View(0.5, 0.35, 0.7), View(0.55, 0.45, 0.6),
              "Nine engines burn at once. Eight minutes later, the first stage comes down again and lands on a ship."),
        Scene("hubble_deep_field.jpg", 8, View(0.5, 0.4, 0.6), View(0.5, 0.5, 0.9),
              "Each of these little lights is a galaxy. The telescope looked at this one spot for twenty three days."),
    ),
    "garage.mp4": (
        Scene("motorcycle_left.png", 10, WHOLE, View(0.55, 0.45, 0.7),
              "Mr. Montgomery bought it when he was nineteen. He has repaired every part of it with his own hands."),
        Scene("motorcycle_right.png", 10, View(0.35, 0.45, 0.65), View(0.6, 0.55, 0.65),
              "It stands between old tools and cans of paint. It still starts every morning, even in the winter.",
              "750 cc"),
    ),
    "palace.mp4": (
        Scene("china.jpg", 10, WHOLE, View(0.5, 0.45, 0.8),
              "Behind these gates lived the emperor of China. For five hundred years, no ordinary man could enter."),
        Scene("china.jpg", 10, View(0.35, 0.4, 0.7), View(0.65, 0.45, 0.7),
              "The roof is covered with yellow tiles, and the columns are painted red. "
              "Each ridge ends in a small dragon."),
    ),
    "workshop.mp4": (
        Scene("camera.png", 8, View(0.5, 0.4, 1.0), View(0.55, 0.35, 0.8),
              "A man looks into the distance. He waits for the right moment, when the light comes from the west."),
        Scene("page.png", 8, View(0.4, 0.45, 0.8), View(0.6, 0.55, 0.8),
              "Books were once copied by hand. Since letters are made of metal, reading is not for the rich alone."),
        Scene("clock_motion.png", 8, WHOLE, View(0.5, 0.5, 0.8),
              "It has stopped at ten minutes past two. The repair man, Mr. Abernathy, will come on Thursday."),
    ),
}  # fmt: skip


def photograph(name: str) -> Image.Image:
    """The picture of that name from the data of scikit-image or scikit-learn, RGB."""
    for package in ("skimage.data", "sklearn.datasets.images"):
        path = files(package).joinpath(name)
        if path.is_file():
            with path.open("rb") as stream:
                return Image.open(stream).convert("RGB")
    raise FileNotFoundError(f"neither scikit-image nor scikit-learn has a picture {name!r}; install the extra `dev`")


def pictures(scene: Scene) -> Iterator[Image.Image]:
    """The frames of a scene, WIDTH x HEIGHT, the camera at an even pace."""
    photo = photograph(scene.picture)
    count = scene.seconds * FRAMES_PER_SECOND
    for step in np.linspace(0.0, 1.0, count):
        x, y, width = (
            float(start + (end - start) * step)
            for start, end in zip(_numbers(scene.first), _numbers(scene.last), strict=True)
        )
        frame = photo.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC, box=_box(photo, View(x, y, width)))
        if scene.caption:
            _write(frame, scene.caption)
        yield frame


def _numbers(view: View) -> tuple[float, float, float]:
    return view.x, view.y, view.width


def _box(photo: Image.Image, view: View) -> tuple[float, float, float, float]:
    """The stretch of the photograph that the view shows, moved inside where it reaches over an edge."""
    width = min(view.width * photo.width, photo.height * WIDTH / HEIGHT)
    height = width * HEIGHT / WIDTH
    left = min(max(view.x * photo.width - width / 2, 0.0), photo.width - width)
    top = min(max(view.y * photo.height - height / 2, 0.0), photo.height - height)
    return left, top, left + width, top + height


def _write(frame: Image.Image, caption: str) -> None:
    draw = ImageDraw.Draw(frame)
    font = ImageFont.load_default(size=28)
    left, top, right, bottom = draw.textbbox((24, HEIGHT - 60), caption, font=font)
    draw.rectangle((left - 10, top - 8, right + 10, bottom + 8), fill="black")
    draw.text((24, HEIGHT - 60), caption, font=font, fill="white")


def speech(text: str) -> np.ndarray:
    """The text spoken: samples (n,) int16 at SAMPLE_RATE_HZ."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "speech.wav")
        subprocess.run(["espeak-ng", *VOICE, "-w", str(path), text], check=True, stdin=subprocess.DEVNULL)
        with wave.open(str(path)) as sound:
            if sound.getframerate() != SAMPLE_RATE_HZ:
                raise ValueError(f"espeak-ng speaks at {sound.getframerate()} Hz, not at {SAMPLE_RATE_HZ} Hz")
            return np.frombuffer(sound.readframes(sound.getnframes()), np.int16)


def soundtrack(scenes: tuple[Scene, ...]) -> np.ndarray:
    """What is said in all scenes, each sentence after its cut: samples (n,) int16 at SAMPLE_RATE_HZ."""
    samples = np.zeros(sum(scene.seconds for scene in scenes) * SAMPLE_RATE_HZ, np.int16)
    start_seconds = 0
    for scene in scenes:
        if scene.says:
            said = speech(scene.says)
            if len(said) / SAMPLE_RATE_HZ + SPEECH_DELAY_SECONDS > scene.seconds:
                raise ValueError(
                    f"the sentence is longer than its scene: {len(said) / SAMPLE_RATE_HZ:.2f} s of "
                    f"{scene.seconds} s, {scene.says!r}"
                )
            at = int((start_seconds + SPEECH_DELAY_SECONDS) * SAMPLE_RATE_HZ)
            samples[at : at + len(said)] = said
        start_seconds += scene.seconds
    return samples


def render(scenes: tuple[Scene, ...], target: Path) -> None:
    """One video: H.264 and AAC in MP4, the same bytes on every run of the same ffmpeg and espeak-ng."""
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder, "sound.wav")
        with wave.open(str(sound), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(SAMPLE_RATE_HZ)
            file.writeframes(soundtrack(scenes).tobytes())
        pixels = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}", "-r", str(FRAMES_PER_SECOND)]
        picture = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-preset", "veryslow", "-crf", "30", "-g", "48"]
        voice = ["-c:a", "aac", "-b:a", "40k"]
        same = ["-threads", "1", "-map_metadata", "-1", "-fflags", "+bitexact", "-flags", "+bitexact"]
        command = ["ffmpeg", "-v", "error", "-y", *pixels, "-i", "pipe:0", "-i", str(sound)]
        command += [*picture, *voice, *same, "-movflags", "+faststart", str(target)]
        ffmpeg = subprocess.Popen(command, stdin=subprocess.PIPE)
        assert ffmpeg.stdin is not None
        with ffmpeg.stdin as pipe:
            for scene in scenes:
                for frame in pictures(scene):
                    pipe.write(frame.tobytes())
        if ffmpeg.wait():
            raise SystemExit(f"ffmpeg failed on {target.name}: exit code {ffmpeg.returncode}")


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "videos"
    folder.mkdir(parents=True, exist_ok=True)
    for name, scenes in VIDEOS.items():
        render(scenes, folder / name)
        print(f"{name}: {sum(scene.seconds for scene in scenes)} s, {(folder / name).stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
