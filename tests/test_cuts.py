"""Clips that end where a shot or a sentence ends: real files, real ffmpeg, the real speech model."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from typer.testing import CliRunner

from examples.render import VIDEOS
from pipelines.cli import app
from pipelines.ingest import ingest
from pipelines.settings import IngestSettings
from tests import generated_media as generated
from transforms.cut import cut_at_pauses, cut_at_shots, divided, gaps_between, most_clips, without_short_pieces
from transforms.decode import Decoded, decode_segment
from transforms.encode import Models, encode_segment, heard
from transforms.encoders.registry import loaded
from transforms.errors import RecipeMismatch, UsageError
from transforms.index.location import IndexLocation
from transforms.index.open import open_reader
from transforms.index.store import Equals, Where
from transforms.media.child import run_child
from transforms.media.limits import DEFAULT_LIMITS
from transforms.recipe import Recipe, SegmentSettings, load_recipe
from transforms.records import Audio, AudioStream, Clip, Media, Segment, Transcript, VideoInfo, VideoRef, Word, Work
from transforms.segment import segment_video
from transforms.source import list_videos

OFFLINE = load_recipe("offline")
SHOTS = OFFLINE.changed(kind="shots")
SPEECH = OFFLINE.changed(kind="speech", shortest_seconds=3.0)
Pictures = Sequence[tuple[int, int]]  # (seed of a picture, number of its frames)


def picture(seed: int) -> generated.Frame:
    """Coloured tiles, other ones for each seed: (72, 128, 3)."""
    tiles = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.ascontiguousarray(tiles.repeat(12, axis=0).repeat(16, axis=1))


def film(path: Path, parts: Pictures, *, fps: float = 25.0, options: Sequence[object] = (), **more: object) -> Path:
    frames = [picture(seed) for seed, count in parts for _ in range(count)]
    return generated.write_video(path, frames, fps=fps, options=options, **more)


def nothing_heard(media: Media) -> Transcript:
    return Transcript()


def cut(path: Path, recipe: Recipe, hear=nothing_heard) -> list[Decoded]:
    """Every segment of a file, decoded and cut."""
    (video,) = list_videos([str(path)]).videos
    return [decode_segment(segment, recipe, hear) for segment in segment_video(Work(video), recipe.segment)]


def starts_of(decoded: Sequence[Decoded]) -> list[float]:
    """Since the video's start."""
    return [
        round(clip.start_seconds - one.segment.info.start_seconds, 6) for one in decoded for clip in one.segment.clips
    ]


def check_whole(decoded: Sequence[Decoded]) -> None:
    """Clips follow each other without gap over the whole video, their indices rise, and each picture has its clip."""
    clips = [clip for one in decoded for clip in one.segment.clips]
    info = decoded[0].segment.info
    assert (clips[0].start_seconds, clips[-1].end_seconds) == (info.start_seconds, info.end_seconds)
    for before, after in itertools.pairwise(clips):
        assert before.end_seconds == after.start_seconds
        assert before.index < after.index
    for one in decoded:
        for pictures in one.media.pictures.values():
            assert len(pictures.clip_frames) == len(one.segment.clips)


@pytest.fixture(scope="module")
def hear():
    """What the offline recipe's own model hears."""
    models = Models(OFFLINE, {"speech": loaded(OFFLINE.speech_encoder, device="cpu").model})
    return lambda media: heard(media, models)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("plain.mp4", ()),
        ("reordered.mp4", ("-bf", 3, "-preset", "medium")),
        ("one key frame.mkv", ("-g", 500, "-sc_threshold", 0)),
        ("late.ts", ("-output_ts_offset", 5000)),
    ],
)
def test_a_shot_begins_with_its_first_frame(tmp_path, name, options):
    path = film(tmp_path / name, [(1, 30), (2, 45), (3, 58), (4, 40)], options=options)
    decoded = cut(path, SHOTS)
    assert starts_of(decoded) == pytest.approx([0.0, 1.2, 3.0, 5.32], abs=0.0011)
    check_whole(decoded)


def test_each_clip_of_shots_shows_its_own_picture(tmp_path):
    path = film(tmp_path / "film.mp4", [(1, 30), (2, 45), (3, 58)])
    (decoded,) = cut(path, SHOTS)
    for pictures in decoded.media.pictures.values():  # those of every second, and the middle one for screen text
        for seed, chosen in zip((1, 2, 3), pictures.clip_frames, strict=True):
            assert chosen
            for frame in pictures.pixels[list(chosen)]:
                mean = frame.reshape(-1, 3).mean(axis=0)
                away = {other: np.abs(mean - picture(other).reshape(-1, 3).mean(axis=0)).sum() for other in (1, 2, 3)}
                assert min(away, key=away.__getitem__) == seed


