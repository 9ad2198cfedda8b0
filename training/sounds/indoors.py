"""Engines, clocks, footsteps, applause."""

import numpy as np

from training.sounds.synthesis import (
    RATE_HZ,
    Random,
    Samples,
    band,
    beats,
    burst,
    clock,
    falling,
    harmonics,
    noise,
    placed,
    resonance,
    scattered,
    span,
    struck,
    wandering,
)


def _fired(random: Random, count: int, rate_hz: Samples, strengths: Samples) -> Samples:
    """One impulse each time the phase of a rate passes a whole number, its strength by cylinder."""
    phase = np.cumsum(rate_hz) / RATE_HZ
    places = np.flatnonzero(np.diff(np.floor(phase)) > 0)
    pulses = np.zeros(count)
    pulses[places] = strengths[np.arange(len(places)) % len(strengths)] * random.uniform(0.85, 1.15, len(places))
    return pulses


def exhaust(random: Random, count: int) -> Samples:
    """Impulses of combustion through the resonances of an exhaust."""
    rate = wandering(random, count, 0.7, *np.sort(random.uniform(15, 110, 2)))
    pulses = _fired(random, count, rate, np.array([1.0]))
    pipes = sum(resonance(pulses, frequency, 60) for frequency in random.uniform(60, 700, 4))
    return np.asarray(pipes) + 0.002 * noise(random, count, slope=1)


def harmonic_motor(random: Random, count: int) -> Samples:
    """Many harmonics of a slowly changing speed, with a shake of half the order."""
    speed = random.uniform(25, 90) * wandering(random, count, 0.6, 0.9, 1.15)
    shaking = 1 + 0.4 * harmonics(speed / 2, count, [1.0])
    return harmonics(speed, count, list(random.uniform(0.3, 1, 25) / np.arange(1, 26) ** 0.7)) * shaking + 0.3 * noise(
        random, count, slope=1.2
    )


def diesel(random: Random, count: int) -> Samples:
    """Slow hard knocks."""
    rate = np.full(count, random.uniform(8, 24)) * wandering(random, count, 2, 0.97, 1.03)
    knocks = _fired(random, count, rate, random.uniform(0.6, 1, 4))
    hard = resonance(knocks, random.uniform(800, 2000), 300) * 0.5 + resonance(knocks, random.uniform(60, 150), 50)
    return hard + 0.003 * noise(random, count, slope=1.5)


def revving(random: Random, count: int) -> Samples:
    """A sawtooth that goes up and down and is driven into distortion."""
    speed = wandering(random, count, 1.2, 50, 190)
    return band(np.tanh(2.5 * harmonics(speed, count, falling(30, 1.0))), 50, 3500) + 0.05 * noise(random, count)


