"""Frames and sound of a stretch, with their times."""

import itertools
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests import generated_media as media
from transforms.errors import UnreadableVideo
from transforms.media.choice import FrameChoice
from transforms.media.decode import decode
from transforms.media.probe import probe
from transforms.records import Audio, Clip, FrameSpec, FrameWant, Media, Pictures, VideoInfo

NUMBERED = FrameSpec(128, 32)
CHOICES = ("keyframes", "every:1s", "uniform:4")


def clips_of(info: VideoInfo, seconds: float) -> list[Clip]:
    """Windows of equal length from the start on."""
    count = max(1, round(info.duration_seconds / seconds))
    starts = [info.start_seconds + index * seconds for index in range(count)]
    ends = [*starts[1:], info.end_seconds]
    return [Clip(index, start, end) for index, (start, end) in enumerate(zip(starts, ends, strict=True))]


def decoded(
    path: Path,
    choice: str,
    clips: Sequence[Clip] | None = None,
    *,
    spec: FrameSpec = NUMBERED,
    rate_hz: int | None = None,
) -> Media:
    info = probe(path)
    clips = clips or clips_of(info, 2.0)
    return decode(path, info, clips, wants=[FrameWant(spec, choice)], sample_rates_hz=[rate_hz] if rate_hz else [])


def shown(result: Media) -> Pictures:
    """The pictures of the one want."""
    (pictures,) = result.pictures.values()
    return pictures


def heard(result: Media) -> Audio:
    """The sound at the one rate."""
    (audio,) = result.sounds.values()
    return audio


def numbers(pictures: Pictures) -> list[int]:
    return [media.number_in(frame) for frame in pictures.pixels]


def numbers_of_clips(pictures: Pictures) -> list[list[int]]:
    found = numbers(pictures)
    return [[found[place] for place in own] for own in pictures.clip_frames]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "avi"])
def test_each_frame_has_the_time_at_which_it_is_shown(tmp_path: Path, suffix: str):
    path = media.numbered_video(tmp_path / f"numbered.{suffix}", 100, options=("-bf", 0))
    result = shown(decoded(path, "every:0.5s"))
    start = probe(path).start_seconds
    assert numbers(result) == list(range(0, 100, 5))
    assert result.pts_seconds - start == pytest.approx(np.arange(20) * 0.5, abs=1e-6)
    assert [len(own) for own in result.clip_frames] == [4] * 5


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_a_stretch_from_the_middle_has_the_same_frames_as_the_whole(tmp_path: Path, suffix: str):
    path = media.numbered_video(tmp_path / f"long.{suffix}", 1200, options=("-g", 35, "-bf", 2))
    clips = clips_of(probe(path), 8.0)
    for choice in (*CHOICES, "middle"):
        whole = numbers_of_clips(shown(decoded(path, choice, clips)))
        parts = [numbers_of_clips(shown(decoded(path, choice, part))) for part in (clips[:5], clips[5:10], clips[10:])]
        assert list(itertools.chain(*parts)) == whole
        assert all(whole)


@pytest.mark.parametrize("suffix", ["mkv", "ts"])
def test_a_late_start_shifts_the_windows_and_not_the_frames(tmp_path: Path, suffix: str):
    path = media.delayed_video(tmp_path / f"late.{suffix}", 60, start_seconds=70_910)
    result = shown(decoded(path, "every:1s"))
    assert numbers(result) == [0, 10, 20, 30, 40, 50]
    assert result.pts_seconds == pytest.approx(70_910 + np.arange(6), abs=0.001)


def test_even_parts_give_the_frames_after_their_middles(tmp_path: Path):
    path = media.numbered_video(tmp_path / "numbered.mp4", 80)
    clips = [Clip(0, 0.0, 4.0), Clip(1, 2.0, 6.0), Clip(2, 6.0, 8.0)]  # two overlap
    found = numbers_of_clips(shown(decoded(path, "uniform:4", clips)))
    assert found == [[5, 15, 25, 35], [25, 35, 45, 55], [63, 68, 73, 78]]


def test_key_frames_are_thinned_to_one_a_second(tmp_path: Path):
    path = media.numbered_video(tmp_path / "intra.mp4", 40, options=("-g", 1))
    assert numbers(shown(decoded(path, "keyframes"))) == [0, 10, 20, 30]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "avi"])
def test_a_clip_without_a_key_frame_takes_the_frame_on_screen_at_its_middle(tmp_path: Path, suffix: str):
    path = media.long_gop_video(tmp_path / f"long-gop.{suffix}", 100)
    assert numbers_of_clips(shown(decoded(path, "keyframes"))) == [[0], [30], [50], [70], [90]]


