"""What is inside a file: which streams a viewer sees and hears, upright size, and true times."""

import dataclasses
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from transforms.errors import ForbiddenMedia, LimitExceeded, NoMedia, UnreadableVideo
from transforms.media import failures
from transforms.media.allowed import input_options
from transforms.media.child import Finished, opened_source, run_child, shown_name, source_name
from transforms.media.limits import DEFAULT_LIMITS, Limits
from transforms.media.packets import PACKET_ENTRIES, Extent, extents, joined, parsed_times
from transforms.media.sniff import looks_like_media
from transforms.records import AudioStream, VideoInfo, VideoStream

#: How long a picture that stands alone is shown.
STILL_SECONDS: Final = 1 / 25

_HEAD_PACKETS: Final = 1000  # a file with fewer is read whole
_TAIL_SECONDS: Final = 10.0
_FAR_APART_SECONDS: Final = 60.0
_MISSING_SECONDS: Final = 1.0  # more than this between the header's end and the packets' is damage
#: Containers whose header states a duration; others are estimated by ffmpeg and prove nothing.
_STATED: Final = frozenset(("mov", "matroska", "avi", "wav", "w64", "asf", "flac", "flv"))
_CUT_OFF: Final = re.compile(r"partial file|File ended prematurely", re.IGNORECASE)

