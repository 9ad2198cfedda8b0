"""Decoding: ours against a bare ffmpeg that runs the same filters.

Ours is limited, gives exact times and hands arrays over. The bare one decodes the same stretches, one
process each, and throws its output away; beside it stands one bare process for the whole film, which
no work that is cut into segments can use. Both run by turns, the median of the ratios counts.
What further wants of the same pass cost is told as the ratio to the pass with one want and one rate.
Key frames against every second are timed on films whose key frames are far apart.
"""

import argparse
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from report import figure, finish, paired

from transforms.errors import IngestError
from transforms.media.choice import FrameChoice
from transforms.media.decode import decode
from transforms.media.probe import probe
from transforms.media.sniff import MEDIA_SUFFIXES
from transforms.records import Clip, FrameSpec, FrameWant, VideoInfo

CHOICES = ("keyframes", "every:1s", "uniform:8")
SPEC = FrameSpec(260, 260, "stretch")
CLIP_SECONDS, CLIPS_A_SEGMENT = 8.0, 8
RATE_HZ = 16000
MARGIN_SECONDS = 2.0
SCREEN = FrameWant(FrameSpec(1920, 1080, "whole"), "middle")
MOTION = FrameWant(FrameSpec(224, 224, "crop", crop_fraction=0.875), "every:200ms")
SECOND_RATE_HZ = 48000
LONGEST_SECONDS = 900.0
Films = Sequence[tuple[Path, VideoInfo]]


def clips_of(info: VideoInfo) -> list[Clip]:
    """Windows of 8 s from the start on."""
    count = max(1, round(info.duration_seconds / CLIP_SECONDS))
    starts = [info.start_seconds + index * CLIP_SECONDS for index in range(count)]
    return [
        Clip(i, start, end) for i, (start, end) in enumerate(zip(starts, [*starts[1:], info.end_seconds], strict=True))
    ]


def segments_of(info: VideoInfo) -> list[list[Clip]]:
    clips = clips_of(info)
    return [clips[first : first + CLIPS_A_SEGMENT] for first in range(0, len(clips), CLIPS_A_SEGMENT)]


def ours(
    path: Path,
    info: VideoInfo,
    choice: FrameChoice,
    *,
    more: Sequence[FrameWant] = (),
    rates_hz: Sequence[int] = (RATE_HZ,),
) -> None:
    wants = [FrameWant(SPEC, str(choice)), *more]
    for segment in segments_of(info):
        decode(path, info, segment, wants=wants, sample_rates_hz=rates_hz)


def bare(path: Path, info: VideoInfo, choice: FrameChoice) -> None:
    for segment in segments_of(info):
        bare_stretch(path, info, segment, choice)


def bare_whole(path: Path, info: VideoInfo, choice: FrameChoice) -> None:
    bare_stretch(path, info, clips_of(info), choice)


