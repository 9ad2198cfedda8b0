"""Rain, wind, thunder, dogs and birds."""

import numpy as np

from training.sounds.synthesis import (
    RATE_HZ,
    Random,
    Samples,
    band,
    beats,
    burst,
    clock,
    edged,
    falling,
    harmonics,
    noise,
    placed,
    resonance,
    scattered,
    span,
    wandering,
)


def steady_rain(random: Random, count: int) -> Samples:
    """Bright noise that hardly changes."""
    hiss = band(noise(random, count, slope=random.uniform(0, 1)), random.uniform(200, 1200), random.uniform(5000, 7800))
    return hiss * wandering(random, count, 1, 0.8, 1.0)


def drops(random: Random, count: int) -> Samples:
    """Thousands of tiny clicks."""
    clicks = np.zeros(count)
    places = random.integers(0, count, round(random.uniform(800, 4000) * count / RATE_HZ))
    np.add.at(clicks, places, random.exponential(1, len(places)) * random.choice([-1, 1], len(places)))
    return band(clicks, random.uniform(400, 1500), 7800)


def downpour(random: Random, count: int) -> Samples:
    """A roar with single drops in front of it."""
    kinds = [burst(random, random.uniform(0.005, 0.02), 1500, 6500) for _ in range(20)]
    near = ((time, kinds[random.integers(20)] * random.uniform(0.3, 1)) for time in scattered(random, count, 40))
    return 0.3 * band(noise(random, count, slope=0.7), 100, 7000) + placed(count, near)


def rain_on_a_roof(random: Random, count: int) -> Samples:
    """Drops that make metal or wood sound."""
    clicks = np.zeros(count)
    places = random.integers(0, count, round(400 * count / RATE_HZ))
    np.add.at(clicks, places, random.exponential(1, len(places)))
    ringing = sum(resonance(clicks, frequency, 250) for frequency in random.uniform(400, 3000, 4))
    return np.asarray(ringing) + 0.02 * noise(random, count, slope=0.5)


def bubbles(random: Random, count: int) -> Samples:
    """Minnaert's bubbles: each drop leaves a short sine that rises, above a hiss of splashes."""

    def bubble() -> Samples:
        length = span(random.uniform(0.005, 0.025))
        first = np.exp(random.uniform(np.log(900), np.log(6000)))
        tone = harmonics(np.linspace(first, first * 1.1, length), length, [1.0])
        return tone * np.exp(-4 * np.arange(length) / length) * random.exponential(1)

    falls = placed(count, ((time, bubble()) for time in scattered(random, count, random.uniform(250, 600))))
    return falls + 0.25 * band(random.normal(size=count), 2000, 7000)


def heavy_tailed_rain(random: Random, count: int) -> Samples:
    """Every sample a drop of its own whose size follows a power law, in two bands."""
    size = random.pareto(2.5, count) * random.choice([-1, 1], count)
    return band(size, 600, 2500, order=1) + random.uniform(0.5, 1.5) * band(size, 2500, 7500, order=1)


def gusts(random: Random, count: int) -> Samples:
    """Deep noise, louder and softer."""
    return band(noise(random, count, slope=2), 30, random.uniform(300, 900)) * wandering(random, count, 1, 0.2, 1) ** 2


def howling_wind(random: Random, count: int) -> Samples:
    """Two bands of noise that come and go by turns."""
    turn = wandering(random, count, 0.8, 0, 1)
    low, high = (
        band(noise(random, count, slope=1), centre * 0.7, centre * 1.4) for centre in random.uniform(150, 900, 2)
    )
    return low * turn + high * (1 - turn)


def whistling_wind(random: Random, count: int) -> Samples:
    """Narrow noise over a deep rush."""
    pitch = random.uniform(300, 900)
    narrow = sum(resonance(noise(random, count, slope=1), pitch * ratio, 40) for ratio in (1, 1.3))
    swell = wandering(random, count, 1.5, 0, 1)
    return np.asarray(narrow) * swell * 6 + 0.5 * gusts(random, count)


def storm_spectrum(random: Random, count: int) -> Samples:
    """Turbulence: the power falls as frequency^(5/3), its strength is log-normal and slow."""
    strength = np.exp(0.8 * band(random.normal(size=count), 0, 1.0, order=1) / 0.008)
    return np.asarray(noise(random, count, slope=5 / 3) * np.clip(strength, 0, 6))


def wandering_moan(random: Random, count: int) -> Samples:
    """A sine whose pitch and strength are themselves slow noise, blurred by a rush."""
    pitch = wandering(random, count, 1.2, 250, 700) + 25 * band(random.normal(size=count), 0, 20)
    blurred = harmonics(pitch, count, [1.0]) * np.abs(band(random.normal(size=count), 0, 30)) * 10
    return blurred * wandering(random, count, 1, 0.1, 1) + 0.8 * noise(random, count, slope=1.8)


def _rumble(random: Random, count: int, top_hz: float, decay_seconds: float) -> Samples:
    return band(noise(random, count, slope=1.5), 20, top_hz) * np.exp(-clock(count) / decay_seconds)