@pytest.mark.parametrize("choice", CHOICES)
def test_a_clip_without_a_new_frame_takes_the_one_on_screen(tmp_path: Path, choice: str):
    path = media.variable_rate_video(
        tmp_path / "gaps.mkv", [0, 0.5, 1.1, 7.3, 7.9, 15.5, 16.2], options_after=("-g", 1)
    )
    clips = [Clip(index, index * 2.0, index * 2.0 + 2.0) for index in range(8)]
    result = shown(decoded(path, choice, clips))
    found = numbers_of_clips(result)
    assert (found[1], found[2], found[4], found[5], found[6]) == ([2], [2], [4], [4], [4])
    assert found[3][0] == 3
    assert found[7] == [5]
    assert result.pts_seconds[result.clip_frames[2][0]] == pytest.approx(1.1)


def test_a_frame_that_came_long_before_the_segment_is_still_on_screen(tmp_path: Path):
    path = media.variable_rate_video(tmp_path / "slides.mkv", [0, 100, 300, 300.1], options_after=("-g", 1))
    result = shown(decoded(path, "every:1s", [Clip(0, 200.0, 208.0), Clip(1, 208.0, 216.0)]))
    assert numbers_of_clips(result) == [[1], [1]]
    assert result.pts_seconds.tolist() == [100.0]


def test_the_last_picture_stays_while_the_sound_goes_on(tmp_path: Path):
    sound = media.write_wav(tmp_path / "tone.wav", media.tone(30))
    path = media.numbered_video(tmp_path / "ends.mkv", 20, sound=sound)
    result = decoded(path, "every:1s", [Clip(0, 16.0, 24.0), Clip(1, 24.0, 30.0)], rate_hz=16000)
    assert numbers_of_clips(shown(result)) == [[19], [19]]
    assert len(heard(result).samples)


def test_nothing_is_shown_before_the_first_picture(tmp_path: Path):
    sound = media.write_wav(tmp_path / "tone.wav", media.tone(12))
    late = media.delayed_video(tmp_path / "late.mkv", 20, start_seconds=9)
    path = tmp_path / "both.mkv"
    media.ffmpeg("-copyts", "-i", late, "-i", sound, "-c:v", "copy", "-c:a", "pcm_s16le", path)
    result = shown(decoded(path, "every:1s", [Clip(0, 0.0, 4.0), Clip(1, 4.0, 8.0), Clip(2, 8.0, 12.0)], rate_hz=16000))
    assert numbers_of_clips(result) == [[], [], [0, 10]]
    assert result.pts_seconds.tolist() == [9.0, 10.0]


@pytest.mark.parametrize(("degrees", "corner"), [(90, (0, -1)), (180, (-1, -1)), (270, (-1, 0))])
def test_pictures_stand_upright(tmp_path: Path, degrees: int, corner: tuple[int, int]):
    frame = media.colour_frame("blue", 64, 64)
    frame[:32, :32] = media.COLOURS["red"]  # the stored picture is red at the top left
    path = media.turned_video(tmp_path / "turned.mp4", [frame] * 10, degrees=degrees)
    spec = FrameSpec(32, 32)
    picture = shown(decoded(path, "every:1s", spec=spec)).pixels[0]
    quarters = {(y, x): picture[y:][:16, x:][:, :16] for y in (0, 16) for x in (0, 16)}
    red = [place for place, quarter in quarters.items() if media.nearest_colour(quarter) == "red"]
    assert red == [(16 if corner[0] else 0, 16 if corner[1] else 0)]


def test_colours_come_out_as_they_went_in(tmp_path: Path):
    path = media.colour_video(
        tmp_path / "colours.mp4", [("red", 2), ("green", 2), ("blue", 2), ("white", 2), ("black", 2)]
    )
    spec = FrameSpec(20, 10)
    result = shown(decoded(path, "uniform:2", spec=spec))
    for own, name in zip(result.clip_frames, ("red", "green", "blue", "white", "black"), strict=True):
        for place in own:
            off = np.abs(result.pixels[place].astype(int) - media.COLOURS[name])
            assert off.max() <= 6


@pytest.mark.parametrize("size", [(128, 64), (64, 128)])
def test_cropping_cuts_the_middle_out_and_stretching_keeps_all(tmp_path: Path, size: tuple[int, int]):
    width, height = size
    frame = media.colour_frame("red", width, height)
    middle = (slice(None), slice(32, 96)) if width > height else (slice(32, 96), slice(None))
    frame[middle] = media.COLOURS["blue"]
    path = media.write_video(tmp_path / "sides.mp4", [frame] * 10)
    crop, stretch = FrameSpec(32, 32, "crop"), FrameSpec(32, 32)
    info = probe(path)
    wants = [FrameWant(spec, "every:1s") for spec in (crop, stretch, crop)]
    result = decode(path, info, clips_of(info, 1.0), wants=wants, sample_rates_hz=[])
    assert set(result.pictures) == set(wants)
    inner = result.pictures[wants[0]].pixels[0][2:-2, 2:-2]
    assert media.nearest_colour(inner) == "blue"
    assert inner[..., 0].max() < 60
    shares = (result.pictures[wants[1]].pixels[0][..., 0] > 127).mean()
    assert shares == pytest.approx(0.5, abs=0.05)


