"""Several sets of frames and several sample rates from one pass."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from tests import generated_media as media
from transforms.media import child
from transforms.media.decode import decode
from transforms.media.probe import probe
from transforms.records import Clip, FrameSpec, FrameWant, Pictures

NUMBERED = FrameSpec(128, 32)
SMALL = FrameSpec(64, 16)
CHOICES = ("every:1s", "uniform:16", "every:200ms", "keyframes", "middle")
WINDOWS = [Clip(index, index * 4.0, index * 4.0 + 4.0) for index in range(6)]


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """The commands that decoding runs."""
    found: list[Sequence[str]] = []

    def noted(arguments_for: Callable[[Sequence[int]], Sequence[str]], **kwargs: object) -> child.Finished:
        def noting(pipes: Sequence[int]) -> Sequence[str]:
            found.append(arguments_for(pipes))
            return found[-1]

        return child.run_child(noting, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr("transforms.media.decode.run_child", noted)
    return found


def numbers_of_clips(pictures: Pictures) -> list[list[int]]:
    return [[media.number_in(pictures.pixels[place]) for place in own] for own in pictures.clip_frames]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "avi"])
def test_wants_of_one_pass_give_what_each_gives_alone(tmp_path: Path, commands: list[Sequence[str]], suffix: str):
    path = media.numbered_video(tmp_path / f"film.{suffix}", 240, options=("-g", 30, "-bf", 2))
    info = probe(path)
    for clips in (WINDOWS[:3], WINDOWS[3:]):
        wants = [FrameWant(spec, choice) for choice in CHOICES for spec in (NUMBERED, SMALL)]
        together = decode(path, info, clips, wants=wants, sample_rates_hz=[]).pictures
        assert len(commands) == 1
        for want in wants:
            alone = decode(path, info, clips, wants=[want], sample_rates_hz=[]).pictures[want]
            assert together[want].clip_frames == alone.clip_frames
            assert together[want].pts_seconds.tolist() == alone.pts_seconds.tolist()
            assert np.array_equal(together[want].pixels, alone.pixels)
        commands.clear()


def test_a_choice_is_made_once_for_all_its_sizes(tmp_path: Path, commands: list[Sequence[str]]):
    path = media.numbered_video(tmp_path / "film.mp4", 40)
    wants = [FrameWant(NUMBERED, "every:1s"), FrameWant(SMALL, "every:1000ms"), FrameWant(NUMBERED, "keyframes")]
    result = decode(path, probe(path), WINDOWS[:1], wants=wants, sample_rates_hz=[])
    assert " ".join(commands[0]).count("select=") == 2
    assert (
        numbers_of_clips(result.pictures[wants[0]]) == numbers_of_clips(result.pictures[wants[1]]) == [[0, 10, 20, 30]]
    )


@pytest.mark.parametrize(("choices", "skipped"), [(("keyframes",), True), (("keyframes", "middle"), False)])
def test_other_frames_are_skipped_only_where_all_want_key_frames(
    tmp_path: Path, commands: list[Sequence[str]], choices: Sequence[str], skipped: bool
):
    path = media.numbered_video(tmp_path / "film.mp4", 40, options=("-g", 10))
    wants = [FrameWant(NUMBERED, choice) for choice in choices]
    decode(path, probe(path), WINDOWS[:1], wants=wants, sample_rates_hz=[])
    assert ["nokey" in command for command in commands] == [skipped]


def test_the_middle_is_the_picture_on_screen_then_however_long_it_has_been_there(
    tmp_path: Path, commands: list[Sequence[str]]
):
    pts = [0, 0.5, 1.1, 2.95, 3.0, 3.05, 7.3, 7.9, 15.5, 16.2, 16.9]
    path = media.variable_rate_video(tmp_path / "gaps.mkv", pts, options_after=("-g", 1))
    clips = [Clip(index, index * 2.0, index * 2.0 + 2.0) for index in range(8)]  # 1, 3, 5, 7, 9, 11, 13 and 15 s
    want = FrameWant(NUMBERED, "middle")
    result = decode(path, probe(path), clips, wants=[want], sample_rates_hz=[]).pictures[want]
    assert numbers_of_clips(result) == [[1], [4], [5], [5], [7], [7], [7], [7]]
    assert result.pts_seconds.tolist() == [0.5, 3.0, 3.05, 7.9]
    assert len(commands) == 1


def test_a_clip_without_an_own_frame_gets_one_for_every_want(tmp_path: Path, commands: list[Sequence[str]]):
    path = media.variable_rate_video(tmp_path / "slides.mkv", [0, 9, 30, 30.1], options_after=("-g", 1))
    clips = [Clip(0, 10.0, 14.0), Clip(1, 14.0, 18.0)]
    *wants, middle = (FrameWant(NUMBERED, choice) for choice in CHOICES)
    result = decode(path, probe(path), clips, wants=wants, sample_rates_hz=[])
    assert [numbers_of_clips(result.pictures[want]) for want in wants] == [[[1], [1]]] * 4
    assert len(commands) == 2  # what is on screen shows only when none of the clips' own frames came
    result = decode(path, probe(path), clips, wants=[*wants, middle], sample_rates_hz=[])
    assert [numbers_of_clips(result.pictures[want]) for want in (*wants, middle)] == [[[1], [1]]] * 5
    assert len(commands) == 3  # one want's frame serves the others


def test_what_nobody_wants_is_not_decoded(tmp_path: Path, commands: list[Sequence[str]]):
    sound = media.write_wav(tmp_path / "tone.wav", media.tone(4))
    path = media.numbered_video(tmp_path / "film.mkv", 40, sound=sound)
    want = FrameWant(NUMBERED, "every:1s")
    only_sound = decode(path, probe(path), WINDOWS[:1], wants=[], sample_rates_hz=[16000])
    only_pictures = decode(path, probe(path), WINDOWS[:1], wants=[want], sample_rates_hz=[])
    nothing = decode(path, probe(path), WINDOWS[:1], wants=[], sample_rates_hz=[])
    assert (list(only_sound.pictures), list(only_sound.sounds)) == ([], [16000])
    assert (list(only_pictures.pictures), list(only_pictures.sounds)) == ([want], [])
    assert (nothing.pictures, nothing.sounds) == ({}, {})
    assert [("rawvideo" in command, "f32le" in command) for command in commands] == [(False, True), (True, False)]


def test_a_still_picture_serves_every_want(tmp_path: Path):
    path = media.still_picture(tmp_path / "one.png", "blue")
    wants = [FrameWant(FrameSpec(8, 8), "every:1s"), FrameWant(FrameSpec(8, 8), "middle"), FrameWant(SMALL, "middle")]
    pictures = decode(path, probe(path), [Clip(0, 0.0, 0.04)], wants=wants, sample_rates_hz=[]).pictures
    assert [pictures[want].clip_frames for want in wants] == [((0,),)] * 3
    assert {media.nearest_colour(pictures[want].pixels[0]) for want in wants} == {"blue"}


@pytest.mark.parametrize("suffix", ["wav", "mkv", "ts", "mp4"])
def test_every_rate_has_the_same_stretch_and_its_own_exact_time(
    tmp_path: Path, commands: list[Sequence[str]], suffix: str
):
    samples = np.zeros(30 * 44100, dtype=np.int16)
    samples[15 * 44100 : round(15.5 * 44100)] = media.tone(0.5, rate_hz=44100)
    path = media.write_wav(tmp_path / "sound.wav", samples, rate_hz=44100)
    if suffix != "wav":
        media.ffmpeg("-i", path, tmp_path / f"sound.{suffix}")
        path = tmp_path / f"sound.{suffix}"
    info = probe(path)
    clips = [Clip(0, info.start_seconds + 10, info.start_seconds + 18)]
    rates = [16000, 48000, 32000, 48000]
    sounds = decode(path, info, clips, wants=[], sample_rates_hz=rates).sounds
    alone = {rate: decode(path, info, clips, wants=[], sample_rates_hz=[rate]).sounds[rate] for rate in rates}
    assert list(sounds) == [16000, 48000, 32000]
    onsets = []
    for rate, audio in sounds.items():
        assert audio.sample_rate_hz == rate
        assert audio.start_seconds == pytest.approx(info.start_seconds + 8, abs=0.002)
        assert audio.start_seconds == alone[rate].start_seconds
        assert np.array_equal(audio.samples, alone[rate].samples)
        assert len(audio.samples) == pytest.approx(12 * rate, abs=0.03 * rate)
        onsets.append(audio.start_seconds + np.flatnonzero(np.abs(audio.samples) > 0.2)[0] / rate)
    assert np.ptp(onsets) < 0.001
    assert len(commands) == 1 + len(rates)


def test_the_pixels_of_a_want_do_not_hang_on_those_of_another(tmp_path: Path):
    path = media.numbered_video(tmp_path / "film.mp4", 40)
    wants = [FrameWant(NUMBERED, "every:1s"), FrameWant(NUMBERED, "uniform:4")]
    first, second = decode(path, probe(path), WINDOWS[:1], wants=wants, sample_rates_hz=[]).pictures.values()
    assert not np.shares_memory(first.pixels, second.pixels)
    assert first.pixels.flags.c_contiguous
