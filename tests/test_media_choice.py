"""Which frames are chosen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.errors import UsageError
from transforms.media.choice import FrameChoice


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("keyframes", "keyframes"),
        ("every:1s", "every:1s"),
        ("every:1", "every:1s"),
        ("every:0.50s", "every:0.5s"),
        ("every:250ms", "every:0.25s"),
        ("every:2m", "every:120s"),
        ("uniform:8", "uniform:8"),
        ("uniform:08", "uniform:8"),
        ("middle", "middle"),
    ],
)
def test_a_choice_reads_and_writes_its_text(text: str, canonical: str):
    assert str(FrameChoice.parse(text)) == canonical
    assert FrameChoice.parse(canonical) == FrameChoice.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "all",
        "every:",
        "every:0s",
        "every:-1s",
        "every:nan",
        "every:1h",
        "uniform:0",
        "uniform:x",
        "uniform:1001",
        "key",
    ],
)
def test_nonsense_is_refused_with_what_is_possible(text: str):
    with pytest.raises(UsageError, match="frames"):
        FrameChoice.parse(text)


def test_every_second_takes_the_first_frame_at_or_after_each_second_of_the_stream():
    choice = FrameChoice.parse("every:1s")
    pts = [500_000, 900_000, 1_400_000, 1_500_000, 1_600_000, 4_000_000, 4_499_999, 4_500_000]
    assert choice.picked(pts, (0, 10_000_000), origin_us=500_000) == [500_000, 1_500_000, 4_000_000, 4_500_000]


def test_even_parts_take_the_first_frame_after_the_middle_of_each():
    choice = FrameChoice.parse("uniform:2")
    assert choice.picked(range(0, 8_000_000, 100_000), (0, 8_000_000), origin_us=0) == [2_000_000, 6_000_000]


def test_the_middle_takes_the_last_frame_that_has_come_by_then():
    choice = FrameChoice.parse("middle")
    pts = [1_000_000, 2_000_000, 7_000_000]
    spans = [(0, 1_000_000), (0, 2_000_000), (2_000_000, 6_000_000), (6_000_000, 10_000_000)]
    found = [choice.picked(pts, span, origin_us=0) for span in spans]
    assert found == [[], [1_000_000], [2_000_000], [7_000_000]]


@given(
    st.lists(st.integers(0, 20_000_000), unique=True, min_size=1).map(sorted),
    st.integers(0, 10_000_000),
    st.integers(1, 10_000_000),
    st.sampled_from(["every:1s", "every:300ms", "uniform:1", "uniform:8"]),
)
def test_chosen_frames_lie_in_the_clip_and_keep_their_order(pts: list[int], start: int, length: int, text: str):
    choice = FrameChoice.parse(text)
    picked = choice.picked(pts, (start, start + length), origin_us=pts[0])
    assert picked == sorted(set(picked))
    assert all(start <= when < start + length and when in pts for when in picked)
    if choice.kind == "uniform":
        assert len(picked) <= choice.count
