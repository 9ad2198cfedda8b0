"""Music as chords and melodies, drums as rhythm, and speech."""

import shutil
import subprocess
import wave
from io import BytesIO

import numpy as np
from scipy.signal import lfilter, resample_poly

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
    resonance,
    span,
    struck,
    wandering,
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