def test_cropping_sees_the_picture_as_it_is_shown(tmp_path: Path):
    frame = media.colour_frame("red", 64, 64)
    frame[:, 16:48] = media.COLOURS["blue"]
    path = media.write_video(tmp_path / "wide.mp4", [frame] * 10, options=("-vf", "setsar=2/1"))  # shown 128 x 64
    spec = FrameSpec(32, 32, "crop")
    inner = shown(decoded(path, "every:1s", spec=spec)).pixels[0][2:-2, 2:-2]
    assert inner[..., 0].max() < 60


@pytest.mark.parametrize("suffix", ["wav", "mkv", "ts", "mp4", "flac", "ogg"])
def test_sound_has_its_margin_and_its_exact_time(tmp_path: Path, suffix: str):
    samples = np.zeros(30 * 16000, dtype=np.int16)
    beep = media.tone(0.5)
    samples[15 * 16000 : 15 * 16000 + len(beep)] = beep
    source = media.write_wav(tmp_path / "source.wav", samples)
    path = tmp_path / f"sound.{suffix}"
    if suffix != "wav":
        source = source.rename(tmp_path / "input.wav")
        media.ffmpeg("-i", source, path)
    else:
        source.rename(path)
    info = probe(path)
    clips = [Clip(0, info.start_seconds + 10, info.start_seconds + 18)]
    result = decoded(path, "keyframes", clips, rate_hz=16000)
    audio = heard(result)
    assert audio.start_seconds == pytest.approx(info.start_seconds + 8, abs=0.002)
    assert len(audio.samples) == pytest.approx(12 * 16000, abs=400)
    loud = np.flatnonzero(np.abs(audio.samples) > 0.1)
    origin = 0.0 if suffix in ("wav", "flac", "mkv", "mp4", "ogg") else info.start_seconds
    assert audio.start_seconds + loud[0] / 16000 == pytest.approx(origin + 15, abs=0.06)
    assert np.abs(audio.samples).max() == pytest.approx(0.5, abs=0.06)
    assert result.pictures == {}


def test_sound_that_starts_late_keeps_its_time(tmp_path: Path):
    sound = media.write_wav(tmp_path / "tone.wav", media.tone(3))
    path = tmp_path / "late-sound.mkv"
    film = media.numbered_video(tmp_path / "film.mkv", 100)
    media.ffmpeg("-i", film, "-itsoffset", 5, "-i", sound, "-c:v", "copy", "-c:a", "flac", path)
    audio = heard(decoded(path, "every:1s", rate_hz=16000))
    assert audio.start_seconds == pytest.approx(5, abs=0.002)
    assert len(audio.samples) == pytest.approx(3 * 16000, abs=400)


def test_a_hole_in_the_sound_is_silence_of_its_length(tmp_path: Path):
    sound = media.write_wav(tmp_path / "tone.wav", media.tone(8))
    path = tmp_path / "hole.mkv"
    media.ffmpeg("-i", sound, "-af", "aselect='lt(t,2)+gte(t,5)'", "-c:a", "flac", path)
    audio = heard(decoded(path, "every:1s", rate_hz=16000))
    assert len(audio.samples) == pytest.approx(8 * 16000, abs=400)
    assert np.abs(audio.samples[int(2.6 * 16000) : int(4.4 * 16000)]).max() == 0
    assert np.abs(audio.samples[int(5.2 * 16000) :]).max() > 0.4


def test_a_silent_video_has_no_sound_and_is_no_error(tmp_path: Path):
    path = media.colour_video(tmp_path / "black.mp4", [("black", 4)])
    spec = FrameSpec(8, 8)
    result = decoded(path, "every:1s", spec=spec, rate_hz=16000)
    assert result.sounds == {}
    assert len(shown(result).pts_seconds) == 4
    assert shown(result).pixels.max() < 8


def test_one_frame_is_enough(tmp_path: Path):
    for name in ("one.mp4", "one.png", "one.jpg", "one.gif"):
        path = media.still_picture(tmp_path / name, "blue") if name != "one.mp4" else None
        path = path or media.colour_video(tmp_path / name, [("blue", 0.1)])
        for choice in (*CHOICES, "middle"):
            spec = FrameSpec(8, 8, "crop")
            result = shown(decoded(path, choice, spec=spec, rate_hz=16000))
            assert result.clip_frames == ((0,),)
            assert media.nearest_colour(result.pixels[0]) == "blue"


