"""Vectors that must not be stored stop the run; equal inputs with equal vectors do not."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from transforms.encoders.catalog import card
from transforms.encoders.encoder import Encoder
from transforms.encoders.health import check_frames, check_texts, check_vectors
from transforms.encoders.network import Network, Role
from transforms.errors import BadVectors
from transforms.records import Float32

FRAMES = card("conse:tf_efficientnet_lite2")
TEXT = card("sentence-transformers:all-MiniLM-L6-v2")


def units(count: int, *, dimensions: int = 384) -> np.ndarray:
    vectors = np.random.default_rng(0).standard_normal((count, dimensions)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def one_vector(count: int) -> np.ndarray:
    return np.repeat(units(1), count, axis=0)


def frames(*levels: int) -> np.ndarray:
    return np.stack([np.full((260, 260, 3), level, np.uint8) for level in levels])


def test_good_vectors_pass():
    check_vectors(units(3), 3, TEXT)
    check_vectors(units(0), 0, TEXT)
    check_frames(frames(0, 128, 255), units(3), FRAMES)
    check_texts(["a cat", "a rocket"], units(2), TEXT)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_refused(value):
    vectors = units(3)
    vectors[1, 7] = value
    with pytest.raises(BadVectors, match="1 of 3 vectors that are not finite"):
        check_vectors(vectors, 3, TEXT)


@pytest.mark.parametrize(
    "vectors", [units(2), units(3, dimensions=512), units(3).astype(np.float64)], ids=["count", "size", "type"]
)
def test_another_shape_is_refused(vectors):
    with pytest.raises(BadVectors, match="wanted"):
        check_vectors(vectors, 3, TEXT)


@pytest.mark.parametrize("scale", [0.0, 0.9, 1.1])
def test_a_vector_that_is_not_of_unit_length_is_refused(scale):
    with pytest.raises(BadVectors, match="unit length"):
        check_vectors(units(3) * np.float32(scale), 3, TEXT)


class Zeros(Network):
    """A network whose numbers have all become too small for its precision."""

    def texts(self, texts: Sequence[str], role: Role) -> Float32:
        return np.zeros((len(texts), 384), np.float32)


def test_a_row_of_zeros_is_a_broken_network_and_no_absence():
    with pytest.raises(BadVectors, match="rows of zeros"):
        Encoder(TEXT, Zeros()).texts(["a cat"])
    assert not np.any(Encoder(TEXT, Zeros()).texts([" "]))  # an empty text has nothing to say
    knows_nothing = replace(TEXT, name="tfidf:./fitted")
    assert not np.any(Encoder(knows_nothing, Zeros()).texts(["a cat"]))


def test_different_frames_with_one_vector_are_a_broken_encoder():
    with pytest.raises(BadVectors, match="one and the same vector for 3 frames"):
        check_frames(frames(0, 128, 255), one_vector(3), FRAMES)


def test_black_film_and_slides_may_have_one_vector():
    check_frames(frames(0, 0, 0), one_vector(3), FRAMES)
    check_frames(frames(16, 17, 18), one_vector(3), FRAMES)
    check_frames(frames(255), one_vector(1), FRAMES)


def test_a_picture_that_moves_by_its_edges_only_is_seen_as_different():
    left, right = frames(0, 0)
    left[:, :130], right[:, 130:] = 255, 255
    with pytest.raises(BadVectors):
        check_frames(np.stack([left, right]), one_vector(2), FRAMES)


def test_different_texts_with_one_vector_are_a_broken_encoder():
    with pytest.raises(BadVectors, match="2 different texts"):
        check_texts(["a cat", "a rocket"], one_vector(2), TEXT)


def test_the_same_text_twice_may_have_one_vector():
    check_texts(["Yes.", " yes. "], one_vector(2), TEXT)
