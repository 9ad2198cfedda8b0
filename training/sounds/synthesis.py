"""What the synthesised sounds are built from: harmonics, noise, struck things, bursts and when they come.

Everything is mono float64 at `RATE_HZ` and of any scale; `random` is numpy's Generator, so that a seed decides all.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.signal import butter, lfilter, sosfilt

RATE_HZ = 16_000
_HIGHEST_HZ = 7_600.0  # harmonics above it are left out, or they would fold back

Samples = NDArray[np.float64]
Random = np.random.Generator


def clock(count: int) -> Samples:
    """The time of each sample in seconds."""
    return np.arange(count) / RATE_HZ


def span(seconds: float) -> int:
    """How many samples so many seconds are; one at least."""
    return max(1, round(seconds * RATE_HZ))


def harmonics(frequency_hz: ArrayLike, count: int, amplitudes: Sequence[float], *, phase: float = 0.0) -> Samples:
    """Sines at 1, 2, 3 ... times a frequency that may glide, (count,) or one number."""
    frequency = np.broadcast_to(np.asarray(frequency_hz, np.float64), (count,))
    angle = 2 * np.pi * np.cumsum(frequency) / RATE_HZ + phase
    total, lowest = np.zeros(count), float(frequency.min())
    for order, amplitude in enumerate(amplitudes, start=1):
        if amplitude and order * lowest < _HIGHEST_HZ:
            total += amplitude * np.sin(order * angle) * (order * frequency < _HIGHEST_HZ)
    return total


def falling(orders: int, slope: float, *, odd: bool = False) -> list[float]:
    """Amplitudes 1 / order^slope; `odd` leaves every second one out, as a square wave does."""
    return [0.0 if odd and order % 2 == 0 else order**-slope for order in range(1, orders + 1)]


def noise(random: Random, count: int, *, slope: float = 0.0) -> Samples:
    """Noise whose power falls with frequency^slope (0 white, 1 pink, 2 brown), of deviation one."""
    spectrum = np.fft.rfft(random.normal(size=count))
    spectrum *= np.maximum(np.arange(len(spectrum)), 1) ** (-slope / 2)
    made = np.fft.irfft(spectrum, count)
    return np.asarray(made / (made.std() or 1.0))


def band(samples: Samples, low_hz: float, high_hz: float, *, order: int = 2) -> Samples:
    """What lies between two frequencies; a low one of 0 or a high one of half the rate leaves that side open."""
    top = RATE_HZ / 2 * 0.98
    if low_hz <= 0:
        sections = butter(order, min(high_hz, top), "low", fs=RATE_HZ, output="sos")
    elif high_hz >= top:
        sections = butter(order, low_hz, "high", fs=RATE_HZ, output="sos")
    else:
        sections = butter(order, [low_hz, high_hz], "band", fs=RATE_HZ, output="sos")
    return np.asarray(sosfilt(sections, samples))


def resonance(samples: Samples, frequency_hz: float, width_hz: float) -> Samples:
    """The samples through one resonator, its gain at the top about one."""
    radius = np.exp(-np.pi * width_hz / RATE_HZ)
    angle = 2 * np.pi * frequency_hz / RATE_HZ
    return np.asarray(lfilter([1 - radius], [1, -2 * radius * np.cos(angle), radius**2], samples))


def struck(
    random: Random, count: int, partials_hz: ArrayLike, decays_seconds: ArrayLike, amplitudes: ArrayLike
) -> Samples:
    """Something hit once: decaying sines with random phases."""
    time = clock(count)
    total = np.zeros(count)
    rows = np.broadcast_arrays(
        np.asarray(partials_hz, np.float64), np.asarray(decays_seconds), np.asarray(amplitudes, np.float64)
    )
    for partial, decay, amplitude in zip(*rows, strict=True):
        if partial < _HIGHEST_HZ:
            phase = random.uniform(0, 2 * np.pi)
            total += amplitude * np.exp(-time / decay) * np.sin(2 * np.pi * partial * time + phase)
    return total


def burst(random: Random, seconds: float, low_hz: float, high_hz: float, *, attack_seconds: float = 0.001) -> Samples:
    """Noise of a band that starts at once and dies away within so many seconds."""
    count = span(seconds)
    time = clock(count)
    shape = np.minimum(time / attack_seconds, 1) * np.exp(-5 * time / seconds)
    return np.asarray(band(random.normal(size=count), low_hz, high_hz) * shape)


def placed(count: int, events: Iterable[tuple[float, Samples]]) -> Samples:
    """Sounds at their times in seconds, added up in `count` samples; what lies outside is cut off."""
    total = np.zeros(count)
    for start_seconds, samples in events:
        start = round(start_seconds * RATE_HZ)
        if 0 <= start < count:
            own = samples[: count - start]
            total[start : start + len(own)] += own
    return total


def beats(random: Random, count: int, every_seconds: float, *, jitter: float = 0.0) -> list[float]:
    """Times at a steady pace from a random start on; `jitter` is the deviation as a share of the pace."""
    first = random.uniform(0, min(every_seconds, 0.5))
    times = np.arange(first, count / RATE_HZ, every_seconds)
    return [float(time) for time in np.maximum(times + every_seconds * jitter * random.normal(size=len(times)), 0)]


def scattered(random: Random, count: int, per_second: float) -> list[float]:
    """Times of a Poisson process."""
    length = count / RATE_HZ
    return [float(time) for time in random.uniform(0, length, random.poisson(per_second * length))]


def wandering(random: Random, count: int, per_second: float, low: float, high: float) -> Samples:
    """A smooth random curve between two values, with so many turns a second."""
    knots = max(4, round(count / RATE_HZ * per_second) + 3)
    places = np.linspace(0, count, knots)
    return np.asarray(np.interp(np.arange(count), places, random.uniform(low, high, knots)))


def gated(count: int, on_seconds: float, off_seconds: float, *, start_seconds: float = 0.0) -> Samples:
    """1 while on and 0 while off, again and again, with edges of 5 ms."""
    period = on_seconds + off_seconds
    place = (clock(count) + start_seconds) % period
    return np.clip(np.minimum(place, on_seconds - place) / 0.005, 0, 1)


def edged(samples: Samples, attack_seconds: float, release_seconds: float) -> Samples:
    """The samples, faded in and out."""
    time = clock(len(samples))
    left = time[-1] - time
    return np.asarray(samples * np.clip(time / attack_seconds, 0, 1) * np.clip(left / release_seconds, 0, 1))