def near_thunder(random: Random, count: int) -> Samples:
    """A crack, then a long rumble."""
    start = random.uniform(0, 1)
    crack = burst(random, random.uniform(0.1, 0.4), 100, 5000) * 2
    rolling = _rumble(random, count, random.uniform(120, 400), random.uniform(0.8, 2.5))
    return placed(count, [(start, crack), (start + 0.05, rolling * wandering(random, count, 5, 0.4, 1))])


def rolling_thunder(random: Random, count: int) -> Samples:
    """Several far rumbles into each other."""
    return placed(
        count,
        (
            (time, edged(_rumble(random, span(2.5), random.uniform(80, 250), 1.0), random.uniform(0.02, 0.3), 0.1))
            for time in scattered(random, count, 1.5) or [0.3]
        ),
    )


def explosion(random: Random, count: int) -> Samples:
    """One blow that dies away."""
    blow = _rumble(random, count, random.uniform(300, 1500), random.uniform(0.2, 0.9))
    return placed(count, [(random.uniform(0.1, 1), np.tanh(2 * blow))])


def lightning_channel(random: Random, count: int) -> Samples:
    """Few's model: a crooked channel of pieces, each of which sends an N-wave that arrives when it can."""

    def n_wave() -> Samples:
        length = span(random.uniform(0.004, 0.02))
        return np.linspace(1, -1, length)

    start, spread = random.uniform(0.1, 0.8), random.uniform(0.5, 1.5)
    arrivals = start + random.exponential(spread, 300)
    waves = placed(count, ((time, n_wave() * random.exponential(1) / (1 + 2 * (time - start))) for time in arrivals))
    return band(waves, 0, random.uniform(250, 900), order=1)


def _barked(random: Random, count: int, one: list[Samples], every_seconds: float) -> Samples:
    times = beats(random, count, every_seconds, jitter=0.12)
    return placed(count, ((time, one[place % len(one)] * random.uniform(0.6, 1)) for place, time in enumerate(times)))


def _bark(random: Random, low_hz: float, high_hz: float) -> Samples:
    length = span(random.uniform(0.09, 0.24))
    arch = np.sin(np.pi * np.linspace(0.1, 1, length)) ** 0.7
    tone = harmonics(
        random.uniform(low_hz, high_hz) * (0.65 + 0.35 * arch), length, falling(14, random.uniform(0.4, 0.9))
    )
    rough = tone * (1 + 0.6 * band(random.normal(size=length), 0, 200)) + 0.35 * random.normal(size=length)
    return band(rough, low_hz * 0.8, random.uniform(2500, 5000)) * arch


def middle_bark(random: Random, count: int) -> Samples:
    """A dog of middle size."""
    return _barked(random, count, [_bark(random, 350, 700) for _ in range(3)], random.uniform(0.35, 1))


def yap(random: Random, count: int) -> Samples:
    """A small dog."""
    return _barked(random, count, [_bark(random, 700, 1300) for _ in range(3)], random.uniform(0.25, 0.6))


def woof(random: Random, count: int) -> Samples:
    """A big dog."""
    return _barked(random, count, [_bark(random, 150, 320) for _ in range(3)], random.uniform(0.5, 1.4))


def clipped_bark(random: Random, count: int) -> Samples:
    """A glide that is driven into distortion."""
    length = span(random.uniform(0.12, 0.22))
    glide = np.linspace(random.uniform(500, 900), random.uniform(250, 450), length)
    driven = np.tanh(5 * harmonics(glide, length, [1, 0.8, 0.6]) + random.normal(0, 0.8, length))
    one = resonance(driven, random.uniform(800, 1400), 400) * np.sin(np.pi * np.linspace(0, 1, length)) ** 0.5
    return _barked(random, count, [one], random.uniform(0.4, 0.9))


def throaty_bark(random: Random, count: int) -> Samples:
    """Irregular pulses of a throat, every second one weaker, through the resonances of a muzzle."""

    def one() -> Samples:
        length, pulses, place, order = span(random.uniform(0.12, 0.25)), [], 0.0, 0
        while place < length / RATE_HZ:
            pulses.append((place, np.array([1.0 if order % 2 == 0 else 0.5])))
            place += random.uniform(0.9, 1.1) / pitch
            order += 1
        excited = placed(length, pulses) + 0.05 * random.normal(size=length)
        mouth = resonance(excited, first, 150) + 0.7 * resonance(excited, first * 2.3, 250)
        return (mouth + 0.3 * resonance(excited, 3000, 500)) * np.hanning(length) ** 0.6

    pitch, first = random.uniform(250, 600), random.uniform(500, 900)
    return _barked(random, count, [one() for _ in range(3)], random.uniform(0.35, 1))


