"""Text on screen: how long a picture takes, how much of what stands on it is read, how many pictures are skipped.

Slides are drawn in 1920 x 1080 with letters of several heights, and read at that size and smaller: their text is
known, so each character and each word counts. Films say how often the picture in the middle of a clip is that of the
clip before it, and what the reading of the others costs.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from report import figure, finish

from transforms.encoders.catalog import card
from transforms.encoders.network import Pixels
from transforms.encoders.pictures import prepared
from transforms.encoders.registry import loaded
from transforms.encoders.screen import read_clips
from transforms.errors import IngestError
from transforms.media.decode import decode
from transforms.media.probe import probe
from transforms.media.sniff import MEDIA_SUFFIXES
from transforms.records import Clip, FrameSpec, FrameWant, VideoInfo

ROOT = Path(__file__).parents[1]
SIZES = (1280, 1536, 1920)
HEIGHTS = (12, 16, 20, 28, 40)
CLIP_SECONDS, CLIPS_A_SEGMENT = 8.0, 8
LONGEST_SECONDS = 900.0
SENTENCES = (
    "The telescope looked at one small piece of the sky for twenty three days",
    "Quarterly revenue grew by 14 percent while costs stayed flat",
    "Please keep the doors closed until the train has stopped",
    "Chapter 7: how the printing press changed the way people learned",
    "WE TOOK THE ROAD ALONG THE COAST TO THE LIGHTHOUSE",
    "T MINUS 90 SECONDS AND COUNTING",
)
FRONT = {"light on dark": ((235, 235, 235), (25, 30, 40)), "dark on light": ((20, 20, 20), (240, 238, 230))}


def slide(height: int, ink: tuple[int, ...], paper: tuple[int, ...]) -> Pixels:
    """A slide of 1920 x 1080 with the sentences in letters of that height."""
    image = Image.new("RGB", (1920, 1080), paper)
    pen = ImageDraw.Draw(image)
    for place, sentence in enumerate(SENTENCES):
        pen.text((80, 80 + place * 150), sentence, fill=ink, font=ImageFont.load_default(height))
    return np.asarray(image)


def right_share(wanted: Sequence[Any], found: Sequence[Any]) -> float:
    """1 less the edits (insert, leave out, replace) that make the one of the other, a wanted item; never below 0."""
    row = list(range(len(found) + 1))
    for place, one in enumerate(wanted, 1):
        before, row[0] = row[0], place
        for column, other in enumerate(found, 1):
            before, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, before + (one != other))
    return max(0.0, 1 - row[-1] / len(wanted))


def timed(read: Callable[[Pixels], str], picture: Pixels, rounds: int) -> tuple[str, float]:
    """The text, and the median of the seconds that reading it took."""
    text, seconds = "", []
    for _ in range(rounds):
        started = time.perf_counter()
        text = read(picture)
        seconds.append(time.perf_counter() - started)
    return text, statistics.median(seconds)


def measure_slides(read: Callable[[Pixels], str], rounds: int) -> None:
    truth = "\n".join(SENTENCES)
    read(slide(20, *FRONT["dark on light"]))  # warm
    for size in SIZES:
        spec = FrameSpec(size, size, "whole")
        _, seconds = timed(read, prepared(np.full((1080, 1920, 3), 90, np.uint8), spec), rounds)
        figure(f"a picture without text, longest side {size}", seconds, "s")
        for height in HEIGHTS:
            results = [timed(read, prepared(slide(height, *colours), spec), rounds) for colours in FRONT.values()]
            figure(f"a slide, letters of {height} px, longest side {size}", np.mean([took for _, took in results]), "s")
            characters = np.mean([right_share(truth, text) for text, _ in results])
            words = np.mean([right_share(truth.split(), text.split()) for text, _ in results])
            figure(f"characters right, letters of {height} px, longest side {size}", characters)
            figure(f"words right, letters of {height} px, longest side {size}", words)


def films(folder: Path) -> Iterator[tuple[Path, VideoInfo]]:
    """The moving pictures of a folder that last two clips at least, but no hours."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.suffix.lower() not in MEDIA_SUFFIXES:
            continue
        try:
            info = probe(path)
        except IngestError:
            continue
        if info.video and not info.video.still and 2 * CLIP_SECONDS <= info.duration_seconds <= LONGEST_SECONDS:
            yield path, info


def segments_of(info: VideoInfo) -> Iterator[list[Clip]]:
    """Clips of 8 s, eight a segment: what one worker reads one after the other."""
    starts = np.arange(info.start_seconds, info.end_seconds, CLIP_SECONDS)
    clips = [Clip(place, start, min(start + CLIP_SECONDS, info.end_seconds)) for place, start in enumerate(starts)]
    yield from (clips[first : first + CLIPS_A_SEGMENT] for first in range(0, len(clips), CLIPS_A_SEGMENT))


def pictures_of(path: Path, info: VideoInfo, clips: list[Clip], want: FrameWant) -> list[Pixels | None]:
    """The picture in the middle of each clip."""
    shown = decode(path, info, clips, wants=[want], sample_rates_hz=()).pictures.get(want)
    return [shown.pixels[own[0]] if own else None for own in shown.clip_frames] if shown else []


def measure_films(read: Callable[[Pixels], str], folder: Path, want: FrameWant) -> None:
    clips_count, read_seconds, with_text = 0, [], 0

    def counted(picture: Pixels) -> str:
        started = time.perf_counter()
        text = read(picture)
        read_seconds.append(time.perf_counter() - started)
        return text

    for path, info in films(folder):
        before, own_clips = len(read_seconds), 0
        for clips in segments_of(info):
            try:
                pictures = pictures_of(path, info, clips, want)
            except IngestError:
                continue
            texts = read_clips(pictures, counted)
            own_clips += len(texts)
            with_text += sum(map(bool, texts))
        clips_count += own_clips
        if own_clips:
            figure(f"pictures skipped as unchanged, {path.name}", 1 - (len(read_seconds) - before) / own_clips)
    if clips_count:
        figure("clips of films", clips_count)
        figure("pictures skipped as unchanged", 1 - len(read_seconds) / clips_count)
        figure("clips with text on screen", with_text / clips_count)
        figure("reading a picture of a film, median", statistics.median(read_seconds), "s")
        figure("reading, of the films' time", sum(read_seconds) / (clips_count * CLIP_SECONDS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--media", type=Path, default=ROOT / "examples/videos", help="a folder of films")
    parser.add_argument("--encoder", default="rapidocr:ppocr-v4")
    parser.add_argument("--films-only", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    found, model = card(given.encoder), loaded(given.encoder, device="cpu").model
    assert found.frame_spec is not None
    if not given.films_only:
        measure_slides(model.read, given.rounds)
    measure_films(model.read, given.media, FrameWant(found.frame_spec, found.frame_choice))
    finish()


if __name__ == "__main__":
    main()
