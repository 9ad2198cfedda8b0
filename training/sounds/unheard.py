"""Ways of making each kind of sound that the network never hears: they were written before it was trained.

Each rests on something that no other family does: a wave drawn at random, a resonator that moves, noise whose loudness
is noise, rings that are products. Only the walk over a scale that melodies take, and espeak-ng as a program, are those
of other families. Here are devices, machines, weather, steps and hands; animals, music and speech are in
`unheard_voices`.
"""

from collections.abc import Sequence

import numpy as np
from scipy.signal import fftconvolve, lfilter

from training.sounds.synthesis import (
    RATE_HZ,
    Random,
    Samples,
    band,
    beats,
    burst,
    clock,
    falling,
    gated,
    harmonics,
    noise,
    placed,
    resonance,
    span,
    wandering,
)

_PIECE = 160  # samples for which a moving resonator stands still


def drawn_wave(random: Random, pitch_hz: Samples, roughness: int) -> Samples:
    """A cycle through so many random points, read at a pitch that may glide."""
    cycle = random.uniform(-1, 1, roughness)
    cycle -= cycle.mean()
    phase = np.cumsum(pitch_hz) / RATE_HZ % 1
    return np.asarray(np.interp(phase, np.linspace(0, 1, roughness + 1), np.append(cycle, cycle[0])))


def moving(source: Samples, centre_hz: Samples, width_hz: float) -> Samples:
    """The source through one resonator whose centre moves; it keeps its state from piece to piece."""
    made, state = np.empty(len(source)), np.zeros(2)
    radius = np.exp(-np.pi * width_hz / RATE_HZ)
    for start in range(0, len(source), _PIECE):
        angle = 2 * np.pi * centre_hz[start] / RATE_HZ
        part = source[start : start + _PIECE]
        made[start : start + _PIECE], state = lfilter(
            [1 - radius], [1, -2 * radius * np.cos(angle), radius**2], part, zi=state
        )
    return made


def repeated(
    random: Random, count: int, sounds: Sequence[Samples], every_seconds: float, jitter: float = 0.0
) -> Samples:
    times = beats(random, count, every_seconds, jitter=jitter)
    return placed(
        count, ((time, sounds[place % len(sounds)] * random.uniform(0.6, 1)) for place, time in enumerate(times))
    )


def drawn_tone(random: Random, count: int) -> Samples:
    """One random cycle again and again."""
    return drawn_wave(random, np.full(count, random.uniform(150, 1200)), 9)


def beating_glass(random: Random, count: int) -> Samples:
    """Three sines within a few hertz."""
    pitch = random.uniform(400, 2500)
    return np.asarray(sum(harmonics(pitch + shift, count, [1.0]) for shift in random.uniform(-2, 2, 3)))


def smoke_detector(random: Random, count: int) -> Samples:
    """Three beeps of a triangle wave and a pause."""
    wave = np.arcsin(np.sin(2 * np.pi * random.uniform(2600, 3400) * clock(count)))
    on = random.uniform(0.25, 0.5)
    return np.asarray(wave * gated(count, on, on) * gated(count, 6 * on, 2 * on))


def ring_buzzer(random: Random, count: int) -> Samples:
    """The product of two waves, on and off."""
    low, high = random.uniform(90, 200), random.uniform(500, 1500)
    buzz = np.sign(harmonics(low, count, [1.0])) * harmonics(high, count, [1.0])
    return buzz * gated(count, random.uniform(0.15, 0.5), random.uniform(0.1, 0.4), start_seconds=random.uniform(0, 1))


def passing_siren(random: Random, count: int) -> Samples:
    """A wave drawn at random, up and down, that drives past: louder and higher, then lower and softer."""
    away = (clock(count) - random.uniform(1, 3)) * random.uniform(12, 25) / 10
    passing = 1 - 0.05 * away / np.sqrt(1 + away**2)
    swing = np.abs((random.uniform(0.2, 0.6) * clock(count) + random.uniform(0, 1)) % 1 * 2 - 1)
    return drawn_wave(random, random.uniform(450, 700) * (1 + swing) * passing, 11) / np.sqrt(1 + away**2)


def staircase(random: Random, count: int) -> Samples:
    """A siren that climbs in small steps and falls in them."""
    steps = random.integers(6, 12)
    place = np.abs((random.uniform(0.3, 1.2) * clock(count)) % 1 * 2 - 1)
    pitch = random.uniform(450, 700) * 2 ** (np.floor(place * steps) / steps)
    return np.tanh(2 * harmonics(pitch, count, falling(4, 1.0)))


