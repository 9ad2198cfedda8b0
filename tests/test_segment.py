"""Fixed windows over a video's own time."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.cut import SHORTEST_CLIP_SECONDS, fixed_windows
from transforms.recipe import SegmentSettings
from transforms.records import AudioStream, VideoInfo, VideoRef, Work
from transforms.segment import segments_of

AUDIO = AudioStream(0, "aac", 16_000, 1, 70_000.0, 70_001.0)
seconds = st.floats(0.04, 40_000.0)


@given(start=st.floats(-10.0, 80_000.0), duration=seconds, clip=st.floats(1.0, 60.0), overlap=st.floats(0.0, 0.5))
def test_windows_cover_every_moment_and_nothing_else(start, duration, clip, overlap):
    windows = fixed_windows(start, start + duration, clip_seconds=clip, overlap_seconds=overlap * clip)
    assert windows[0].start_seconds == start
    assert windows[-1].end_seconds == start + duration
    for before, after in itertools.pairwise(windows):
        assert before.start_seconds < after.start_seconds <= before.end_seconds + 1e-6
        assert before.end_seconds < after.end_seconds
    assert [window.index for window in windows] == list(range(len(windows)))


@pytest.mark.parametrize(
    ("duration", "ends"),
    [
        (3.0, [3.0]),
        (8.0, [8.0]),
        (8.9, [8.9]),
        (9.0, [8.0, 9.0]),
        (16.5, [8.0, 16.5]),
        (64.999, [8.0 * n for n in range(1, 8)] + [64.999]),
    ],
)
def test_a_last_piece_shorter_than_a_second_belongs_to_the_clip_before_it(duration, ends):
    windows = fixed_windows(0.0, duration, clip_seconds=8.0)
    assert [window.end_seconds for window in windows] == ends
    assert all(window.end_seconds - window.start_seconds >= SHORTEST_CLIP_SECONDS for window in windows)


@pytest.mark.parametrize("duration", [1.0, 63.0, 64.0, 64.5, 65.0, 128.2, 600.0])
def test_segments_hold_every_clip_once_and_in_order(duration):
    video = VideoRef("file:///v.mp4", 1, "1")
    info = VideoInfo("mp4", 70_000.0, 70_000.0 + duration, video=None, audio=AUDIO)
    segments = segments_of(Work(video), "c" * 64, info, SegmentSettings())
    clips = [clip for segment in segments for clip in segment.clips]
    assert clips == fixed_windows(70_000.0, 70_000.0 + duration, clip_seconds=8.0)
    assert [segment.index for segment in segments] == list(range(len(segments)))
    assert {segment.count for segment in segments} == {len(segments)}
    assert all(segment.end_seconds - segment.start_seconds <= 65.0 for segment in segments)
