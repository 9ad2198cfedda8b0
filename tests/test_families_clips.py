"""Whole clips: other numbers of frames, the settings of processors old and new, and folders that are not theirs."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.families.clips import TINY, pe_av_reference, save_pe_av
from tests.families.sound import edit_json
from tests.families.tiny import inputs_of
from transforms.encoders.catalog import card
from transforms.encoders.encoder import Encoder
from transforms.encoders.frame_sampling import sampled
from transforms.encoders.network import ClipInput
from transforms.encoders.registry import loaded
from transforms.errors import MissingWeights, UsageError
from transforms.records import Audio, Float32

SAVED = {str(one): one for one in TINY}
WITH_CLIPS = [label for label in SAVED if label != "pe-av-sound"]


def save(label: str, folder: Path) -> str:
    return SAVED[label].save(folder)


def of_frames(clip: ClipInput, places: list[int]) -> ClipInput:
    """The clip with these of its frames."""
    return replace(clip, frames=clip.frames[places], pts_seconds=np.arange(len(places)) / 2)


def unit(rows: Any) -> Float32:
    values = np.asarray(rows, np.float32)
    found: Float32 = values / np.linalg.norm(values, axis=-1, keepdims=True)
    return found


@pytest.mark.parametrize(
    ("held", "wanted"),
    [(1, [0] * 4), (2, [0, 0, 1, 1]), (3, [0, 1, 1, 2]), (4, [0, 1, 2, 3]), (5, [0, 1, 3, 4]), (9, [0, 3, 5, 8])],
)
def test_frames_are_taken_again_at_even_distances_in_order(held: int, wanted: list[int]):
    frames = np.arange(held, dtype=np.uint8).repeat(12).reshape(held, 2, 2, 3)
    assert sampled(frames, 4)[:, 0, 0, 0].tolist() == wanted


def test_one_frame_of_many_is_the_first():
    frames = np.arange(5, dtype=np.uint8).repeat(3).reshape(5, 1, 1, 3)
    assert sampled(frames, 1).ravel().tolist() == [0, 0, 0]


def test_a_clip_without_frames_is_refused():
    with pytest.raises(ValueError, match=r"a frame at least.*\(0, 2, 2, 3\)"):
        sampled(np.zeros((0, 2, 2, 3), np.uint8), 4)


@pytest.mark.parametrize("label", WITH_CLIPS)
def test_a_clip_of_another_number_of_frames_is_one_of_those_sampled_from_it(label: str, tmp_path: Path):
    encoder = loaded(save(label, tmp_path), device="cpu").model
    clip = inputs_of(encoder.card, "clip", 1)[0]
    many = of_frames(clip, [0, 1, 1, 2, 1, 3, 3, 0, 3])
    for given, alike in (
        (of_frames(clip, [2]), [2, 2, 2, 2]),
        (of_frames(clip, [0, 3]), [0, 0, 3, 3]),
        (many, [0, 2, 3, 3]),
    ):
        rows = encoder.clips([given, of_frames(clip, alike), clip])
        np.testing.assert_allclose(rows[0], rows[1], atol=1e-5)
        assert np.abs(rows[0] - rows[2]).max() > 1e-4


@pytest.mark.parametrize("label", [label for label in WITH_CLIPS if label.startswith("transformers-video")])
def test_a_card_says_how_many_frames_and_whether_it_takes_text(label: str, tmp_path: Path):
    found = card(save(label, tmp_path))
    assert (found.modality, found.frames_per_clip, found.frame_choice) == ("video", 4, "uniform:4")
    takes_text = label.endswith("xclip")
    assert found.text_queries == takes_text
    assert found.accepts == (("text", "clip") if takes_text else ("clip",))


def test_a_model_without_a_text_tower_refuses_text(tmp_path: Path):
    with pytest.raises(UsageError, match="takes clip, not text"):
        loaded(save("transformers-video-videomae", tmp_path), device="cpu").model.texts(["a rocket"])


@pytest.mark.parametrize("label", ["transformers-video-videomae", "pe-av-video"])
def test_a_model_of_an_unknown_type_names_those_that_are_known(label: str, tmp_path: Path):
    name = save(label, tmp_path)
    edit_json(tmp_path / "config.json", model_type="bert")
    known = "xclip, videomae, vjepa2, timesformer, vivit" if "video:" in name else "pe_audio_video"
    with pytest.raises(UsageError, match=f"'bert'.*{known}"):
        card(name)


def test_an_option_that_the_family_does_not_have_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="no option 'frames'"):
        card(save("transformers-video-videomae", tmp_path) + "?frames=8")


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"size": 32, "crop_size": 28}, (28, 28, "crop", 28 / 32)),
        ({"size": {"shortest_edge": 40}}, (32, 32, "crop", 32 / 40)),
        ({"size": {"shortest_edge": 40}, "do_center_crop": False}, (32, 32, "crop", 32 / 40)),
        ({"size": {"height": 32, "width": 48}, "do_center_crop": False}, (48, 32, "stretch", 1.0)),
        ({"size": {"height": 32, "width": 32}}, (32, 32, "stretch", 1.0)),
        ({"size": {"height": 40, "width": 40}}, (32, 32, "crop", 32 / 40)),
    ],
)
def test_frames_come_in_the_size_that_the_preprocessor_asks_for(
    changes: dict[str, Any], wanted: tuple[Any, ...], tmp_path: Path
):
    name = save("transformers-video-videomae", tmp_path)
    edit_json(tmp_path / "preprocessor_config.json", **changes)
    spec = card(name).frame_spec
    assert spec is not None and (spec.width, spec.height, spec.fit, spec.crop_fraction) == wanted


def test_a_folder_without_settings_for_its_frames_is_incomplete(tmp_path: Path):
    name = save("transformers-video-videomae", tmp_path)
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(MissingWeights, match="preprocessor's settings"):
        card(name)


def test_settings_that_name_no_size_of_frames_are_refused(tmp_path: Path):
    name = save("pe-av-video", tmp_path)
    edit_json(tmp_path / "video_preprocessor_config.json", size=None)
    with pytest.raises(MissingWeights, match="how large a frame is"):
        card(name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PE-AV with the settings of its processors in one file, as newer ones are saved."""
    place = tmp_path_factory.mktemp("pe-av")
    save_pe_av(place, pair="both", together=True)
    assert (place / "processor_config.json").is_file() and not (place / "preprocessor_config.json").exists()
    return place


