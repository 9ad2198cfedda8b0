"""Sounds that devices make on purpose: steady tones, beeping alarms, sirens and bells."""

import numpy as np

from training.sounds.synthesis import (
    RATE_HZ,
    Random,
    Samples,
    beats,
    clock,
    edged,
    falling,
    gated,
    harmonics,
    noise,
    placed,
    resonance,
    span,
    struck,
)


def _pitch(random: Random, low_hz: float, high_hz: float) -> float:
    """A frequency, as likely in each octave."""
    return float(np.exp(random.uniform(np.log(low_hz), np.log(high_hz))))


def sine(random: Random, count: int) -> Samples:
    """One sine."""
    return harmonics(_pitch(random, 150, 4000), count, [1.0])


def square(random: Random, count: int) -> Samples:
    """Odd harmonics, steady."""
    return harmonics(_pitch(random, 120, 2000), count, falling(15, 1.0, odd=True))


def pipe(random: Random, count: int) -> Samples:
    """A few weak harmonics with a breath of noise, as a tuning pipe."""
    tone = harmonics(_pitch(random, 200, 2500), count, [1.0, *random.uniform(0, 0.3, 3)])
    return tone + 0.01 * noise(random, count)


def trembling(random: Random, count: int) -> Samples:
    """A sine of slowly changing strength."""
    swing = 1 + random.uniform(0.1, 0.4) * np.sin(2 * np.pi * random.uniform(3, 8) * clock(count))
    return harmonics(_pitch(random, 150, 4000), count, [1.0]) * swing


def dial_tone(random: Random, count: int) -> Samples:
    """Two sines that are no harmonics of each other, as telephones use."""
    low = random.choice([350, 697, 770, 852, 941])
    high = random.choice([440, 1209, 1336, 1477, 1633])
    return harmonics(low, count, [1.0]) + harmonics(high, count, [1.0])


def ringing_resonance(random: Random, count: int) -> Samples:
    """Noise through a resonator so narrow that a tone is left."""
    return resonance(random.normal(size=count), _pitch(random, 300, 4000), random.uniform(0.5, 2))


def _pulsed(random: Random, count: int, tone: Samples, low: float, high: float) -> Samples:
    on = random.uniform(low, high)
    return tone * gated(count, on, on * random.uniform(0.7, 1.3), start_seconds=random.uniform(0, 1))


def beeps(random: Random, count: int) -> Samples:
    """A sine, on and off."""
    return _pulsed(random, count, harmonics(_pitch(random, 600, 3800), count, [1.0]), 0.06, 0.4)


def grouped_beeps(random: Random, count: int) -> Samples:
    """Three or four beeps of a square wave, a pause, and again."""
    group, on = random.integers(3, 5), random.uniform(0.05, 0.12)
    tone = harmonics(_pitch(random, 600, 2500), count, falling(9, 1.0, odd=True))
    return tone * gated(count, on, on) * gated(count, group * 2 * on, random.uniform(0.3, 0.7))


def warble(random: Random, count: int) -> Samples:
    """Two pitches that change places many times a second."""
    low = _pitch(random, 600, 1800)
    high = low * random.uniform(1.15, 1.5)
    fast = np.sin(2 * np.pi * random.uniform(6, 14) * clock(count)) > 0
    tone = harmonics(np.where(fast, low, high), count, falling(5, 1.0))
    return tone * gated(count, random.uniform(0.4, 1.0), random.uniform(0.3, 0.8))


def chirped_beeps(random: Random, count: int) -> Samples:
    """Short tones that each glide upwards."""
    every, first = random.uniform(0.2, 0.6), _pitch(random, 800, 2000)
    length = span(every * 0.5)
    glide = np.linspace(first, first * random.uniform(1.3, 2), length)
    one = edged(harmonics(glide, length, [1.0, 0.3]), 0.005, 0.01)
    return placed(count, ((time, one) for time in beats(random, count, every)))


def digital_watch(random: Random, count: int) -> Samples:
    """Pairs of high beeps by frequency modulation."""
    carrier, time = _pitch(random, 2000, 3500), clock(count)
    tone = np.sin(2 * np.pi * carrier * time + 2 * np.sin(2 * np.pi * carrier * 0.5 * time))
    return np.asarray(tone * gated(count, 0.06, 0.06) * gated(count, 0.24, random.uniform(0.6, 0.8)))


def reversing_lorry(random: Random, count: int) -> Samples:
    """A clipped sine, half a second on and half a second off."""
    tone = np.tanh(6 * harmonics(_pitch(random, 900, 1400), count, [1.0]))
    return _pulsed(random, count, resonance(tone, 1300, 900), 0.4, 0.55)


