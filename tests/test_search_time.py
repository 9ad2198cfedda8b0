"""Questions about when, with a text and without."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.asked import Asked
from pipelines.search import Searcher, SearchHit
from pipelines.search_time import position_of
from tests.small_index import the_recipe  # noqa: F401  (a fixture)
from tests.timed_index import CLIP_SECONDS, Film, timed_index
from transforms.errors import UsageError
from transforms.fuse import time_features
from transforms.index.near import Moment
from transforms.recipe import Recipe

CAT, ROCKET = ["a cat sleeping on a sofa"], ["a rocket on the launch pad"]
#: Ten minutes of look-alikes, a short film, and one whose clock starts hours in.
LONG = Film("long.mp4", [CAT] * 75)
SHORT = Film("short.mp4", [CAT, ROCKET])
LATE = Film("late.ts", [ROCKET, CAT, ROCKET], clock_starts_seconds=70910.8)


@pytest.fixture(scope="module", name="index")
def the_timed_index(tmp_path_factory: pytest.TempPathFactory, recipe: Recipe) -> str:
    return timed_index(tmp_path_factory.mktemp("time") / "timed.reelvec", [LONG, SHORT, LATE], recipe)


@pytest.fixture(name="searcher")
def the_searcher(index: str) -> Iterator[Searcher]:
    with Searcher(index) as opened:
        yield opened


def told(hits: list[SearchHit]) -> list[tuple[str, float]]:
    return [(hit.video.removeprefix("/films/"), round(hit.start_seconds - hit.media_start_seconds, 3)) for hit in hits]


def test_only_clips_that_overlap_the_span_are_found_whatever_their_clock_shows(searcher: Searcher) -> None:
    hits = searcher.ask(Asked("a cat", limit=50, between_seconds=(8.0, 16.0)))
    assert sorted(told(hits)) == [("late.ts", 8.0), ("long.mp4", 8.0), ("short.mp4", 8.0)]
    hits = searcher.ask(Asked("a cat", by="frame", limit=50, between_seconds=(7.9, 8.1)))
    assert {start for _, start in told(hits)} == {0.0, 8.0}


def test_a_deep_search_is_made_where_clocks_start_elsewhere(tmp_path: Path, recipe: Recipe) -> None:
    stream = Film("stream.ts", [CAT] * 240 + [ROCKET] * 10, clock_starts_seconds=12.5)
    with Searcher(timed_index(tmp_path / "stream.reelvec", [stream], recipe)) as searcher:
        asked = Asked("a cat on a sofa", by="frame", limit=3, between_seconds=(1920.0, 1936.0))
        assert told(searcher.ask(asked)) == [("stream.ts", 1920.0), ("stream.ts", 1928.0)]


def test_near_a_moment_the_right_one_of_many_look_alikes_comes_first(searcher: Searcher) -> None:
    for seconds in (20.0, 300.0, 590.0):
        first = searcher.ask(Asked("a cat", limit=5, near_seconds=seconds))[0]
        assert first.start_seconds <= seconds < first.end_seconds
    far = searcher.ask(Asked("a rocket", limit=1, near_seconds=300.0))
    assert far[0].video != "/films/long.mp4"  # what does not fit at all is not made to fit by its time


@pytest.mark.parametrize(("at", "start"), [(0.0, 0.0), (0.5, 296.0), (1.0, 592.0), (0.75, 448.0)])
def test_a_place_is_a_share_of_the_video(searcher: Searcher, at: float, start: float) -> None:
    hits = searcher.ask(Asked("a cat", limit=10, at=at))
    assert ("long.mp4", start) in told(hits)[:3]


def test_clips_of_a_span_are_listed_in_the_order_of_time_without_a_text(searcher: Searcher) -> None:
    hits = searcher.ask(Asked(between_seconds=(4.0, 17.0)))
    assert told(hits) == [
        ("late.ts", 0.0),
        ("long.mp4", 0.0),
        ("short.mp4", 0.0),
        ("late.ts", 8.0),
        ("long.mp4", 8.0),
        ("short.mp4", 8.0),
        ("late.ts", 16.0),
        ("long.mp4", 16.0),
    ]
    assert {hit.by for hit in hits} == {"time"}


def test_without_a_text_the_nearest_clips_come_first_however_far_they_are(searcher: Searcher) -> None:
    assert told(searcher.ask(Asked(near_seconds=20.0, limit=3))) == [
        ("late.ts", 16.0),
        ("long.mp4", 16.0),
        ("late.ts", 8.0),
    ]
    assert len(searcher.ask(Asked(near_seconds=590.0, limit=80))) == 80  # of 80, those of short films too
    assert told(searcher.ask(Asked(at=1.0, limit=3))) == [("late.ts", 16.0), ("long.mp4", 592.0), ("short.mp4", 8.0)]


def test_a_time_beyond_every_end_finds_nothing(searcher: Searcher) -> None:
    assert searcher.longest_seconds() == 600.0
    for asked in (
        Asked("a cat", near_seconds=601.0),
        Asked(near_seconds=601.0),
        Asked("a cat", between_seconds=(600.0, 700.0)),
        Asked(between_seconds=(600.0, 700.0)),
    ):
        assert searcher.ask(asked) == []
    assert searcher.ask(Asked("a cat", near_seconds=599.0))


def test_a_near_hit_says_what_its_closeness_is_worth(searcher: Searcher) -> None:
    first = searcher.ask(Asked("a cat", limit=1, near_seconds=300.0))[0]
    assert first.why["time"] == 1.0
    assert first.score == pytest.approx(1.0, abs=1e-3)
    assert {"frame", "frames"} <= set(first.why)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"text": "a cat", "between_seconds": (60.0, 30.0)}, "ends after it starts: 60 and 30"),
        ({"text": "a cat", "between_seconds": (60.0, 60.0)}, "ends after it starts"),
        ({"text": "a cat", "near_seconds": -1.0}, "not negative: --near -1"),
        ({"text": "a cat", "at": 1.5}, "opening, middle, end or a share from 0 to 1: 1.5"),
        ({"text": "a cat", "at": 0.5, "near_seconds": 3.0}, "give one of them"),
        ({"text": " ", "near_seconds": 3.0}, "the question is empty"),
        ({}, "the question is empty"),
        ({"text": "a cat", "within_seconds": 3.0}, "needs a --then"),
    ],
)
def test_times_that_make_no_sense_are_refused(asked: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Asked(**asked)  # type: ignore[arg-type]


def test_a_moment_fills_the_part_of_the_position_block_that_it_knows(recipe: Recipe) -> None:
    fusion = recipe.fusion
    for seconds in (30.0, 4000.0):
        block = position_of(Moment(seconds=seconds), recipe)
        assert block is not None and float(np.linalg.norm(block)) == pytest.approx(1.0, abs=1e-5)
        here, elsewhere = (time_features(at, 0.3, fusion) for at in (seconds, seconds + 100.0))
        assert block @ here > block @ elsewhere
    opening = position_of(Moment(fraction=0.5), recipe)
    assert opening is not None and not opening[: 2 * len(fusion.position_periods_seconds)].any()


def test_a_moment_that_clip_vectors_cannot_tell_leaves_their_block_out(recipe: Recipe) -> None:
    relative = replace(recipe, fusion=replace(recipe.fusion, position_kind="relative"))
    assert position_of(Moment(fraction=0.5), relative) is None
    assert position_of(Moment(seconds=5.0), relative) is not None


def test_one_clip_alone_is_found_at_every_place_of_its_video(tmp_path: Path, recipe: Recipe) -> None:
    with Searcher(timed_index(tmp_path / "one.reelvec", [Film("one.mp4", [CAT])], recipe)) as searcher:
        for asked in (
            Asked("a cat", at=0.0),
            Asked("a cat", at=1.0),
            Asked("a cat", near_seconds=CLIP_SECONDS),
            Asked("a cat", by="weighted"),
            Asked("a cat", by="dbsf"),
        ):
            assert told(searcher.ask(asked)) == [("one.mp4", 0.0)]


def test_near_a_moment_is_found_in_a_corpus_of_more_look_alikes_than_candidates(tmp_path: Path, recipe: Recipe) -> None:
    films = [Film(f"{number}.mp4", [CAT] * 60) for number in range(10)]  # 600 clips, all the same
    with Searcher(timed_index(tmp_path / "alike.reelvec", films, recipe)) as searcher:
        hits = searcher.ask(Asked("a cat", limit=10, near_seconds=420.5))
        assert told(hits) == [(f"{number}.mp4", 416.0) for number in range(10)]
        assert len(searcher.ask(Asked("a cat", limit=700))) == 600