def perceived(folder: Path, pair: str) -> Encoder:
    return loaded(f"pe-av:{folder}?frames=4&pair={pair}", device="cpu").model


@pytest.mark.parametrize("pair", ["video", "sound", "both"])
def test_settings_of_all_processors_may_lie_in_one_file(pair: str, folder: Path):
    encoder = perceived(folder, pair)
    for kind in encoder.card.accepts:
        inputs = inputs_of(encoder.card, kind, 2)
        embed: Any = {"text": encoder.texts, "sound": encoder.sounds, "clip": encoder.clips}[kind]
        np.testing.assert_allclose(embed(inputs), unit(pe_av_reference(folder, kind, inputs, pair=pair)), atol=1e-5)


def test_pairs_are_spaces_of_their_own(folder: Path):
    cards = [perceived(folder, pair).card for pair in ("video", "sound", "both")]
    assert len({one.space for one in cards}) == len({one.fingerprint for one in cards}) == 3
    assert [one.modality for one in cards] == ["video", "sound", "video"]
    assert [one.sample_rate_hz for one in cards] == [None, 8_000, 8_000]


def test_another_pair_is_refused_with_those_that_are_known(folder: Path):
    with pytest.raises(UsageError, match="one of video, sound, both"):
        card(f"pe-av:{folder}?pair=frames")


@pytest.mark.parametrize(("said", "wanted"), [(None, 16), (6, 6)])
def test_the_models_own_number_of_frames_is_taken_unless_the_name_says_another(
    said: int | None, wanted: int, tmp_path: Path
):
    plain = save("pe-av-video", tmp_path).partition("?")[0]
    edit_json(tmp_path / "video_preprocessor_config.json", num_frames=said)
    assert card(plain).frames_per_clip == wanted
    assert card(plain + "?frames=3").frame_choice == "uniform:3"