def wail(random: Random, count: int) -> Samples:
    """Slowly up and down, as a fire engine."""
    low, rate = random.uniform(350, 700), random.uniform(0.15, 0.5)
    swing = 0.5 - 0.5 * np.cos(2 * np.pi * (rate * clock(count) + random.uniform(0, 1)))
    return harmonics(low * random.uniform(1.8, 2.8) ** swing, count, falling(7, random.uniform(0.7, 1.5)))


def yelp(random: Random, count: int) -> Samples:
    """Quickly up and suddenly down, as a police car."""
    place = (random.uniform(1.5, 4.5) * clock(count) + random.uniform(0, 1)) % 1
    swing = np.minimum(place / 0.7, (1 - place) / 0.3)
    return harmonics(random.uniform(500, 800) * random.uniform(1.6, 2.5) ** swing, count, falling(9, 1.0, odd=True))


def two_tone(random: Random, count: int) -> Samples:
    """High and low by turns, as an ambulance in Europe."""
    low, each = random.uniform(380, 650), random.uniform(0.3, 0.9)
    high = ((clock(count) + random.uniform(0, 2)) // each) % 2
    return harmonics(low * random.uniform(1.2, 1.45) ** high, count, falling(8, random.uniform(0.5, 1.2)))


def howler(random: Random, count: int) -> Samples:
    """Exponentially up, slowly down, with a hiss of air."""
    place = (random.uniform(0.15, 0.4) * clock(count) + random.uniform(0, 1)) % 1
    swing = np.where(place < 0.4, 1 - np.exp(-6 * place), np.exp(-2.5 * (place - 0.4)))
    return harmonics(200 + 700 * swing, count, falling(10, 0.8)) + 0.15 * noise(random, count, slope=1)


def air_raid(random: Random, count: int) -> Samples:
    """A rotor that chops air in two rings of ports, speeding up and coasting down: two pulse trains at 5 to 6."""
    time, turning = clock(count) + random.uniform(0, 4), random.uniform(6, 12)
    speed = np.where(
        time % turning < turning / 2, 1 - np.exp(-(time % turning)), np.exp(-(time % turning - turning / 2) / 4)
    )
    base = random.uniform(350, 550) * (0.35 + 0.65 * speed)
    rings = [np.clip(harmonics(base * ratio, count, [1.0]), 0, 0.6) for ratio in (1.0, 6 / 5)]
    return rings[0] + rings[1] - np.mean(rings[0] + rings[1])


def piercer(random: Random, count: int) -> Samples:
    """A clipped sine swept up and down ten times a second and more."""
    rate, low = random.uniform(8, 16), random.uniform(700, 1000)
    place = np.abs((rate * clock(count)) % 1 * 2 - 1)
    return np.tanh(4 * harmonics(low + random.uniform(400, 900) * place, count, [1.0]))


def three_tone(random: Random, count: int) -> Samples:
    """Three steps of pitch by frequency modulation, as an ambulance in France or Italy."""
    steps = random.uniform(400, 520) * np.array([1.0, random.uniform(1.25, 1.4), random.uniform(1.1, 1.2)])
    each = random.uniform(0.25, 0.6)
    pitch = steps[((clock(count) + random.uniform(0, 2)) // each).astype(int) % 3]
    angle = 2 * np.pi * np.cumsum(pitch) / RATE_HZ
    return np.asarray(np.sin(angle + 1.5 * np.sin(2 * angle)))


def _rung(random: Random, count: int, one: Samples, every_seconds: float) -> Samples:
    strokes = beats(random, count, every_seconds, jitter=0.03)
    return placed(count, ((time, one * random.uniform(0.6, 1)) for time in strokes))


def church_bell(random: Random, count: int) -> Samples:
    """Hum, prime, tierce, quint, nominal and above."""
    ratios = np.array([0.5, 1, 1.2, 1.5, 2, 2.5, 2.67, 3.01, 4.1]) * random.uniform(0.99, 1.01, 9)
    decays = random.uniform(1.5, 4) / np.sqrt(ratios)
    one = struck(random, count, _pitch(random, 150, 900) * ratios, decays, random.uniform(0.3, 1, 9))
    return _rung(random, count, one, random.uniform(0.7, 2.5))


def hand_bell(random: Random, count: int) -> Samples:
    """The partials of a stiff bar, high and bright."""
    partials = _pitch(random, 700, 2200) * np.array([1, 2.76, 5.4, 8.93])
    one = struck(random, count, partials, random.uniform(0.3, 1.5) / np.array([1, 1.5, 2.5, 4]), [1, 0.6, 0.4, 0.2])
    return _rung(random, count, one, random.uniform(0.25, 1.2))


def hammered_gongs(random: Random, count: int) -> Samples:
    """Two gongs and a hammer between them, as in old telephones and at school."""
    base, rate = _pitch(random, 900, 2000), random.uniform(14, 26)
    gongs = [
        struck(
            random, span(0.6), base * detune * np.array([1, 1.9, 2.9, 4.2]), [0.3, 0.2, 0.15, 0.1], [1, 0.7, 0.5, 0.4]
        )
        for detune in (1.0, random.uniform(1.1, 1.3))
    ]
    hits = beats(random, count, 1 / rate)
    ringing = placed(count, ((time, gongs[place % 2]) for place, time in enumerate(hits)))
    return ringing * np.clip(gated(count, random.uniform(0.8, 2.5), random.uniform(0.05, 1)) + 0.05, 0, 1)


def modulated_bell(random: Random, count: int) -> Samples:
    """Chowning's bell: a carrier, a modulator at 1.4 times, an index that dies away."""
    time, carrier, decay = clock(count), _pitch(random, 200, 1200), random.uniform(0.6, 2.5)
    fading = np.exp(-time / decay)
    one = fading * np.sin(2 * np.pi * carrier * time + 6 * fading * np.sin(2 * np.pi * 1.4 * carrier * time))
    return _rung(random, count, one, random.uniform(0.8, 2.5))


def struck_plate(random: Random, count: int) -> Samples:
    """The modes of a rectangular plate."""
    sides = 1.0, random.uniform(1.1, 1.9)
    modes = np.array([(m / sides[0]) ** 2 + (n / sides[1]) ** 2 for m in range(1, 6) for n in range(1, 6)])
    partials = _pitch(random, 180, 500) * modes / modes.min()
    one = struck(random, count, partials, random.uniform(0.8, 2.5) / np.sqrt(modes), random.uniform(0.2, 1, len(modes)))
    return _rung(random, count, one, random.uniform(0.7, 2))


def tubular_chime(random: Random, count: int) -> Samples:
    """A long tube, free at both ends: modes at the squares of 3, 5, 7 ..., beating in pairs."""
    ratios = np.array([9, 25, 49, 81, 121, 169]) / 81
    partials = np.concatenate([ratios, ratios * 1.002]) * _pitch(random, 400, 1200)
    decays = np.tile(random.uniform(1, 3) / np.array([1, 1.1, 1.3, 1.6, 2, 2.5]), 2)
    one = struck(random, count, partials, decays, np.tile([0.3, 0.5, 0.8, 1, 0.6, 0.3], 2))
    return _rung(random, count, one, random.uniform(0.5, 1.8))


def any_beeps(random: Random, count: int) -> Samples:
    """Beeps of any waveform, straight or bent, at any even pace."""
    on, pitch = random.uniform(0.04, 0.5), _pitch(random, 450, 3500)
    off = on * random.uniform(0.4, 2)
    place = (clock(count) % (on + off)) / on
    bent = pitch * (1 + random.uniform(-0.3, 0.3) * np.minimum(place, 1) * (random.uniform() < 0.5))
    tone = harmonics(bent, count, list(random.uniform(0, 1, 6) * np.array([2, 1, 0.7, 0.5, 0.4, 0.3])))
    return tone * gated(count, on, off)


def singing_bowl(random: Random, count: int) -> Samples:
    """Few partials, each a pair that beats, dying away slowly."""
    ratios = np.array([1, 2.7, 4.9, 7.6])[: random.integers(2, 5)]
    partials = _pitch(random, 150, 900) * np.concatenate([ratios, ratios * random.uniform(1.002, 1.01)])
    one = struck(random, count, partials, random.uniform(1, 4), np.tile(random.uniform(0.3, 1, len(ratios)), 2))
    return _rung(random, count, one, random.uniform(1.2, 3))


def door_chime(random: Random, count: int) -> Samples:
    """Two or three notes of struck metal, again after a while."""
    base, notes, parts = _pitch(random, 350, 1100), random.integers(2, 4), []
    for start in np.arange(random.uniform(0, 0.5), count / RATE_HZ, random.uniform(1.5, 3)):
        for place in range(notes):
            partials = base * random.choice([0.8, 0.67, 1, 1.25]) * np.array([1, random.uniform(2.5, 4.2), 6.1])
            one = struck(random, span(2), partials, [random.uniform(0.4, 1.5), 0.4, 0.2], [1, 0.5, 0.3])
            parts.append((float(start) + 0.5 * place, one))
    return placed(count, parts)
