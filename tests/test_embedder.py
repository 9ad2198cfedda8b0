"""`reelvec.load`: one encoder or a recipe takes texts, pictures, sounds and files, in one call."""

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import data

import reelvec
from pipelines.embedder import ModelEmbedder, RecipeEmbedder
from pipelines.inputs import File, examined, mono, resampled
from transforms.errors import UsageError

#: With a noise well above that of 16 bits, which a log spectrum hears in a pure tone.
TONE = (0.3 * np.sin(np.arange(22_050) / 10) + np.random.default_rng(0).normal(0, 0.03, 22_050)).astype(np.float32)


def run_ffmpeg(*arguments: str | Path) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, arguments)], check=True)


def film(path: Path, *sources: str) -> None:
    """A video of ffmpeg's own test sources."""
    run_ffmpeg(*(part for source in sources for part in ("-f", "lavfi", "-i", source)), path)


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
    path = tmp_path / "cat.png"
    Image.fromarray(data.chelsea()).save(path)
    np.testing.assert_allclose(offline.embed(path), offline.embed(data.chelsea()), atol=1e-5)


def test_sounds_of_any_rate_and_channels_are_taken(heard: RecipeEmbedder) -> None:
    mono = heard.embed((TONE, 22_050))
    stereo = heard.embed((np.stack([TONE, TONE], axis=1), 22_050))
    integers = heard.embed(((TONE * 32767).astype(np.int16), 22_050))
    assert mono @ stereo > 0.9999 and mono @ integers > 0.999


