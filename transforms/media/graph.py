"""The ffmpeg command that turns a stretch of a file into pixels, samples and their exact times.

What is known to give right times with ffmpeg 5.1 (other ways were tried and did not): keep the
container's clock (`-copyts`), seek well before the stretch without cutting (`-noaccurate_seek`), trim
inside the graph, and print the time of every frame from within the graph.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import ffmpeg

from transforms.media.allowed import input_options
from transforms.media.child import source_name
from transforms.media.fit import fitted
from transforms.media.limits import Limits
from transforms.records import AudioStream, FrameSpec, VideoInfo, VideoStream


@dataclass(frozen=True, slots=True)
class Pick:
    """Frames that one rule takes, in each of some specs.

    Those for which `expression` holds; or, with `moments_us` (rising), the frame on screen at each of them.
    """

    specs: Sequence[FrameSpec]
    expression: str = ""
    moments_us: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class PictureWork:
    """Which pictures are wanted: some picks of the frames of `video` before `end_us` (None: all).

    With `watch` every frame comes in that size too, through the pipe `WATCH_PIPE`.
    """

    video: VideoStream
    picks: Sequence[Pick]
    end_us: int | None
    only_keyframes: bool = False
    watch: FrameSpec | None = None


#: The place among the pipes of the one through which watched frames come.
WATCH_PIPE: Final = 1


@dataclass(frozen=True, slots=True)
class SoundWork:
    """Which sound is wanted: [start_seconds, end_seconds) of `audio` as mono float32, at each rate."""

    audio: AudioStream
    start_seconds: float
    end_seconds: float
    sample_rates_hz: Sequence[int]


def pipe_count(pictures: PictureWork | None, sound: SoundWork | None) -> int:
    """How many pipes a command writes to, in this order.

    The times of all frames; the watched frames, if any; for each pick the times of its frames, then their pixels in
    each spec; for each sample rate the times of its samples, then the samples.
    """
    seen = 1 + sum(1 + len(pick.specs) for pick in pictures.picks) if pictures else 0
    seen += 1 if pictures and pictures.watch else 0
    return seen + (2 * len(sound.sample_rates_hz) if sound else 0)


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
    free = iter(pipes)
    outputs = _picture_outputs(opened, free, pictures) if pictures else []
    if sound:
        outputs += [_sound_output(opened, free, sound, rate) for rate in sound.sample_rates_hz]
    merged = ffmpeg.merge_outputs(*outputs).global_args(
        *("-hide_banner", "-nostdin", "-nostats", "-loglevel", "error", "-copyts"),
        *("-filter_threads", "1", "-filter_complex_threads", "1"),
    )
    return [str(word) for word in ffmpeg.compile(merged)]


def seek_from_start(info: VideoInfo, wanted_seconds: float) -> float | None:
    """What to seek to so that decoding starts at or before a time; None: do not seek."""
    offset = wanted_seconds - info.start_seconds
    return offset if offset > 0 else None


def _picture_outputs(opened: Any, pipes: Iterator[int], work: PictureWork) -> list[Any]:
    frames = opened[str(work.video.index)].filter("settb", "1/1000000")
    if work.end_us is not None:
        frames = frames.filter("trim", end_pts=work.end_us)
    if work.video.still:
        frames = frames.filter("trim", end_frame=1)
    frames = frames.filter("metadata", mode="add", key="k", value="1")  # frames without any are not printed
    frames = _printed(frames, next(pipes))
    outputs = []
    branches = iter(_branches(frames, len(work.picks) + (work.watch is not None)))
    if work.watch:
        # By the mean of what each pixel covers: noise and grain average out.
        small = next(branches).filter("scale", work.watch.width, work.watch.height, flags="area")
        outputs.append(_raw_output(small, next(pipes)))
    for own, pick in zip(branches, work.picks, strict=True):
        taken = _printed(_taken(own, pick), next(pipes))
        for branch, spec in zip(_branches(taken, len(pick.specs)), pick.specs, strict=True):
            outputs.append(_raw_output(fitted(branch, spec, work.video), next(pipes)))
    return outputs


def _raw_output(frames: Any, pipe: int) -> Any:
    return ffmpeg.output(frames, f"pipe:{pipe}", f="rawvideo", pix_fmt="rgb24", fps_mode="passthrough", threads=1)


def _taken(frames: Any, pick: Pick) -> Any:
    """The frames of a pick; those on screen at moments bear the number of their moment as their time."""
    if not pick.moments_us:
        return frames.filter("select", pick.expression)
    # Each frame's time becomes the number of moments that lie before it, in seconds: of those with the same
    # number the last one is on screen at the moment that comes next, and that is the one that `fps` keeps.
    passed = "+".join(f"gt(PTS,{moment})" for moment in pick.moments_us)
    return frames.filter("setpts", f"({passed})/TB").filter("fps", 1).filter("trim", end_pts=len(pick.moments_us))


def _branches(frames: Any, count: int) -> list[Any]:
    """The same frames several times."""
    if count == 1:
        return [frames]
    split = frames.filter_multi_output("split", count)
    return [split[place] for place in range(count)]


def _printed(frames: Any, pipe: int) -> Any:
    """The frames, with the time of each written to a pipe."""
    return frames.filter("metadata", mode="print", file=f"pipe:{pipe}")


def _sound_output(opened: Any, pipes: Iterator[int], work: SoundWork, sample_rate_hz: int) -> Any:
    # Composed by hand: a graph of its own, so that pictures never wait in memory for the first sound.
    # What is decoded once goes into the graph of each rate.
    chain = (
        f"atrim=start={work.start_seconds:.6f}:end={work.end_seconds:.6f},"
        f"aresample={sample_rate_hz}:async=1,aformat=sample_fmts=flt:channel_layouts=mono,"
        f"ametadata=mode=add:key=k:value=1,ametadata=mode=print:file='pipe\\:{next(pipes)}'"
    )
    return ffmpeg.output(opened[str(work.audio.index)], f"pipe:{next(pipes)}", f="f32le", threads=1, af=chain)
