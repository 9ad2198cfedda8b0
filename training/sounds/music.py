"""Music as chords and melodies."""

import numpy as np
from scipy.signal import lfilter

from training.sounds.drums import rock_kit
from training.sounds.synthesis import (
    RATE_HZ,
    Random,
    Samples,
    band,
    burst,
    clock,
    edged,
    falling,
    harmonics,
    placed,
    span,
    struck,
)

_MAJOR = np.array([0, 2, 4, 5, 7, 9, 11, 12, 14, 16])


_CHORDS = ((0, 4, 7), (5, 9, 12), (7, 11, 14), (9, 12, 16), (2, 5, 9))


def _hertz(semitone: float, base_hz: float) -> float:
    return float(base_hz * 2 ** (semitone / 12))


def melody(random: Random, count: int) -> list[tuple[float, float, int]]:
    """Notes as (start in seconds, length in seconds, semitone): steps of a scale in an even beat."""
    notes, at, step, beat = [], 0.0, int(random.integers(0, 8)), random.uniform(0.18, 0.5)
    while at < count / RATE_HZ:
        length = beat * random.choice([0.5, 1, 1, 2])
        step = int(np.clip(step + random.integers(-2, 3), 0, 9))
        notes.append((at, length, int(_MAJOR[step])))
        at += length
    return notes


def chord_pad(random: Random, count: int) -> Samples:
    """Held chords, one after the other."""
    base, each, slope = random.uniform(110, 260), random.uniform(0.8, 2), random.uniform(0.9, 1.8)
    parts = []
    for start in np.arange(0, count / RATE_HZ, each):
        chord = _CHORDS[random.integers(len(_CHORDS))]
        held = sum(harmonics(_hertz(note, base), span(each), falling(8, slope)) for note in chord)
        parts.append((float(start), edged(np.asarray(held), 0.05, 0.1)))
    return placed(count, parts)


def _plucked(random: Random, frequency_hz: float, seconds: float) -> Samples:
    """Karplus and Strong's string."""
    delay = max(2, round(RATE_HZ / frequency_hz))
    excited = np.zeros(span(seconds))
    excited[: min(delay, len(excited))] = random.uniform(-1, 1, min(delay, len(excited)))
    return np.asarray(lfilter([1.0], [1.0, *np.zeros(delay - 1), -0.498, -0.498], excited))


def plucked_strings(random: Random, count: int) -> Samples:
    """A melody on a guitar, with a bass."""
    base = random.uniform(160, 330)
    tune = [(at, _plucked(random, _hertz(note, base), length + 0.4)) for at, length, note in melody(random, count)]
    bass = [(at, _plucked(random, _hertz(note - 12, base), 1.0)) for at, _, note in melody(random, count)[::4]]
    return placed(count, tune + bass)


def piano(random: Random, count: int) -> Samples:
    """Struck strings, their partials a little wide; chords below a melody."""
    base = random.uniform(180, 360)

    def key(note: float, seconds: float) -> Samples:
        orders = np.arange(1, 11)
        partials = _hertz(note, base) * orders * np.sqrt(1 + 0.0004 * orders**2)
        return struck(random, span(seconds), partials, random.uniform(0.4, 1.2) / orders**0.7, 1 / orders)

    tune = [(at, key(note, length + 0.5)) for at, length, note in melody(random, count)]
    for start in np.arange(0, count / RATE_HZ, random.uniform(0.7, 1.6)):
        tune += [(float(start), 0.6 * key(note - 12, 1.5)) for note in _CHORDS[random.integers(len(_CHORDS))]]
    return placed(count, tune)


def electric_piano(random: Random, count: int) -> Samples:
    """Chords by frequency modulation."""
    base, parts = random.uniform(150, 300), []
    for start in np.arange(0, count / RATE_HZ, random.uniform(0.4, 1.2)):
        for note in _CHORDS[random.integers(len(_CHORDS))]:
            time, pitch = clock(span(1.2)), _hertz(note, base)
            fading = np.exp(-2.5 * time)
            tone = fading * np.sin(2 * np.pi * pitch * time + 1.5 * fading * np.sin(2 * np.pi * 14 * pitch * time))
            parts.append((float(start), tone))
    return placed(count, parts)