Stream = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The streams that are shown and played, as ffprobe describes them."""

    video: Stream | None
    audio: Stream | None

    @property
    def streams(self) -> list[Stream]:
        return [stream for stream in (self.video, self.audio) if stream is not None]

    @property
    def indices(self) -> list[int]:
        return [int(stream["index"]) for stream in self.streams]


@dataclass(frozen=True, slots=True)
class _Described:
    """What the header says, and the first packets."""

    container: str
    start_seconds: float
    duration_seconds: float | None
    streams: Sequence[Stream]
    head: Mapping[int, Extent]
    whole: bool  # the first packets are all packets
    finished: Finished


def probe(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> VideoInfo:
    """Look inside a local file, in a limited child process.

    Of several pictures the default one is taken, then the largest; a cover only where nothing else is
    shown. The end comes from the packets. A picture that stands alone lasts `STILL_SECONDS`; beside sound
    it is shown as long as the sound plays.

    Raises NoMedia, ForbiddenMedia, UnreadableVideo, LimitExceeded or DecoderCrashed.
    """
    with opened_source(path) as source:
        if os.fstat(source).st_size == 0:
            raise NoMedia(f"the file is empty: {shown_name(path)}")
        described = _describe(path, source, limits)
        chosen = _choose(path, described, limits)
        found, cut_off = _extents_of(source, described, chosen, limits)
    return _info(path, described, chosen, found, cut_off=cut_off)


def _describe(path: Path, source: int, limits: Limits) -> _Described:
    entries = f"format:stream:stream_side_data:{PACKET_ENTRIES}"
    options = ["-show_entries", entries, "-read_intervals", f"%+#{_HEAD_PACKETS}", "-of", "json"]
    finished = _ffprobe(source, options, limits)
    if finished.returncode != 0:
        raise _why_not_opened(path, source, finished, limits)
    told = json.loads(finished.outputs[0].decode(errors="replace"))
    header = told["format"]
    packets = told.get("packets") or [p for p in told.get("packets_and_frames", []) if p.get("type") == "packet"]
    fields = ("stream_index", "pts_time", "dts_time", "duration_time", "flags")
    times, count = parsed_times(",".join(str(packet.get(name, "N/A")) for name in fields) for packet in packets)
    return _Described(
        container=header["format_name"].split(",")[0],
        start_seconds=_number(header.get("start_time")) or 0.0,
        duration_seconds=_number(header.get("duration")),
        streams=told.get("streams", []),
        head=extents(times),
        whole=count < _HEAD_PACKETS,
        finished=finished,
    )


def _ffprobe(source: int, options: Sequence[str], limits: Limits) -> Finished:
    opening = input_options(max_pixels=limits.max_pixels, threads=limits.decoder_threads)
    given = [word for name, value in opening.items() for word in (f"-{name}", str(value))]
    command = ["ffprobe", "-hide_banner", "-loglevel", "error", *given, *options, "-i", source_name(source)]
    finished = run_child(lambda _: command, pipes=1, source=source, limits=limits)
    if (error := failures.broken_limit(finished, limits)) is not None:
        raise error
    return finished


def _why_not_opened(path: Path, source: int, finished: Finished, limits: Limits) -> Exception:
    if error := failures.too_many_pixels(finished, limits) or failures.refused(finished):
        return error
    if looks_like_media(os.pread(source, 4096, 0)):
        return failures.unreadable(path, finished, "the container cannot be read; it may be cut off or damaged")
    return NoMedia(f"the file holds no picture and no sound: file={shown_name(path)}")


def _choose(path: Path, described: _Described, limits: Limits) -> _Chosen:
    """The streams that a player would take. Raises where there are none that can be decoded."""
    kinds = ("video", "audio")
    offered = [stream for stream in described.streams if stream.get("codec_type") in kinds]
    if not offered:
        raise NoMedia(f"the file holds no picture and no sound: file={shown_name(path)}")
    for stream in offered:
        width, height = int(stream.get("width", 0)), int(stream.get("height", 0))
        if width * height > limits.max_pixels:
            size = f"size={width}x{height}, max_pixels={limits.max_pixels}"
            raise LimitExceeded(f"a picture is larger than allowed: file={shown_name(path)}, {size}")
    usable = [stream for stream in offered if _decodable(stream) and _has_data(described, stream)]
    videos = [stream for stream in usable if stream["codec_type"] == "video" and not _flag(stream, "timed_thumbnails")]
    audios = [stream for stream in usable if stream["codec_type"] == "audio"]
    moving = [s for s in videos if (own := described.head.get(int(s["index"]))) is None or own.packets > 2] or videos
    chosen = _Chosen(max(moving, key=_video_rank, default=None), max(audios, key=_audio_rank, default=None))
    if chosen.streams:
        return chosen
    if (too_large := failures.too_many_pixels(described.finished, limits)) is not None:
        raise too_large
    if isinstance(forbidden := failures.refused(described.finished), ForbiddenMedia):
        raise forbidden
    if described.whole and not described.head:
        raise UnreadableVideo(f"nothing can be read behind the header: file={shown_name(path)}")
    codecs = ", ".join(str(stream.get("codec_name", "unknown")) for stream in offered)
    what = f"no stream inside can be decoded here (codecs: {codecs})"
    raise failures.unreadable(path, described.finished, what)


def _decodable(stream: Stream) -> bool:
    """Whether ffmpeg found a decoder, and parameters that it can start with."""
    if stream.get("codec_name", "unknown") in ("unknown", "none"):
        return False
    if stream["codec_type"] == "video":
        sized = int(stream.get("width", 0)) > 0 and int(stream.get("height", 0)) > 0
        return sized and stream.get("pix_fmt", "unknown") != "unknown"
    return int(stream.get("sample_rate", 0)) > 0 and stream.get("sample_fmt", "unknown") != "unknown"


def _has_data(described: _Described, stream: Stream) -> bool:
    """Whether packets may come; a cover is no packet of the film."""
    return _is_cover(stream) or not described.whole or int(stream["index"]) in described.head


def _video_rank(stream: Stream) -> tuple[bool, bool, int, int]:
    pixels = int(stream["width"]) * int(stream["height"])
    return not _flag(stream, "attached_pic"), _flag(stream, "default"), pixels, -int(stream["index"])


def _audio_rank(stream: Stream) -> tuple[bool, bool, int]:
    aside = any(_flag(stream, name) for name in ("comment", "visual_impaired", "hearing_impaired"))
    return _flag(stream, "default"), not aside, -int(stream["index"])


def _extents_of(
    source: int, described: _Described, chosen: _Chosen, limits: Limits
) -> tuple[Mapping[int, Extent], bool]:
    """The true extents of the chosen streams, and whether ffmpeg met an early end of the file.

    The first and the last packets tell, unless they raise suspicion; then all packets are read.
    """
    wanted = [index for index, stream in zip(chosen.indices, chosen.streams, strict=True) if not _is_cover(stream)]
    if described.whole or not wanted:
        return described.head, _was_cut_off(described.finished)
    ends = [end for stream in chosen.streams if (end := _stated_end(described, stream)) is not None]
    if len(ends) == len(chosen.streams) and max(ends) - min(ends) <= _FAR_APART_SECONDS:
        tail, finished = _read_times(source, wanted, ["-read_intervals", f"{min(ends) - _TAIL_SECONDS:.6f}%"], limits)
        both = joined(described.head, tail, wanted)
        if len(both) == len(wanted) and not any(own.jumps for own in (*both.values(), *tail.values())):
            return {**described.head, **both}, _was_cut_off(finished)
    found, finished = _read_times(source, wanted, [], limits)
    return {**described.head, **found}, _was_cut_off(finished)


def _read_times(
    source: int, wanted: Sequence[int], options: Sequence[str], limits: Limits
) -> tuple[Mapping[int, Extent], Finished]:
    finished = _ffprobe(source, [*options, "-show_entries", PACKET_ENTRIES, "-of", "csv=p=0"], limits)
    times, _ = parsed_times(finished.outputs[0].decode(errors="replace").splitlines())
    return extents({index: own for index, own in times.items() if index in wanted}), finished


def _info(
    path: Path, described: _Described, chosen: _Chosen, found: Mapping[int, Extent], *, cut_off: bool
) -> VideoInfo:
    audio = _audio_stream(chosen.audio, found)
    video = _video_stream(chosen.video, found, described, audio)
    if video is None and audio is None:
        raise UnreadableVideo(f"the file has streams but no data in them: file={shown_name(path)}")
    shown = [stream for stream in (video, audio) if stream is not None]
    start, end = min(stream.start_seconds for stream in shown), max(stream.end_seconds for stream in shown)
    damaged = cut_off or _is_short(described, chosen, end)
    return VideoInfo(described.container, start, end, video, audio, damaged=damaged)


def _audio_stream(stream: Stream | None, found: Mapping[int, Extent]) -> AudioStream | None:
    if stream is None or (extent := found.get(int(stream["index"]))) is None:
        return None
    return AudioStream(
        index=int(stream["index"]),
        codec=str(stream["codec_name"]),
        sample_rate_hz=int(stream["sample_rate"]),
        channels=int(stream.get("channels", 0)),
        start_seconds=extent.start_seconds,
        end_seconds=extent.end_seconds,
    )


def _video_stream(
    stream: Stream | None, found: Mapping[int, Extent], described: _Described, audio: AudioStream | None
) -> VideoStream | None:
    extent = found.get(int(stream["index"])) if stream else None
    if stream is not None and _is_cover(stream):
        extent = extent or Extent(described.start_seconds, described.start_seconds, 1, 0.0, jumps=False)
    if stream is None or extent is None:
        return None
    still = _is_cover(stream) or described.container.endswith("_pipe") or (described.whole and extent.packets == 1)
    if still:
        start = audio.start_seconds if audio else extent.start_seconds
        end = audio.end_seconds if audio else start + STILL_SECONDS
        extent = dataclasses.replace(extent, start_seconds=start, end_seconds=end)
    width, height = _shown_size(stream)
    return VideoStream(
        index=int(stream["index"]),
        codec=str(stream["codec_name"]),
        width=width,
        height=height,
        fps=0.0 if still else _mean_rate(stream, extent, whole=described.whole),
        rotation_degrees=_rotation_degrees(stream),
        start_seconds=extent.start_seconds,
        end_seconds=extent.end_seconds,
        still=still,
    )


def _is_short(described: _Described, chosen: _Chosen, end_seconds: float) -> bool:
    """Whether a header that states durations promises more than there is."""
    if described.container not in _STATED:
        return False
    ends = [end for stream in chosen.streams if (end := _own_end(described, stream)) is not None]
    others = any(stream.get("codec_type") not in ("video", "audio") for stream in described.streams)
    if not ends and not others and described.duration_seconds is not None:  # subtitles may last longer
        ends = [described.start_seconds + described.duration_seconds]
    return bool(ends) and min(ends) - end_seconds > _MISSING_SECONDS


def _stated_end(described: _Described, stream: Stream) -> float | None:
    if (own := _own_end(described, stream)) is not None:
        return own
    if described.duration_seconds is None:
        return None
    return described.start_seconds + described.duration_seconds


def _own_end(described: _Described, stream: Stream) -> float | None:
    """Where a stream ends by its own header."""
    duration = _number(stream.get("duration"))
    if duration is None and (tag := stream.get("tags", {}).get("DURATION")):
        hours, minutes, seconds = (_number(part) or 0.0 for part in f"0:0:{tag}".split(":")[-3:])
        return hours * 3600 + minutes * 60 + seconds  # Matroska states the end, counted from zero
    return None if duration is None else (_number(stream.get("start_time")) or 0.0) + duration


def _is_cover(stream: Stream) -> bool:
    return bool(stream["codec_type"] == "video" and _flag(stream, "attached_pic"))


def _was_cut_off(finished: Finished) -> bool:
    return _CUT_OFF.search(finished.error_text) is not None


def _mean_rate(stream: Stream, extent: Extent, *, whole: bool) -> float:
    stated = _ratio(stream.get("avg_frame_rate"))
    return 1 / extent.mean_step_seconds if (whole or not stated) and extent.mean_step_seconds > 0 else stated


def _shown_size(stream: Stream) -> tuple[int, int]:
    """Width and height as a viewer sees them: square pixels, upright."""
    width, height = int(stream["width"]), int(stream["height"])
    width = max(1, round(width * (_ratio(stream.get("sample_aspect_ratio"), sign=":") or 1.0)))
    return (height, width) if _rotation_degrees(stream) in (90, 270) else (width, height)


def _rotation_degrees(stream: Stream) -> int:
    """How far the stored picture is turned clockwise to stand upright: 0, 90, 180 or 270."""
    sides = [side["rotation"] for side in stream.get("side_data_list", []) if "rotation" in side]
    turned = -float(sides[0]) if sides else float(_number(stream.get("tags", {}).get("rotate")) or 0.0)
    return round(turned / 90) * 90 % 360 if math.isfinite(turned) else 0


def _flag(stream: Stream, name: str) -> bool:
    return bool(stream.get("disposition", {}).get(name, 0))


def _number(text: object) -> float | None:
    try:
        number = float(str(text))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _ratio(text: object, *, sign: str = "/") -> float:
    """A ratio as ffprobe writes it; 0.0 where it is unknown."""
    above, _, below = str(text).partition(sign)
    numerator, denominator = _number(above), _number(below)
    return numerator / denominator if numerator and denominator else 0.0