def two_stroke(random: Random, count: int) -> Samples:
    """A sine, rectified and sharpened, whose speed takes a random walk."""
    steps = np.cumsum(random.normal(0, 1.5, count // 800 + 2))
    walk = np.interp(np.arange(count), np.arange(len(steps)) * 800, steps)
    speed = np.clip(random.uniform(50, 140) + walk, 30, 200)
    sharp = np.maximum(harmonics(speed, count, [1.0]), 0) ** random.uniform(6, 14)
    return band(sharp - sharp.mean(), 40, 5000, order=1) * (1 + 0.3 * random.normal(size=count))


def four_cylinders(random: Random, count: int) -> Samples:
    """Each cylinder a burst of deep noise with a loudness of its own."""
    rate = random.uniform(18, 60)
    loudness = random.uniform(0.5, 1, 4)
    shots = [burst(random, random.uniform(0.02, 0.04), 40, random.uniform(300, 900)) for _ in range(4)]
    firing = beats(random, count, 1 / rate, jitter=0.02)
    return placed(count, ((time, shots[place % 4] * loudness[place % 4]) for place, time in enumerate(firing)))


def _ticked(random: Random, count: int, ticks: list[Samples]) -> Samples:
    times = beats(random, count, 1 / random.choice([1, 1.5, 2, 2, 2.5, 3, 4]))
    return placed(count, ((time, ticks[place % len(ticks)]) for place, time in enumerate(times)))


def wall_clock(random: Random, count: int) -> Samples:
    """A short high ring at each tick."""
    ring = struck(random, span(0.05), random.uniform(1800, 5500, 3), random.uniform(0.003, 0.012, 3), [1, 0.7, 0.5])
    return _ticked(random, count, [ring])


def tick_tock(random: Random, count: int) -> Samples:
    """Two sounds by turns."""
    base = random.uniform(900, 3000)
    pair = [
        struck(random, span(0.06), base * ratio * np.array([1, 1.7, 2.6]), 0.008, [1, 0.6, 0.4])
        for ratio in (1.0, random.uniform(0.7, 0.85))
    ]
    return _ticked(random, count, pair)


def wooden_metronome(random: Random, count: int) -> Samples:
    """A block of wood."""
    block = struck(
        random, span(0.12), random.uniform(700, 1600) * np.array([1, 2.6, 4.3]), [0.02, 0.012, 0.008], [1, 0.4, 0.2]
    )
    return _ticked(random, count, [block])


def noise_click(random: Random, count: int) -> Samples:
    """A click of noise."""
    return _ticked(random, count, [burst(random, random.uniform(0.006, 0.02), random.uniform(1500, 3000), 7800)])


def escapement(random: Random, count: int) -> Samples:
    """The three knocks of an anchor within each beat: unlocking, impulse, drop."""

    def beat() -> Samples:
        knocks = (
            (at, strength * np.exp(-np.arange(60) / 12) * random.normal(size=60))
            for at, strength in ((0.0, 0.4), (random.uniform(0.004, 0.009), 0.6), (random.uniform(0.012, 0.02), 1))
        )
        return resonance(placed(span(0.08), knocks), case_hz, 900)

    case_hz = random.uniform(2500, 5000)
    return _ticked(random, count, [beat(), beat()])


def electronic_metronome(random: Random, count: int) -> Samples:
    """A few milliseconds of a tone, every fourth one higher."""
    length, pitch = span(random.uniform(0.008, 0.03)), random.uniform(800, 2500)
    low, high = (harmonics(pitch * ratio, length, [1.0, 0.4]) * np.hanning(length) for ratio in (1.0, 1.5))
    return _ticked(random, count, [high, low, low, low])


def _walked(random: Random, count: int, steps: list[Samples], low_hz: float = 1.4, high_hz: float = 2.4) -> Samples:
    times = beats(random, count, 1 / random.uniform(low_hz, high_hz), jitter=0.04)
    return placed(
        count, ((time, steps[place % len(steps)] * random.uniform(0.6, 1)) for place, time in enumerate(times))
    )


def heel_and_toe(random: Random, count: int) -> Samples:
    """A thud and a softer one."""

    def step() -> Samples:
        heel = burst(random, random.uniform(0.05, 0.1), 60, random.uniform(400, 1500))
        toe = burst(random, 0.07, 200, random.uniform(1500, 4000)) * random.uniform(0.2, 0.6)
        return placed(span(0.3), [(0, heel), (random.uniform(0.06, 0.13), toe)])

    return _walked(random, count, [step(), step()])


def on_gravel(random: Random, count: int) -> Samples:
    """Many stones a step."""

    def step() -> Samples:
        length = random.uniform(0.15, 0.3)
        stones = ((random.beta(2, 3) * length, kinds[random.integers(20)]) for _ in range(40))
        return placed(span(length + 0.05), stones)

    kinds = [burst(random, random.uniform(0.004, 0.015), 1200, 7000) for _ in range(20)]
    return _walked(random, count, [step(), step(), step()])


def on_boards(random: Random, count: int) -> Samples:
    """Hollow wood."""

    def step() -> Samples:
        wood = struck(
            random, span(0.2), random.uniform(80, 420, 5), random.uniform(0.02, 0.06, 5), random.uniform(0.3, 1, 5)
        )
        click = burst(random, 0.02, 500, 3000)
        wood[: len(click)] += 0.5 * click
        return wood

    return _walked(random, count, [step(), step()])


def high_heels(random: Random, count: int) -> Samples:
    """A hard click in a hall."""
    click = burst(random, 0.025, 1000, 6000)
    hall = random.normal(size=span(0.4)) * np.exp(-clock(span(0.4)) / 0.08) * 0.05
    hall[: len(click)] += click
    return _walked(random, count, [hall, hall * 0.8])


def in_snow(random: Random, count: int) -> Samples:
    """Sticking and slipping: noise in quick jerks that slow down while the foot presses."""

    def step() -> Samples:
        length = span(random.uniform(0.25, 0.4))
        jerks = (np.sin(2 * np.pi * np.cumsum(np.linspace(70, 25, length)) / RATE_HZ) > 0.3).astype(float)
        return band(random.normal(size=length) * jerks, 700, 5500) * np.hanning(length)

    return _walked(random, count, [step(), step()], 1.3, 2.0)


def running(random: Random, count: int) -> Samples:
    """Pressure like a bell curve, and a scrape; quick."""

    def step() -> Samples:
        time = clock(span(0.15))
        press = np.exp(-(((time - 0.03) / random.uniform(0.008, 0.015)) ** 2))
        thump = press * np.sin(2 * np.pi * random.uniform(70, 140) * time)
        return thump + 0.25 * np.exp(-(((time - 0.05) / 0.02) ** 2)) * noise(random, len(time), slope=0.5)

    return _walked(random, count, [step(), step()], 2.4, 3.2)


def _hands(random: Random, seconds: float = 0.05) -> Samples:
    centre = random.uniform(700, 2500)
    return burst(random, random.uniform(0.4, 1) * seconds, centre * 0.6, centre * 1.8)


def audience(random: Random, count: int) -> Samples:
    """People who clap at a pace of their own."""
    claps = []
    for _ in range(random.integers(8, 60)):
        own, near = _hands(random), random.uniform(0.2, 1) ** 2
        claps += [(time, own * near) for time in beats(random, count, random.uniform(0.2, 0.35), jitter=0.1)]
    return placed(count, claps)


def crowd(random: Random, count: int) -> Samples:
    """So many hands that they are a rush, with cheers above."""
    hands = [_hands(random) for _ in range(30)]
    times = scattered(random, count, random.uniform(150, 350))
    claps = ((time, hands[random.integers(30)] * random.uniform(0.3, 1)) for time in times)
    cheers = band(noise(random, count), 500, 1800) * wandering(random, count, 3, 0, 1)
    return placed(count, claps) + random.uniform(0, 0.15) * cheers


def few_hands(random: Random, count: int) -> Samples:
    """Two to six people."""
    claps = []
    for _ in range(random.integers(2, 7)):
        own = [_hands(random, 0.06) for _ in range(3)]
        times = beats(random, count, random.uniform(0.2, 0.35), jitter=0.06)
        claps += [(time, own[place % 3]) for place, time in enumerate(times)]
    return placed(count, claps)


def in_unison(random: Random, count: int) -> Samples:
    """A hall that claps in time."""
    hands = [_hands(random) for _ in range(25)]
    times = beats(random, count, random.uniform(0.35, 0.6))
    return placed(count, ((abs(time + random.normal(0, 0.03)), own) for time in times for own in hands))


def cupped_hands(random: Random, count: int) -> Samples:
    """Hands as hollow bodies that ring for a moment; more and more of them, then fewer."""
    length = count / RATE_HZ
    times = length * random.beta(2, 2, round(random.uniform(40, 120) * length))
    kinds = [
        struck(random, span(0.04), random.uniform(400, 2800, 3), 0.006, [1, 0.7, 0.4])
        + 0.5 * burst(random, 0.04, 800, 5000)
        for _ in range(20)
    ]
    return placed(count, ((float(time), kinds[random.integers(20)] * random.uniform(0.2, 1)) for time in times))


def velvet_applause(random: Random, count: int) -> Samples:
    """Sparse impulses of either sign through one room and one pair of hands."""
    sparse = np.zeros(count)
    places = random.integers(0, count, round(random.uniform(60, 200) * count / RATE_HZ))
    sparse[places] = random.choice([-1, 1], len(places)) * random.lognormal(0, 0.6, len(places))
    hands = _hands(random, 0.05)
    room = random.normal(size=span(0.15)) * np.exp(-clock(span(0.15)) / 0.04) * 0.1
    return np.convolve(np.convolve(sparse, hands)[:count], np.concatenate([[1.0], room]))[:count]


def propeller(random: Random, count: int) -> Samples:
    """Blades: many harmonics that swell as they beat against each other, with the rush of air."""
    speed = random.uniform(30, 130) * wandering(random, count, 0.5, 0.95, 1.05)
    beating = 1 + random.uniform(0.1, 0.6) * np.sin(2 * np.pi * random.uniform(1, 12) * clock(count))
    blades = harmonics(speed, count, falling(int(random.integers(10, 40)), random.uniform(0.5, 1.3)))
    return blades * beating + random.uniform(0.05, 0.5) * noise(random, count, slope=1)


def soft_shoes(random: Random, count: int) -> Samples:
    """One dull or scraping sound a step."""
    centre, length = random.uniform(150, 2500), random.uniform(0.04, 0.15)
    attack = random.uniform(0.001, 0.03)
    steps = [burst(random, length, centre * 0.4, centre * 2, attack_seconds=attack) for _ in range(3)]
    return _walked(random, count, steps, 1.3, 2.6)
