"""Drums as patterns of sixteen steps."""

import numpy as np

from training.sounds.synthesis import (
    RATE_HZ,
    Random,
    Samples,
    band,
    burst,
    clock,
    harmonics,
    placed,
    span,
    struck,
)


def _pattern(random: Random, count: int, kit: dict[str, Samples], patterns: dict[str, str]) -> Samples:
    """Sixteen steps, x where a drum is struck."""
    step, parts = 60 / random.uniform(75, 150) / 4, []
    for place, start in enumerate(np.arange(0, count / RATE_HZ, step)):
        for name, drum in kit.items():
            if patterns[name][place % 16] == "x" or random.uniform() < 0.03:
                parts.append((float(start), drum * random.uniform(0.7, 1)))
    return placed(count, parts)


def _glide_drum(random: Random, top_hz: float, low_hz: float, seconds: float) -> Samples:
    time = clock(span(seconds))
    return harmonics(low_hz + (top_hz - low_hz) * np.exp(-time / 0.03), len(time), [1.0]) * np.exp(-5 * time / seconds)


_ROCK = {"kick": "x.....x.x.......", "snare": "....x.......x...", "hat": "x.x.x.x.x.x.x.x."}


_FUNK = {"kick": "x..x......x..x..", "snare": "....x..x.x..x...", "hat": "xxxxxxxxxxxxxxxx"}


def rock_kit(random: Random, count: int) -> Samples:
    """Kick, snare and hi-hat."""
    snare = burst(random, 0.2, 300, 6500)
    snare += 0.6 * struck(random, len(snare), [190, 330], 0.06, [1, 0.6])
    kit = {"kick": 2 * _glide_drum(random, 150, 50, 0.3), "snare": snare, "hat": 0.6 * burst(random, 0.06, 4500, 7800)}
    return _pattern(random, count, kit, _ROCK if random.uniform() < 0.5 else _FUNK)


def toms(random: Random, count: int) -> Samples:
    """Three toms in turn."""
    base = random.uniform(80, 180)
    names = ("kick", "snare", "hat")
    kit = {
        name: struck(random, span(0.5), base * ratio * np.array([1, 1.6, 2.2]), [0.2, 0.12, 0.08], [1, 0.5, 0.3])
        + 0.2 * np.pad(burst(random, 0.03, 200, 4000), (0, span(0.5) - span(0.03)))
        for name, ratio in zip(names, (1, 1.5, 2.1), strict=True)
    }
    return _pattern(
        random, count, kit, {"kick": "x...x...x...x...", "snare": "..x..x....x..x..", "hat": "......xx......xx"}
    )


def hand_drum(random: Random, count: int) -> Samples:
    """Low open strokes and high slaps."""
    low = struck(random, span(0.35), random.uniform(90, 160) * np.array([1, 1.5, 2]), 0.12, [1, 0.5, 0.3])
    slap = struck(random, span(0.12), random.uniform(400, 900) * np.array([1, 1.6, 2.4]), 0.03, [1, 0.7, 0.5])
    slap += np.pad(burst(random, 0.03, 800, 6000), (0, len(slap) - span(0.03)))
    kit = {"kick": 1.5 * low, "snare": slap, "hat": 0.4 * slap}
    return _pattern(
        random, count, kit, {"kick": "x.....x.x.....x.", "snare": "...x..x....x..x.", "hat": ".x.x.x.x.x.x.x.x"}
    )


def drum_machine(random: Random, count: int) -> Samples:
    """A sine that falls, claps, and six square waves as a cymbal."""
    size = span(0.08)
    metal = sum(np.sign(harmonics(pitch, size, [1.0])) for pitch in (2050, 3040, 3690, 5220, 5400, 6300))
    kit = {
        "kick": 2.5 * _glide_drum(random, 110, 45, 0.6),
        "snare": placed(span(0.2), [(at, burst(random, 0.1, 800, 3000)) for at in (0, 0.01, 0.02)]),
        "hat": 0.2 * band(np.asarray(metal), 5000, 7800) * np.exp(-clock(size) / 0.02),
    }
    return _pattern(random, count, kit, _FUNK if random.uniform() < 0.5 else _ROCK)


def membranes(random: Random, count: int) -> Samples:
    """Round membranes: the zeros of Bessel functions as partials, each struck by soft mallets."""
    ratios = np.array([1, 1.594, 2.136, 2.296, 2.653, 2.918, 3.156, 3.5])
    kit = {}
    for name, base in (
        ("kick", random.uniform(55, 90)),
        ("snare", random.uniform(140, 220)),
        ("hat", random.uniform(250, 400)),
    ):
        size = span(0.6)
        skin = struck(random, size, base * ratios, 0.25 / ratios, 1 / ratios)
        kit[name] = skin * np.minimum(clock(size) / 0.003, 1)
    return _pattern(
        random, count, kit, {"kick": "x...x.....x.....", "snare": "..x...x.x...x.x.", "hat": "....x..x....x.xx"}
    )


def marching_snares(random: Random, count: int) -> Samples:
    """Rolls and single strokes of noise with rattling wires."""
    time = clock(span(0.15))
    rattle = (0.6 + 0.4 * np.sign(np.sin(2 * np.pi * random.uniform(180, 260) * time))) * np.exp(-time / 0.03)
    stroke = band(random.normal(size=len(time)), 900, 7500) * rattle + 0.4 * struck(random, len(time), [220], 0.03, [1])
    kit = {"kick": 1.5 * stroke, "snare": stroke, "hat": 0.4 * stroke}
    return _pattern(
        random, count, kit, {"kick": "x.......x.......", "snare": "x..xx..xx.x.xxxx", "hat": "xxxxxxxx....xxxx"}
    )
