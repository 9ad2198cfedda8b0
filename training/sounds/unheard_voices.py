"""Dogs, birds, music, drums and speech as the network never hears them: the other half of `unheard`."""

import numpy as np

from training.sounds.music import melody
from training.sounds.synthesis import (
    RATE_HZ,
    Random,
    Samples,
    band,
    burst,
    clock,
    edged,
    falling,
    gated,
    harmonics,
    placed,
    resonance,
    scattered,
    span,
    wandering,
)
from training.sounds.unheard import drawn_wave, moving, repeated
from training.sounds.voices import spoken


def drawn_bark(random: Random, count: int) -> Samples:
    """A wave drawn at random whose pitch jumps up and falls, through two resonances, with hoarse noise."""

    def one() -> Samples:
        length = span(random.uniform(0.1, 0.22))
        place = np.linspace(0, 1, length)
        arch = np.minimum(place / 0.12, 1) * (1 - place) ** 0.8
        wave = drawn_wave(random, pitch * (0.7 + 0.6 * arch), 13) + 0.5 * random.normal(size=length)
        return (resonance(wave, muzzle, 250) + 0.6 * resonance(wave, muzzle * 2.1, 400)) * arch

    pitch, muzzle = random.uniform(220, 700), random.uniform(500, 1100)
    return repeated(random, count, [one() for _ in range(3)], random.uniform(0.35, 1), 0.12)


def rasping_bark(random: Random, count: int) -> Samples:
    """Noise, chopped some hundred times a second, in the colours of an open mouth."""

    def one() -> Samples:
        length = span(random.uniform(0.1, 0.25))
        pitch = top * np.linspace(1, random.uniform(0.5, 0.8), length)
        chopped = random.normal(size=length) * np.maximum(harmonics(pitch, length, [1.0]), 0) ** 2
        mouth = resonance(chopped, 650, 300) + resonance(chopped, 1500, 400)
        return mouth * np.sin(np.pi * np.linspace(0, 1, length)) ** 0.8

    top = random.uniform(250, 550)
    return repeated(random, count, [one(), one()], random.uniform(0.3, 0.9), 0.15)


def accelerating_series(random: Random, count: int) -> Samples:
    """Falling chirps that come quicker and quicker and end in a flourish, as a chaffinch."""
    top, parts, at = random.uniform(3500, 6000), [], random.uniform(0, 0.5)
    while at < count / RATE_HZ:
        every = random.uniform(0.2, 0.28)
        for place in range(random.integers(6, 11)):
            length = span(every * 0.7)
            glide = top * np.exp(-np.linspace(0, random.uniform(0.3, 0.7), length)) * 0.97**place
            parts.append((at, harmonics(glide, length, [1, 0.08]) * np.hanning(length)))
            at += every
            every *= 0.88
        at += random.uniform(0.5, 1.2)
    return placed(count, parts)


def breathed_whistle(random: Random, count: int) -> Samples:
    """Noise through a narrow resonator that jumps and glides high up, in short notes."""
    centre = wandering(random, count, random.uniform(6, 14), 2200, 5500)
    whistle = moving(random.normal(size=count), centre, 15)
    return whistle * gated(count, random.uniform(0.08, 0.25), random.uniform(0.05, 0.3))


def brass_band(random: Random, count: int) -> Samples:
    """Frequency modulation whose index follows the loudness: a tune and a second voice below."""
    base, parts = random.uniform(200, 350), []
    for at, length, note in melody(random, count):
        for interval in (0, -random.choice([3, 4, 5])):
            time = clock(span(length))
            swell = np.minimum(time / 0.06, 1) * np.exp(-time)
            angle = 2 * np.pi * base * 2 ** ((note + interval) / 12) * time
            parts.append((at, edged(swell * np.sin(angle + 3 * swell * np.sin(angle)), 0.01, 0.03)))
    return placed(count, parts)


