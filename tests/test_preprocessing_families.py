"""Frames that ffmpeg scales look to a model as its library would show it the full-size ones, nearly."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.families.preprocessing import CASES, CONSE, FULL_SIZE, Difference, Prepares, decoded, difference, shown
from transforms.encoders.encoder import Encoder
from transforms.encoders.pictures import prepared
from transforms.encoders.registry import loaded

VIDEO = "cat.mp4"
#: What rounding and chroma make, in the networks' units; a cut half a pixel beside the library's adds to it.
WHOLE_LIMIT, CUT_LIMIT = 0.03, 0.11
#: What libraries round otherwise where they scale tensors instead of pictures.
PICTURE_LIMIT = 0.005


@pytest.fixture(scope="module", params=CASES, ids=str)
def case(request: pytest.FixtureRequest) -> Prepares:
    one: Prepares = request.param
    return one


@pytest.fixture(scope="module")
def folder(case: Prepares, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("model")


@pytest.fixture(scope="module")
def encoder(case: Prepares, folder: Path) -> Encoder:
    return loaded(case.save(folder), device="cpu").model


def test_a_model_sees_what_its_library_would_show_it(case: Prepares, folder: Path, encoder: Encoder, examples: Path):
    found = difference(case, folder, encoder, examples / VIDEO)
    print(f"{case}: largest difference {found.largest:.3f}, mean difference {found.mean:.4f}")
    spec = encoder.card.frame_spec
    assert spec is not None
    assert found.mean < (WHOLE_LIMIT if spec.crop_fraction == 1.0 else CUT_LIMIT)


def test_a_picture_from_python_is_shown_as_its_library_shows_it(
    case: Prepares, folder: Path, encoder: Encoder, examples: Path
):
    spec = encoder.card.frame_spec
    assert spec is not None
    (full,) = decoded(examples / VIDEO, FULL_SIZE)
    theirs = case.library(folder, [Image.fromarray(frame) for frame in full])
    found = Difference.of(shown(encoder, np.stack([prepared(frame, spec) for frame in full])), theirs)
    print(f"{case}: largest difference {found.largest:.4f}, mean difference {found.mean:.5f}")
    assert found.mean < PICTURE_LIMIT


def test_other_pictures_would_be_noticed(case: Prepares, folder: Path, encoder: Encoder, examples: Path):
    spec = encoder.card.frame_spec
    assert spec is not None
    small, _ = decoded(examples / VIDEO, spec, FULL_SIZE)
    narrower = small[:, small.shape[1] // 16 : -(small.shape[1] // 16)]  # an eighth of the height is cut off
    again = np.stack([np.asarray(_resized(one, small.shape[2], small.shape[1])) for one in narrower])
    assert Difference.of(shown(encoder, again), shown(encoder, small)).mean > 2 * WHOLE_LIMIT


@pytest.mark.parametrize("video", ["cat.mp4", "launch.mp4", "palace.mp4"])
def test_vectors_of_real_weights_stay_where_they_are(video: str, examples: Path):
    encoder = loaded(CONSE.save(Path()), device="cpu").model
    spec = encoder.card.frame_spec
    assert spec is not None
    small, full = decoded(examples / video, spec, FULL_SIZE)
    theirs = encoder.frames(np.stack([prepared(frame, spec) for frame in full]))
    cosines = (encoder.frames(small) * theirs).sum(1)
    print(f"{CONSE} on {video}: least cosine {cosines.min():.4f}")
    assert cosines.min() > 0.98


def _resized(picture: np.ndarray, width: int, height: int):
    return Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC)