def modulated_bark(random: Random, count: int) -> Samples:
    """Frequency modulation with a large index, falling pitch, and a breath."""
    length = span(random.uniform(0.1, 0.2))
    angle = 2 * np.pi * np.cumsum(np.linspace(random.uniform(450, 800), 300, length)) / RATE_HZ
    fading = np.exp(-3 * np.arange(length) / length)
    one = np.sin(angle + 4 * fading * np.sin(angle * 1.007)) + 0.4 * random.normal(size=length)
    return _barked(random, count, [edged(one * fading, 0.008, 0.03)], random.uniform(0.35, 0.9))


def _sung(random: Random, count: int, syllable: Samples, low_seconds: float, high_seconds: float) -> Samples:
    times = np.cumsum(random.uniform(low_seconds, high_seconds, 60))
    return placed(count, ((float(time), syllable * random.uniform(0.4, 1)) for time in times))


def chirps(random: Random, count: int) -> Samples:
    """Short glides, high."""
    length, first = span(random.uniform(0.04, 0.15)), random.uniform(2200, 5500)
    glide = np.linspace(first, first * random.uniform(0.6, 1.5), length)
    return _sung(random, count, harmonics(glide, length, [1, 0.1]) * np.hanning(length), 0.12, 0.6)


def trill(random: Random, count: int) -> Samples:
    """One note very often, then a pause."""
    length, first = span(random.uniform(0.02, 0.05)), random.uniform(2500, 6000)
    note = harmonics(np.linspace(first * 1.2, first, length), length, [1.0]) * np.hanning(length)
    every = random.uniform(0.04, 0.09)
    phrase = placed(span(0.9), ((time, note) for time in np.arange(0, random.uniform(0.4, 0.8), every)))
    return _sung(random, count, phrase, 0.9, 1.6)


def whistled_song(random: Random, count: int) -> Samples:
    """Long clear notes that bend."""
    notes, at = [], random.uniform(0, 0.3)
    while at < count / RATE_HZ:
        length, first = span(random.uniform(0.1, 0.35)), random.uniform(1800, 4500)
        bent = first * (1 + 0.15 * np.sin(np.linspace(0, random.uniform(1, 6), length)))
        notes.append((at, harmonics(bent, length, [1, 0.05]) * np.hanning(length)))
        at += length / RATE_HZ + random.uniform(0.03, 0.3)
    return placed(count, notes)


def warbler(random: Random, count: int) -> Samples:
    """Notes with a very quick vibrato."""
    length, first = span(random.uniform(0.15, 0.5)), random.uniform(2500, 5000)
    quick = first * (1 + 0.15 * np.sin(2 * np.pi * random.uniform(25, 60) * clock(length)))
    return _sung(random, count, harmonics(quick, length, [1.0]) * np.hanning(length), 0.25, 0.9)


def twitter(random: Random, count: int) -> Samples:
    """A syrinx driven at random: pitch takes a random walk while pressure opens and closes it."""
    walk = np.cumsum(random.normal(size=count // 160 + 2))
    pitch = 3800 + 1500 * np.sin(np.interp(np.arange(count), np.arange(len(walk)) * 160, walk))
    pressure = np.clip(band(random.normal(size=count), 4, 14) * 25 + 0.1, 0, 1)
    return harmonics(pitch, count, [1, 0.2]) * pressure


def two_note_call(random: Random, count: int) -> Samples:
    """High, low, a pause; as a great tit."""
    high, each = random.uniform(2800, 5000), random.uniform(0.09, 0.2)
    notes = [harmonics(pitch, span(each), [1, 0.15, 0.05]) for pitch in (high, high * random.uniform(0.7, 0.85))]
    phrase = np.concatenate([edged(note, 0.02, 0.03) for note in notes])
    return placed(count, ((time, phrase) for time in beats(random, count, 2 * each + random.uniform(0.02, 0.2))))


def patter(random: Random, count: int) -> Samples:
    """Drops of any density, through the colours of whatever they fall on."""
    clicks = np.zeros(count)
    places = random.integers(0, count, round(random.uniform(150, 2500) * count / RATE_HZ))
    np.add.at(clicks, places, random.exponential(1, len(places)))
    colours = [resonance(clicks, frequency, random.uniform(200, 1500)) for frequency in random.uniform(300, 5000, 3)]
    return np.asarray(sum(colours)) + random.uniform(0, 0.05) * noise(random, count)


def breeze(random: Random, count: int) -> Samples:
    """Bright or dull noise in slow gusts."""
    rush = band(noise(random, count, slope=random.uniform(0.5, 2)), random.uniform(60, 400), random.uniform(900, 4000))
    return rush * wandering(random, count, random.uniform(0.4, 1.2), 0.05, 1) ** random.uniform(1, 2)


def cannonade(random: Random, count: int) -> Samples:
    """Booms with an echo, near or far, now and then."""
    parts = []
    for time in scattered(random, count, random.uniform(0.3, 1.2)) or [0.4]:
        boom = _rumble(random, span(2.5), random.uniform(100, 900), random.uniform(0.1, 0.8))
        parts += [(time, boom), (time + random.uniform(0.1, 0.6), 0.4 * band(boom, 0, 200))]
    return placed(count, parts)