def excited_resonators(random: Random, count: int) -> Samples:
    """Puffs of noise into resonators so narrow that they ring."""
    centres = random.uniform(300, 900) * np.cumprod(random.uniform(1.2, 1.9, 5))
    puffs = repeated(random, count, [burst(random, 0.01, 100, 7000)], random.uniform(0.7, 2))
    return np.asarray(sum(resonance(puffs, min(centre, 7000), random.uniform(0.3, 1.5)) for centre in centres))


def ring_modulated_bell(random: Random, count: int) -> Samples:
    """The product of two sines, dying away; a second product an odd interval above."""
    first, time = random.uniform(300, 1000), clock(count)
    ratio, decay = random.uniform(1.3, 1.9), random.uniform(0.6, 2)
    low = np.sin(2 * np.pi * first * time) * np.sin(2 * np.pi * first * ratio * time) * np.exp(-time / decay)
    high = np.sin(2 * np.pi * first * 2.4 * time) * np.sin(2 * np.pi * first * 0.7 * time) * np.exp(-2 * time / decay)
    return repeated(random, count, [low + 0.6 * high], random.uniform(0.7, 2))


def pipe_comb(random: Random, count: int) -> Samples:
    """Puffs at the pace of a motor into a pipe that throws them back."""
    phase = np.cumsum(random.uniform(20, 80) * wandering(random, count, 1, 0.85, 1.15)) / RATE_HZ % 1
    puffs = (phase < 0.2) * random.normal(size=count)
    delay = round(RATE_HZ * random.uniform(0.003, 0.012))
    pipe = np.zeros(delay + 1)
    pipe[0], pipe[-1] = 1, random.uniform(0.5, 0.8)
    return band(np.asarray(lfilter([1.0], pipe, puffs)), 30, random.uniform(800, 2500))


def idling(random: Random, count: int) -> Samples:
    """Deep noise whose loudness is a sharpened sine: a machine that turns slowly."""
    speed = random.uniform(12, 35) * wandering(random, count, 1, 0.95, 1.05)
    turning = np.abs(harmonics(speed / 2, count, [1.0])) ** random.uniform(1.5, 5)
    return band(noise(random, count, slope=0.8), 40, random.uniform(500, 2000)) * turning


def splashes(random: Random, count: int) -> Samples:
    """Eight kinds of splash, each from a hundred times a second on."""
    total = np.zeros(count)
    for centre in random.uniform(800, 6000, 8):
        clicks = np.zeros(count)
        clicks[random.integers(0, count, round(random.uniform(100, 500) * count / RATE_HZ))] = 1
        total += fftconvolve(clicks, burst(random, random.uniform(0.003, 0.012), centre * 0.6, centre * 1.5))[:count]
    return total


def spectral_rain(random: Random, count: int) -> Samples:
    """A spectrum of random sizes and phases with one broad hump, and crackling in front."""
    frequency = np.fft.rfftfreq(count, 1 / RATE_HZ)
    hump = np.exp(-((np.log(frequency + 1) - np.log(random.uniform(1500, 4500))) ** 2) / random.uniform(0.6, 2))
    sizes = random.exponential(1, len(frequency)) * np.exp(2j * np.pi * random.uniform(size=len(frequency)))
    rush = np.fft.irfft(hump * sizes, count)
    crackle = random.standard_t(3, count)
    return np.asarray(rush / rush.std() + 0.3 * band(crackle, 1000, 7000))


def moving_pole(random: Random, count: int) -> Samples:
    """Noise through a resonator that wanders."""
    centre = wandering(random, count, 1.0, random.uniform(100, 250), random.uniform(400, 900))
    moved = moving(noise(random, count, slope=0.5), centre, random.uniform(60, 250))
    return band(moved, 60, 3000) * wandering(random, count, 1, 0.2, 1)


def many_sines(random: Random, count: int) -> Samples:
    """Two hundred deep sines, each of which comes and goes by itself, in gusts."""
    time, total = clock(count), np.zeros(count)
    for pitch in 60 * np.exp(random.uniform(0, np.log(random.uniform(6, 14)), 200)):
        slow = 1 + np.sin(2 * np.pi * random.uniform(0.5, 4) * time + random.uniform(0, 6))
        total += slow * np.sin(2 * np.pi * pitch * time + random.uniform(0, 6)) * (60 / pitch) ** 0.5
    return total * wandering(random, count, 1, 0.15, 1)


def echoed_crack(random: Random, count: int) -> Samples:
    """A crack in a valley: a bang and echoes that are ever duller."""
    bang = burst(random, random.uniform(0.05, 0.2), 40, random.uniform(1500, 4000))
    parts, at = [], random.uniform(0.1, 0.8)
    for order in range(random.integers(5, 12)):
        dull = band(bang, 0, 2500 / (1 + order)) if order else bang
        parts.append((at, np.pad(dull, (0, span(0.3))) * 0.8**order))
        at += random.uniform(0.05, 0.35)
    valley = random.normal(size=span(2)) * np.exp(-clock(span(2)) / random.uniform(0.3, 0.7))
    dry = placed(count, parts)
    return dry + 0.5 * band(fftconvolve(dry, valley / np.linalg.norm(valley))[:count], 20, 250)


