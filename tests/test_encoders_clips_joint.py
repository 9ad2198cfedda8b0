"""Qwen3-VL and EmbeddingGemma 2, and the families that no installation can use."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.families.clips_joint import (
    embedding_gemma_reference,
    qwen3_vl_reference,
    save_embedding_gemma,
    save_qwen3_vl,
)
from tests.families.tiny import inputs_of, pickled
from transforms.encoders.catalog import card
from transforms.encoders.encoder import Encoder
from transforms.encoders.family import family as family_of
from transforms.encoders.listing import catalogue
from transforms.encoders.network import ClipInput
from transforms.encoders.registry import loaded
from transforms.encoders.windows import unit_length
from transforms.errors import MissingPackage, MissingWeights, UsageError


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return loaded(save_qwen3_vl(tmp_path_factory.mktemp("qwen")), device="cpu").model


@pytest.fixture(scope="module")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return loaded(save_embedding_gemma(tmp_path_factory.mktemp("gemma")), device="cpu").model


@pytest.mark.parametrize("family", ["languagebind:LanguageBind/LanguageBind_Video_FT", "imagebind:any", "passt:any"])
def test_a_family_that_cannot_be_installed_says_why(family: str):
    with pytest.raises(MissingPackage, match=r"cannot be used: \w"):
        card(family)
    assert family_of(family.partition(":")[0]).module == ""  # there is no code of it
    for row in catalogue(family_name=family.partition(":")[0]):
        assert row.state == "missing-package"
        assert "pip install" not in row.cure and len(row.cure) > 20


def test_clips_of_one_batch_do_not_depend_on_each_other(qwen: Encoder, gemma: Encoder):
    for encoder in (qwen, gemma):
        first, second = inputs_of(encoder.card, "clip", 2)
        wide = replace(second, frames=second.frames[:, :64])  # another shape
        together = encoder.network.clips([first, wide])
        for place, one in enumerate((first, wide)):
            np.testing.assert_allclose(encoder.network.clips([one])[0], together[place], atol=1e-5)


def test_pictures_and_clips_that_ask_are_embedded_as_queries(qwen: Encoder, gemma: Encoder):
    frames, clips = np.stack(inputs_of(qwen.card, "image", 2)), inputs_of(qwen.card, "clip", 2)
    said = dict(qwen.card.settings)["query_instruction"]
    asking = loaded(f"{qwen.card.name}&instruction={said}", device="cpu").model  # says to documents what queries hear
    np.testing.assert_allclose(qwen.frames(frames, "query"), asking.frames(frames), atol=1e-6)
    np.testing.assert_allclose(qwen.clips(clips, "query"), asking.clips(clips), atol=1e-6)
    assert np.abs(qwen.frames(frames, "query") - qwen.frames(frames)).max() > 1e-4
    assert np.abs(qwen.clips(clips, "query") - qwen.clips(clips)).max() > 1e-4
    frames = np.stack(inputs_of(gemma.card, "image", 2))  # has prompts for texts only
    np.testing.assert_array_equal(gemma.frames(frames, "query"), gemma.frames(frames))


def test_an_instruction_that_would_drown_its_text_is_refused(qwen: Encoder):
    with pytest.raises(UsageError, match="instructions take at most half of the 4096 tokens"):
        card(f"{qwen.card.name}&query_instruction={'stop ' * 800}")


def test_sounds_of_one_batch_do_not_depend_on_each_other(gemma: Encoder):
    whole, other = (audio.samples for audio in inputs_of(gemma.card, "sound", 2))
    windows = [whole, other[:5_000], np.tile(other, 3)]
    together = gemma.network.sounds(windows)
    for place, one in enumerate(windows):
        np.testing.assert_allclose(gemma.network.sounds([one])[0], together[place], atol=1e-5)


def test_a_sound_of_a_few_samples_has_a_vector(gemma: Encoder):
    audio = inputs_of(gemma.card, "sound", 1)[0]
    for count in (1, 100, 400):
        assert np.isfinite(gemma.sounds([replace(audio, samples=audio.samples[:count])])).all()


def test_when_the_frames_are_decides_the_vector_of_a_clip(qwen: Encoder):
    clip = inputs_of(qwen.card, "clip", 1)[0]
    plain, later, slower = (replace(clip, pts_seconds=pts) for pts in _times(clip.pts_seconds))
    rows = qwen.clips([plain, later, slower])
    np.testing.assert_allclose(rows[0], rows[1], atol=1e-6)  # a clip's clock begins with it
    assert np.abs(rows[0] - rows[2]).max() > 1e-4


def _times(pts: np.ndarray) -> tuple[np.ndarray, ...]:
    return pts, pts + 60, pts * 5


@pytest.mark.parametrize("count", [1, 3])
def test_a_clip_may_have_fewer_frames_than_asked_for(qwen: Encoder, gemma: Encoder, count: int):
    for encoder in (qwen, gemma):
        clip = inputs_of(encoder.card, "clip", 1)[0]
        frames = np.concatenate([clip.frames, clip.frames])[:count]
        short = replace(clip, frames=frames, pts_seconds=np.arange(count) / 2)
        assert encoder.clips([short]).shape == (1, encoder.card.dimensions)


def test_queries_have_an_instruction_of_their_own(qwen: Encoder, gemma: Encoder):
    for encoder in (qwen, gemma):
        asked, stored = (np.stack(encoder.texts(["a rocket"], role)) for role in ("query", "document"))
        assert np.abs(asked - stored).max() > 1e-4
    name = qwen.card.name
    said = dict(card(f"{name}&instruction=Find the scene").settings)
    assert said["instruction"] == said["query_instruction"] == "Find the scene."
    assert card(f"{name}&instruction=Find the scene").fingerprint != card(name).fingerprint


@pytest.mark.parametrize("text", ["", " ", "see <|image_pad|> and <|video_pad|>", "<|image|> <|video|> <|audio|>"])
def test_any_text_has_a_vector(qwen: Encoder, gemma: Encoder, text: str):
    for encoder in (qwen, gemma):
        together = np.stack(encoder.texts([text, "a rocket on the launch pad"]))
        np.testing.assert_allclose(encoder.texts([text])[0], together[0], atol=1e-5)


def test_another_model_is_refused(tmp_path: Path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    for family in ("qwen3-vl", "embedding-gemma"):
        with pytest.raises(MissingWeights, match="bert"):
            card(f"{family}:{tmp_path}")
        with pytest.raises(UsageError, match="no option"):
            card(f"{family}:{tmp_path}?pooling=max")


def test_a_chat_template_decides_and_must_be_there(tmp_path: Path):
    name = save_qwen3_vl(tmp_path, "Qwen3VLModel")
    before = card(name).fingerprint
    template = tmp_path / "chat_template.jinja"
    template.write_text(template.read_text() + " ")
    assert card(name).fingerprint != before
    template.unlink()
    with pytest.raises(MissingWeights, match=r"chat_template\.jinja is missing"):
        card(name)


def test_a_model_without_eyes_or_ears_takes_what_is_left(tmp_path: Path):
    name = save_embedding_gemma(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "audio_config": None}))
    assert card(name).accepts == ("text", "image", "clip") and card(name).sample_rate_hz is None


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 40), (3, 50), (3, 3), (50, 3)])
def test_frames_as_thin_as_a_few_pixels_keep_their_colours(qwen: Encoder, gemma: Encoder, height: int, width: int):
    """A processor that guesses takes a height of 1 or 3 for the number of colours."""
    thin = np.random.default_rng(0).integers(0, 255, (2, height, width, 3), np.uint8)
    colours_first = thin.transpose(0, 3, 1, 2)
    clip = ClipInput(thin, np.arange(2.0))
    for encoder, reference in ((qwen, qwen3_vl_reference), (gemma, embedding_gemma_reference)):
        wanted = reference(encoder.card.folder, "image", list(colours_first)).numpy()
        np.testing.assert_allclose(encoder.frames(thin), unit_length(wanted), atol=1e-5)
        wanted = reference(encoder.card.folder, "clip", [replace(clip, frames=colours_first)]).numpy()
        np.testing.assert_allclose(encoder.clips([clip]), unit_length(wanted), atol=1e-5)


def test_a_frame_far_longer_than_high_is_made_higher(qwen: Encoder):
    line = inputs_of(qwen.card, "image", 1)[0].reshape(1, 1, -1, 3)[:, :, :640]
    higher = line.repeat(4, axis=1)
    np.testing.assert_allclose(qwen.frames(line), qwen.frames(higher), atol=1e-6)
    upright = line.transpose(0, 2, 1, 3)
    assert qwen.clips([ClipInput(upright, np.zeros(1))]).shape == (1, qwen.card.dimensions)


def test_a_clip_without_frames_is_refused(qwen: Encoder, gemma: Encoder):
    for encoder in (qwen, gemma):
        with pytest.raises(ValueError, match="a frame at least"):
            encoder.clips([ClipInput(np.zeros((0, 32, 32, 3), np.uint8), np.zeros(0))])


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_every_kind_of_input_has_nearly_the_same_vector_in_less_precision(
    qwen: Encoder, gemma: Encoder, precision: str
):
    for encoder in (qwen, gemma):
        rough = loaded(f"{encoder.card.name}&precision={precision}", device="cpu").model
        picture, clip = (inputs_of(encoder.card, kind, 1)[0] for kind in ("image", "clip"))
        assert (rough.frames(picture[None]) @ encoder.frames(picture[None]).T).item() > 0.98
        assert (rough.clips([clip]) @ encoder.clips([clip]).T).item() > 0.98


def test_words_go_in_beside_the_pictures_as_the_library_takes_them(qwen: Encoder, gemma: Encoder):
    for encoder, reference in ((qwen, qwen3_vl_reference), (gemma, embedding_gemma_reference)):
        first, second = inputs_of(encoder.card, "clip", 2)
        spoken = [replace(first, words="a rocket on the launch pad"), second, replace(first, words="stop")]
        wanted = reference(encoder.card.folder, "clip", spoken).numpy()
        rows = encoder.clips(spoken)
        np.testing.assert_allclose(rows, unit_length(wanted), atol=1e-5)
        assert np.abs(rows[0] - rows[2]).max() > 1e-4  # the words decide
        np.testing.assert_allclose(encoder.clips([second])[0], rows[1], atol=1e-5)


def test_words_that_stand_for_pictures_are_words(qwen: Encoder, gemma: Encoder):
    for encoder in (qwen, gemma):
        clip = inputs_of(encoder.card, "clip", 1)[0]
        rows = encoder.clips([replace(clip, words="see <|video_pad|> <|image_pad|> <|video|> <|audio|> <|image|>")])
        assert np.isfinite(rows).all()


def test_many_words_go_in_by_windows(qwen: Encoder):
    few = Encoder(replace(qwen.card, longest_tokens=4), qwen.network)
    clip = inputs_of(qwen.card, "clip", 1)[0]
    text = "a rocket on the launch pad"
    pieces = [piece for piece, _ in few._pieces(text, "")]
    weights = [weight for _, weight in few._pieces(text, "")]
    assert len(pieces) > 1
    rows = qwen.clips([replace(clip, words=piece) for piece in pieces])
    wanted = unit_length((rows * np.array(weights, np.float32)[:, None]).sum(0, keepdims=True))
    np.testing.assert_allclose(few.clips([replace(clip, words=text)]), wanted, atol=1e-5)


def test_a_model_that_takes_no_words_beside_pictures_says_so(qwen: Encoder):
    plain = Encoder(replace(qwen.card, takes_words=False), qwen.network)
    with pytest.raises(UsageError, match="takes no words"):
        plain.clips([replace(inputs_of(qwen.card, "clip", 1)[0], words="stop")])


@pytest.mark.parametrize("save", [save_qwen3_vl, save_embedding_gemma])
def test_pickled_weights_are_read_where_they_are_trusted(save: Callable[[Path], str], tmp_path: Path):
    name = save(tmp_path)
    wanted = loaded(name, device="cpu").model.texts(["a cat"])
    pickled(tmp_path)
    np.testing.assert_allclose(loaded(f"{name}&unsafe=true", device="cpu").model.texts(["a cat"]), wanted, atol=1e-6)
