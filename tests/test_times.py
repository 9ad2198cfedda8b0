"""Times as people write them."""

import pytest

from pipelines.times import clock, lasting, parse_seconds
from transforms.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90.0),
        ("90s", 90.0),
        (" 90S ", 90.0),
        ("1:30", 90.0),
        ("0:01:30", 90.0),
        ("1:00:00", 3600.0),
        ("90:00", 5400.0),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("2h", 7200.0),
        ("1m30s", 90.0),
        ("250ms", 0.25),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1:30.25", 90.25),
        ("0", 0.0),
    ],
)
def test_a_time_reads_as_it_is_commonly_written(text: str, seconds: float) -> None:
    assert parse_seconds(text) == pytest.approx(seconds, abs=1e-9)


@pytest.mark.parametrize(
    "text", ["", " ", "abc", "-5", "1:60", "1:60:00", "1:2:3:4", "5x", "1e3", "nan", "inf", "s", "1:", ":30", "30s5m"]
)
def test_what_is_no_time_is_refused_with_the_ways_to_write_one(text: str) -> None:
    with pytest.raises(UsageError, match="0:01:30"):
        parse_seconds(text)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0:00"),
        (9.97, "0:09.9"),
        (90, "1:30"),
        (90.5, "1:30.5"),
        (3600, "1:00:00"),
        (-0.023, "0:00"),
        (-1.5, "-0:01.5"),
    ],
)
def test_a_moment_is_shown_as_a_player_shows_it(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


def test_a_shown_moment_reads_back_as_itself() -> None:
    for tenths in range(0, 80_000, 777):
        assert parse_seconds(clock(tenths / 10)) == pytest.approx(tenths / 10, abs=1e-6)


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.4, "0.4 s"), (59.2, "59 s"), (125, "2 min 05 s"), (3720, "1 h 02 min")]
)
def test_a_duration_is_shown_in_two_units_at_most(seconds: float, shown: str) -> None:
    assert lasting(seconds) == shown