def bare_stretch(path: Path, info: VideoInfo, clips: Sequence[Clip], choice: FrameChoice) -> None:
    """One plain ffmpeg: seek a little before the clips, trim, choose, scale, resample; no limits, no times."""
    assert info.video is not None
    spans = [(round(clip.start_seconds * 1e6), round(clip.end_seconds * 1e6)) for clip in clips]
    start, end = clips[0].start_seconds - MARGIN_SECONDS, clips[-1].end_seconds + MARGIN_SECONDS
    expression = choice.expression(spans, origin_us=round(info.video.start_seconds * 1e6))
    fitted = f"scale={SPEC.width}:{SPEC.height}:flags=bicubic[frames]"
    chain = f"[0:{info.video.index}]settb=1/1000000,trim=end_pts={spans[-1][1]},select='{expression}',{fitted}"
    opening = ["-copyts", "-noaccurate_seek", "-threads", "2"]
    opening += ["-skip_frame:v", "nokey"] if choice.only_keyframes else []
    opening += ["-ss", f"{start - info.start_seconds:.6f}"] if start > info.start_seconds else []
    pictures = ("-map", "[frames]", "-f", "rawvideo", "-pix_fmt", "rgb24", "-fps_mode", "passthrough", "pipe:1")
    command = ["ffmpeg", "-v", "quiet", "-nostdin", *opening, "-i", str(path), "-filter_threads", "1"]
    command += ["-filter_complex_threads", "1", "-filter_complex", chain, *pictures]
    if info.audio:
        resampled = f"atrim=start={start:.6f}:end={end:.6f},aresample={RATE_HZ}:async=1"
        command += ["-map", f"0:{info.audio.index}", "-af", resampled, "-ac", "1", "-f", "f32le", "-y", "/dev/null"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def seconds_of(decoder: Callable[[Path, VideoInfo, FrameChoice], None], films: Films, choice: FrameChoice) -> float:
    started = time.perf_counter()
    for path, info in films:
        decoder(path, info, choice)
    return time.perf_counter() - started


def films(folder: Path) -> Iterator[tuple[Path, VideoInfo]]:
    """The moving pictures of a folder that can be read and are long enough to time, but not hours long."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.suffix.lower() not in MEDIA_SUFFIXES:
            continue
        try:
            info = probe(path)
        except IngestError:
            continue
        if info.video and not info.video.still and CLIP_SECONDS <= info.duration_seconds <= LONGEST_SECONDS:
            yield path, info


def rendered(folder: Path) -> Path:
    """Two films of three minutes with sound: key frames every two seconds, and every minute."""
    for name, frames in (("short-gop.mp4", 50), ("long-gop.mp4", 1500)):
        picture = ("-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=25:duration=180")
        sound = ("-f", "lavfi", "-i", "sine=frequency=440:duration=180")
        coded = (
            "-c:v",
            "libx264",
            "-preset",
            "veryfast",
            "-pix_fmt",
            "yuv420p",
            "-g",
            str(frames),
            "-sc_threshold",
            "0",
        )
        command = ["ffmpeg", "-v", "error", "-nostdin", *picture, *sound, *coded, "-keyint_min", str(frames)]
        subprocess.run([*command, str(folder / name)], check=True)
    return folder


def is_long_gop(path: Path, info: VideoInfo) -> bool:
    """Whether key frames lie further apart than clips are long."""
    assert info.video is not None
    entries = ("-skip_frame", "nokey", "-select_streams", str(info.video.index), "-show_entries", "frame=pict_type")
    listed = subprocess.run(
        ["ffprobe", "-v", "quiet", *entries, "-of", "csv=p=0", path], capture_output=True, text=True
    )
    return len(listed.stdout.split()) < info.duration_seconds / CLIP_SECONDS


def measure(found: Films, rounds: int) -> None:
    even = [(path, info) for path, info in found if not is_long_gop(path, info)]
    far = [(path, info) for path, info in found if (path, info) not in even]
    choices = [FrameChoice.parse(text) for text in CHOICES]
    figure("films", len(found))
    figure("films whose key frames are far apart", len(far))
    for choice in choices if even else ():
        _, _, ratio = paired(
            partial(seconds_of, ours, even, choice), partial(seconds_of, bare, even, choice), rounds=rounds
        )
        figure(f"our decode / bare ffmpeg, {choice}", ratio, at_most=1.25)
    for choice in choices if even else ():
        _, _, ratio = paired(
            partial(seconds_of, ours, even, choice), partial(seconds_of, bare_whole, even, choice), rounds=rounds
        )
        figure(f"our decode / one bare ffmpeg for the whole film, {choice}", ratio)
    if even:
        measure_further_wants(even, FrameChoice.parse("every:1s"), rounds)
    if far:
        times = [[seconds_of(ours, far, choice) for choice in choices] for _ in range(rounds)]
        keyframes, every, uniform = (statistics.median(column) for column in zip(*times, strict=True))
        for text, took in zip(CHOICES, (keyframes, every, uniform), strict=True):
            figure(f"decode where key frames are far apart, {text}", took, "s")
        figure("key frames / every:1s, decode time where key frames are far apart", keyframes / every)


def measure_further_wants(found: Films, choice: FrameChoice, rounds: int) -> None:
    """What more frames and more rates add to a pass."""
    one = partial(seconds_of, ours, found, choice)
    further = {
        "the whole picture at the middle": partial(ours, more=[SCREEN]),
        "a frame every 200 ms": partial(ours, more=[MOTION]),
        "sound at 48 kHz": partial(ours, rates_hz=[RATE_HZ, SECOND_RATE_HZ]),
        "all three": partial(ours, more=[SCREEN, MOTION], rates_hz=[RATE_HZ, SECOND_RATE_HZ]),
    }
    for name, decoder in further.items():
        _, _, ratio = paired(partial(seconds_of, decoder, found, choice), one, rounds=rounds)
        figure(f"our decode with {name} / without, {choice}", ratio)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--media", type=Path, help="a folder of films; without it two are rendered")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(list(films(given.media or rendered(Path(folder)))), given.rounds)
    finish()


if __name__ == "__main__":
    main()
