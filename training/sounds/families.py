"""Every way of making every kind of sound, and what it is used for.

`train` families teach the network; those called spent were unseen once, and teach since their table was looked at.
`development` families were held back while the network was designed, and taught it at the very end. `unseen` families
never did: the confusion table of the shipped weights is of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Literal

from training.sounds import drums, indoors, music, outdoors, signals, unheard, unheard_voices, voices
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


def _rows(
    label: str, heard_in: ModuleType, unheard_in: ModuleType, *, train: str, spent: str, development: str, unseen: str
) -> list[Family]:
    """The families of a label, by the names of their functions in two modules."""
    uses: tuple[tuple[Use, ModuleType, str], ...] = (
        ("train", heard_in, f"{train} {spent}"),
        ("development", heard_in, development),
        ("unseen", unheard_in, unseen),
    )
    return [Family(label, name, use, getattr(own, name)) for use, own, names in uses for name in names.split()]


FAMILIES: tuple[Family, ...] = (
    *_rows(
        "tone",
        signals,
        unheard,
        train="sine square pipe",
        spent="dial_tone ringing_resonance",
        development="trembling",
        unseen="drawn_tone beating_glass",
    ),
    *_rows(
        "alarm",
        signals,
        unheard,
        train="beeps grouped_beeps warble any_beeps",
        spent="digital_watch reversing_lorry",
        development="chirped_beeps",
        unseen="smoke_detector ring_buzzer",
    ),
    *_rows(
        "siren",
        signals,
        unheard,
        train="wail yelp two_tone",
        spent="air_raid piercer three_tone",
        development="howler",
        unseen="passing_siren staircase",
    ),
    *_rows(
        "bell",
        signals,
        unheard,
        train="church_bell hand_bell hammered_gongs singing_bowl door_chime",
        spent="struck_plate tubular_chime",
        development="modulated_bell",
        unseen="excited_resonators ring_modulated_bell",
    ),
    *_rows(
        "engine",
        indoors,
        unheard,
        train="exhaust harmonic_motor diesel propeller",
        spent="two_stroke four_cylinders",
        development="revving",
        unseen="pipe_comb idling",
    ),
    *_rows(
        "rain",
        outdoors,
        unheard,
        train="steady_rain drops downpour patter",
        spent="bubbles heavy_tailed_rain",
        development="rain_on_a_roof",
        unseen="splashes spectral_rain",
    ),
    *_rows(
        "wind",
        outdoors,
        unheard,
        train="gusts howling_wind breeze",
        spent="storm_spectrum wandering_moan",
        development="whistling_wind",
        unseen="moving_pole many_sines",
    ),
    *_rows(
        "thunder",
        outdoors,
        unheard,
        train="near_thunder rolling_thunder cannonade",
        spent="lightning_channel",
        development="explosion",
        unseen="echoed_crack random_walk_boom",
    ),
    *_rows(
        "dog",
        outdoors,
        unheard_voices,
        train="middle_bark yap woof",
        spent="throaty_bark modulated_bark",
        development="clipped_bark",
        unseen="drawn_bark rasping_bark",
    ),
    *_rows(
        "bird",
        outdoors,
        unheard_voices,
        train="chirps trill whistled_song",
        spent="twitter two_note_call",
        development="warbler",
        unseen="accelerating_series breathed_whistle",
    ),
    *_rows(
        "applause",
        indoors,
        unheard,
        train="audience crowd few_hands",
        spent="cupped_hands velvet_applause",
        development="in_unison",
        unseen="modulated_crowd hall_of_pulses",
    ),
    *_rows(
        "footsteps",
        indoors,
        unheard,
        train="heel_and_toe on_gravel on_boards soft_shoes",
        spent="in_snow running",
        development="high_heels",
        unseen="pressed_floor in_leaves",
    ),
    *_rows(
        "ticking",
        indoors,
        unheard,
        train="wall_clock tick_tock wooden_metronome",
        spent="escapement electronic_metronome",
        development="noise_click",
        unseen="chirped_tick ratchet_clock",
    ),
    *_rows(
        "music",
        music,
        unheard_voices,
        train="chord_pad plucked_strings piano any_instrument full_band",
        spent="bowed_ensemble drawbar_organ chiptune",
        development="electric_piano",
        unseen="brass_band arpeggios",
    ),
    *_rows(
        "drums",
        drums,
        unheard_voices,
        train="rock_kit toms hand_drum",
        spent="membranes marching_snares",
        development="drum_machine",
        unseen="resonated_kit shaker_and_sticks",
    ),
    *_rows(
        "speech",
        voices,
        unheard_voices,
        train="formants espeak_english espeak_languages",
        spent="espeak_klatt whispered",
        development="espeak_women",
        unseen="espeak_elsewhere gliding_voice",
    ),
)