def random_walk_boom(random: Random, count: int) -> Samples:
    """A random walk, held near zero, that swells at once and rolls away in two or three waves."""
    walk = lfilter([1.0], [1, -0.995], random.normal(size=count))
    start = random.uniform(0.1, 0.8)
    time = np.maximum(clock(count) - start, 0)
    rolling = np.minimum(time / 0.03, 1) * np.exp(-time / random.uniform(0.5, 1.3))
    return np.asarray(band(walk, 20, 600) * rolling * (1 + 0.7 * np.sin(2 * np.pi * random.uniform(1, 3) * time)))


def modulated_crowd(random: Random, count: int) -> Samples:
    """Noise whose loudness is itself a rain of small decays."""
    hits = np.zeros(count)
    np.add.at(hits, random.integers(0, count, round(random.uniform(25, 120) * count / RATE_HZ)), 1)
    loudness = lfilter([1.0], [1, -np.exp(-1 / (RATE_HZ * random.uniform(0.005, 0.012)))], hits)
    return np.asarray(band(random.normal(size=count), random.uniform(500, 900), random.uniform(2500, 5000)) * loudness)


def hall_of_pulses(random: Random, count: int) -> Samples:
    """Pairs of hands, each a click through a resonance of its own and a pace that drifts, all in one hall."""
    total = np.zeros(count)
    for _ in range(random.integers(6, 25)):
        clicks = np.zeros(count)
        times = np.cumsum(random.uniform(0.18, 0.3) * wandering(random, 40, 2, 0.9, 1.1))
        places = (times * RATE_HZ).astype(int)
        clicks[places[places < count]] = random.uniform(0.2, 1)
        total += resonance(clicks, random.uniform(700, 2200), random.uniform(400, 900))
    hall = random.normal(size=span(0.5)) * np.exp(-clock(span(0.5)) / 0.1)
    return np.asarray(total + random.uniform(0.05, 0.3) * fftconvolve(total, hall / np.linalg.norm(hall))[:count])


def pressed_floor(random: Random, count: int) -> Samples:
    """Two half sines of force a step into three resonances of a floor."""
    floor = random.uniform(80, 600, 3)

    def step() -> Samples:
        force = np.zeros(span(0.35))
        toe = span(random.uniform(0.08, 0.15))
        for start, seconds, strength in ((0, 0.006, 1.0), (toe, 0.02, 0.5)):
            force[start : start + span(seconds)] += strength * np.hanning(span(seconds))
        scraped = force * (1 + 0.5 * random.normal(size=len(force)))
        return band(np.asarray(sum(resonance(scraped, mode, 40) for mode in floor)) + 0.1 * scraped, 50, 4000)

    return repeated(random, count, [step(), step()], 1 / random.uniform(1.4, 2.4), 0.04)


def in_leaves(random: Random, count: int) -> Samples:
    """Each step a rustle: crackling of heavy tails, pressed together."""

    def step() -> Samples:
        length = span(random.uniform(0.2, 0.4))
        crackle = random.standard_t(1.8, length) * (random.uniform(size=length) < 0.1)
        return band(np.clip(crackle, -8, 8), 800, 6000) * np.hanning(length) ** 1.5

    return repeated(random, count, [step() for _ in range(4)], 1 / random.uniform(1.3, 2.2), 0.05)


def chirped_tick(random: Random, count: int) -> Samples:
    """A chirp from high to low within some milliseconds."""
    length = span(random.uniform(0.004, 0.012))
    glide = np.geomspace(random.uniform(5000, 7000), random.uniform(600, 1500), length)
    tick = harmonics(glide, length, [1.0]) * np.linspace(1, 0, length)
    return repeated(random, count, [tick], 1 / random.choice([1, 2, 2, 3, 4]))


def ratchet_clock(random: Random, count: int) -> Samples:
    """Two hard impulses closely one after the other in a wooden case that answers dully."""
    pair = np.zeros(span(0.1))
    pair[0], pair[span(random.uniform(0.01, 0.03))] = 1, -random.uniform(0.3, 0.9)
    case = np.asarray(sum(resonance(pair, mode, 150) for mode in random.uniform(400, 2500, 4)))
    return repeated(random, count, [case + 0.3 * pair], 1 / random.choice([1, 1.5, 2, 2.5]))
