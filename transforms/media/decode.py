"""A stretch of a video -> its chosen frames and its sound, with exact times: one limited ffmpeg a segment.

Times in here are whole microseconds (`_us`), as the filter graph counts them.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from transforms.media import failures
from transforms.media.child import Finished, opened_source, run_child
from transforms.media.choice import FrameChoice, last_at_or_before, middle_of
from transforms.media.fit import size_of
from transforms.media.graph import (
    WATCH_PIPE,
    Pick,
    PictureWork,
    SoundWork,
    command,
    pipe_count,
    seek_from_start,
)
from transforms.media.limits import DEFAULT_LIMITS, Limits
from transforms.media.outputs import Pixels, Shots, shots_of, sounds_of, times_us
from transforms.media.shots import SHOT_SPEC, ShotMeasures
from transforms.records import Audio, Clip, FrameSpec, FrameWant, Media, Pictures, VideoInfo, VideoStream

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


@dataclass(frozen=True, slots=True)
class _Task:
    """One segment to decode."""

    path: Path
    source: int
    info: VideoInfo
    spans: Sequence[Span]  # of the clips
    specs: Mapping[FrameChoice, Sequence[FrameSpec]]  # in which sizes the frames of each choice are wanted
    limits: Limits

    @property
    def span(self) -> Span:
        return min(start for start, _ in self.spans), max(end for _, end in self.spans)


@dataclass(frozen=True, slots=True, eq=False)
class _Pass:
    """What one run of ffmpeg gave."""

    seen_us: Sequence[int]  # every decoded frame, in order
    shots: Sequence[Shots]  # of each pick
    sounds: Mapping[int, Audio]  # by sample rate
    finished: Finished
    starts_us: Sequence[int] = ()  # of the shots, where somebody watched for them


_NOTHING: Final = _Pass([], [], {}, Finished([], "", 0))
#: Frames by their time, in each spec: a frame looks the same whichever choice took it.
_Frames = dict[FrameSpec, dict[int, Pixels]]
#: For each choice, the times of each clip's frames.
_Chosen = dict[FrameChoice, list[tuple[int, ...]]]


def decode(
    path: Path,
    info: VideoInfo,
    clips: Sequence[Clip],
    *,
    wants: Sequence[FrameWant],
    sample_rates_hz: Sequence[int],
    margin_seconds: float = 2.0,
    limits: Limits = DEFAULT_LIMITS,
) -> Media:
    """The frames of the clips that each want asks for, and their sound at each rate with a margin at each side.

    One pass gives all of it. A clip without a frame of its own takes the one on screen at its middle, whose time
    may lie before the clip: the last picture stays on screen where the sound lasts longer. Before the first there
    is none.

    Raises UnreadableVideo where nothing at all can be decoded, LimitExceeded or DecoderCrashed.
    """
    if not clips:
        raise ValueError("a segment holds at least one clip: clips=()")
    with opened_source(path) as source:
        task = _Task(path, source, info, _spans(clips), _specs_by_choice(info, wants), limits)
        sound = _sound_work(task, tuple(dict.fromkeys(sample_rates_hz)), margin_seconds)
        if (video := _still(task)) is not None:
            return _decode_still(task, video, wants, sound)
        pictures = _picture_work(task)
        done = _with_margins(task, pictures, sound, task.span[0]) if pictures or sound else _NOTHING
        shots = dict(zip(task.specs, done.shots, strict=True)) if pictures else {}
        return _media(task, wants, done, shots, pictures, sound)


def decode_shots(
    path: Path,
    info: VideoInfo,
    stretch: Clip,
    cut: Callable[[Sequence[float] | None], Sequence[Clip]],
    *,
    wants: Sequence[FrameWant],
    sample_rates_hz: Sequence[int],
    margin_seconds: float = 2.0,
    limits: Limits = DEFAULT_LIMITS,
) -> tuple[Sequence[Clip], Media]:
    """As `decode`, of the clips that `cut` makes of a stretch once it is told when shots begin in it.

    It is told None where no moving picture can be seen. The pass that finds the shots gives the sound too, and the
    frames that are chosen whatever the clips are ("every", "keyframes"); a second pass gives those of other choices.
    """
    with opened_source(path) as source:
        task = _Task(path, source, info, _spans([stretch]), _specs_by_choice(info, wants), limits)
        sound = _sound_work(task, tuple(dict.fromkeys(sample_rates_hz)), margin_seconds)
        first = dataclasses.replace(task, specs=_of_choices(task.specs, clips_matter=False))
        pictures = None if _is_still(info) else _picture_work(first, watch=SHOT_SPEC)
        if pictures is None:
            clips = cut(None)
            return clips, decode(
                path,
                info,
                clips,
                wants=wants,
                sample_rates_hz=sample_rates_hz,
                margin_seconds=margin_seconds,
                limits=limits,
            )
        done = _with_margins(first, pictures, sound, task.span[0])
        clips = cut([when / 1e6 for when in done.starts_us] if done.seen_us else None)
        task = dataclasses.replace(task, spans=_spans(clips))
        shots = dict(zip(first.specs, done.shots, strict=True))
        second = dataclasses.replace(task, specs=_of_choices(task.specs, clips_matter=True))
        if done.seen_us and (more := _picture_work(second)):
            shots |= zip(second.specs, _with_margins(second, more, None, task.span[0]).shots, strict=True)
        return clips, _media(task, wants, done, shots, pictures, sound)


def _spans(clips: Sequence[Clip]) -> list[Span]:
    return [(_us(clip.start_seconds), _us(clip.end_seconds)) for clip in clips]


def _of_choices(
    specs: Mapping[FrameChoice, Sequence[FrameSpec]], *, clips_matter: bool
) -> dict[FrameChoice, Sequence[FrameSpec]]:
    return {choice: own for choice, own in specs.items() if (choice.kind in ("uniform", "middle")) == clips_matter}


def _media(
    task: _Task,
    wants: Sequence[FrameWant],
    done: _Pass,
    shots: Mapping[FrameChoice, Shots],
    pictures: PictureWork | None,
    sound: SoundWork | None,
) -> Media:
    """What a pass gave, clip by clip; a further one fills the clips that have no frame."""
    frames = _by_time(task, list(shots.values()))
    chosen = {choice: _chosen(task, choice, shots.get(choice), done.seen_us) for choice in task.specs}
    # Key frames do not tell what lies between them.
    known = [] if pictures and pictures.only_keyframes else sorted(done.seen_us)
    _fill_empty(task, known, frames, chosen)
    if pictures or sound:
        _raise_if_nothing(task, done, frames)
    shown = {want: _pictures(task, want, shots, frames, chosen) for want in wants if task.specs}
    return Media(shown, done.sounds, damaged=_stopped_early(task, done, pictures, frames))


def _specs_by_choice(info: VideoInfo, wants: Sequence[FrameWant]) -> dict[FrameChoice, Sequence[FrameSpec]]:
    """Each choice once, with each of its specs once; nothing where there is no picture to choose from."""
    found: dict[FrameChoice, dict[FrameSpec, None]] = {}
    for want in wants if info.video else ():
        found.setdefault(FrameChoice.parse(want.choice), {})[want.spec] = None
    return {choice: tuple(specs) for choice, specs in found.items()}


def _picture_work(task: _Task, *, watch: FrameSpec | None = None) -> PictureWork | None:
    video = task.info.video
    start, end = task.span
    if video is None or not (task.specs or watch) or start >= _us(video.end_seconds) or end <= _us(video.start_seconds):
        return None
    picks = [_pick(task, video, choice) for choice in task.specs]
    only_keyframes = watch is None and all(choice.only_keyframes for choice in task.specs)
    only_keyframes = only_keyframes and task.info.container not in _WITHOUT_PTS
    return PictureWork(video, picks, end, only_keyframes=only_keyframes, watch=watch)


def _pick(task: _Task, video: VideoStream, choice: FrameChoice) -> Pick:
    if choice.kind == "middle":
        return Pick(task.specs[choice], moments_us=sorted(set(_middles(task, video).values())))
    return Pick(task.specs[choice], choice.expression(task.spans, origin_us=_us(video.start_seconds)))


def _middles(task: _Task, video: VideoStream) -> dict[int, int]:
    """The middle of each clip that shows a picture, by its place; at the first or the last picture if none is there."""
    first, last = _us(video.start_seconds) + _TOLERANCE_US, _us(video.end_seconds)
    return {
        place: min(max(middle_of(span), first), last)
        for place, span in enumerate(task.spans)
        if span[1] > _us(video.start_seconds)
    }


def _sound_work(task: _Task, sample_rates_hz: Sequence[int], margin_seconds: float) -> SoundWork | None:
    audio = task.info.audio
    start, end = (when / 1e6 for when in task.span)
    start, end = start - margin_seconds, end + margin_seconds
    if audio is None or not sample_rates_hz or start >= audio.end_seconds or end <= audio.start_seconds:
        return None
    return SoundWork(audio, start, end, sample_rates_hz)


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
    return bool(done.sounds) and all(audio.start_seconds <= latest for audio in done.sounds.values())


def _run(task: _Task, pictures: PictureWork | None, sound: SoundWork | None, seek_seconds: float | None) -> _Pass:
    """One ffmpeg; a second one with a single thread where the first ran out of memory."""
    finished, watched = _run_limited(task, pictures, sound, seek_seconds, task.limits)
    if failures.ran_out_of_memory(finished) and task.limits.decoder_threads > 1:
        single = dataclasses.replace(task.limits, decoder_threads=1)
        finished, watched = _run_limited(task, pictures, sound, seek_seconds, single)
    if (error := failures.broken_limit(finished, task.limits)) is not None:
        raise error
    outputs = (output for place, output in enumerate(finished.outputs) if not watched or place != WATCH_PIPE)
    seen = times_us(next(outputs)) if pictures else []
    starts = watched.starts_us(seen) if watched else []
    shots = [shots_of(pick, pictures.video, seen, outputs) for pick in pictures.picks] if pictures else []
    return _Pass(seen, shots, sounds_of(sound, outputs) if sound else {}, finished, starts)


def _run_limited(
    task: _Task, pictures: PictureWork | None, sound: SoundWork | None, seek_seconds: float | None, limits: Limits
) -> tuple[Finished, ShotMeasures | None]:
    watched = ShotMeasures() if pictures and pictures.watch else None
    finished = run_child(
        lambda pipes: command(task.source, pipes, pictures, sound, seek_seconds=seek_seconds, limits=limits),
        pipes=pipe_count(pictures, sound),
        source=task.source,
        limits=limits,
        sinks={WATCH_PIPE: watched.feed} if watched else {},
    )
    return finished, watched


def _by_time(task: _Task, shots: Sequence[Shots]) -> _Frames:
    """The frames of all picks; views, not copies."""
    frames: _Frames = {spec: {} for specs in task.specs.values() for spec in specs}
    for own in shots:
        _add(frames, own)
    return frames


def _add(frames: _Frames, shots: Shots) -> None:
    for spec, pixels in shots.pixels.items():
        frames[spec].update(zip(shots.times_us, pixels, strict=True))


def _chosen(task: _Task, choice: FrameChoice, shots: Shots | None, seen_us: Sequence[int]) -> list[tuple[int, ...]]:
    """The times of each clip's own frames. Clips may overlap, and each has its own even parts."""
    video = task.info.video
    if shots is None or video is None or choice.kind == "middle":
        return [()] * len(task.spans)
    taken = sorted(set(shots.times_us))
    if choice.only_keyframes:
        return [tuple(when for when in taken if start <= when < end) for start, end in task.spans]
    own = [set(choice.picked(seen_us, span, origin_us=_us(video.start_seconds))) for span in task.spans]
    return [tuple(when for when in taken if when in wanted) for wanted in own]


