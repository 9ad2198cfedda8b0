"""The ffmpeg command that turns a stretch of a file into pixels, samples and their exact times.

What is known to give right times with ffmpeg 5.1 (other ways were tried and did not): keep the
container's clock (`-copyts`), seek well before the stretch without cutting (`-noaccurate_seek`), trim
inside the graph, and print the time of every frame from within the graph.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ffmpeg

from transforms.media.allowed import input_options
from transforms.media.child import source_name
from transforms.media.limits import Limits
from transforms.records import AudioStream, FrameSpec, VideoInfo, VideoStream


@dataclass(frozen=True, slots=True)
class PictureWork:
    """Which pictures are wanted: frames of `video` before `end_us` (None: all) for which `expression` holds."""

    video: VideoStream
    specs: Sequence[FrameSpec]
    expression: str
    end_us: int | None
    only_keyframes: bool = False


@dataclass(frozen=True, slots=True)
class SoundWork:
    """Which sound is wanted: [start_seconds, end_seconds) of `audio` as mono float32."""

    audio: AudioStream
    start_seconds: float
    end_seconds: float
    sample_rate_hz: int


def pipe_count(pictures: PictureWork | None, sound: SoundWork | None) -> int:
    """How many pipes a command writes to: pixels of each spec, times of all and of chosen frames; samples, times."""
    return (len(pictures.specs) + 2 if pictures else 0) + (2 if sound else 0)


def command(
    source: int,
    pipes: Sequence[int],
    pictures: PictureWork | None,
    sound: SoundWork | None,
    *,
    seek_seconds: float | None,
    limits: Limits,
) -> list[str]:
    """The argument list. `seek_seconds` counts from the container's start; None starts at the beginning."""
    opening: dict[str, Any] = {
        **input_options(max_pixels=limits.max_pixels, threads=limits.decoder_threads),
        "noaccurate_seek": None,
    }
    if pictures and pictures.only_keyframes:
        opening["skip_frame:v"] = "nokey"
    if seek_seconds is not None:
        opening["ss"] = f"{seek_seconds:.6f}"
    opened = ffmpeg.input(source_name(source), **opening)
    used = len(pictures.specs) + 2 if pictures else 0
    outputs = _picture_outputs(opened, pipes[:used], pictures, limits) if pictures else []
    if sound:
        outputs.append(_sound_output(opened, pipes[used:], sound))
    merged = ffmpeg.merge_outputs(*outputs).global_args(
        *("-hide_banner", "-nostdin", "-nostats", "-loglevel", "error", "-copyts"),
        *("-filter_threads", "1", "-filter_complex_threads", "1"),
    )
    return [str(word) for word in ffmpeg.compile(merged)]


def seek_from_start(info: VideoInfo, wanted_seconds: float) -> float | None:
    """What to seek to so that decoding starts at or before a time; None: do not seek."""
    offset = wanted_seconds - info.start_seconds
    return offset if offset > 0 else None


def _picture_outputs(opened: Any, pipes: Sequence[int], work: PictureWork, limits: Limits) -> list[Any]:
    all_times, chosen_times, *pixels = pipes
    frames = opened[str(work.video.index)].filter("settb", "1/1000000")
    if work.end_us is not None:
        frames = frames.filter("trim", end_pts=work.end_us)
    frames = frames.filter("metadata", mode="add", key="k", value="1")  # frames without any are not printed
    frames = _printed(frames, all_times).filter("select", work.expression)
    if work.video.still:
        frames = frames.filter("trim", end_frame=1)
    frames = _printed(frames, chosen_times)
    branches = frames.filter_multi_output("split", len(work.specs)) if len(work.specs) > 1 else {0: frames}
    raw: Mapping[str, Any] = {"f": "rawvideo", "pix_fmt": "rgb24", "fps_mode": "passthrough", "threads": 1}
    return [
        ffmpeg.output(_fitted(branches[place], spec), f"pipe:{pipe}", **raw)
        for place, (spec, pipe) in enumerate(zip(work.specs, pixels, strict=True))
    ]


def _printed(frames: Any, pipe: int) -> Any:
    """The frames, with the time of each written to a pipe."""
    return frames.filter("metadata", mode="print", file=f"pipe:{pipe}")


def _fitted(frames: Any, spec: FrameSpec) -> Any:
    """The frames in the size of a spec; they arrive upright, since ffmpeg turns them before the graph."""
    if spec.fit == "crop":
        wide, high = f"{spec.width}/{spec.height}", f"{spec.height}/{spec.width}"
        frames = frames.filter("crop", w=f"max(1,min(iw,ih*{wide}/sar))", h=f"max(1,min(ih,iw*sar*{high}))", exact=1)
    return frames.filter("scale", spec.width, spec.height, flags="bicubic")


def _sound_output(opened: Any, pipes: Sequence[int], work: SoundWork) -> Any:
    times, samples = pipes
    # Composed by hand: a graph of its own, so that pictures never wait in memory for the first sound.
    chain = (
        f"atrim=start={work.start_seconds:.6f}:end={work.end_seconds:.6f},"
        f"aresample={work.sample_rate_hz}:async=1,aformat=sample_fmts=flt:channel_layouts=mono,"
        f"ametadata=mode=add:key=k:value=1,ametadata=mode=print:file='pipe\\:{times}'"
    )
    return ffmpeg.output(opened[str(work.audio.index)], f"pipe:{samples}", f="f32le", threads=1, af=chain)
