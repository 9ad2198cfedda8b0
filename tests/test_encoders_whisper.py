"""Whisper of transformers: the same words as the packaged model's, whose real weights it runs, at their times."""

import os
import shutil
import subprocess
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.families.speech_sound import LANGUAGES, save_multilingual
from tests.real_whisper import save_real_whisper
from transforms.encoders.catalog import card, describe
from transforms.encoders.encoder import Encoder
from transforms.encoders.families.whisper_speech import word_groups
from transforms.encoders.registry import loaded
from transforms.errors import UsageError
from transforms.records import Audio, Transcript

RATE = 16_000
SENTENCE = "The rocket stands on the launch pad and the countdown has started."


def decoded(path: Path) -> np.ndarray:
    """What ffmpeg makes of a file, as 16 kHz mono."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(path), "-ac", "1", "-ar", str(RATE), "-f", "f32le", "-"]
    return np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.float32)


def audio(samples: np.ndarray, *, start_seconds: float = 0.0) -> Audio:
    return Audio(samples.astype(np.float32), RATE, start_seconds)


def text_of(said: Transcript) -> str:
    return " ".join(word.text for word in said.words)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory) -> np.ndarray:
    """The sentence, said after three seconds of silence and before one."""
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng says the sentence and is not installed")
    path = tmp_path_factory.mktemp("speech") / "sentence.wav"
    subprocess.run(["espeak-ng", "-v", "en-us", "-s", "140", "-w", str(path), SENTENCE], check=True)
    return np.concatenate([np.zeros(3 * RATE), decoded(path), np.zeros(RATE)]).astype(np.float32)


@pytest.fixture(scope="module")
def whisper(tmp_path_factory) -> Encoder:
    """The real tiny.en."""
    return loaded(f"whisper:{save_real_whisper(tmp_path_factory.mktemp('whisper'))}", device="cpu").model


@pytest.fixture(scope="module")
def unaligned(tmp_path_factory) -> Encoder:
    """The real tiny.en, which does not say which heads follow the sound; without a beam."""
    folder = save_real_whisper(tmp_path_factory.mktemp("unaligned"), alignment=False)
    return loaded(f"whisper:{folder}?beam_size=1", device="cpu").model


def test_the_words_are_those_of_the_packaged_model_at_nearly_its_times(whisper, spoken):
    said = whisper.transcribe(audio(spoken, start_seconds=100.0))
    wanted = loaded("faster-whisper:tiny.en").model.transcribe(audio(spoken, start_seconds=100.0))
    assert text_of(said) == text_of(wanted) and said.language is None
    for word, other in zip(said.words, wanted.words, strict=True):
        assert word.midpoint_seconds == pytest.approx(other.midpoint_seconds, abs=0.7)
        assert word.probability == pytest.approx(other.probability, abs=0.3)


def test_words_without_alignment_heads_share_the_time_of_their_utterance(unaligned, spoken):
    said = unaligned.transcribe(audio(spoken))
    assert "rocket" in text_of(said) and "launch pad" in text_of(said)
    assert said.words[0].start_seconds >= 2.5 and said.words[-1].end_seconds <= len(spoken) / RATE
    for word, following in pairwise(said.words):
        assert word.start_seconds < word.end_seconds == pytest.approx(following.start_seconds, abs=0.02)


STORY = (
    "The rocket stands on the launch pad and the countdown has started.",
    "Good morning. The table is laid, the sun is up, and nobody has to go to work today.",
    "The beans come from Ethiopia. They are roasted on Monday, and ground just before the water boils.",
    "He repaired the engine with his own hands, and it starts even in the coldest winter.",
    "The walls of the palace are made of red clay, and no ordinary man could enter it.",
    "The telescope looked at the same dark place in the sky for twenty three days.",
    "Please leave the money on the table when you go.",
)


def test_speech_of_more_than_one_window_is_heard_to_its_end(unaligned, tmp_path):
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng says the sentences and is not installed")
    path = tmp_path / "story.wav"
    subprocess.run(["espeak-ng", "-v", "en-us", "-s", "130", "-w", str(path), " ".join(STORY)], check=True)
    samples = decoded(path)
    assert len(samples) > 35 * RATE
    said = unaligned.transcribe(audio(samples))
    text = text_of(said).lower()
    places = [text.find(word) for word in ("rocket", "morning", "monday", "winter", "palace", "telescope", "money")]
    assert -1 not in places and places == sorted(places)
    starts = [word.start_seconds for word in said.words]
    assert starts == sorted(starts) and starts[-1] > len(samples) / RATE - 4


def test_the_same_sound_gives_the_same_words_every_time(unaligned, spoken):
    assert unaligned.transcribe(audio(spoken)) == unaligned.transcribe(audio(spoken))


TIME = np.arange(8 * RATE) / RATE
GENERATOR = np.random.default_rng(0)
UNSPOKEN = {
    "nothing": 0 * TIME[:0],
    "silence": 0 * TIME,
    "not a number": np.nan * TIME,
    "white noise": 0.3 * GENERATOR.standard_normal(len(TIME)),
    "a chord": sum(np.sin(2 * np.pi * hertz * TIME) for hertz in (220, 277, 330, 440)) / 5,
    "a melody": np.concatenate(
        [
            0.6 * np.sin(2 * np.pi * hertz * TIME[:4000]) * np.exp(-6 * TIME[:4000])
            for hertz in GENERATOR.choice([220, 247, 262, 294, 330, 392], 32)
        ]
    ),
}


@pytest.mark.parametrize("samples", UNSPOKEN.values(), ids=UNSPOKEN.keys())
def test_no_words_are_heard_where_nobody_speaks(samples, unaligned):
    assert unaligned.transcribe(audio(samples)) == Transcript()


def test_no_words_are_heard_in_real_music(whisper):
    folder = os.environ.get("REELVEC_TEST_MEDIA")
    if not folder:
        pytest.skip("REELVEC_TEST_MEDIA names no folder of real media")
    for file in ("media/sowt-with-video.mov", "moviepy/example3.wav", "mediabunny/sylvie-trimmed.mp4"):
        assert whisper.transcribe(audio(decoded(Path(folder) / file))) == Transcript()


def test_a_model_of_several_languages_tells_which_one_it_hears(tmp_path, spoken):
    folder = save_multilingual(tmp_path)
    assert describe(f"whisper:{folder}").languages == ("any",)
    spoken_languages = {token.strip("<|>") for token in LANGUAGES}
    for option, languages in (("", spoken_languages), ("?language=de", {"de"})):
        encoder = loaded(f"whisper:{folder}{option}", device="cpu").model
        limits = {"min_log_probability": -99.0, "max_compression_ratio": 99.0, "doubted_min_log_probability": -99.0}
        found = encoder.network.card
        encoder.network.card = replace(found, settings=tuple({**dict(found.settings), **limits}.items()))
        said = encoder.transcribe(audio(spoken))
        assert said.words and said.language in languages


@pytest.mark.parametrize(
    ("pieces", "spaced", "words"),
    [
        ([" The", " rock", "et", " stands", "."], True, [" The", " rocket", " stands."]),
        (["你", "好", "。", "世", "界"], False, ["你", "好。", "世", "界"]),
        (["\ufffd", "\ufffd你", " ok"], True, ["\ufffd\ufffd你 ok"]),
        ([], True, []),
    ],
)
def test_tokens_are_grouped_into_words(pieces, spaced, words):
    def text(tokens):
        return "".join(pieces[token] for token in tokens)

    assert [text(group) for group in word_groups(range(len(pieces)), text, spaced=spaced)] == words


@pytest.mark.parametrize("option", ["language=fr", "language=xx", "temperature=1", "beam_size=0"])
def test_what_the_model_does_not_have_is_refused(option, tmp_path):
    with pytest.raises(UsageError, match=option.split("=")[0]):
        describe(f"whisper:{save_multilingual(tmp_path)}?{option}")


def test_a_model_of_another_kind_and_one_without_times_are_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(UsageError, match="one of 'bert'"):
        describe(f"whisper:{tmp_path}")
    (tmp_path / "config.json").write_text('{"model_type": "whisper"}')
    (tmp_path / "generation_config.json").write_text("{}")
    with pytest.raises(UsageError, match="tells no times"):
        describe(f"whisper:{tmp_path}")


def test_the_packaged_model_and_its_copy_have_fingerprints_of_their_own(whisper):
    assert whisper.card.fingerprint != card("faster-whisper:tiny.en").fingerprint