def _fill_empty(task: _Task, known: list[int], frames: _Frames, chosen: _Chosen) -> None:
    """Give each clip without a frame the one on screen at its middle; `frames` and `chosen` are filled in.

    `known` are the times of all frames that were seen, in order, as far as they show what is on screen.
    """
    video = task.info.video
    if video is None:
        return
    middles = _middles(task, video)
    empty = [(choice, place) for choice, own in chosen.items() for place in middles if not own[place]]
    for _ in range(3):
        targets = {place: last_at_or_before(known, middle) for place, middle in middles.items()}
        lacking = [(p, spec) for choice, p in empty for spec in task.specs[choice] if targets[p] not in frames[spec]]
        if not lacking:
            break
        places, specs = dict.fromkeys(place for place, _ in lacking), dict.fromkeys(spec for _, spec in lacking)
        guesses = [_guess(video, middles[p]) if (when := targets[p]) is None else when for p in places]
        done = _frames_at(task, video, list(specs), guesses, max(middles[place] for place in places))
        _add(frames, done.shots[0])
        known = sorted({*known, *done.seen_us})
    for choice, place in empty:
        when = last_at_or_before(known, middles[place])
        if when is None and known:
            when = known[0]  # nothing was on screen yet: the first picture
        if when is not None and all(when in frames[spec] for spec in task.specs[choice]):
            chosen[choice][place] = (when,)