def bowed_ensemble(random: Random, count: int) -> Samples:
    """Several detuned strings with vibrato, smoothly bowed."""
    base, parts = random.uniform(180, 330), []
    for at, length, note in melody(random, count):
        size = span(2 * length + 0.1)
        for interval in (0, -5, -12):
            sway = 1 + 0.006 * np.sin(2 * np.pi * random.uniform(4.5, 6.5) * clock(size) + random.uniform(0, 6))
            parts.append(
                (2 * at, edged(harmonics(_hertz(note + interval, base) * sway, size, falling(12, 1.0)), 0.1, 0.1))
            )
    return band(placed(count, parts), 100, 5000)


def drawbar_organ(random: Random, count: int) -> Samples:
    """Drawbars at 1/2, 3/2, 1, 2, 3, 4 over a melody and held chords."""
    base, bars = random.uniform(160, 320), random.uniform(0, 1, 6)

    def key(note: float, size: int) -> Samples:
        tones = zip((0.5, 1.5, 1, 2, 3, 4), bars, strict=True)
        return np.asarray(sum(pull * harmonics(_hertz(note, base) * ratio, size, [1.0]) for ratio, pull in tones))

    tune = [(at, edged(key(note, span(length)), 0.01, 0.02)) for at, length, note in melody(random, count)]
    for start in np.arange(0, count / RATE_HZ, 1.5):
        tune += [(float(start), 0.4 * key(note - 12, span(1.5))) for note in _CHORDS[random.integers(len(_CHORDS))]]
    return placed(count, tune)


def chiptune(random: Random, count: int) -> Samples:
    """Square waves: broken chords very quickly, a bass, ticks of noise."""
    base, beat, parts = random.uniform(220, 440), random.uniform(0.07, 0.13), []
    for place, start in enumerate(np.arange(0, count / RATE_HZ, beat)):
        chord = _CHORDS[(place // 16) % len(_CHORDS)]
        size = span(beat * 0.9)
        parts.append((float(start), np.sign(harmonics(_hertz(chord[place % 3], base), size, [1.0])) * 0.5))
        if place % 4 == 0:
            parts.append((float(start), np.sign(harmonics(_hertz(chord[0] - 24, base), span(beat * 3), [1.0])) * 0.5))
            parts.append((float(start), burst(random, 0.05, 2000, 7000)))
    return placed(count, parts)


def any_instrument(random: Random, count: int) -> Samples:
    """A melody with chords on an instrument that nobody built: any partials, any attack, any decay."""
    base, amplitudes = random.uniform(130, 400), random.uniform(0, 1, 12) / np.arange(1, 13) ** random.uniform(0.3, 1.5)
    attack, decay, depth = random.uniform(0.003, 0.15), random.uniform(0.15, 3), random.uniform(0, 0.008)

    def key(note: float, seconds: float) -> Samples:
        time = clock(span(seconds))
        sway = 1 + depth * np.sin(2 * np.pi * 5.5 * time)
        tone = harmonics(_hertz(note, base) * sway, len(time), list(amplitudes)) * np.exp(-time / decay)
        return edged(tone, attack, 0.03)

    parts = [(at, key(note, length + 0.1)) for at, length, note in melody(random, count)]
    for start in np.arange(0, count / RATE_HZ, random.uniform(0.6, 1.8)):
        parts += [(float(start), 0.6 * key(note - 12, 1.2)) for note in _CHORDS[random.integers(len(_CHORDS))]]
    return placed(count, parts)


def full_band(random: Random, count: int) -> Samples:
    """Chords, a melody, a bass and drums together."""
    kinds = (chord_pad, plucked_strings, any_instrument)
    chords, tune = (kinds[place](random, count) for place in random.integers(0, 3, 2))
    bass = placed(
        count,
        (
            (
                float(start),
                edged(harmonics(random.choice([55, 65, 73, 82, 98]), span(0.35), falling(5, 1.2)), 0.01, 0.05),
            )
            for start in np.arange(0, count / RATE_HZ, random.uniform(0.25, 0.6))
        ),
    )
    layers = (chords, tune, bass, rock_kit(random, count))
    return np.asarray(sum(random.uniform(0.3, 1) * layer / (layer.std() or 1) for layer in layers))
