"""Speech: the words that were said, at the time of the container's clock, and none where nobody speaks."""

import csv
import os
import pickle
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.families.speech_sound import save_ctranslate2, save_multilingual
from transforms.encoders.cards import WHISPER_MODEL
from transforms.encoders.catalog import card, describe
from transforms.encoders.heard import Utterance, Voice, believable, is_loop, is_phantom
from transforms.encoders.registry import handler, loaded
from transforms.encoders.weights import verify
from transforms.errors import MissingWeights, UsageError
from transforms.records import Audio, Transcript

ROOT = Path(__file__).parents[1]
NAME = "faster-whisper:tiny.en"
RATE = 16_000
SENTENCE = "The rocket stands on the launch pad and the countdown has started."


def hear(*elements: Audio) -> list[Transcript]:
    encoder = loaded(NAME)
    return encoder.handler.run_inference(list(elements), encoder.model)


def audio(samples: np.ndarray, *, start_seconds: float = 0.0) -> Audio:
    return Audio(samples.astype(np.float32), RATE, start_seconds)


def decoded(*arguments: str) -> np.ndarray:
    """What ffmpeg makes of its input, as 16 kHz mono."""
    command = ["ffmpeg", "-nostdin", "-v", "error", *arguments, "-ac", "1", "-ar", str(RATE), "-f", "f32le", "-"]
    return np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.float32)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory) -> np.ndarray:
    """The sentence, said after three seconds of silence and before one."""
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng says the sentence and is not installed")
    path = tmp_path_factory.mktemp("speech") / "sentence.wav"
    subprocess.run(["espeak-ng", "-v", "en-us", "-s", "140", "-w", str(path), SENTENCE], check=True)
    return np.concatenate([np.zeros(3 * RATE), decoded("-i", str(path)), np.zeros(RATE)]).astype(np.float32)


def test_the_words_are_heard_at_their_times_on_the_containers_clock(spoken):
    (transcript,) = hear(audio(spoken, start_seconds=70_910.8))
    text = " ".join(word.text for word in transcript.words).lower()
    assert "rocket" in text and "launch pad" in text
    ends_seconds = 70_910.8 + len(spoken) / RATE
    assert all(70_910.8 + 2.5 <= word.start_seconds <= word.end_seconds <= ends_seconds for word in transcript.words)
    midpoints = [word.midpoint_seconds for word in transcript.words]
    assert midpoints == sorted(midpoints)


def test_a_clock_that_starts_below_zero_shifts_every_word(spoken):
    first, second = hear(audio(spoken), audio(spoken, start_seconds=-0.25))
    assert [word.text for word in first.words] == [word.text for word in second.words]
    shifts = [a.start_seconds - b.start_seconds for a, b in zip(first.words, second.words, strict=True)]
    assert shifts == pytest.approx([0.25] * len(shifts))


def test_the_same_sound_gives_the_same_words_every_time_and_beside_any_neighbour(spoken):
    silence = audio(np.zeros(RATE))
    assert hear(audio(spoken))[0] == hear(silence, audio(spoken))[1] == hear(audio(spoken), silence)[0]


def test_the_language_is_left_open_because_the_model_knows_english_only(spoken):
    assert hear(audio(spoken))[0].language is None
    assert card(NAME).languages == ("en",)


TIME = np.arange(12 * RATE) / RATE
GENERATOR = np.random.default_rng(0)
UNSPOKEN = {
    "silence": 0 * TIME,
    "faint noise": 0.001 * GENERATOR.standard_normal(len(TIME)),
    "white noise": 0.3 * GENERATOR.standard_normal(len(TIME)),
    "a tone": 0.5 * np.sin(2 * np.pi * 440 * TIME),
    "beeps": 0.5 * np.sin(2 * np.pi * 1000 * TIME) * (TIME % 0.5 < 0.1),
    "a sweep": 0.5 * np.sin(2 * np.pi * (100 + 150 * TIME) * TIME),
    "a chord": sum(np.sin(2 * np.pi * hertz * TIME) for hertz in (220, 277, 330, 440)) / 5,
    "a melody": np.concatenate(
        [
            0.6 * np.sin(2 * np.pi * hertz * TIME[:4000]) * np.exp(-6 * TIME[:4000])
            for hertz in GENERATOR.choice([220, 247, 262, 294, 330, 392], 48)
        ]
    ),
}


@pytest.mark.parametrize("samples", UNSPOKEN.values(), ids=UNSPOKEN.keys())
def test_no_words_are_heard_where_nobody_speaks(samples):
    assert hear(audio(samples)) == [Transcript()]


@pytest.mark.parametrize(
    "samples",
    [np.zeros(0), np.ones(1), np.zeros(1_599), np.zeros(1_601), np.full(RATE, np.nan), np.full(RATE, np.inf)],
    ids=["none", "one", "just under 0.1 s", "just over 0.1 s", "not a number", "infinite"],
)
def test_odd_sound_is_no_error(samples):
    assert hear(audio(samples)) == [Transcript()]