def _frames_at(
    task: _Task, video: VideoStream, specs: Sequence[FrameSpec], targets_us: Sequence[int], last_us: int
) -> _Pass:
    """The first frame at or after each target, and the times of all frames up to the last middle."""
    terms = [f"gte(pts,{when})*if(isnan(prev_pts),1,lt(prev_pts,{when}))" for when in sorted(set(targets_us))]
    end_us = max(last_us, *targets_us) + 1
    return _with_margins(task, PictureWork(video, [Pick(specs, "+".join(terms))], end_us), None, min(targets_us))


def _guess(video: VideoStream, middle_us: int) -> int:
    """From when on the frame on screen at the middle is the first one, if frames come at an even rate."""
    return middle_us - round(1e6 / (video.fps or 25.0)) + _TOLERANCE_US


def _still(task: _Task) -> VideoStream | None:
    return task.info.video if _is_still(task.info) and task.specs else None


def _is_still(info: VideoInfo) -> bool:
    return info.video is not None and info.video.still


def _decode_still(task: _Task, video: VideoStream, wants: Sequence[FrameWant], sound: SoundWork | None) -> Media:
    """A single picture, shown in every clip, and the sound beside it."""
    specs = list(dict.fromkeys(want.spec for want in wants))
    picture = _run(task, PictureWork(video, [Pick(specs, "1")], None), None, None)
    heard = _with_margins(task, None, sound, task.span[0]) if sound else picture
    (shot,) = picture.shots
    if not shot.times_us and not heard.sounds:
        raise failures.unreadable(task.path, picture.finished, "the picture cannot be decoded")
    shown = (0,) if shot.times_us else ()
    times = np.full(len(shown), video.start_seconds, dtype=np.float64)
    pictures = {
        want: Pictures(times, shot.pixels[want.spec][: len(shown)], (shown,) * len(task.spans)) for want in wants
    }
    return Media(pictures, heard.sounds, damaged=not shown)


