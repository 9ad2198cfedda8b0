"""Where clips begin and end: windows over time, shots, and stretches of speech between pauses.

Whoever looks into the file (`transforms/decode.py`) says where shots begin, or which words are said in which sound.
A segment's border is always a cut: the next segment may be looked at by another machine.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from transforms.records import Audio, Clip, Float32, Segment, Word
from transforms.segment_settings import SegmentSettings

#: A last piece shorter than this belongs to the clip before it.
SHORTEST_CLIP_SECONDS = 1.0
#: Silence between two words that is worth cutting at rather than anywhere between words.
PAUSE_SECONDS = 0.2
#: Beyond this a longer pause is no better place to cut.
_LONG_PAUSE_SECONDS = 1.0
#: Steps in which the loudness between two words is looked at.
_STEP_SECONDS = 0.02
#: What is quiet between two words: at most 10 dB above their quietest moment, or 20 dB below the segment's loudness.
_ABOVE_QUIETEST = 10 ** (10 / 20)
_BELOW_LOUDNESS = 10 ** (-20 / 20)


def fixed_windows(
    start_seconds: float, end_seconds: float, *, clip_seconds: float, overlap_seconds: float = 0.0
) -> list[Clip]:
    """Clips of `clip_seconds` from the start on, the last one cut at the end.

    A last piece shorter than `SHORTEST_CLIP_SECONDS` of new time belongs to the clip before it.
    """
    step_seconds = clip_seconds - overlap_seconds
    further_seconds = round(end_seconds - start_seconds - clip_seconds - SHORTEST_CLIP_SECONDS, 6)
    count = 1 if further_seconds < 0 else 2 + math.floor(further_seconds / step_seconds)
    starts = [start_seconds + index * step_seconds for index in range(count)]
    ends = [start + clip_seconds for start in starts[:-1]] + [end_seconds]
    return [Clip(index, start, end) for index, (start, end) in enumerate(zip(starts, ends, strict=True))]


def most_clips(settings: SegmentSettings) -> int:
    """More clips than a segment can be cut into: clip indices of segment n start at n times this."""
    return math.ceil((settings.segment_seconds + SHORTEST_CLIP_SECONDS) / settings.shortest_seconds) + 1


def cut_at(segment: Segment, borders_seconds: Iterable[float], settings: SegmentSettings) -> Segment:
    """The segment with one clip between each two borders."""
    first = segment.index * most_clips(settings)
    edges = sorted({segment.start_seconds, segment.end_seconds, *borders_seconds})
    clips = (Clip(first + place, start, end) for place, (start, end) in enumerate(itertools.pairwise(edges)))
    return replace(segment, clips=tuple(clips))


def cut_into_windows(segment: Segment, settings: SegmentSettings) -> Segment:
    """What is done where there is nothing to cut by: windows of `clip_seconds` over the segment."""
    windows = fixed_windows(segment.start_seconds, segment.end_seconds, clip_seconds=settings.clip_seconds)
    return cut_at(segment, [window.start_seconds for window in windows], settings)


def cut_at_shots(segment: Segment, shot_starts_seconds: Sequence[float], settings: SegmentSettings) -> Segment:
    """The segment with a clip a shot: the too short ones joined to a neighbour, the too long ones divided evenly."""
    start, end = segment.start_seconds, segment.end_seconds
    inside = sorted({when for when in shot_starts_seconds if start < when < end})
    kept = without_short_pieces([start, *inside, end], shortest_seconds=settings.shortest_seconds)
    return cut_at(segment, divided(kept, longest_seconds=settings.longest_seconds), settings)


def without_short_pieces(edges_seconds: Sequence[float], *, shortest_seconds: float) -> list[float]:
    """The edges without those that make a piece too short; the outermost ones stay.

    The shortest piece goes first, and to its shorter neighbour; of equals the earlier ones.
    """
    edges = list(edges_seconds)
    while len(edges) > 2:
        lengths = [after - before for before, after in itertools.pairwise(edges)]
        place = min(range(len(lengths)), key=lengths.__getitem__)
        if round(lengths[place] - shortest_seconds, 6) >= 0:
            break
        before = lengths[place - 1] if place > 0 else math.inf
        after = lengths[place + 1] if place + 1 < len(lengths) else math.inf
        del edges[place if before <= after else place + 1]
    return edges


def divided(edges_seconds: Sequence[float], *, longest_seconds: float) -> Iterator[float]:
    """The edges, with more between those that lie too far apart, all equally far."""
    for start, end in itertools.pairwise(edges_seconds):
        count = max(1, math.ceil(round((end - start) / longest_seconds, 6)))
        yield from (start + (end - start) * part / count for part in range(count))
    yield edges_seconds[-1]


def cut_at_pauses(
    segment: Segment, words: Sequence[Word], settings: SegmentSettings, sound: Audio | None = None
) -> Segment:
    """The segment cut at pauses between words, about every `clip_seconds`; windows where nobody speaks.

    Word times are some tenths of a second off; with the `sound` that they were heard in, a pause is where it is quiet
    between two words. A pause counts for more the longer it is and the nearer it lies to where a window would end.
    Where there is none between the shortest and the longest length, the clip ends between two words, late; where there
    is no such place either, at its longest.
    """
    start, end = segment.start_seconds, segment.end_seconds
    own = [word for word in words if start <= word.midpoint_seconds < end]
    if not own:
        return cut_into_windows(segment, settings)
    gaps = list(gaps_between(own, start, end))
    if sound is not None:
        loudness = _loudness(sound)
        gaps = [_quiet_part(gap, loudness, sound.start_seconds) for gap in gaps]
    borders = [start]
    while end - borders[-1] > settings.longest_seconds or _has_room_for_two(end - borders[-1], settings):
        border = _next_border(borders[-1], end, gaps, settings)
        if border is None:
            break
        borders.append(border)
    return cut_at(segment, borders, settings)


def gaps_between(words: Sequence[Word], start_seconds: float, end_seconds: float) -> Iterator[tuple[float, float]]:
    """Where nobody speaks before, between and after the words, in order; two words in one breath leave no time."""
    heard_until = start_seconds
    for word in sorted(words, key=lambda word: word.start_seconds):
        begins = max(word.start_seconds, start_seconds)
        if begins >= heard_until:
            yield heard_until, begins
        heard_until = max(heard_until, word.end_seconds)
    if heard_until < end_seconds:
        yield heard_until, end_seconds


def _loudness(sound: Audio) -> Float32:
    """The root mean square of each step of a sound: (steps,)."""
    size = round(_STEP_SECONDS * sound.sample_rate_hz)
    count = len(sound.samples) // size
    steps = np.nan_to_num(sound.samples[: count * size]).reshape(count, size)
    return np.asarray(np.sqrt(np.mean(np.square(steps), axis=1)), np.float32)


def _quiet_part(gap: tuple[float, float], loudness: Float32, sound_start_seconds: float) -> tuple[float, float]:
    """The longest quiet stretch inside a gap; the gap as it is where it is too short to look into."""
    first = math.ceil((gap[0] - sound_start_seconds) / _STEP_SECONDS)
    last = math.floor((gap[1] - sound_start_seconds) / _STEP_SECONDS)
    inside = loudness[max(0, first) : max(0, last)]
    if first < 0 or not len(inside):
        return gap
    overall = float(np.sqrt(np.mean(np.square(loudness))))
    quiet = inside <= max(_ABOVE_QUIETEST * float(inside.min()), _BELOW_LOUDNESS * overall)
    edges = np.flatnonzero(np.diff(quiet, prepend=False, append=False)).reshape(-1, 2)
    begins, ends = max(edges.tolist(), key=lambda edge: edge[1] - edge[0])
    if (begins, ends) == (0, len(inside)):
        return gap
    start_seconds = sound_start_seconds + first * _STEP_SECONDS
    return start_seconds + begins * _STEP_SECONDS, start_seconds + ends * _STEP_SECONDS


def _has_room_for_two(left_seconds: float, settings: SegmentSettings) -> bool:
    """Whether what is left is nearer to two clips of the wished length than to one."""
    return left_seconds >= max(1.5 * settings.clip_seconds, 2 * settings.shortest_seconds)


def _next_border(
    from_seconds: float, end_seconds: float, gaps: Sequence[tuple[float, float]], settings: SegmentSettings
) -> float | None:
    """Where the clip that begins at `from_seconds` ends; None: with the segment, since it may last so long."""
    earliest, wished = from_seconds + settings.shortest_seconds, from_seconds + settings.clip_seconds
    latest = min(from_seconds + settings.longest_seconds, end_seconds - settings.shortest_seconds)
    places = [(_place_in(gap, wished), gap[1] - gap[0]) for gap in gaps]
    possible = [(place, pause_seconds) for place, pause_seconds in places if earliest <= place <= latest]
    pauses = [(place, pause_seconds) for place, pause_seconds in possible if pause_seconds >= PAUSE_SECONDS]
    if pauses:

        def worth(pause: tuple[float, float]) -> float:
            place, pause_seconds = pause
            return min(pause_seconds, _LONG_PAUSE_SECONDS) - abs(place - wished) / settings.clip_seconds

        return max(pauses, key=worth)[0]
    if end_seconds - from_seconds <= settings.longest_seconds:
        return None
    return possible[-1][0] if possible else latest


def _place_in(gap: tuple[float, float], wished_seconds: float) -> float:
    """The middle of a pause; in a long one the place nearest to the wished one, half a second from any word."""
    begins, ends = gap
    away = min((ends - begins) / 2, _LONG_PAUSE_SECONDS / 2)
    return min(max(wished_seconds, begins + away), ends - away)