def test_a_few_broken_samples_do_not_cost_the_words(spoken):
    broken = spoken.copy()
    broken[::5000] = np.nan
    assert "rocket" in " ".join(word.text for word in hear(audio(broken))[0].words).lower()


def test_an_empty_batch_gives_an_empty_list():
    assert hear() == []


def test_another_sample_rate_is_refused():
    with pytest.raises(ValueError, match="hears 16000 Hz"):
        hear(Audio(np.zeros(44_100, np.float32), 44_100, 0.0))


@pytest.mark.parametrize(
    ("text", "loop"),
    [
        ("Thank you. Thank you. Thank you. Thank you. Thank you. Thank you.", True),
        ("I'm sorry. " * 9, True),
        ("No, no, no!", False),
        (SENTENCE, False),
        ("ask not what your country can do for you ask what you can do for your country", False),
    ],
)
def test_a_loop_is_told_from_a_repetition(text, loop):
    assert is_loop(text) is loop


SAID = Utterance(
    SENTENCE,
    words=(),
    log_probability=-0.3,
    compression_ratio=1.2,
    no_speech_probability=0.1,
    voice_probability=0.98,
)
DOUBTS = ({"voice_probability": 0.8}, {"no_speech_probability": 0.8})


@pytest.mark.parametrize(
    ("change", "believed"),
    [
        ({}, True),
        ({"log_probability": -0.8}, True),
        ({"log_probability": -1.2}, False),
        ({"compression_ratio": 3.0}, False),
        ({"text": "Thank you. " * 8}, False),
        ({"text": "Thank you."}, True),
    ],
)
def test_what_the_model_made_up_is_not_believed(change, believed):
    assert believable(replace(SAID, **change), card(NAME)) is believed


@pytest.mark.parametrize("doubt", DOUBTS, ids=["by the gate", "by the model"])
@pytest.mark.parametrize(
    ("change", "believed"),
    [({}, True), ({"log_probability": -0.7}, False), ({"text": " Thanks for watching!"}, False)],
)
def test_where_a_voice_is_doubted_the_words_have_to_be_surer_and_no_phantom(doubt, change, believed):
    assert believable(replace(SAID, **doubt, **change), card(NAME)) is believed


@pytest.mark.parametrize(
    "text",
    [
        "Thanks for watching!",
        " THANK YOU. ",
        "Subtitles by the Amara.org community",
        "Untertitel der Amara.org-Community",
        "Untertitel im Auftrag des ZDF für funk, 2017",
        "Sous-titres réalisés par la communauté d'Amara.org",
        "Sous-titrage Société Radio-Canada",
        "¡Suscríbete!",
        "Продолжение следует...",
        "ご視聴ありがとうございました。",
        "시청해주셔서 감사합니다.",
        "...",
    ],
)
def test_a_phantom_is_known_in_any_spelling(text):
    assert is_phantom(text)


@pytest.mark.parametrize("text", ["Thank you for the coffee.", "Watching the rocket.", "Die Untertitel sind klein."])
def test_a_phrase_with_a_meaning_of_its_own_is_no_phantom(text):
    assert not is_phantom(text)


def test_times_of_the_joined_spans_are_those_of_the_whole_sound():
    voice = Voice(np.linspace(0, 1, 200, dtype=np.float32), ((RATE, 2 * RATE), (4 * RATE, 6 * RATE)))
    assert [voice.seconds_at(seconds) for seconds in (0.0, 0.5, 1.0, 2.5)] == [1.0, 1.5, 4.0, 5.5]
    assert voice.seconds_at(1.0, ends=True) == 2.0
    assert len(voice.joined(np.zeros(7 * RATE, np.float32))) == 3 * RATE
    assert voice.highest(0.0, 1.0) == pytest.approx(31 / 199)


