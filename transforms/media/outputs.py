"""The bytes that came through the pipes of an ffmpeg -> frames and sound with their times.

Each function takes from `outputs` what is its own, in the order of `graph.pipe_count`. Times are whole
microseconds (`_us`).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from transforms.media.choice import last_at_or_before
from transforms.media.fit import size_of
from transforms.media.graph import Pick, SoundWork
from transforms.records import Audio, FrameSpec, VideoStream

Pixels = NDArray[np.uint8]
_TIME: Final = re.compile(rb"pts:(-?\d+)")


@dataclass(frozen=True, slots=True, eq=False)
class Shots:
    """The frames that one pick took, in the order in which they came."""

    times_us: Sequence[int]
    pixels: Mapping[FrameSpec, Pixels]  # each (n, height, width, 3)


def times_us(printed: bytearray) -> list[int]:
    """The times that a filter printed."""
    return [int(found) for found in _TIME.findall(printed)]


def shots_of(pick: Pick, video: VideoStream, seen_us: Sequence[int], outputs: Iterator[bytearray]) -> Shots:
    """The frames of a pick; the last ones lack their pixels where the decoder stopped early."""
    times = times_us(next(outputs))
    if pick.moments_us:
        times = _on_screen_us(pick.moments_us, times, seen_us)
    stacks = {}
    for spec in pick.specs:
        output, (width, height) = next(outputs), size_of(spec, video)
        size = height * width * 3
        flat = np.frombuffer(output, dtype=np.uint8, count=len(output) // size * size)
        stacks[spec] = flat.reshape(-1, height, width, 3)
    count = min(len(times), *(len(stack) for stack in stacks.values()))
    return Shots(times[:count], {spec: stack[:count] for spec, stack in stacks.items()})


def sounds_of(sound: SoundWork, outputs: Iterator[bytearray]) -> dict[int, Audio]:
    """The sound at each rate that has any."""
    sounds = {}
    for rate in sound.sample_rates_hz:
        printed, heard = next(outputs), next(outputs)
        samples = np.frombuffer(heard, dtype=np.float32, count=len(heard) // 4)
        if (first := _TIME.search(printed)) and len(samples):
            sounds[rate] = Audio(samples, rate, int(first[1]) / rate)
    return sounds


def _on_screen_us(moments_us: Sequence[int], numbers: Sequence[int], seen_us: Sequence[int]) -> list[int]:
    """When the frames came that are on screen at the moments of these numbers.

    None is told where time runs backwards: which frame the filter kept is not known then.
    """
    if list(seen_us) != sorted(seen_us) or list(numbers) != sorted(set(numbers)):
        return []
    found = [last_at_or_before(seen_us, moments_us[number]) for number in numbers]
    return [when for when in found if when is not None] if None not in found else []