def test_the_times_of_a_variable_rate_are_kept(tmp_path):
    when_ms = [round(40 * n + 18 * np.sin(1.7 * n)) for n in range(120)]
    asked = ("-vf", "settb=1/1000,setpts='round(40*N+18*sin(1.7*N))'")
    timing = (*asked, "-fps_mode", "passthrough", "-enc_time_base", "1/1000")
    decoded = cut(film(tmp_path / "film.mkv", [(1, 37), (2, 41), (3, 42)], options=timing), SHOTS)
    assert starts_of(decoded) == [0.0, when_ms[37] / 1000, when_ms[78] / 1000]


def test_one_endless_shot_is_divided_evenly_and_a_short_one_is_one_clip(tmp_path):
    endless = film(tmp_path / "endless.mp4", [(1, 400)], fps=10.0)
    assert starts_of(cut(endless, SHOTS)) == pytest.approx([0.0, 40 / 3, 80 / 3], abs=1e-5)
    assert starts_of(cut(film(tmp_path / "short.mp4", [(1, 100)], fps=10.0), SHOTS)) == [0.0]


def test_flashes_are_no_cuts(tmp_path):
    frames = [picture(1)] * 150
    for place in (20, 21, 60, 61, 62, 110):
        frames[place] = np.full_like(frames[0], 250)
    assert starts_of(cut(generated.write_video(tmp_path / "film.mp4", frames, fps=25.0), SHOTS)) == [0.0]


def test_the_key_frames_of_a_poorly_compressed_film_are_no_cuts(tmp_path):
    noise = np.random.default_rng(3).normal(size=(288, 800, 3))
    wall = np.clip(128 + 700 * gaussian_filter(noise, (8, 8, 0)), 0, 255)
    seen = [wall[:, place : place + 512].reshape(72, 4, 128, 4, 3).mean(axis=(1, 3)) for place in range(125)]
    frames = [np.ascontiguousarray(view, np.uint8) for view in seen]  # a wall that passes by a quarter pixel a frame
    path = generated.write_video(tmp_path / "film.mp4", frames, fps=25.0, options=("-crf", 42, "-g", 25))
    assert starts_of(cut(path, SHOTS)) == [0.0]


def test_hard_cuts_of_real_footage_are_found_and_fades_are_not(media):
    starts = starts_of(cut(media / "pyscenedetect/testvideo.mp4", SHOTS))
    assert starts[:3] == pytest.approx([0.0, 1.001, 6.006], abs=0.001)  # black, a leaf, and fades from then on
    assert starts[3:] == pytest.approx([15.01], abs=0.1)  # 18 s are too long for a clip
    animated = starts_of(cut(media / "cosmos-curate/test_video_30s.mp4", SHOTS))
    # A shot from 25.42 to 26 s belongs to the one before it; fades are none.
    assert animated == pytest.approx([0.0, 11.917, 14.5, 15.5, 21.792, 23.875, 26.0], abs=0.001)


def test_a_picture_that_slowly_becomes_another_one_is_no_cut(tmp_path):
    shares = [0.0] * 50 + list(np.linspace(0, 1, 20)) + [1.0] * 50
    frames = [np.asarray(picture(1) * (1 - share) + picture(2) * share, np.uint8) for share in shares]
    assert starts_of(cut(generated.write_video(tmp_path / "film.mp4", frames, fps=25.0), SHOTS)) == [0.0]


def test_a_flash_of_which_a_segment_does_not_see_the_end_makes_no_clip(tmp_path):
    frames = [picture(1)] * 800
    frames[398:402] = [np.full_like(frames[0], 250)] * 4
    decoded = cut(generated.write_video(tmp_path / "film.mp4", frames, fps=25.0), SHOTS.changed(segment_seconds=16.0))
    assert starts_of(decoded) == [0.0, 16.0]


def test_shots_too_short_for_a_clip_belong_to_a_neighbour(tmp_path):
    path = film(tmp_path / "film.mp4", [(1, 60), (2, 10), (3, 50), (4, 50)])
    assert starts_of(cut(path, SHOTS)) == pytest.approx([0.0, 2.4, 4.8], abs=1e-3)