def arpeggios(random: Random, count: int) -> Samples:
    """Broken chords on a wave drawn at random, soft at the edges, with an echo."""
    base, beat, parts = random.uniform(150, 350), random.uniform(0.15, 0.35), []
    cycle_seed = int(random.integers(2**31))
    for place, start in enumerate(np.arange(0, count / RATE_HZ, beat)):
        chord = ((0, 4, 7, 12), (9, 12, 16, 21), (5, 9, 12, 17), (7, 11, 14, 19))[place // 8 % 4]
        pitch = np.full(span(beat * 2.5), base * 2 ** (chord[place % 4] / 12))
        note = drawn_wave(np.random.default_rng(cycle_seed), pitch, 8) * np.exp(-3 * clock(len(pitch)))
        parts += [(float(start), edged(note, 0.01, 0.05)), (float(start) + 1.5 * beat, 0.3 * edged(note, 0.01, 0.05))]
    return band(placed(count, parts), 60, 4000)


def resonated_kit(random: Random, count: int) -> Samples:
    """Impulses and puffs into resonances: a low, a middle and a bright drum, in a pattern drawn at random."""
    total, step = np.zeros(count), 60 / random.uniform(80, 150) / 4
    for centre, width, busy in ((70, 12, 0.25), (220, 40, 0.25), (5500, 2500, 0.6)):
        strokes = np.zeros(count)
        pattern = random.uniform(size=16) < busy
        pattern[0 if centre < 100 else 4] = True
        for place, start in enumerate(np.arange(0, count / RATE_HZ, step)):
            if pattern[place % 16]:
                at = round(start * RATE_HZ)
                strokes[at : at + 200] += random.normal(size=len(strokes[at : at + 200]))
        drum = resonance(strokes, centre * random.uniform(0.8, 1.3), width)
        total += drum / (drum.std() or 1)
    return total


def shaker_and_sticks(random: Random, count: int) -> Samples:
    """A shaker in even steps, sticks in the rhythm of a clave, a deep thump at each bar."""
    step = random.uniform(0.1, 0.16)
    sticks = resonance(burst(random, 0.004, 500, 7000), random.uniform(1500, 2600), 60)
    sticks = np.concatenate([sticks, np.zeros(span(0.1))])
    thump = resonance(np.pad([1.0], (0, span(0.3))), random.uniform(60, 110), 8) * 3
    parts = []
    for place, start in enumerate(np.arange(0, count / RATE_HZ, step)):
        shake = burst(random, 0.07, 3500, 7500, attack_seconds=0.02)
        parts.append((float(start), shake * (0.5 if place % 2 else 0.3)))
        parts += [(float(start), sticks * 12)] * (place % 16 in (0, 3, 6, 10, 12))
        parts += [(float(start), thump * 25)] * (place % 16 in (0, 8))
    return placed(count, parts)


def gliding_voice(random: Random, count: int) -> Samples:
    """A throat's pulses through three resonators that never stand still, in syllables, with breaths."""
    pitch = random.uniform(90, 230) * wandering(random, count, 3, 0.8, 1.25)
    throat = harmonics(pitch, count, falling(30, 0.9)) + 0.1 * random.normal(size=count)
    voice = np.zeros(count)
    for low, high, size in ((280, 800, 1.0), (850, 2300, 0.6), (2200, 3000, 0.3)):
        voice += size * moving(throat, wandering(random, count, 7, low, high), 90)
    syllables = np.clip(wandering(random, count, 10, -0.4, 1), 0, 1)
    times = scattered(random, count, 2)
    hisses = placed(count, ((time, burst(random, 0.1, 2500, 7500, attack_seconds=0.03)) for time in times))
    return np.asarray(
        voice * syllables * np.clip(wandering(random, count, 1.5, 0, 3), 0, 1) + 0.3 * voice.std() * hisses
    )


def espeak_elsewhere(random: Random, count: int) -> Samples:
    """Languages and throats that no other family has."""
    throats = ["+m2", "+m7", "+croak", "+f5"]
    return spoken(random, count, random.choice(["da", "ro", "cs", "id", "sw"]) + random.choice(throats))