@pytest.mark.parametrize(
    "given",
    [
        np.stack([TONE, TONE]),  # channels first
        TONE[None],
        (TONE * 2**31).astype(np.int32),
        TONE.astype(np.float64),
        (TONE * 127 + 128).round().astype(np.uint8),
    ],
    ids=["two channels first", "one channel first", "int32", "float64", "uint8"],
)
def test_samples_are_read_as_files_and_libraries_hold_them(given: Any) -> None:
    found = mono(given)
    assert found.shape == TONE.shape and found.dtype == np.float32
    np.testing.assert_allclose(found, TONE, atol=1 / 128)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ((TONE * 32767, 16_000), "reaches .*divide by 32768"),
        ((TONE.astype(np.int64), 16_000), "dtype=int64"),
        ((TONE > 0, 16_000), "dtype=bool"),
        ((TONE.astype(np.complex64), 16_000), "dtype=complex64"),
        ((np.zeros((100, 100), np.float32), 16_000), "shape=.100, 100"),
        ((16_000, TONE), "the rate first"),
        ((TONE, 16_000.5), "a whole number of Hz"),
        ((TONE, float("nan")), "a whole number of Hz"),
        ((TONE, 0), "a whole number of Hz"),
        ((TONE,), "this tuple has 1 parts"),
        ((TONE, 16_000, 1), "this tuple has 3 parts"),
    ],
)
def test_a_sound_that_could_be_misread_is_refused(heard: RecipeEmbedder, given: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        heard.embed(given)


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
    encoder = reelvec.load("mfcc:statistics", device="cpu")
    assert isinstance(encoder, ModelEmbedder)
    with pytest.raises(UsageError, match="takes sound, not text: 'a cat'"):
        encoder.embed("a cat")


def test_an_encoder_of_pictures_that_text_can_ask_takes_text(offline: RecipeEmbedder) -> None:
    encoder = reelvec.load("conse:tf_efficientnet_lite2", device="cpu")
    assert encoder.similarity("a cat", data.chelsea()) > encoder.similarity("a cat", data.coffee())
    np.testing.assert_allclose(encoder.embed("a cat"), offline.embed("a cat"), atol=1e-6)


def test_a_recipe_of_pictures_alone_takes_text_too(tmp_path: Path) -> None:
    path = tmp_path / "seen.toml"
    path.write_text('name = "seen"\n[frames]\nencoder = "conse:tf_efficientnet_lite2"\n')
    seen = reelvec.load(path, device="cpu")
    assert seen.similarity("a cat", data.chelsea()) > seen.similarity("a cat", data.coffee())
    assert seen.embed("a cat").shape == (384,)


@pytest.mark.parametrize("given", ["a cat", Path("cat.jpg"), {"a": 1}, (TONE, 22_050), 5, None])
def test_a_single_input_is_no_batch(offline: RecipeEmbedder, given: Any) -> None:
    with pytest.raises(UsageError, match="put a single one into a list"):
        offline.embed_batch(given)


def test_a_batch_may_be_any_iterable(offline: RecipeEmbedder) -> None:
    rows = offline.embed_batch(text for text in ("a cat", "a rocket"))
    np.testing.assert_allclose(rows, offline.embed_batch(["a cat", "a rocket"]), atol=1e-6)


def test_pictures_of_a_batch_share_the_encoders_batches() -> None:
    encoder = reelvec.load("conse:tf_efficientnet_lite2", device="cpu")
    assert isinstance(encoder, ModelEmbedder)
    shared = encoder.loaded.model.batches["frames"]
    before = shared.batches_count
    rows = encoder.embed_batch([data.chelsea(), data.coffee(), data.rocket(), data.chelsea()])
    assert shared.batches_count - before == 1
    np.testing.assert_allclose(rows[0], rows[3], atol=1e-5)


@pytest.mark.parametrize("role", ["querry", "", None])
def test_a_role_is_one_of_two(offline: RecipeEmbedder, role: Any) -> None:
    with pytest.raises(UsageError, match="query or document"):
        offline.embed("a cat", role)


def test_a_picture_that_stands_still_has_no_motion(tmp_path: Path) -> None:
    path = tmp_path / "still.mp4"
    film(path, "color=c=gray:size=64x48:rate=10:duration=2")
    with pytest.raises(UsageError, match=r"motion:dis knows nothing of .*still\.mp4"):
        reelvec.load("motion:dis", device="cpu").embed(path)


def test_a_song_with_a_cover_is_a_sound_first(tmp_path: Path) -> None:
    path, cover = tmp_path / "song.mp3", tmp_path / "cover.png"
    Image.fromarray(data.chelsea()).save(cover)
    run_ffmpeg("-f", "lavfi", "-i", "sine=frequency=440:duration=2", "-i", cover, "-map", "0", "-map", "1", path)
    song = examined(path)
    assert isinstance(song, File) and song.kinds == ("sound", "image")
    film(tmp_path / "both.mp4", "testsrc=size=64x48:rate=10:duration=2", "sine=frequency=440:duration=2")
    assert examined(tmp_path / "both.mp4").kinds == ("clip", "image", "sound")


def test_a_recipe_of_sounds_hears_a_video(heard: RecipeEmbedder, tmp_path: Path) -> None:
    path = tmp_path / "both.mp4"
    film(path, "testsrc=size=64x48:rate=10:duration=2", "sine=frequency=440:duration=2")
    assert heard.embed(path).shape == (80,)


@pytest.mark.parametrize(
    ("name", "says"),
    [("nothing.jpg", "cannot be read.*nothing.jpg"), (".", "cannot be read"), ("cut.jpg", "cannot be read.*cut.jpg")],
)
def test_a_file_that_cannot_be_read_is_named(offline: RecipeEmbedder, tmp_path: Path, name: str, says: str) -> None:
    Image.fromarray(data.chelsea()).save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:3000])
    with pytest.raises(UsageError, match=says):
        offline.embed_batch(["a cat", tmp_path / name])


@pytest.mark.parametrize("given", [None, 5, [np.zeros(3), 5], object(), b"a cat"])
def test_what_is_no_input_is_named(offline: RecipeEmbedder, given: Any) -> None:
    with pytest.raises(UsageError, match="a picture is"):
        offline.embed(given)


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