def test_the_border_of_a_segment_is_a_cut_and_a_shot_across_it_goes_on(tmp_path):
    path = film(tmp_path / "film.mp4", [(1, 50), (2, 100), (3, 3), (4, 90)], fps=10.0)
    decoded = cut(path, SHOTS.changed(segment_seconds=16.0))
    # Shots begin at 5, 15 and 15.3. What is left of the segment is too short for a clip, and so is 15.3 to 16.
    assert starts_of(decoded) == [0.0, 5.0, 15.0, 16.0]
    assert [one.segment.index for one in decoded] == [0, 1]
    check_whole(decoded)


def test_a_shot_that_begins_at_a_border_is_seen_once(tmp_path):
    path = film(tmp_path / "film.mp4", [(1, 160), (2, 160)], fps=10.0)
    decoded = cut(path, SHOTS.changed(segment_seconds=16.0))
    assert starts_of(decoded) == [0.0, 16.0]


def test_what_is_left_of_a_damaged_film_is_cut(tmp_path):
    whole = film(tmp_path / "whole.mkv", [(1, 60), (2, 60), (3, 60), (4, 60)], options=("-g", 24))
    decoded = cut(generated.cut_off(whole, tmp_path / "part.mkv", share=0.7), SHOTS)
    assert starts_of(decoded)[:2] == pytest.approx([0.0, 2.4], abs=1e-3)
    check_whole(decoded)
    broken = bytearray(whole.read_bytes())
    broken[len(broken) // 3 :: 97] = bytes(len(broken[len(broken) // 3 :: 97]))
    (tmp_path / "broken.mkv").write_bytes(broken)
    check_whole(cut(tmp_path / "broken.mkv", SHOTS))


def test_one_frame_is_one_clip(tmp_path):
    for name in ("one.mp4", "one.mkv"):
        decoded = cut(film(tmp_path / name, [(1, 1)]), SHOTS)
        assert starts_of(decoded) == [0.0]
        check_whole(decoded)
    assert starts_of(cut(generated.still_picture(tmp_path / "one.png"), SHOTS)) == [0.0]


@pytest.mark.parametrize("recipe", [SHOTS, SPEECH])
def test_where_there_is_nothing_to_cut_by_clips_are_windows(tmp_path, recipe):
    sound = generated.write_wav(tmp_path / "tone.wav", generated.tone(20.0))
    windows = [0.0, 8.0, 16.0]
    assert starts_of(cut(sound, recipe)) == windows  # no picture, and nobody speaks
    if recipe is SPEECH:
        silent = film(tmp_path / "silent.mp4", [(1, 100), (2, 100)], fps=10.0)
        assert starts_of(cut(silent, recipe)) == windows
        beside = film(tmp_path / "tone.mp4", [(1, 100), (2, 100)], fps=10.0, sound=sound)
        decoded = cut(beside, recipe)
        assert starts_of(decoded) == windows
        assert all(one.media.sounds for one in decoded)
        check_whole(decoded)


def test_a_sound_with_a_cover_is_cut_into_windows(tmp_path):
    sound = generated.write_wav(tmp_path / "tone.wav", generated.tone(20.0))
    cover, song = generated.still_picture(tmp_path / "cover.png"), tmp_path / "song.mp3"
    generated.ffmpeg(
        "-i", sound, "-i", cover, "-map", 0, "-map", 1, "-c:v", "copy", "-disposition:v", "attached_pic", song
    )
    decoded = cut(song, SHOTS)
    assert starts_of(decoded) == [0.0, 8.0, 16.0]
    check_whole(decoded)


def test_what_is_heard_in_order_to_cut_is_the_transcript(tmp_path):
    sound = generated.write_wav(tmp_path / "tone.wav", generated.tone(40.0))
    listened: list[float] = []

    def hear(media: Media) -> Transcript:
        (own,) = media.sounds.values()
        listened.append(own.start_seconds)
        return Transcript((Word("this", own.start_seconds + 3, own.start_seconds + 4),))

    recipe = SPEECH.changed(segment_seconds=20.0, longest_seconds=16.0)
    decoded = cut(sound, recipe, hear)
    assert listened == [0.0, 18.0]  # once a segment, with 2 s of what is said before
    models = Models(recipe, {})  # nobody who could hear it again
    for one in decoded:
        encoded = encode_segment(one.segment, one.media, models, transcript=one.transcript)
        assert encoded.clips[0].transcript == "this"


@pytest.mark.parametrize("name", ["launch.mp4", "palace.mp4", "garage.mp4"])
def test_nobody_is_speaking_where_a_clip_ends(examples, hear, name):
    (decoded,) = cut(examples / name, SPEECH.changed(longest_seconds=12.0), hear)
    check_whole([decoded])
    clips, (audio,) = decoded.segment.clips, decoded.media.sounds.values()
    assert len(clips) > 1
    loudness = np.sqrt(np.mean(audio.samples**2))
    for clip in clips[1:]:
        place = round((clip.start_seconds - audio.start_seconds) * audio.sample_rate_hz)
        around = audio.samples[place - audio.sample_rate_hz // 40 : place + audio.sample_rate_hz // 40]  # 50 ms
        assert np.sqrt(np.mean(around**2)) < 0.2 * loudness
    assert all(3.0 <= clip.end_seconds - clip.start_seconds <= 12.0 for clip in clips)
    assert decoded.transcript is not None and decoded.transcript.words


def test_both_tracks_are_cut_alike_where_speech_decides(examples, hear):
    (decoded,) = cut(examples / "breakfast.mp4", SPEECH, hear)
    (want, *_), clips = decoded.media.pictures, decoded.segment.clips
    shown = decoded.media.pictures[want]
    for clip, chosen in zip(clips, shown.clip_frames, strict=True):
        assert all(clip.start_seconds <= shown.pts_seconds[place] < clip.end_seconds for place in chosen)


INFO = VideoInfo("mp4", 100.0, 228.0, None, AudioStream(0, "aac", 16_000, 1, 100.0, 228.0))
STRETCH = Segment(VideoRef("file:///v.mp4", 1, "1"), "c" * 64, INFO, 1, 2, (Clip(500, 164.0, 228.0),))
lengths = st.tuples(st.floats(0.5, 8.0), st.floats(2.0, 4.0)).map(lambda pair: (pair[0], pair[0] * pair[1]))


@given(starts=st.lists(st.floats(150.0, 240.0), max_size=60), length=lengths)
def test_whatever_the_shots_clips_have_lengths_between_the_limits(starts, length):
    shortest, longest = length
    settings = SegmentSettings(
        kind="shots", clip_seconds=max(1.0, shortest), shortest_seconds=shortest, longest_seconds=max(1.0, longest)
    )
    clips = cut_at_shots(STRETCH, starts, settings).clips
    assert (clips[0].start_seconds, clips[-1].end_seconds) == (164.0, 228.0)
    assert all(before.end_seconds == after.start_seconds for before, after in itertools.pairwise(clips))
    for clip in clips:
        assert shortest - 1e-5 <= clip.end_seconds - clip.start_seconds <= settings.longest_seconds + 1e-5
    assert [clip.index for clip in clips] == list(range(most_clips(settings), most_clips(settings) + len(clips)))
    assert len(clips) < most_clips(settings)


@given(
    spoken=st.lists(st.tuples(st.floats(160.0, 230.0), st.floats(0.02, 3.0)), max_size=80),
    length=st.sampled_from([(1.0, 8.0, 16.0), (3.0, 6.0, 6.5), (4.0, 4.0, 8.0), (0.5, 1.0, 64.0)]),
)
def test_whatever_is_said_clips_have_lengths_between_the_limits(spoken, length):
    shortest, usual, longest = length
    settings = SegmentSettings(kind="speech", clip_seconds=usual, shortest_seconds=shortest, longest_seconds=longest)
    words = [Word("word", start, start + seconds, 1.0) for start, seconds in sorted(spoken)]
    noise = np.random.default_rng(len(words)).normal(0, 0.1, 68 * 1000).astype(np.float32)
    clips = cut_at_pauses(STRETCH, words, settings, Audio(noise, 1000, 162.0)).clips
    assert (clips[0].start_seconds, clips[-1].end_seconds) == (164.0, 228.0)
    assert all(before.end_seconds == after.start_seconds for before, after in itertools.pairwise(clips))
    if any(164.0 <= word.midpoint_seconds < 228.0 for word in words):
        assert all(shortest - 1e-5 <= clip.end_seconds - clip.start_seconds <= longest + 1e-5 for clip in clips)
    assert len(clips) < most_clips(settings)


def test_the_longest_of_the_nearest_pauses_is_cut_at():
    pauses = {171.0: 0.3, 173.0: 0.9, 178.0: 0.5}  # when words stop, and for how long
    words, at = [], 164.0
    while at < 228.0:
        until = at + 0.5
        words.append(Word("word", at, until, 1.0))
        at = until + next((pause for when, pause in pauses.items() if until <= when < until + 0.5), 0.0)
    settings = SegmentSettings(kind="speech", clip_seconds=8.0, shortest_seconds=3.0, longest_seconds=16.0)
    first = cut_at_pauses(STRETCH, words, settings).clips[0]
    gaps = [gap for gap in gaps_between(words, 164.0, 228.0) if gap[1] - gap[0] > 0.8]
    assert gaps[0][0] < first.end_seconds < gaps[0][1]


def test_without_a_pause_clips_end_between_words_or_at_their_longest():
    settings = SegmentSettings(kind="speech", clip_seconds=8.0, shortest_seconds=3.0, longest_seconds=16.0)
    hasty = [Word("word", 164.0 + 1.5 * place, 165.45 + 1.5 * place) for place in range(42)]  # 50 ms between them
    first = cut_at_pauses(STRETCH, hasty, settings).clips[0]
    assert first.end_seconds == pytest.approx(178.975)  # the last gap before 180
    endless = cut_at_pauses(STRETCH, [Word("aaah", 164.0, 228.0)], settings).clips
    assert [clip.end_seconds for clip in endless] == [180.0, 196.0, 212.0, 228.0]


def test_in_a_long_pause_a_clip_ends_where_a_window_would_but_away_from_the_words():
    settings = SegmentSettings(kind="speech", clip_seconds=8.0, shortest_seconds=3.0, longest_seconds=16.0)

    def first_end(until: float, again: float) -> float:
        words = [Word("one", 164.0, until), Word("two", again, 228.0)]
        return cut_at_pauses(STRETCH, words, settings).clips[0].end_seconds

    assert first_end(169.0, 176.0) == 172.0
    assert first_end(171.8, 176.0) == pytest.approx(172.3)
    assert first_end(168.0, 172.2) == pytest.approx(171.7)


def test_a_pause_is_where_it_is_quiet_whatever_the_times_of_the_words():
    words = [Word("one", 164.0, 171.0), Word("two", 173.0, 180.0), Word("three", 180.0, 228.0)]
    samples = np.random.default_rng(1).normal(0, 0.1, 64 * 1000).astype(np.float32)
    samples[7_300:7_800] *= 0.05  # the second word is heard from 171.8 s on
    settings = SegmentSettings(kind="speech", clip_seconds=9.0, shortest_seconds=3.0, longest_seconds=16.0)
    first = cut_at_pauses(STRETCH, words, settings, Audio(samples, 1000, 164.0)).clips[0]
    assert 171.3 <= first.end_seconds <= 171.8
    assert cut_at_pauses(STRETCH, words, settings).clips[0].end_seconds > 171.8


def test_short_pieces_go_to_their_shorter_neighbour_and_long_ones_are_divided():
    assert without_short_pieces([0.0, 5.0, 5.5, 7.0], shortest_seconds=1.0) == [0.0, 5.0, 7.0]
    assert without_short_pieces([0.0, 0.4], shortest_seconds=1.0) == [0.0, 0.4]
    assert list(divided([0.0, 4.0, 34.0], longest_seconds=16.0)) == [0.0, 4.0, 19.0, 34.0]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"kind": "scenes"}, "windows, shots or speech"),
        ({"kind": "shots", "overlap_seconds": 1.0}, "only windows overlap"),
        ({"kind": "shots", "shortest_seconds": 0.1}, "0.5 s"),
        ({"kind": "speech", "shortest_seconds": 10.0}, "half of the longest"),
        ({"kind": "shots", "longest_seconds": 100.0}, "at most a segment"),
        ({"kind": "shots", "clip_seconds": 20.0}, "between the shortest and the longest"),
        ({"kind": "shots", "shortest_seconds": float("nan")}, "shortest"),
    ],
)
def test_lengths_that_do_not_fit_are_refused(settings, told):
    with pytest.raises(UsageError, match=told):
        SegmentSettings(**settings)


