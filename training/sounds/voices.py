"""Speech: from formants, from whispering, and from espeak-ng where that is installed."""

import shutil
import subprocess
import wave
from io import BytesIO

import numpy as np
from scipy.signal import resample_poly

from training.sounds.synthesis import (
    RATE_HZ,
    Random,
    Samples,
    band,
    burst,
    edged,
    falling,
    harmonics,
    placed,
    resonance,
    span,
    wandering,
)

_VOWELS = (
    (730, 1090, 2440),
    (270, 2290, 3010),
    (300, 870, 2240),
    (530, 1840, 2480),
    (570, 840, 2410),
    (490, 1350, 1690),
)


def formants(random: Random, count: int) -> Samples:
    """Syllables of a throat's pulses through three formants, with hisses as consonants."""
    parts, at, pitch = [], random.uniform(0, 0.2), random.uniform(85, 240)
    size_of_head = random.uniform(0.9, 1.2)
    while at < count / RATE_HZ:
        length = span(random.uniform(0.08, 0.25))
        line = pitch * np.linspace(random.uniform(0.85, 1.25), random.uniform(0.8, 1.1), length)
        line = line * (1 + 0.01 * band(random.normal(size=length), 0, 30))
        source = harmonics(line, length, falling(40, 1.1)) + 0.02 * random.normal(size=length)
        vowel = _VOWELS[random.integers(len(_VOWELS))]
        mouth = sum(resonance(source, f * size_of_head, 60 + 0.05 * f) / (i + 1) for i, f in enumerate(vowel))
        parts.append((at, edged(np.asarray(mouth), 0.02, 0.04)))
        at += length / RATE_HZ
        if random.uniform() < 0.5:
            hiss = 0.1 * burst(random, random.uniform(0.03, 0.12), 2000, 7000, attack_seconds=0.02)
            parts.append((at, hiss * np.abs(parts[-1][1]).max()))
            at += random.uniform(0.03, 0.1)
        at += random.choice([0, 0, 0, random.uniform(0.1, 0.4)])
    return placed(count, parts)


def has_espeak() -> bool:
    """Whether the speech synthesiser espeak-ng is installed."""
    return shutil.which("espeak-ng") is not None


def _babble(random: Random) -> str:
    """Syllables of no language, so that no word is learnt by heart."""
    pairs = (
        "ba",
        "de",
        "ki",
        "lo",
        "mu",
        "sa",
        "te",
        "ri",
        "no",
        "fu",
        "ga",
        "ze",
        "pi",
        "sho",
        "vu",
        "la",
        "em",
        "or",
        "ist",
    )
    words = ["".join(random.choice(pairs, random.integers(1, 4))) for _ in range(24)]
    return " ".join(word + random.choice(["", "", "", ","]) for word in words)


def spoken(random: Random, count: int, voice: str) -> Samples:
    """What espeak-ng makes of babble; raises FileNotFoundError where it is not installed."""
    command = ["espeak-ng", "-v", voice, "-s", str(random.integers(120, 200)), "-p", str(random.integers(20, 80))]
    done = subprocess.run([*command, "--stdout", _babble(random)], capture_output=True, check=True)
    with wave.open(BytesIO(done.stdout)) as file:
        rate = file.getframerate()
    samples = np.frombuffer(done.stdout[44:], "<i2") / 32768  # the length in a streamed header is no length
    heard = resample_poly(samples, RATE_HZ, rate)
    return np.resize(heard[random.integers(0, RATE_HZ) :], count)


def espeak_english(random: Random, count: int) -> Samples:
    """Voices of English."""
    return spoken(random, count, random.choice(["en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp"]))


def espeak_languages(random: Random, count: int) -> Samples:
    """Voices of other languages."""
    return spoken(random, count, random.choice(["de", "fr-fr", "es", "it", "pl", "sv", "nl", "tr", "hi"]))


def espeak_women(random: Random, count: int) -> Samples:
    """Women's variants of the voices."""
    return spoken(random, count, random.choice(["en-us", "de", "es"]) + random.choice(["+f1", "+f2", "+f3", "+f4"]))


def espeak_klatt(random: Random, count: int) -> Samples:
    """Klatt's synthesiser in place of espeak's own, in languages that are nowhere else."""
    return spoken(
        random, count, random.choice(["pt", "ru", "el", "fi", "hu"]) + random.choice(["+klatt", "+klatt2", "+klatt4"])
    )


def whispered(random: Random, count: int) -> Samples:
    """Whispering: noise in place of the throat, with vowels that glide into each other."""
    source = random.normal(size=count)
    places = np.linspace(0, count, round(count / RATE_HZ * 5) + 2)
    vowels = np.array(_VOWELS)[random.integers(0, len(_VOWELS), len(places))]
    pieces = 20
    total = np.zeros(count)
    for formant in range(3):
        curve = np.interp(np.arange(pieces) * count / pieces, places, vowels[:, formant])
        tuned = [resonance(source, float(f), 120) for f in curve[:: pieces // 10]]
        weights = [np.clip(1 - np.abs(np.arange(count) * 10 / count - place), 0, 1) for place in range(len(tuned))]
        total += sum(own * weight for own, weight in zip(tuned, weights, strict=True)) / (formant + 1)
    return total * np.clip(wandering(random, count, 9, -0.3, 1), 0, 1)
