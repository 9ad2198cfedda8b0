"""What the first bytes tell."""

from pathlib import Path

import pytest

from tests import generated_media as media
from transforms.media.sniff import MEDIA_SUFFIXES, looks_like_media


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "ts", "mov", "flv", "webm"])
def test_films_are_known_by_their_first_bytes(tmp_path: Path, suffix: str):
    codec = ("-c:v", "libvpx", "-b:v", "100k") if suffix == "webm" else media.H264
    path = media.colour_video(tmp_path / f"film.{suffix}", [("red", 3)], codec=codec)
    assert looks_like_media(path.read_bytes()[:4096]) is True
    assert path.suffix in MEDIA_SUFFIXES


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "webp", "tiff"])
def test_pictures_are_known_or_left_open(tmp_path: Path, suffix: str):
    path = media.still_picture(tmp_path / f"picture.{suffix}")
    assert looks_like_media(path.read_bytes()[:4096]) in (True, None if suffix == "bmp" else True)
    assert path.suffix in MEDIA_SUFFIXES


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"just some words\n",
        "Grüße, с приветом".encode(),
        "cut in a character: é".encode()[:-1],
        "UTF-16".encode("utf-16"),
        b"ffconcat version 1.0\nfile 'other.mp4'\n",
        b"#EXTM3U\nhttp://127.0.0.1/x.ts\n",
        b"1\n00:00:01,000 --> 00:00:02,000\nA subtitle\n",
        b"PK\x03\x04rest of a zip",
        b"%PDF-1.7 \x00\x01",
        b"\x7fELF\x02\x01\x01\x00",
        b"SQLite format 3\x00",
    ],
)
def test_what_is_surely_no_media_is_known(head: bytes):
    assert looks_like_media(head) is False


def test_unknown_bytes_are_left_open():
    assert looks_like_media(bytes(range(256)) * 16) is None