def test_windows_are_what_they_were_and_other_cuts_have_names_of_their_own():
    assert OFFLINE.segmenter == "windows:8s/64s/0s"
    assert OFFLINE.settings()["segment"] == {"clip_seconds": 8.0, "segment_seconds": 64.0, "overlap_seconds": 0.0}
    assert len({recipe.fingerprint for recipe in (OFFLINE, SHOTS, SPEECH, SHOTS.changed(longest_seconds=20.0))}) == 4
    for recipe in (SHOTS, SPEECH):
        assert Recipe.of(recipe.settings()) == recipe
        assert recipe.changed(kind="windows").segmenter == OFFLINE.segmenter


@pytest.mark.parametrize(
    ("segment", "told"),
    [
        ({"kind": "shot"}, "kind='shot'"),
        ({"kind": 1}, "kind is a text in quotes: kind=1"),
        ({"kinds": "shots"}, "no setting 'kinds'; it has .*kind"),
        ({"kind": "shots", "longest_seconds": "16s"}, "longest_seconds is a finite number: longest_seconds='16s'"),
        ({"shortest_seconds": 2.0}, "windows have one length.*shortest_seconds=2.0"),
        ({"kind": "windows", "longest_seconds": 20.0}, "windows have one length.*longest_seconds=20.0"),
    ],
)
def test_a_recipe_that_cuts_wrongly_is_told(segment, told):
    with pytest.raises(UsageError, match=told):
        Recipe.of({**OFFLINE.settings(), "segment": segment})


