"""A stretch of a video -> its chosen frames and its sound, with exact times: one limited ffmpeg a segment.

Times in here are whole microseconds (`_us`), as the filter graph counts them.
"""

import bisect
import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from transforms.media import failures
from transforms.media.child import Finished, opened_source, run_child
from transforms.media.choice import FrameChoice
from transforms.media.graph import PictureWork, SoundWork, command, pipe_count, seek_from_start
from transforms.media.limits import DEFAULT_LIMITS, Limits
from transforms.records import Audio, Clip, FrameSpec, Media, VideoInfo, VideoStream

Pixels = NDArray[np.uint8]
Span = tuple[int, int]

#: Containers whose index leads to the right place; in others a seek may land seconds off.
_INDEXED: Final = frozenset(("mov", "matroska", "avi", "wav", "w64", "flac", "flv"))
#: Containers that store no presentation times: skipping frames would shift those that ffmpeg makes up.
_WITHOUT_PTS: Final = frozenset(("avi",))
_SEEK_MARGINS_SECONDS: Final = {True: (1.0, 10.0, 60.0), False: (10.0, 60.0)}
_START_OVER_SECONDS: Final = 900.0  # within so much of the start, decoding from the start is the last resort
_LATE_SECONDS: Final = 0.25  # sound that begins later than this was missed by the seek
_TOLERANCE_US: Final = 1500  # rounding of times in containers that count milliseconds
_GAP_SECONDS: Final = 2.0
_TIME: Final = re.compile(rb"pts:(-?\d+)")


@dataclass(frozen=True, slots=True)
class _Task:
    """One segment to decode."""

    path: Path
    source: int
    info: VideoInfo
    spans: Sequence[Span]  # of the clips
    specs: Sequence[FrameSpec]
    limits: Limits

    @property
    def span(self) -> Span:
        return min(start for start, _ in self.spans), max(end for _, end in self.spans)


@dataclass(frozen=True, slots=True, eq=False)
class _Pass:
    """What one run of ffmpeg gave."""

    seen_us: list[int]  # every decoded frame, in order
    frames: Mapping[int, Sequence[Pixels]]  # pts -> the chosen frame in each spec
    audio: Audio | None
    finished: Finished


_NOTHING: Final = _Pass([], {}, None, Finished([], "", 0))


def decode(
    path: Path,
    info: VideoInfo,
    clips: Sequence[Clip],
    *,
    choice: FrameChoice,
    specs: Sequence[FrameSpec],
    sample_rate_hz: int | None,
    margin_seconds: float = 2.0,
    limits: Limits = DEFAULT_LIMITS,
) -> Media:
    """Frames of the clips in every spec, and their sound with a margin at each side.

    A clip without a frame of its own takes the one on screen at its middle, whose time may lie before
    the clip: the last picture stays on screen where the sound lasts longer. Before the first there is none.

    Raises UnreadableVideo where nothing at all can be decoded, LimitExceeded or DecoderCrashed.
    """
    if not clips:
        raise ValueError("a segment holds at least one clip: clips=()")
    spans = [(_us(clip.start_seconds), _us(clip.end_seconds)) for clip in clips]
    with opened_source(path) as source:
        task = _Task(path, source, info, spans, list(dict.fromkeys(specs)), limits)
        sound = _sound_work(task, sample_rate_hz, margin_seconds)
        if _still(task):
            return _decode_still(task, sound)
        pictures = _picture_work(task, choice)
        done = _with_margins(task, pictures, sound, task.span[0]) if pictures or sound else _NOTHING
        frames = dict(done.frames)
        chosen = [_chosen(done, span, choice, _origin_us(info)) for span in spans]
        _fill_empty(task, choice, done.seen_us, frames, chosen)
    if pictures or sound:
        _raise_if_nothing(task, done, frames)
    return _media(task, frames, chosen, done.audio, damaged=_stopped_early(task, done, pictures, frames))


def _picture_work(task: _Task, choice: FrameChoice) -> PictureWork | None:
    video = task.info.video
    start, end = task.span
    if video is None or not task.specs or start >= _us(video.end_seconds) or end <= _us(video.start_seconds):
        return None
    expression = choice.expression(task.spans, origin_us=_origin_us(task.info))
    only_keyframes = choice.only_keyframes and task.info.container not in _WITHOUT_PTS
    return PictureWork(video, task.specs, expression, end, only_keyframes=only_keyframes)


def _sound_work(task: _Task, sample_rate_hz: int | None, margin_seconds: float) -> SoundWork | None:
    audio = task.info.audio
    start, end = (when / 1e6 for when in task.span)
    start, end = start - margin_seconds, end + margin_seconds
    if audio is None or sample_rate_hz is None or start >= audio.end_seconds or end <= audio.start_seconds:
        return None
    return SoundWork(audio, start, end, sample_rate_hz)


