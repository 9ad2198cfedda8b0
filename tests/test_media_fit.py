"""How pictures of any shape get into the size that is wanted."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests import generated_media as media
from transforms.media.decode import decode
from transforms.media.fit import size_of
from transforms.media.probe import probe
from transforms.records import Clip, FrameSpec, FrameWant, Interpolation

FITS = ("stretch", "crop", "pad", "whole")


def pictures_of(path: Path, spec: FrameSpec) -> NDArray[np.uint8]:
    """The frame of each second."""
    info, want = probe(path), FrameWant(spec, "every:1s")
    clip = Clip(0, info.start_seconds, info.end_seconds)
    return decode(path, info, [clip], wants=[want], sample_rates_hz=[]).pictures[want].pixels


def png(path: Path, frame: media.Frame) -> Path:
    height, width, _ = frame.shape
    raw = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-i", "pipe:0")
    media.ffmpeg(*raw, "-frames:v", 1, "-update", 1, path, pixels=frame.tobytes())
    return path


def framed(width: int, height: int, inner_width: int, inner_height: int) -> media.Frame:
    """A red picture with a blue middle."""
    frame = media.colour_frame("red", width, height)
    left, top = (width - inner_width) // 2, (height - inner_height) // 2
    frame[top : top + inner_height, left : left + inner_width] = media.COLOURS["blue"]
    return frame


@pytest.mark.parametrize(("width", "height"), [(640, 320), (320, 640), (320, 320)])
def test_a_crop_keeps_its_share_of_the_short_side(tmp_path: Path, width: int, height: int):
    path = png(tmp_path / "framed.png", framed(width, height, 280, 280))  # 0.875 of 320
    (kept,) = pictures_of(path, FrameSpec(224, 224, "crop", crop_fraction=0.875))
    assert media.nearest_colour(kept[1:-1, 1:-1]) == "blue"
    assert kept[1:-1, 1:-1, 0].max() == 0
    (more,) = pictures_of(path, FrameSpec(224, 224, "crop", crop_fraction=0.9))
    red = np.flatnonzero(more[112, :, 0] > 127)
    assert (red < 6).sum() == pytest.approx(112 - 140 / (320 / 248), abs=1.01)  # 224 of 248, as libraries round


def test_a_crop_is_what_resizing_and_cutting_the_middle_gives(tmp_path: Path):
    image = pytest.importorskip("PIL.Image")
    across, down = np.meshgrid(np.linspace(0, 6 * np.pi, 640), np.linspace(0, 4 * np.pi, 360))
    waves = [np.sin(across), np.cos(down), np.sin(across + down)]
    frame = (np.stack(waves, axis=-1) * 120 + 128).astype(np.uint8)
    (ours,) = pictures_of(png(tmp_path / "waves.png", frame), FrameSpec(224, 224, "crop", crop_fraction=0.875))
    resized = np.asarray(image.fromarray(frame).resize((round(640 * 256 / 360), 256), image.Resampling.BICUBIC))
    left = (resized.shape[1] - 224) // 2
    off = np.abs(ours.astype(int) - resized[16:240, left : left + 224])
    assert off.mean() < 1.5
    whole = np.asarray(image.fromarray(frame).resize((224, 224), image.Resampling.BICUBIC))
    assert np.abs(ours.astype(int) - whole).mean() > 10


@pytest.mark.parametrize("way", ["bicubic", "bilinear", "lanczos", "nearest"])
def test_frames_are_scaled_in_the_way_that_the_model_was_trained_with(tmp_path: Path, way: Interpolation):
    image = pytest.importorskip("PIL.Image")
    frame = np.random.default_rng(5).integers(0, 256, (300, 420, 3)).astype(np.uint8)  # noise tells them apart
    path = png(tmp_path / "noise.png", frame)
    (ours,) = pictures_of(path, FrameSpec(96, 96, "stretch", interpolation=way))

    def off(other: str) -> float:
        resized = image.fromarray(frame).resize((96, 96), image.Resampling[other.upper()])
        return float(np.abs(ours.astype(int) - np.asarray(resized)).mean())

    ways = ("bicubic", "bilinear", "lanczos", "nearest")
    assert min(ways, key=off) == way, {other: off(other) for other in ways}


@pytest.mark.parametrize(
    ("width", "height", "rows", "columns"),
    [
        (128, 64, slice(16, 48), slice(0, 64)),
        (64, 128, slice(0, 64), slice(16, 48)),
        (31, 31, slice(0, 64), slice(0, 64)),
    ],
)
def test_padding_shows_all_of_the_picture_in_the_middle_of_black(
    tmp_path: Path, width: int, height: int, rows: slice, columns: slice
):
    path = png(tmp_path / "white.png", media.colour_frame("white", width, height))
    (picture,) = pictures_of(path, FrameSpec(64, 64, "pad"))
    assert picture[rows, columns].min() >= 250
    around = np.ones((64, 64), dtype=bool)
    around[rows, columns] = False
    assert not picture[around].any()


def test_padding_sees_the_picture_as_it_is_shown(tmp_path: Path):
    frames = [media.colour_frame("white", 64, 64)] * 10
    path = media.write_video(tmp_path / "wide.mp4", frames, options=("-vf", "setsar=2/1"))  # shown 128 x 64
    picture = pictures_of(path, FrameSpec(64, 64, "pad"))[0]
    assert [int(row.max() > 127) for row in picture] == [0] * 16 + [1] * 32 + [0] * 16


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [(640, 360, (320, 180)), (360, 640, (135, 240)), (100, 50, (100, 50)), (1000, 10, (320, 3)), (2, 2000, (1, 240))],
)
def test_the_whole_picture_keeps_its_shape_and_is_never_enlarged(
    tmp_path: Path, width: int, height: int, size: tuple[int, int]
):
    path = png(tmp_path / "one.png", media.colour_frame("blue", width, height))
    (picture,) = pictures_of(path, FrameSpec(320, 240, "whole"))
    assert picture.shape == (size[1], size[0], 3)
    assert media.nearest_colour(picture) == "blue"


def test_the_whole_picture_stands_upright_in_square_pixels(tmp_path: Path):
    frame = media.colour_frame("blue", 64, 48)
    frame[:24] = media.COLOURS["red"]
    turned = media.turned_video(tmp_path / "turned.mp4", [frame] * 10, degrees=90)
    picture = pictures_of(turned, FrameSpec(640, 640, "whole"))[0]
    assert picture.shape == (64, 48, 3)
    assert [media.nearest_colour(picture[:, half]) for half in (slice(0, 20), slice(28, 48))] == ["blue", "red"]
    wide = media.write_video(tmp_path / "wide.mp4", [frame] * 10, options=("-vf", "setsar=2/1"))
    assert pictures_of(wide, FrameSpec(640, 640, "whole"))[0].shape == (48, 128, 3)


@pytest.mark.parametrize("fit", FITS)
def test_a_picture_of_one_pixel_fits(tmp_path: Path, fit: str):
    path = png(tmp_path / "one.png", media.colour_frame("blue", 1, 1))
    spec = FrameSpec(8, 6, fit, crop_fraction=0.5 if fit == "crop" else 1.0)  # type: ignore[arg-type]
    (picture,) = pictures_of(path, spec)
    info = probe(path).video
    assert info is not None
    assert picture.shape == (*reversed(size_of(spec, info)), 3)
    assert media.nearest_colour(picture[:, 2:6] if fit == "pad" else picture) == "blue"


@pytest.mark.parametrize("fit", FITS)
def test_a_stream_that_changes_its_size_gives_pictures_of_one_size(tmp_path: Path, fit: str):
    parts = []
    for index, (colour, width, height) in enumerate((("red", 128, 96), ("green", 64, 96), ("blue", 256, 64))):
        options = ("-output_ts_offset", 3 * index, "-muxdelay", 0, "-muxpreload", 0)
        frames = [media.colour_frame(colour, width, height)] * 30
        parts.append(media.write_video(tmp_path / f"{colour}.ts", frames, options=options).read_bytes())
    path = tmp_path / "changing.ts"
    path.write_bytes(b"".join(parts))
    info = probe(path)
    clips = [Clip(index, index * 3.0, index * 3.0 + 3.0) for index in range(3)]
    wants = [FrameWant(FrameSpec(120, 120, fit), choice) for choice in ("every:1s", "middle")]  # type: ignore[arg-type]
    every, middle = decode(path, info, clips, wants=wants, sample_rates_hz=[]).pictures.values()
    size = (90, 120) if fit == "whole" else (120, 120)
    assert every.pixels.shape == (9, *size, 3)
    assert middle.pixels.shape == (3, *size, 3)
    for pictures in (every, middle):
        centres = [pictures.pixels[own[-1], 50:65, 40:80] for own in pictures.clip_frames]
        assert [media.nearest_colour(centre) for centre in centres] == ["red", "green", "blue"]