def test_cutting_by_speech_needs_somebody_who_hears_it():
    with pytest.raises(UsageError, match="speech encoder"):
        Recipe.of({"name": "deaf", "segment": {"kind": "speech"}})


def test_what_fails_while_frames_are_watched_ends_the_decoder_and_is_told():
    def fails(chunk: bytes) -> None:
        raise ZeroDivisionError("on purpose")

    with Path("/dev/null").open("rb") as source, pytest.raises(ZeroDivisionError, match="on purpose"):
        run_child(
            lambda pipes: ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc", "-f", "rawvideo", "pipe:1"],
            pipes=1,
            source=source.fileno(),
            limits=DEFAULT_LIMITS,
            sinks={0: fails},
        )


def live(index: Path) -> list[tuple[str, str, float, int]]:
    """(id, file, start, clip index) of every clip that searches see, in order."""
    reader = open_reader(IndexLocation.parse(str(index)))
    try:
        points = list(reader.scroll(Where((Equals("kind", "clip"), Equals("live", True)))))
    finally:
        reader.close()
    rows = [
        (str(p.id), Path(str(p.payload["uri"])).name, p.payload["start_seconds"], p.payload["clip_index"])
        for p in points
    ]
    return sorted(rows, key=lambda row: (row[1], row[2]))


