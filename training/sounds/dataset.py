"""Families -> labelled sounds as a recording might have them: through rooms, bad microphones and narrow channels."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from training.sounds.families import LABELS, Family
from training.sounds.synthesis import RATE_HZ, Random, Samples, band, clock, noise, span

SECONDS = 4.0
_COUNT = round(SECONDS * RATE_HZ)
_NAMES = tuple(LABELS)

Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Sounds:
    """Sounds (n, samples), what each holds (n, labels) as 0 and 1, and the family of each."""

    samples: Float32
    holds: Float32
    families: tuple[str, ...]


def random_of(seed: int, *what: str) -> Random:
    """A generator of its own for each purpose: another number of sounds of one family changes no other one."""
    return np.random.default_rng([seed, *(zlib.crc32(part.encode()) for part in what)])


def dry(family: Family, random: Random) -> Samples:
    """Four seconds of a family as it makes them, their highest peak at one."""
    samples = family.make(random, _COUNT)
    return samples / (np.abs(samples).max() or 1.0)


def recorded(samples: Samples, random: Random) -> Samples:
    """The sound as a microphone hears it: each effect with a chance of its own, then some level below full scale."""
    chance = random.uniform(size=7)
    if chance[0] < 0.4:  # a room
        length = span(random.uniform(0.1, 0.8))
        tail = random.normal(size=length) * np.exp(-6.9 * clock(length) / (length / RATE_HZ))
        samples = samples + random.uniform(0.05, 0.5) * fftconvolve(samples, tail / np.sqrt(length))[: len(samples)]
    if chance[1] < 0.5:  # a loudspeaker, a codec
        samples = band(samples, random.uniform(30, 300), random.uniform(2500, 7800), order=1)
    if chance[2] < 0.25:  # a telephone or an 8 kHz file
        samples = band(samples, 0, random.uniform(3200, 4000), order=6)
    samples = samples / (np.abs(samples).max() or 1.0)
    if chance[3] < 0.2:  # an overdriven input
        samples = np.tanh(random.uniform(1, 4) * samples)
    if chance[4] < 0.1:  # eight bits
        samples = np.round(samples * 127) / 127
    if chance[5] < 0.6:  # a background
        hush = noise(random, len(samples), slope=random.uniform(0, 2))
        samples = samples + hush * samples.std() * 10 ** (-random.uniform(10, 45) / 20)
    if chance[6] < 0.3:  # begins late or ends early
        edge, seconds = random.uniform() < 0.5, span(random.uniform(0.2, 1.5))
        samples = np.concatenate(
            [np.zeros(seconds), samples[:-seconds]] if edge else [samples[seconds:], np.zeros(seconds)]
        )
    return samples / (np.abs(samples).max() or 1.0) * 10 ** (-random.uniform(0, 30) / 20)


def nothing(random: Random) -> Samples:
    """Four seconds without any event: silence, the hush of a room, a hum of the mains, one bump."""
    kind = random.integers(4)
    if kind == 0:
        return np.zeros(_COUNT)
    hush = noise(random, _COUNT, slope=random.uniform(0, 2)) * 10 ** (-random.uniform(55, 85) / 20)
    if kind == 2:
        for order in range(1, 5):
            hum = np.sin(2 * np.pi * random.choice([50, 60]) * order * clock(_COUNT))
            hush = hush + hum * 10 ** (-random.uniform(50, 75) / 20)
    if kind == 3:
        start, length = random.integers(0, _COUNT - 2000), random.integers(50, 2000)
        hush[start : start + length] += random.normal(size=length) * 10 ** (-random.uniform(40, 60) / 20)
    return hush


def make(families: Sequence[Family], *, each: int, without: int, seed: int) -> Sounds:
    """`each` sounds of every family, as recorded, and `without` sounds of nothing."""
    samples, holds, names = [], [], []
    for family in families:
        random = random_of(seed, family.label, family.name)
        for _ in range(each):
            samples.append(recorded(dry(family, random), random))
            holds.append([float(label == family.label) for label in _NAMES])
            names.append(family.name)
    random = random_of(seed, "nothing")
    for _ in range(without):
        samples.append(nothing(random))
        holds.append([0.0] * len(_NAMES))
        names.append("nothing")
    return Sounds(np.asarray(samples, np.float32), np.asarray(holds, np.float32), tuple(names))
