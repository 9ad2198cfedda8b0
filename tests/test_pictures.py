"""A picture of any kind becomes the pixels that an encoder wants, as its own library would make them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from transforms.encoders.pictures import opened_picture, prepared
from transforms.errors import UsageError
from transforms.records import FrameSpec, Interpolation

SQUARE = FrameSpec(32, 32, "stretch")


def waves(width: int, height: int) -> NDArray[np.uint8]:
    across, down = np.meshgrid(np.arange(width) / 9, np.arange(height) / 7)
    return (np.stack([np.sin(across), np.cos(down), np.sin(across + down)], 2) * 120 + 128).astype(np.uint8)


@pytest.mark.parametrize("size", [(640, 360), (360, 640), (301, 299), (100, 50), (224, 224)])
@pytest.mark.parametrize(
    ("fraction", "way"),
    [(0.875, "bicubic"), (0.95, "bicubic"), (1.0, "bicubic"), (0.875, "bilinear"), (1.0, "lanczos"), (1.0, "nearest")],
)
def test_a_crop_is_exactly_what_torchvision_cuts_out(
    size: tuple[int, int], fraction: float, way: Interpolation
) -> None:
    transforms = pytest.importorskip("torchvision.transforms")
    short = int(224 / fraction)
    library = transforms.Compose(
        [transforms.Resize(short, transforms.InterpolationMode(way)), transforms.CenterCrop(224)]
    )
    picture = Image.fromarray(waves(*size))
    np.testing.assert_array_equal(prepared(picture, FrameSpec(224, 224, "crop", 224 / short, way)), library(picture))


def test_padding_leaves_black_around_all_of_the_picture() -> None:
    found = prepared(np.full((20, 40, 3), 255, np.uint8), FrameSpec(32, 32, "pad"))
    assert found.shape == (32, 32, 3) and found[8:24].min() == 255 and not found[:8].any() and not found[24:].any()


@pytest.mark.parametrize(
    ("size", "wanted"), [((640, 320), (16, 32)), ((320, 640), (32, 16)), ((10, 6), (6, 10)), ((3200, 1), (1, 32))]
)
def test_the_whole_picture_keeps_its_shape_and_is_never_enlarged(
    size: tuple[int, int], wanted: tuple[int, int]
) -> None:
    assert prepared(waves(*size), FrameSpec(32, 32, "whole")).shape == (*wanted, 3)


def test_without_a_size_a_picture_stays_as_it_is() -> None:
    picture = waves(50, 30)
    np.testing.assert_array_equal(prepared(picture, None), picture)


def test_pictures_of_every_kind_are_the_same_picture() -> None:
    colours = waves(48, 40)
    wanted = prepared(colours, SQUARE)
    assert wanted.shape == (32, 32, 3) and wanted.dtype == np.uint8
    see_through = np.concatenate([colours, np.zeros((40, 48, 1), np.uint8)], 2)
    kinds: list[Any] = [
        Image.fromarray(colours),
        colours / 255,
        see_through,
        Image.fromarray(see_through),
        colours.copy(),
    ]
    for kind in kinds:
        np.testing.assert_array_equal(prepared(kind, SQUARE), wanted)


def test_grey_pictures_have_three_channels_alike() -> None:
    grey = waves(48, 40)[:, :, 0]
    for kind in (grey, grey[:, :, None], Image.fromarray(grey), grey / 255):
        found = prepared(kind, SQUARE)
        assert found.shape == (32, 32, 3) and (found[:, :, 0] == found[:, :, 2]).all()
    assert not prepared(np.zeros((4, 4), bool).astype(np.uint8), SQUARE).any()


def test_a_picture_of_one_pixel_is_its_colour_everywhere() -> None:
    for fit in ("stretch", "crop", "whole"):
        found = prepared(np.array([[[10, 20, 30]]], np.uint8), FrameSpec(8, 8, fit))  # type: ignore[arg-type]
        assert (found == (10, 20, 30)).all()


def test_a_picture_stands_upright_as_its_camera_says(tmp_path: Path) -> None:
    picture = waves(40, 20)
    turned = Image.Exif()
    turned[274] = 6  # a quarter turn
    for suffix in ("png", "tiff", "webp"):
        path = tmp_path / f"one.{suffix}"
        Image.fromarray(picture).save(path, exif=turned, **({"lossless": True} if suffix == "webp" else {}))
        opened = opened_picture(path)
        assert opened is not None and opened.size == (20, 40)
        np.testing.assert_array_equal(prepared(opened, None), np.rot90(picture, -1))
        with Image.open(path) as raw:
            np.testing.assert_array_equal(prepared(raw, None), np.rot90(picture, -1))


def test_what_moves_or_is_no_picture_is_not_opened(tmp_path: Path) -> None:
    frames = [Image.fromarray(waves(8, 8)), Image.fromarray(waves(8, 8)[::-1])]
    frames[0].save(tmp_path / "moves.gif", save_all=True, append_images=frames[1:])
    (tmp_path / "words.txt").write_text("no picture")
    assert opened_picture(tmp_path / "moves.gif") is None and opened_picture(tmp_path / "words.txt") is None
    with pytest.raises(UsageError, match=r"nothing\.png: No such file"):
        opened_picture(tmp_path / "nothing.png")
    with pytest.raises(UsageError, match="Is a directory"):
        opened_picture(tmp_path)


def test_a_picture_that_was_cut_short_is_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "cut.png"
    Image.fromarray(waves(200, 200)).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UsageError, match=r"cannot be read as a picture: .*cut\.png"):
        opened_picture(path)


def test_deep_pictures_keep_their_greys(tmp_path: Path) -> None:
    grey = waves(48, 40)[:, :, 0]
    deep = grey.astype(np.uint16) * 257
    wanted = prepared(grey, None)
    path = tmp_path / "deep.png"
    Image.fromarray(deep).save(path)
    opened = opened_picture(path)
    assert opened is not None
    for kind in (deep, Image.fromarray(deep), opened, Image.fromarray(grey.astype(np.float32) / 255)):
        np.testing.assert_allclose(prepared(kind, None).astype(int), wanted, atol=1)
    with pytest.raises(UsageError, match="does not say what its white is"):
        prepared(Image.fromarray(grey.astype(np.int32)), None)
    with pytest.raises(UsageError, match="between 0 and 1"):
        prepared(Image.fromarray(grey.astype(np.float32)), None)


@pytest.mark.parametrize("size", [(20_000, 1), (1, 20_000), (9_000, 30)])
def test_a_long_thin_picture_is_cut_before_it_is_scaled(size: tuple[int, int]) -> None:
    colours = np.zeros((size[1], size[0], 3), np.uint8)
    rows, columns = (slice(side // 3, side // 3 * 2) if side > 100 else slice(None) for side in size[::-1])
    colours[rows, columns] = (10, 20, 30)
    found = prepared(Image.fromarray(colours), FrameSpec(32, 32, "crop", 0.875))
    assert found.shape == (32, 32, 3) and (found == (10, 20, 30)).all()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (np.zeros((2, 3, 4, 3), np.uint8), "a picture is"),
        (np.zeros((4, 4, 2), np.uint8), "a picture is"),
        (np.zeros((0, 4, 3), np.uint8), "a picture is"),
        (np.zeros(4, np.uint8), "a picture is"),
        (np.zeros((4, 4, 3), np.int64), "uint8, uint16 or real numbers"),
        (np.full((4, 4, 3), 2.0), "between 0 and 1"),
        (np.full((4, 4, 3), np.nan), "between 0 and 1"),
        (Image.new("RGB", (0, 4)), "has a pixel at least"),
        (None, "a picture is"),
        (object(), "a picture is"),
        (["a", "b"], "a picture is"),
    ],
)
def test_what_is_no_picture_is_named(given: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        prepared(given, SQUARE)