def test_examples_are_indexed_shot_by_shot(tmp_path, examples):
    index = tmp_path / "index"
    ran = CliRunner().invoke(app, ["ingest", str(examples), "--index", str(index), "--cut", "shots", "--json"])
    assert ran.exit_code == 0, ran.output
    rows = live(index)
    for name, scenes in VIDEOS.items():
        known = [0.0, *itertools.accumulate(float(scene.seconds) for scene in scenes)][:-1]
        assert [start for _, file, start, _ in rows if file == name] == pytest.approx(known, abs=0.001)
    found = CliRunner().invoke(app, ["search", "the bill", "--by", "ocr", "--index", str(index), "--json"])
    assert json.loads(found.output)[0]["start_seconds"] == pytest.approx(16.0, abs=0.001)

    again = IngestSettings(sources=(str(examples),), index=str(index))
    assert ingest(again).videos_unchanged == len(VIDEOS)  # the index knows how it is cut
    with pytest.raises(RecipeMismatch, match="another --index"):
        ingest(again.model_copy(update={"cut": "windows"}))
    assert live(index) == rows


@pytest.mark.parametrize("kind", ["shots", "speech"])
def test_the_same_film_is_cut_into_the_same_clips_again(tmp_path, examples, kind):
    twice = []
    for name in ("first", "second"):
        settings = IngestSettings(
            sources=(str(examples / "breakfast.mp4"),), index=str(tmp_path / name), cut=kind, segment_seconds=16.0
        )
        assert ingest(settings).videos_indexed == 1
        twice.append(live(tmp_path / name))
    assert twice[0] == twice[1]
    indices = [index for *_, index in twice[0]]
    assert indices == sorted(set(indices))
    assert any(start == 16.0 for _, _, start, _ in twice[0])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--cut", "scenes"], "windows"),
        (["--cut", "shots", "--overlap", "1s"], "only windows overlap"),
        (["--shortest", "2s"], "--cut"),
    ],
)
def test_the_command_line_says_what_does_not_fit(tmp_path, examples, options, told):
    ran = CliRunner().invoke(app, ["ingest", str(examples), "--index", str(tmp_path / "index"), *options])
    assert ran.exit_code == 2
    assert told in ran.output
    assert not (tmp_path / "index").exists()