def test_a_cover_is_shown_in_every_clip_of_its_song(tmp_path: Path):
    sound = media.write_wav(tmp_path / "tone.wav", media.tone(30))
    cover = media.still_picture(tmp_path / "cover.png", "green")
    song = tmp_path / "song.m4a"
    media.ffmpeg("-i", sound, "-i", cover, "-map", 0, "-map", 1, "-c:v", "copy", "-disposition:v", "attached_pic", song)
    spec = FrameSpec(8, 8)
    result = decoded(song, "every:1s", [Clip(2, 16.0, 24.0), Clip(3, 24.0, 30.0)], spec=spec, rate_hz=16000)
    assert shown(result).clip_frames == ((0,), (0,))
    assert media.nearest_colour(shown(result).pixels[0]) == "green"
    assert heard(result).start_seconds == pytest.approx(14, abs=0.01)


@pytest.mark.parametrize("choice", CHOICES)
def test_a_file_that_was_cut_off_gives_what_comes_before_the_cut(tmp_path: Path, choice: str):
    options = ("-movflags", "faststart", "-g", 10, "-crf", 1)
    whole = media.numbered_video(tmp_path / "whole.mp4", 200, options=options)
    path = media.cut_off(whole, tmp_path / "cut.mp4", share=0.6)
    info = probe(path)
    assert info.damaged
    result = shown(decoded(path, choice))
    assert numbers(result)[0] <= 5
    assert result.pts_seconds[-1] > info.end_seconds - 2
    assert numbers(result) == [round(when * 10) for when in result.pts_seconds]


def test_a_stretch_in_which_nothing_can_be_decoded_is_an_error(tmp_path: Path):
    path = media.numbered_video(tmp_path / "spoilt.mp4", 200, options=("-movflags", "faststart"))
    info = probe(path)
    data = path.read_bytes()
    body = data.index(b"mdat") + 4
    path.write_bytes(data[:body] + bytes(len(data) - body))
    with pytest.raises(UnreadableVideo, match="can be decoded"):
        decode(path, info, clips_of(info, 2.0), wants=[FrameWant(NUMBERED, "every:1s")], sample_rates_hz=[])


def test_frames_of_real_files_are_those_that_ffprobe_lists(request: pytest.FixtureRequest):
    folder: Path = request.getfixturevalue("media")
    names = (
        "delayed_start.mp4",  # starts at 1.1 s
        "edit_list_positive_shift.mp4",
        "edit-list-discard.mp4",
        "cursed-vfr.mp4",
        "0.ts",  # starts at 10 s
        "sample.mkv",
        "rotate-buck-bunny.mp4",
        "sample_edit_list_no_sync_frame_before_edit.mp4",  # starts below zero
        "entry18-variant1-segment2.ts",  # starts at 70,900 s, with two wrong time stamps
    )
    for name in names:
        path = next(folder.rglob(name))
        info = probe(path)
        assert info.video is not None
        entries = ("-select_streams", str(info.video.index), "-show_entries", "frame=best_effort_timestamp_time")
        command = ("ffprobe", "-v", "quiet", *entries, "-of", "csv=p=0", str(path))
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        truth = sorted({round(float(line.split(",")[0]) * 1e6) for line in listed})
        origin = round(info.video.start_seconds * 1e6)
        clips = clips_of(info, 4.0)
        for text in ("every:500ms", "uniform:3", "middle"):
            choice = FrameChoice.parse(text)
            wants = [FrameWant(FrameSpec(8, 8), text)]
            result = shown(decode(path, info, clips, wants=wants, sample_rates_hz=[16000]))
            for clip, own in zip(clips, result.clip_frames, strict=True):
                span = (round(clip.start_seconds * 1e6), round(clip.end_seconds * 1e6))
                on_screen = [when for when in truth if when <= sum(span) // 2][-1:]
                found = [round(when * 1e6) for when in result.pts_seconds[list(own)]]
                assert found == (choice.picked(truth, span, origin_us=origin) or on_screen), (name, text, clip)


def test_a_file_is_opened_where_it_is_and_nothing_is_written_beside_it(tmp_path: Path):
    folder = tmp_path / "read-only"
    folder.mkdir()
    shutil.copy(media.numbered_video(tmp_path / "one.mp4", 30), folder)
    before = [(path.name, path.stat().st_mtime_ns) for path in sorted(folder.iterdir())]
    decoded(folder / "one.mp4", "every:1s")
    assert [(path.name, path.stat().st_mtime_ns) for path in sorted(folder.iterdir())] == before
