"""Every way of making every kind of sound, and what it is used for.

`train` families teach the network. `development` families were held back while it was designed, and taught it at the
very end. `unseen` families never did: the confusion table of the shipped weights is of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Literal

from training.sounds import indoors, outdoors, performed, signals
from training.sounds.synthesis import Random, Samples

Use = Literal["train", "development", "unseen"]

#: The kinds of sound, in the order of the network's outputs, with the sentences that name them for text. The network's
#: labels file is made of this.
LABELS: dict[str, tuple[str, ...]] = {
    "tone": ("a steady beep", "a pure tone", "a sine wave test tone"),
    "alarm": ("an alarm beeping", "an alarm clock", "repeated electronic beeps"),
    "siren": ("a siren", "the siren of an ambulance or a police car", "an air raid siren"),
    "bell": ("a bell ringing", "church bells", "chimes"),
    "engine": ("an engine running", "the motor of a car", "a motorcycle"),
    "rain": ("rain falling", "heavy rain", "pouring water"),
    "wind": ("wind blowing", "a storm howling", "gusts of wind"),
    "thunder": ("thunder", "an explosion", "a rumbling thunderstorm"),
    "dog": ("a dog barking", "a barking dog", "dogs"),
    "bird": ("a bird singing", "birds chirping", "birdsong"),
    "applause": ("applause", "people clapping their hands", "an audience clapping"),
    "footsteps": ("footsteps", "someone walking", "the sound of steps on the floor"),
    "ticking": ("a clock ticking", "a metronome", "tick tock"),
    "music": ("music playing", "a melody", "chords played on an instrument"),
    "drums": ("drums", "a drum beat", "drumming in a rhythm"),
    "speech": ("a person speaking", "someone talking", "a human voice"),
}


@dataclass(frozen=True, slots=True)
class Family:
    """One way of making one kind of sound: `make(random, count)` gives mono samples at 16 kHz of any scale."""

    label: str
    name: str
    use: Use
    make: Callable[[Random, int], Samples]

    @property
    def needs_espeak(self) -> bool:
        """Whether espeak-ng has to be installed for it."""
        return self.name.startswith("espeak_")


def _rows(label: str, module: ModuleType, *, train: str, development: str, unseen: str) -> list[Family]:
    uses: tuple[tuple[Use, str], ...] = (("train", train), ("development", development), ("unseen", unseen))
    return [Family(label, name, use, getattr(module, name)) for use, names in uses for name in names.split()]


FAMILIES: tuple[Family, ...] = (
    *_rows("tone", signals, train="sine square pipe", development="trembling", unseen="dial_tone ringing_resonance"),
    *_rows(
        "alarm",
        signals,
        train="beeps grouped_beeps warble any_beeps",
        development="chirped_beeps",
        unseen="digital_watch reversing_lorry",
    ),
    *_rows("siren", signals, train="wail yelp two_tone", development="howler", unseen="air_raid piercer three_tone"),
    *_rows(
        "bell",
        signals,
        train="church_bell hand_bell hammered_gongs singing_bowl door_chime",
        development="modulated_bell",
        unseen="struck_plate tubular_chime",
    ),
    *_rows(
        "engine",
        indoors,
        train="exhaust harmonic_motor diesel propeller",
        development="revving",
        unseen="two_stroke four_cylinders",
    ),
    *_rows(
        "rain",
        outdoors,
        train="steady_rain drops downpour patter",
        development="rain_on_a_roof",
        unseen="bubbles heavy_tailed_rain",
    ),
    *_rows(
        "wind",
        outdoors,
        train="gusts howling_wind breeze",
        development="whistling_wind",
        unseen="storm_spectrum wandering_moan",
    ),
    *_rows(
        "thunder",
        outdoors,
        train="near_thunder rolling_thunder cannonade",
        development="explosion",
        unseen="lightning_channel",
    ),
    *_rows(
        "dog",
        outdoors,
        train="middle_bark yap woof",
        development="clipped_bark",
        unseen="throaty_bark modulated_bark",
    ),
    *_rows("bird", outdoors, train="chirps trill whistled_song", development="warbler", unseen="twitter two_note_call"),
    *_rows(
        "applause",
        indoors,
        train="audience crowd few_hands",
        development="in_unison",
        unseen="cupped_hands velvet_applause",
    ),
    *_rows(
        "footsteps",
        indoors,
        train="heel_and_toe on_gravel on_boards soft_shoes",
        development="high_heels",
        unseen="in_snow running",
    ),
    *_rows(
        "ticking",
        indoors,
        train="wall_clock tick_tock wooden_metronome",
        development="noise_click",
        unseen="escapement electronic_metronome",
    ),
    *_rows(
        "music",
        performed,
        train="chord_pad plucked_strings piano any_instrument full_band",
        development="electric_piano",
        unseen="bowed_ensemble drawbar_organ chiptune",
    ),
    *_rows(
        "drums",
        performed,
        train="rock_kit toms hand_drum",
        development="drum_machine",
        unseen="membranes marching_snares",
    ),
    *_rows(
        "speech",
        performed,
        train="formants espeak_english espeak_languages",
        development="espeak_women",
        unseen="espeak_klatt whispered",
    ),
)