def _with_margins(task: _Task, pictures: PictureWork | None, sound: SoundWork | None, first_us: int) -> _Pass:
    """Decode from further and further before the segment, until what the seek led to lies before what is wanted."""
    wanted = min([first_us / 1e6, *([sound.start_seconds] if sound else [])])
    for seek_seconds in _seeks(task.info, wanted):
        done = _run(task, pictures, sound, seek_seconds)
        if _pictures_reached(pictures, done, first_us) and _sound_reached(sound, done):
            return done
    if pictures and not done.seen_us and task.info.duration_seconds <= _START_OVER_SECONDS:
        # One wrong time stamp beyond the end has stopped the trimming.
        done = _run(task, dataclasses.replace(pictures, end_us=None), sound, None)
    return done


def _seeks(info: VideoInfo, wanted_seconds: float) -> list[float | None]:
    margins = _SEEK_MARGINS_SECONDS[info.container in _INDEXED]
    seeks = [seek_from_start(info, wanted_seconds - margin) for margin in margins]
    if None in seeks:
        return seeks[: seeks.index(None) + 1]
    return [*seeks, None] if wanted_seconds - info.start_seconds <= _START_OVER_SECONDS else list(seeks)


def _pictures_reached(pictures: PictureWork | None, done: _Pass, first_us: int) -> bool:
    if pictures is None:
        return True
    from_us = max(first_us, _us(pictures.video.start_seconds))
    return bool(done.seen_us) and min(done.seen_us) <= from_us + _TOLERANCE_US


def _sound_reached(sound: SoundWork | None, done: _Pass) -> bool:
    if sound is None:
        return True
    latest = max(sound.start_seconds, sound.audio.start_seconds) + _LATE_SECONDS
    return done.audio is not None and done.audio.start_seconds <= latest


