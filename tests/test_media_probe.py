"""What is found inside a file."""

from pathlib import Path

import pytest

from tests import generated_media as media
from transforms.errors import NoMedia, UnreadableVideo
from transforms.media.probe import STILL_SECONDS, probe


def test_a_plain_video_is_described(tmp_path: Path):
    sound = media.write_wav(tmp_path / "tone.wav", media.tone(3))
    info = probe(media.colour_video(tmp_path / "plain.mp4", [("red", 3)], sound=sound))
    assert info.video is not None
    assert info.audio is not None
    assert (info.container, info.video.codec, info.audio.codec) == ("mov", "h264", "aac")
    assert (info.video.width, info.video.height, info.video.rotation_degrees) == (64, 48, 0)
    assert info.video.fps == pytest.approx(10)
    assert (info.video.start_seconds, info.video.end_seconds) == (0, pytest.approx(3))
    assert (info.audio.sample_rate_hz, info.audio.channels) == (16000, 1)
    assert not info.damaged
    assert not info.video.still


@pytest.mark.parametrize("suffix", ["mkv", "ts"])
def test_a_late_start_is_kept_on_the_clock_of_the_container(tmp_path: Path, suffix: str):
    info = probe(media.delayed_video(tmp_path / f"late.{suffix}", 20, start_seconds=5))
    assert info.start_seconds == pytest.approx(5)
    assert info.end_seconds == pytest.approx(7)


def test_a_long_file_is_read_at_both_ends_only_and_its_end_is_right(tmp_path: Path):
    info = probe(media.numbered_video(tmp_path / "long.mp4", 2500))
    assert info.end_seconds == pytest.approx(250)
    assert info.video is not None
    assert info.video.fps == pytest.approx(10)


def test_the_mean_rate_of_uneven_frames_comes_from_their_times(tmp_path: Path):
    info = probe(media.variable_rate_video(tmp_path / "uneven.mkv", [0, 0.1, 0.2, 5.0, 8.0]))
    assert info.video is not None
    assert info.video.fps == pytest.approx(4 / 8)


@pytest.mark.parametrize(("degrees", "size"), [(90, (48, 64)), (180, (64, 48)), (270, (48, 64))])
def test_a_turned_picture_has_its_upright_size(tmp_path: Path, degrees: int, size: tuple[int, int]):
    info = probe(media.turned_video(tmp_path / "turned.mp4", [media.colour_frame("red")] * 5, degrees=degrees))
    assert info.video is not None
    assert info.video.rotation_degrees == degrees
    assert (info.video.width, info.video.height) == size


def test_pixels_that_are_not_square_count_in_the_width(tmp_path: Path):
    info = probe(media.colour_video(tmp_path / "wide.mp4", [("red", 1)], options=("-vf", "setsar=2/1")))
    assert info.video is not None
    assert (info.video.width, info.video.height) == (128, 48)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "webp", "tiff"])
def test_a_picture_is_a_video_of_one_frame(tmp_path: Path, suffix: str):
    info = probe(media.still_picture(tmp_path / f"picture%03d.{suffix}"))
    assert info.video is not None
    assert info.video.still
    assert info.audio is None
    assert (info.start_seconds, info.end_seconds) == (0, pytest.approx(STILL_SECONDS))


def test_a_video_of_one_frame_is_a_still(tmp_path: Path):
    info = probe(media.numbered_video(tmp_path / "one.mp4", 1))
    assert info.video is not None
    assert info.video.still


def test_a_moving_gif_is_no_still(tmp_path: Path):
    info = probe(media.colour_video(tmp_path / "moving.gif", [("red", 1), ("blue", 1)], codec=()))
    assert info.video is not None
    assert not info.video.still
    assert info.end_seconds == pytest.approx(2, abs=0.1)


def test_sound_alone_is_a_video_without_a_picture(tmp_path: Path):
    info = probe(media.write_wav(tmp_path / "tone.wav", media.tone(3)))
    assert info.video is None
    assert info.audio is not None
    assert info.audio.end_seconds == pytest.approx(3)


def test_a_cover_is_shown_as_long_as_the_sound_plays(tmp_path: Path):
    sound = media.write_wav(tmp_path / "tone.wav", media.tone(30))
    cover = media.still_picture(tmp_path / "cover.png")
    song = tmp_path / "song.m4a"
    media.ffmpeg("-i", sound, "-i", cover, "-map", 0, "-map", 1, "-c:v", "copy", "-disposition:v", "attached_pic", song)
    info = probe(song)
    assert info.video is not None
    assert info.audio is not None
    assert info.video.still
    assert info.video.end_seconds == info.audio.end_seconds == pytest.approx(30, abs=0.1)


def test_the_default_picture_is_taken_and_else_the_largest(tmp_path: Path):
    large = media.numbered_video(tmp_path / "large.mp4", 10)
    small = media.colour_video(tmp_path / "small.mp4", [("red", 1)])
    both = tmp_path / "both.mkv"
    copied = ("-map", 0, "-map", 1, "-c", "copy", "-default_mode", "passthrough", "-disposition:v:0", 0)
    media.ffmpeg("-i", small, "-i", large, *copied, "-disposition:v:1", 0, both)
    video = probe(both).video
    assert video is not None
    assert (video.width, video.height) == (128, 32)
    media.ffmpeg("-i", large, "-i", small, *copied, "-disposition:v:1", "default", both)
    video = probe(both).video
    assert video is not None
    assert (video.width, video.height) == (64, 48)


def test_a_cover_is_not_taken_where_something_moves(tmp_path: Path):
    film = media.colour_video(tmp_path / "film.mp4", [("red", 1)])
    cover = media.still_picture(tmp_path / "cover.png", width=640, height=480)
    both = tmp_path / "both.mp4"
    mapped = ("-i", cover, "-i", film, "-map", 0, "-map", 1, "-c", "copy")
    media.ffmpeg(*mapped, "-disposition:v:0", "attached_pic", both)
    video = probe(both).video
    assert video is not None
    assert (video.width, video.height) == (64, 48)


def test_a_header_that_comes_too_late_makes_the_file_unreadable(tmp_path: Path):
    whole = media.numbered_video(tmp_path / "whole.mp4", 200)
    with pytest.raises(UnreadableVideo, match="cut off or damaged"):
        probe(media.cut_off(whole, tmp_path / "cut.mp4", share=0.6))


@pytest.mark.parametrize(("suffix", "options"), [("mp4", ("-movflags", "faststart")), ("mkv", ())])
def test_a_file_that_was_cut_off_ends_where_its_packets_do(tmp_path: Path, suffix: str, options: tuple[str, ...]):
    noise = ("-vf", "noise=alls=40:allf=t", *options)  # so that each frame takes its share of the bytes
    whole = media.numbered_video(tmp_path / f"whole.{suffix}", 200, options=noise)
    assert not probe(whole).damaged
    info = probe(media.cut_off(whole, tmp_path / f"cut.{suffix}", share=0.5))
    assert info.damaged
    assert 7 < info.end_seconds < 13


def test_a_file_without_bytes_or_with_words_only_is_no_media(tmp_path: Path):
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(NoMedia, match="empty"):
        probe(tmp_path / "empty.mp4")
    (tmp_path / "words.mp4").write_text("These are words.\n" * 100)
    with pytest.raises(NoMedia, match=r"words\.mp4"):
        probe(tmp_path / "words.mp4")
    (tmp_path / "film.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nHello\n\n" * 3)
    with pytest.raises(NoMedia):
        probe(tmp_path / "film.srt")
