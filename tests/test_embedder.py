"""`reelvec.load`: one encoder or a recipe takes texts, pictures, sounds and files, in one call."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage import data

import reelvec
from pipelines.embedder import ModelEmbedder, RecipeEmbedder, resampled
from transforms.errors import UsageError

#: With a noise well above that of 16 bits, which a log spectrum hears in a pure tone.
TONE = (0.3 * np.sin(np.arange(22_050) / 10) + np.random.default_rng(0).normal(0, 0.03, 22_050)).astype(np.float32)


@pytest.fixture(scope="module")
def offline() -> RecipeEmbedder:
    loaded = reelvec.load("offline", device="cpu")
    assert isinstance(loaded, RecipeEmbedder)
    return loaded


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> RecipeEmbedder:
    """A recipe whose sounds lie in a space of their own."""
    path = tmp_path_factory.mktemp("recipe") / "heard.toml"
    path.write_text(
        'name = "heard"\n[sound]\nencoder = "mfcc:statistics"\n'
        '[text]\nencoder = "sentence-transformers:all-MiniLM-L6-v2"\n'
    )
    loaded = reelvec.load(str(path), device="cpu")
    assert isinstance(loaded, RecipeEmbedder)
    return loaded


def test_every_result_is_a_float32_unit_vector_in_the_order_given(offline: RecipeEmbedder, examples: Path) -> None:
    video = sorted(examples.glob("*.mp4"))[0]
    given = ["a cat", data.chelsea(), "a cup of coffee", data.coffee(), video]
    rows = offline.embed_batch(given)
    assert [row.shape for row in rows] == [(384,)] * 5
    assert all(row.dtype == np.float32 and abs(np.linalg.norm(row) - 1) < 1e-4 for row in rows)
    for one, row in zip(given, rows, strict=True):
        np.testing.assert_allclose(offline.embed(one), row, atol=1e-5)


def test_no_inputs_give_no_vectors(offline: RecipeEmbedder) -> None:
    assert offline.embed_batch([]) == []
    encoder = reelvec.load("conse:tf_efficientnet_lite2", device="cpu")
    assert encoder.embed_batch([]) == []


def test_text_finds_the_picture_that_it_names(offline: RecipeEmbedder) -> None:
    cat, cup = data.chelsea(), data.coffee()
    assert offline.similarity("a cat", cat) > offline.similarity("a cat", cup)
    assert offline.similarity("a cup of coffee", cup) > offline.similarity("a cup of coffee", cat)
    assert offline.similarity(cat, "a cat") == pytest.approx(offline.similarity("a cat", cat), abs=1e-6)


def test_a_picture_file_is_the_picture(offline: RecipeEmbedder, tmp_path: Path) -> None:
    from PIL import Image

    path = tmp_path / "cat.png"
    Image.fromarray(data.chelsea()).save(path)
    np.testing.assert_allclose(offline.embed(path), offline.embed(data.chelsea()), atol=1e-5)


def test_sounds_of_any_rate_and_channels_are_taken(heard: RecipeEmbedder) -> None:
    mono = heard.embed((TONE, 22_050))
    stereo = heard.embed((np.stack([TONE, TONE], axis=1), 22_050))
    integers = heard.embed(((TONE * 32767).astype(np.int16), 22_050))
    assert mono @ stereo > 0.9999 and mono @ integers > 0.999


def test_a_sound_file_is_its_sound(heard: RecipeEmbedder, tmp_path: Path) -> None:
    import wave

    path = tmp_path / "tone.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(22_050)
        file.writeframes((TONE * 32767).astype(np.int16).tobytes())
    assert heard.embed(path) @ heard.embed((TONE, 22_050)) > 0.99


def test_vectors_of_different_spaces_are_not_compared_and_both_are_named(heard: RecipeEmbedder) -> None:
    with pytest.raises(UsageError, match=r"all-MiniLM-L6-v2.*mfcc:statistics"):
        heard.similarity("a tone", (TONE, 22_050))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (np.zeros((4, 4, 3), np.uint8), r"no encoder for an input of type ndarray: it would be \[frames\]"),
        ((np.zeros((2, 2, 2)), 16_000), "sound is"),
        ((np.zeros(0), 16_000), "sound is"),
    ],
)
def test_an_input_that_cannot_be_taken_is_named(heard: RecipeEmbedder, given: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        heard.embed(given)


def test_an_encoder_says_what_it_takes() -> None:
    encoder = reelvec.load("conse:tf_efficientnet_lite2", device="cpu")
    assert isinstance(encoder, ModelEmbedder)
    with pytest.raises(UsageError, match="takes image, not text: 'a cat'"):
        encoder.embed("a cat")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("bm25:english", "put it into a recipe"),
        ("clipp:ViT-B-32", "did you mean clap"),
        ("online", "unknown recipe"),
        ("conse:tf_efficientnet_lite9", "tf_efficientnet_lite2"),
        ("conse:tf_efficientnet_lite2?colour=red", "no option 'colour'"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(name: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        reelvec.load(name)


def test_a_device_that_is_not_there_is_not_replaced_in_silence() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    with pytest.raises(UsageError, match="cuda"):
        reelvec.load("conse:tf_efficientnet_lite2", device="cuda")
    with pytest.raises(UsageError, match="a device is"):
        reelvec.load("conse:tf_efficientnet_lite2", device="gpu")


def test_resampling_keeps_a_tone_where_it_is() -> None:
    rate, wanted = 44_100, 16_000
    tone = np.sin(2 * np.pi * 1000 * np.arange(rate) / rate).astype(np.float32)
    found = resampled(tone, rate, wanted)
    assert len(found) == wanted
    spectrum = np.abs(np.fft.rfft(found))
    assert spectrum.argmax() == 1000
