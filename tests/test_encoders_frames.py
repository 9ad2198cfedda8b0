"""ConSE frame vectors: words find pictures, and no frame sees its neighbours."""

import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from transforms.encoders.cards import EFFICIENTNET
from transforms.encoders.catalog import card
from transforms.encoders.handler import EncoderHandler
from transforms.encoders.registry import handler, loaded
from transforms.encoders.weights import locate
from transforms.errors import MissingWeights

ROOT = Path(__file__).parents[1]
NAME = "conse:tf_efficientnet_lite2"
TEXT = "sentence-transformers:all-MiniLM-L6-v2"
SIZE = 260


def encode(*elements: np.ndarray) -> list[np.ndarray]:
    encoder = loaded(NAME)
    return encoder.handler.run_inference(list(elements), encoder.model)


def resized(picture: np.ndarray) -> np.ndarray:
    import torch

    pixels = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float()
    small = torch.nn.functional.interpolate(pixels, (SIZE, SIZE), mode="bilinear", antialias=True)
    return small[0].permute(1, 2, 0).round().clamp(0, 255).to(torch.uint8).numpy()


@pytest.fixture(scope="module")
def photographs() -> np.ndarray:
    """Three photographs that are known: a cat, a cup of coffee, a rocket."""
    data = pytest.importorskip("skimage.data", reason="scikit-image has the photographs")
    return np.stack([resized(picture) for picture in (data.cat(), data.coffee(), data.rocket())])


def noise(count: int, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)


def test_words_find_the_pictures_they_name(photographs):
    text = loaded(TEXT)
    asked = ["a cat", "a cup of coffee on a table", "a rocket on the launch pad"]
    queries = np.stack(text.handler.run_inference(asked, text.model))
    assert (queries @ encode(photographs)[0].T).argmax(1).tolist() == [0, 1, 2]


def test_each_segment_keeps_its_own_frames(photographs):
    first, none, rest = encode(photographs[:1], photographs[:0], photographs[1:])
    assert (first.shape, none.shape, rest.shape) == ((1, 384), (0, 384), (2, 384))
    assert np.abs(np.concatenate([first, rest]) - encode(photographs)[0]).max() < 1e-5


def test_a_vector_does_not_depend_on_its_neighbours(photographs):
    crowd = np.concatenate([noise(40), photographs, noise(7, seed=1)])  # over the bounds of sub-batches
    assert np.abs(encode(crowd)[0][40:43] - encode(photographs)[0]).max() < 1e-5


def test_the_same_frames_give_the_same_vectors_every_time(photographs):
    assert np.array_equal(encode(photographs)[0], encode(photographs)[0])


def test_vectors_have_unit_length():
    black_and_noise = np.concatenate([np.zeros((1, SIZE, SIZE, 3), np.uint8), noise(2)])
    (vectors,) = encode(black_and_noise)
    assert vectors.dtype == np.float32
    assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 1e-5


def test_an_empty_batch_gives_an_empty_list():
    assert encode() == []


def test_frames_that_are_not_contiguous_are_read_right(photographs):
    (mirrored,) = encode(photographs[:, :, ::-1])
    (copied,) = encode(photographs[:, :, ::-1].copy())
    assert np.array_equal(mirrored, copied)


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((1, 1, 1, 3), np.uint8), np.zeros((SIZE, SIZE, 3), np.uint8), np.zeros((1, SIZE, SIZE, 3), np.float32)],
    ids=["another size", "a single picture", "floats"],
)
def test_frames_of_another_shape_are_refused(pixels):
    with pytest.raises(ValueError, match="decode them with the card's frame_spec"):
        encode(pixels)


def test_weights_with_a_flipped_byte_are_never_loaded(tmp_path):
    conse = card(NAME)
    pinned = conse.weights_of(EFFICIENTNET)
    content = bytearray(locate(pinned).read_bytes())
    content[len(content) // 2] ^= 1
    path = tmp_path / pinned.file
    path.parent.mkdir()
    path.write_bytes(content)
    local = tuple(replace(each, folder=str(tmp_path)) if each == pinned else each for each in conse.weights)
    with pytest.raises(MissingWeights, match="not the pinned ones"):
        EncoderHandler(replace(conse, weights=local), "cpu").load_model()


def test_the_bytes_of_a_batch_are_counted_without_pickling():
    assert handler(NAME).get_num_bytes([noise(2), noise(1)]) == 3 * SIZE * SIZE * 3


def test_a_handler_travels_without_its_model(tmp_path, photographs):
    packed, pixels, vectors = (tmp_path / name for name in ("handler.pickle", "pixels.npy", "vectors.npy"))
    packed.write_bytes(pickle.dumps(handler(NAME)))
    np.save(pixels, photographs)
    code = (
        "import pickle, numpy as np\n"
        f"handler = pickle.loads(open({str(packed)!r}, 'rb').read())\n"
        f"found = handler.run_inference([np.load({str(pixels)!r})], handler.load_model())\n"
        f"np.save({str(vectors)!r}, found[0])"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    assert np.abs(np.load(vectors) - encode(photographs)[0]).max() < 1e-5