def _raise_if_nothing(task: _Task, done: _Pass, frames: _Frames) -> None:
    if any(frames.values()) or done.sounds or (done.seen_us and not task.specs):
        return
    if error := failures.too_many_pixels(done.finished, task.limits) or failures.refused(done.finished):
        raise error
    start, end = (when / 1e6 for when in task.span)
    raise failures.unreadable(task.path, done.finished, f"nothing between {start:.3f} and {end:.3f} s can be decoded")


def _stopped_early(task: _Task, done: _Pass, pictures: PictureWork | None, frames: _Frames) -> bool:
    """Whether the decoder gave up, or complained and left a gap at the end of the segment."""
    finished = done.finished
    nothing_shown = pictures is not None and not (any(frames.values()) if task.specs else done.seen_us)
    if finished.returncode != 0 or failures.ran_out_of_memory(finished) or nothing_shown:
        return True
    if pictures is None or pictures.only_keyframes or not finished.error_text:
        return False
    last_us = max(done.seen_us, default=task.span[0])
    return last_us < min(task.span[1], _us(pictures.video.end_seconds)) - _us(_GAP_SECONDS)


def _pictures(
    task: _Task, want: FrameWant, shots: Mapping[FrameChoice, Shots], frames: _Frames, chosen: _Chosen
) -> Pictures:
    choice = FrameChoice.parse(want.choice)
    own = shots.get(choice)
    times = sorted({when for clip in chosen[choice] for when in clip})
    place_of = {when: place for place, when in enumerate(times)}
    if own is not None and times == list(own.times_us):
        pixels = own.pixels[want.spec]  # as they came, not copied
    else:
        assert task.info.video is not None
        width, height = size_of(want.spec, task.info.video)
        pixels = np.empty((len(times), height, width, 3), dtype=np.uint8)
        for place, when in enumerate(times):
            pixels[place] = frames[want.spec][when]
    clip_frames = tuple(tuple(place_of[when] for when in clip) for clip in chosen[choice])
    return Pictures(np.array(times, dtype=np.float64) / 1e6, pixels, clip_frames)


def _us(seconds: float) -> int:
    return round(seconds * 1e6)