def test_a_handler_travels_without_its_model(tmp_path, spoken):
    packed, samples = tmp_path / "handler.pickle", tmp_path / "samples.npy"
    packed.write_bytes(pickle.dumps(handler(NAME)))
    np.save(samples, spoken)
    code = (
        "import pickle, numpy as np\nfrom transforms.records import Audio\n"
        f"handler = pickle.loads(open({str(packed)!r}, 'rb').read())\n"
        f"heard = handler.run_inference([Audio(np.load({str(samples)!r}), 16000, 0.0)], handler.load_model())\n"
        "print(' '.join(word.text for word in heard[0].words))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip().splitlines()[-1] == " ".join(word.text for word in hear(audio(spoken))[0].words)


@pytest.fixture(scope="module")
def real_media() -> Path:
    folder = os.environ.get("REELVEC_TEST_MEDIA")
    if not folder:
        pytest.skip("REELVEC_TEST_MEDIA names no folder of real media")
    return Path(folder)


def test_no_words_are_heard_in_real_sound_without_speech(real_media):
    with (real_media / "INDEX.tsv").open() as index:
        rows = [row for row in csv.DictReader(index, delimiter="\t") if row["audio"].strip()]
    silent = [row["file"] for row in rows if row["speech_ratio"] and float(row["speech_ratio"]) == 0.0]
    silent = [file for file in silent if "CORRUPT" not in file][:25]
    silent += [row["file"] for row in rows if row["speech_ratio"] and 0.0 < float(row["speech_ratio"]) < 0.3]
    heard = {}
    for file in silent:
        try:
            samples = decoded("-t", "20", "-i", str(real_media / file), "-map", "0:a:0")
        except subprocess.CalledProcessError:
            continue  # this test is about sound that decodes
        heard[file] = hear(audio(samples))[0]
    assert len(heard) >= 20
    assert {file: said for file, said in heard.items() if said.words} == {}


def test_real_speech_is_heard_word_for_word(real_media):
    samples = decoded("-i", str(real_media / "whisperkit" / "jfk.wav"))
    text = " ".join(word.text for word in hear(audio(samples))[0].words).lower()
    assert "ask not what your country can do for you" in text


def test_thank_you_is_heard_where_somebody_says_it(tmp_path, real_media):
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng says it and is not installed")
    path = tmp_path / "thanks.wav"
    subprocess.run(["espeak-ng", "-v", "en-us", "-s", "140", "-w", str(path), "Thank you."], check=True)
    speech = decoded("-i", str(real_media / "whisperkit" / "jfk.wav"))
    samples = np.concatenate([speech, np.zeros(3 * RATE), decoded("-i", str(path)), np.zeros(RATE)])
    assert [word.text.strip(".,!") for word in hear(audio(samples))[0].words[-2:]] == ["Thank", "you"]


@pytest.fixture(scope="module")
def packaged() -> Path:
    """The packaged model's folder, as any folder of CTranslate2's."""
    return verify(card(NAME).weights_of(WHISPER_MODEL)).parent


@pytest.fixture(scope="module")
def multilingual(tmp_path_factory) -> Path:
    """A small random model of several languages, as CTranslate2 writes it."""
    folder = tmp_path_factory.mktemp("multilingual")
    (folder / "transformers").mkdir()
    return save_ctranslate2(save_multilingual(folder / "transformers"), folder / "ctranslate2")


def test_a_folder_of_ctranslate2_gives_the_words_of_the_packaged_model(packaged, spoken):
    name = f"faster-whisper:{packaged}"
    assert card(name).languages == ("en",)
    assert {one.file for one in card(name).weights} >= {"model.bin", "vocabulary.txt", "tokenizer.json"}
    encoder = loaded(name)
    assert encoder.handler.run_inference([audio(spoken)], encoder.model) == hear(audio(spoken))


def test_a_beam_and_a_kind_of_numbers_are_part_of_the_fingerprint(packaged, spoken):
    name = f"faster-whisper:{packaged}?beam_size=1&compute_type=float32"
    assert len({card(other).fingerprint for other in (name, f"faster-whisper:{packaged}", NAME)}) == 3
    encoder = loaded(name, device="cpu")
    (transcript,) = encoder.handler.run_inference([audio(spoken)], encoder.model)
    assert "rocket" in " ".join(word.text for word in transcript.words).lower()


def test_a_model_of_several_languages_tells_which_one_it_hears(multilingual, spoken):
    found = describe(f"faster-whisper:{multilingual}")
    assert found.languages == ("any",)
    assert describe(f"faster-whisper:{multilingual}?language=de").languages == ("de",)
    for option, languages in (("", {"en", "zh", "de"}), ("?language=de", {"de"})):
        encoder = loaded(f"faster-whisper:{multilingual}{option}", device="cpu").model
        encoder.network.card = believing_anything(encoder.network.card)
        said = encoder.transcribe(audio(spoken))
        assert said.words and said.language in languages


def believing_anything(found):
    """The card with no limits of honesty but the gate's."""
    limits = {"min_log_probability": -99.0, "max_compression_ratio": 99.0, "doubted_min_log_probability": -99.0}
    return replace(found, settings=tuple({**dict(found.settings), **limits}.items()))


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ("language=de", UsageError, "English only"),
        ("beam_size=0", UsageError, "above zero"),
        ("compute_type=int4", UsageError, "compute_type"),
        ("temperature=1", UsageError, "no option"),
        ("-model.bin", MissingWeights, "model.bin"),
        ("-tokenizer.json", MissingWeights, "tokenizer.json"),
        ("-config.json", MissingWeights, "config.json"),
        ("-vocabulary.txt", MissingWeights, "vocabulary"),
    ],
)
def test_a_folder_or_an_option_that_will_not_do_is_refused(change, error, said, packaged, tmp_path):
    for path in packaged.iterdir():
        if change != f"-{path.name}":
            (tmp_path / path.name).symlink_to(path)
    with pytest.raises(error, match=said):
        describe(f"faster-whisper:{tmp_path}{'' if change.startswith('-') else '?' + change}")


def test_a_kind_of_numbers_that_the_device_lacks_is_refused(packaged):
    import ctranslate2

    if "float16" in ctranslate2.get_supported_compute_types("cpu"):
        pytest.skip("this processor computes in float16")
    with pytest.raises(UsageError, match="cannot compute in float16 on cpu"):
        loaded(f"faster-whisper:{packaged}?compute_type=float16", device="cpu")