@pytest.mark.parametrize("samples", [1, 79, 80, 81, 4_321])
def test_sounds_that_do_not_fill_their_last_step_are_heard_as_the_library_does(samples: int, folder: Path):
    encoder = perceived(folder, "sound")
    sounds = [replace(one, samples=one.samples[:samples]) for one in inputs_of(encoder.card, "sound", 2)]
    wanted = unit(pe_av_reference(folder, "sound", sounds, pair="sound"))
    np.testing.assert_allclose(encoder.sounds(sounds), wanted, atol=1e-5)


def test_no_samples_are_silence(folder: Path):
    encoder = perceived(folder, "sound")
    silent, short = (Audio(np.zeros(count, np.float32), 8_000, 0.0) for count in (0, 1))
    first, second = encoder.sounds([silent, short])
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_a_clip_without_sound_has_no_vector_of_both_and_leaves_its_neighbours_alone(folder: Path):
    encoder = perceived(folder, "both")
    first, second = inputs_of(encoder.card, "clip", 2)
    mute, empty = replace(first, audio=None), replace(first, audio=Audio(np.zeros(0, np.float32), 8_000, 0.0))
    rows = encoder.clips([mute, second, empty])
    assert not rows[0].any() and not rows[2].any()
    np.testing.assert_allclose(rows[1], encoder.clips([second])[0], atol=1e-5)


def test_broken_samples_of_a_clip_are_silence(folder: Path):
    encoder = perceived(folder, "both")
    clip = inputs_of(encoder.card, "clip", 1)[0]
    silent = np.zeros(800, np.float32)
    found = [replace(clip, audio=Audio(samples, 8_000, 0.0)) for samples in (silent, np.full_like(silent, np.nan))]
    first, second = encoder.clips(found)
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_sound_of_a_clip_at_another_rate_is_refused(folder: Path):
    encoder = perceived(folder, "both")
    clip = inputs_of(encoder.card, "clip", 1)[0]
    with pytest.raises(ValueError, match=r"hears 8000 Hz.*16000"):
        encoder.clips([replace(clip, audio=replace(clip.audio, sample_rate_hz=16_000))])


@pytest.mark.parametrize("label", WITH_CLIPS)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 32), (64, 32)])
def test_frames_of_another_size_are_refused(label: str, height: int, width: int, tmp_path: Path):
    encoder = loaded(save(label, tmp_path), device="cpu").model
    clip = inputs_of(encoder.card, "clip", 1)[0]
    with pytest.raises(ValueError, match=rf"\(n, 32, 32, 3\).*frame_spec.*\(4, {height}, {width}, 3\)"):
        encoder.clips([replace(clip, frames=np.zeros((4, height, width, 3), np.uint8))])


@pytest.mark.parametrize("label", ["transformers-video-vjepa2", "transformers-video-vivit"])
def test_a_name_says_how_tokens_become_one_vector(label: str, tmp_path: Path):
    name = save(label, tmp_path)
    clip = inputs_of(card(name), "clip", 1)[0]
    poolings = ["mean", "max"] if label.endswith("vjepa2") else ["cls", "mean", "max"]
    rows = [loaded(f"{name}?pooling={pooling}", device="cpu").model.clips([clip])[0] for pooling in poolings]
    np.testing.assert_array_equal(rows[0], loaded(name, device="cpu").model.clips([clip])[0])
    for place, row in enumerate(rows[1:], start=1):
        assert np.abs(row - rows[place - 1]).max() > 1e-3
    assert len({card(f"{name}?pooling={pooling}").fingerprint for pooling in poolings}) == len(poolings)
    with pytest.raises(UsageError, match=f"one of {', '.join(poolings)}"):
        card(f"{name}?pooling=last")


def test_a_config_that_does_not_say_the_number_of_frames_is_incomplete(tmp_path: Path):
    name = save("transformers-video-videomae", tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({key: config[key] for key in config if key != "num_frames"}))
    with pytest.raises(MissingWeights, match="lacks 'num_frames'"):
        card(name)
