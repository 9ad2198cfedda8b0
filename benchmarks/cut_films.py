"""Films whose cuts are known: pieces of photographs, moved, zoomed, darkened and spoilt, one shot after another.

The photographs ship inside scikit-image and scikit-learn. Those that a detector's numbers were chosen by (`TUNED`)
are others than those that it is judged by (`JUDGED`).
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "examples"))
sys.path.insert(0, str(ROOT))

from render import photograph  # noqa: E402

from tests import generated_media  # noqa: E402

Frame = NDArray[np.uint8]
Float = NDArray[np.float64]
#: Frame n of `count` frames of a shot, as floats; `rng` is the film's own.
Look = Callable[[int, int], Float]

WIDTH: Final = 192
HEIGHT: Final = 108
TUNED: Final = (
    "astronaut.png",
    "flower.jpg",
    "grass.png",
    "gravel.png",
    "ihc.png",
    "retina.jpg",
    "text.png",
    "cell.png",
)
JUDGED: Final = (
    "coffee.png", "chelsea.png", "brick.png", "moon.png", "rocket.jpg", "hubble_deep_field.jpg",
    "motorcycle_left.png", "china.jpg", "camera.png", "page.png", "coins.png",
)  # fmt: skip
SHOTS: Final = 8


@dataclass(frozen=True, slots=True)
class Film:
    """Frames with their times; `cuts` are the numbers of the first frames of new shots."""

    name: str
    frames: Sequence[Frame]
    pts_seconds: Sequence[float]
    cuts: Sequence[int]
    quality: int = 23
    timing: str = ""  # milliseconds of frame N, as ffmpeg computes them; "" for an even rate

    @property
    def cut_seconds(self) -> list[float]:
        return [self.pts_seconds[number] for number in self.cuts]

    def write(self, folder: Path) -> Path:
        """The film as H.264 in Matroska, every frame at its own time, to the millisecond."""
        path, coded = folder / f"{self.name}.mkv", ("-crf", self.quality, "-g", 48)
        if not self.timing:
            fps = 1 / (self.pts_seconds[1] - self.pts_seconds[0])
            return generated_media.write_video(path, self.frames, fps=fps, options=coded)
        timing = ("-vf", f"settb=1/1000,setpts='{self.timing}'", "-fps_mode", "passthrough", "-enc_time_base", "1/1000")
        return generated_media.write_video(path, self.frames, options=(*timing, *coded))


@dataclass(frozen=True, slots=True, eq=False)
class Maker:
    """Makes films of some photographs; the same seed makes the same ones."""

    pictures: Sequence[str]
    rng: np.random.Generator
    shots: int = SHOTS

    def hard(self) -> Iterator[Film]:
        """Films with hard cuts."""
        yield self._film("colours", self._colour)
        yield self._film("stills", self._still)
        yield self._film("noise", self._still, spoil=self._noise(14.0))
        yield self._film("pans", lambda: self._moving(travel=0.25))
        yield self._film("zooms", lambda: self._moving(zoom=0.5))
        yield self._film("shaking", lambda: self._moving(shake=0.015))
        yield self._film("things that move", self._thing)
        yield self._film("other views of one picture", self._view_of(self._any()))
        yield self._film("dark", self._still, spoil=lambda frame: frame * 0.2)
        yield self._film("grey", lambda: self._moving(travel=0.1), spoil=_grey)
        yield self._film("variable rate", lambda: self._moving(travel=0.15), variable=True)
        yield self._film("5 a second", lambda: self._moving(travel=0.1), fps=5.0)
        yield self._film("60 a second", lambda: self._moving(travel=0.2), fps=60.0)
        yield self._film("every frame twice", lambda: self._moving(travel=0.2), fps=24.0, repeats=2)
        yield self._film("poor quality", lambda: self._moving(travel=0.1), quality=42)
        yield self._film("slides", self._still, fps=0.5, seconds=(2.0, 9.0))

    def without_cuts(self) -> Iterator[Film]:
        """Films of one shot each in which much happens."""
        yield self._film("flash", self._still, shots=1, spoil=self._flashes())
        yield self._film("fast pan", lambda: self._moving(travel=0.9, zoom=0.3), shots=1, seconds=(1.5, 1.6))
        yield self._film("light goes on", self._still, shots=1, spoil=self._light())

    def gradual(self) -> Iterator[Film]:
        """Films whose shots pass into each other; a cut is told where the new picture begins to be seen."""
        yield self._joined("fades through black", through_black=True)
        yield self._joined("dissolves", through_black=False)

    def _film(
        self,
        name: str,
        look: Callable[[], Look],
        *,
        spoil: Callable[[Float], Float] = lambda frame: frame,
        fps: float = 25.0,
        seconds: tuple[float, float] = (1.2, 4.0),
        shots: int | None = None,
        repeats: int = 1,
        variable: bool = False,
        quality: int = 23,
    ) -> Film:
        frames: list[Frame] = []
        cuts = []
        for _ in range(shots or self.shots):
            cuts.append(len(frames))
            count = max(2, round(self.rng.uniform(*seconds) * fps))
            shot = look()
            frames += [_as_frame(spoil(shot(number // repeats * repeats, count))) for number in range(count)]
        numbers = np.arange(len(frames))
        pts = np.round(40 * numbers + 18 * np.sin(1.7 * numbers)) / 1000 if variable else numbers / fps
        return Film(name, frames, pts.tolist(), cuts[1:], quality, "round(40*N+18*sin(1.7*N))" if variable else "")

    def _joined(self, name: str, *, through_black: bool, length: int = 20) -> Film:
        frames: list[Frame] = []
        cuts = []
        before: Float | None = None
        for _ in range(self.shots):
            shot, count = self._still(), round(self.rng.uniform(2.0, 4.0) * 25)
            new = [shot(number, count) for number in range(count)]
            if before is not None:
                cuts.append(len(frames) + (length if through_black else 0))
                share = np.linspace(0, 1, length)
                if through_black:
                    frames += [_as_frame(before * (1 - part)) for part in share]
                    frames += [_as_frame(new[0] * part) for part in share]
                else:
                    frames += [_as_frame(before * (1 - part) + new[0] * part) for part in share]
            frames += [_as_frame(frame) for frame in new]
            before = new[-1]
        return Film(name, frames, [number / 25 for number in range(len(frames))], cuts)

    def _any(self) -> Float:
        return _pixels(str(self.rng.choice(self.pictures)))

    def _colour(self) -> Look:
        colour = self.rng.uniform(0, 255, 3)
        return lambda number, count: np.broadcast_to(colour, (HEIGHT, WIDTH, 3))

    def _still(self) -> Look:
        return self._moving()

    def _moving(self, *, travel: float = 0.0, zoom: float = 0.0, shake: float = 0.0) -> Look:
        """A view of a picture that glides by a share of it, narrows, and trembles."""
        picture, width = self._any(), self.rng.uniform(0.35, 0.7)
        start = self.rng.uniform(0.2, 0.8, 2)
        way = self.rng.normal(size=2)
        way *= travel / np.linalg.norm(way)
        tremble = self.rng.normal(size=(2000, 2)) * shake

        def frame(number: int, count: int) -> Float:
            share = number / max(1, count - 1)
            x, y = start + way * (share - 0.5) + tremble[number % 2000]
            return _view(picture, x, y, width * (1 - zoom * share))

        return frame

    def _view_of(self, picture: Float) -> Callable[[], Look]:
        def look() -> Look:
            x, y = self.rng.uniform(0.3, 0.7, 2)
            width = self.rng.uniform(0.3, 0.6)
            return lambda number, count: _view(picture, x + 0.03 * number / count, y, width)

        return look

    def _thing(self) -> Look:
        """A square piece of another picture crosses a still one."""
        behind, inner = self._moving(), _as_frame(_view(self._any(), 0.5, 0.5, 0.5))[:48, :48]
        speed, y = self.rng.uniform(0.5, 1.5), int(self.rng.integers(0, HEIGHT - 48))

        def frame(number: int, count: int) -> Float:
            whole = behind(number, count).copy()
            x = round(number / count * speed * (WIDTH - 48)) % (WIDTH - 48)
            whole[y : y + 48, x : x + 48] = inner
            return whole

        return frame

    def _noise(self, sigma: float) -> Callable[[Float], Float]:
        return lambda frame: frame + self.rng.normal(0, sigma, frame.shape)

    def _flashes(self) -> Callable[[Float], Float]:
        numbers = iter(range(10_000))
        return lambda frame: frame * 0.3 + 178.0 if next(numbers) % 20 in (11, 12) else frame * 0.8

    def _light(self) -> Callable[[Float], Float]:
        """The picture grows brighter over half a second."""
        numbers = iter(range(10_000))
        return lambda frame: frame * (0.3 + 0.7 * min(1.0, max(0.0, (next(numbers) - 15) / 12)))


@cache
def _pixels(name: str) -> Float:
    return np.asarray(photograph(name), np.float64)


def _view(picture: Float, x: float, y: float, width: float) -> Float:
    """The view of that middle and width, as shares of the picture, moved inside where it reaches over an edge."""
    high, wide, _ = picture.shape
    across = min(width * wide, high * WIDTH / HEIGHT)
    down = across * HEIGHT / WIDTH
    left = min(max(x * wide - across / 2, 0.0), wide - across)
    top = min(max(y * high - down / 2, 0.0), high - down)
    box = (left, top, left + across, top + down)
    image = Image.fromarray(picture.astype(np.uint8))
    return np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR, box=box), np.float64)


def _grey(frame: Float) -> Float:
    return np.repeat(frame.mean(axis=2, keepdims=True), 3, axis=2)


def _as_frame(pixels: Float) -> Frame:
    return np.clip(pixels, 0, 255).astype(np.uint8)