def _run(task: _Task, pictures: PictureWork | None, sound: SoundWork | None, seek_seconds: float | None) -> _Pass:
    """One ffmpeg; a second one with a single thread where the first ran out of memory."""
    finished = _run_limited(task, pictures, sound, seek_seconds, task.limits)
    if failures.ran_out_of_memory(finished) and task.limits.decoder_threads > 1:
        single = dataclasses.replace(task.limits, decoder_threads=1)
        finished = _run_limited(task, pictures, sound, seek_seconds, single)
    if (error := failures.broken_limit(finished, task.limits)) is not None:
        raise error
    seen, frames, audio = [], {}, None
    outputs = finished.outputs
    if pictures:
        seen = _times_us(outputs[0])
        frames = _frames(_times_us(outputs[1]), outputs[2 : 2 + len(task.specs)], task.specs)
    if sound and (times := _TIME.search(outputs[-2])):
        samples = np.frombuffer(outputs[-1], dtype=np.float32, count=len(outputs[-1]) // 4)
        audio = Audio(samples, sound.sample_rate_hz, int(times[1]) / sound.sample_rate_hz) if len(samples) else None
    return _Pass(seen, frames, audio, finished)


def _run_limited(
    task: _Task, pictures: PictureWork | None, sound: SoundWork | None, seek_seconds: float | None, limits: Limits
) -> Finished:
    return run_child(
        lambda pipes: command(task.source, pipes, pictures, sound, seek_seconds=seek_seconds, limits=limits),
        pipes=pipe_count(pictures, sound),
        source=task.source,
        limits=limits,
    )


def _times_us(printed: bytearray) -> list[int]:
    return [int(found) for found in _TIME.findall(printed)]


def _frames(
    times_us: Sequence[int], outputs: Sequence[bytearray], specs: Sequence[FrameSpec]
) -> dict[int, Sequence[Pixels]]:
    """The chosen frames by their time; the last ones lack their pixels where the decoder stopped early."""
    stacks = []
    for output, spec in zip(outputs, specs, strict=True):
        size = spec.height * spec.width * 3
        flat = np.frombuffer(output, dtype=np.uint8, count=len(output) // size * size)
        stacks.append(flat.reshape(-1, spec.height, spec.width, 3))
    count = min(len(times_us), *(len(stack) for stack in stacks))
    return {when: [stack[place] for stack in stacks] for place, when in enumerate(times_us[:count])}


def _chosen(done: _Pass, span: Span, choice: FrameChoice, origin_us: int) -> tuple[int, ...]:
    """The times of a clip's own frames. Clips may overlap, and each has its own even parts."""
    if choice.kind == "uniform":
        wanted = set(choice.picked(done.seen_us, span, origin_us=origin_us))
        return tuple(sorted(when for when in done.frames if when in wanted))
    return tuple(sorted(when for when in done.frames if span[0] <= when < span[1]))


def _fill_empty(
    task: _Task,
    choice: FrameChoice,
    seen_us: Sequence[int],
    frames: dict[int, Sequence[Pixels]],
    chosen: list[tuple[int, ...]],
) -> None:
    """Give each clip without a frame the one on screen at its middle; `frames` and `chosen` are filled in."""
    video = task.info.video
    if video is None or not task.specs:
        return
    middles = {
        place: min((start + end) // 2, _us(video.end_seconds))
        for place, (start, end) in enumerate(task.spans)
        if not chosen[place] and end > _us(video.start_seconds)
    }
    known = [] if choice.only_keyframes else sorted(seen_us)  # key frames do not tell what lies between them
    for _ in range(3):
        targets = {place: _on_screen(known, middle) for place, middle in middles.items()}
        if all(when is not None and when in frames for when in targets.values()):
            break
        guesses = [_guess(video, middles[place]) if when is None else when for place, when in targets.items()]
        done = _frames_at(task, guesses, max(middles.values()))
        frames.update(done.frames)
        known = sorted({*known, *done.seen_us})
    for place, middle in middles.items():
        when = _on_screen(known, middle)
        if when is None and known:
            when = known[0]  # nothing was on screen yet: the first picture
        if when is not None and when in frames:
            chosen[place] = (when,)


def _frames_at(task: _Task, targets_us: Sequence[int], last_us: int) -> _Pass:
    """The first frame at or after each target, and the times of all frames up to the last middle."""
    video = task.info.video
    assert video is not None
    terms = [f"gte(pts,{when})*if(isnan(prev_pts),1,lt(prev_pts,{when}))" for when in sorted(set(targets_us))]
    end_us = max(last_us, *targets_us) + 1
    pictures = PictureWork(video, task.specs, "+".join(terms), end_us)
    return _with_margins(task, pictures, None, min(targets_us))


def _on_screen(known_us: Sequence[int], when_us: int) -> int | None:
    """The last known frame at or before a time."""
    place = bisect.bisect_right(known_us, when_us)
    return known_us[place - 1] if place else None


def _guess(video: VideoStream, middle_us: int) -> int:
    """From when on the frame on screen at the middle is the first one, if frames come at an even rate."""
    return middle_us - round(1e6 / (video.fps or 25.0)) + _TOLERANCE_US


def _still(task: _Task) -> VideoStream | None:
    video = task.info.video
    return video if video is not None and video.still and task.specs else None


def _decode_still(task: _Task, sound: SoundWork | None) -> Media:
    """A single picture, shown in every clip, and the sound beside it."""
    video = _still(task)
    assert video is not None
    picture = _run(task, PictureWork(video, task.specs, "1", None), None, None)
    heard = _with_margins(task, None, sound, task.span[0]) if sound else picture
    if not picture.frames and heard.audio is None:
        raise failures.unreadable(task.path, picture.finished, "the picture cannot be decoded")
    frames = {_us(video.start_seconds): next(iter(picture.frames.values()))} if picture.frames else {}
    return _media(task, frames, [tuple(frames)] * len(task.spans), heard.audio, damaged=not frames)


def _raise_if_nothing(task: _Task, done: _Pass, frames: Mapping[int, Sequence[Pixels]]) -> None:
    if frames or done.audio is not None:
        return
    if error := failures.too_many_pixels(done.finished, task.limits) or failures.refused(done.finished):
        raise error
    start, end = (when / 1e6 for when in task.span)
    raise failures.unreadable(task.path, done.finished, f"nothing between {start:.3f} and {end:.3f} s can be decoded")


def _stopped_early(
    task: _Task, done: _Pass, pictures: PictureWork | None, frames: Mapping[int, Sequence[Pixels]]
) -> bool:
    """Whether the decoder gave up, or complained and left a gap at the end of the segment."""
    finished = done.finished
    if finished.returncode != 0 or failures.ran_out_of_memory(finished) or (pictures is not None and not frames):
        return True
    if pictures is None or pictures.only_keyframes or not finished.error_text:
        return False
    last_us = max(done.seen_us, default=task.span[0])
    return last_us < min(task.span[1], _us(pictures.video.end_seconds)) - _us(_GAP_SECONDS)


def _media(
    task: _Task,
    frames: Mapping[int, Sequence[Pixels]],
    chosen: Sequence[Sequence[int]],
    audio: Audio | None,
    *,
    damaged: bool,
) -> Media:
    times = sorted({when for own in chosen for when in own})
    place_of = {when: place for place, when in enumerate(times)}
    renditions = {}
    for number, spec in enumerate(task.specs):
        pixels = np.empty((len(times), spec.height, spec.width, 3), dtype=np.uint8)
        for place, when in enumerate(times):
            pixels[place] = frames[when][number]
        renditions[spec] = pixels
    return Media(
        pts_seconds=np.array(times, dtype=np.float64) / 1e6,
        renditions=renditions,
        clip_frames=tuple(tuple(place_of[when] for when in own) for own in chosen),
        audio=audio,
        damaged=damaged,
    )


def _origin_us(info: VideoInfo) -> int:
    return _us(info.video.start_seconds) if info.video else 0


def _us(seconds: float) -> int:
    return round(seconds * 1e6)
