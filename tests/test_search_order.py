"""One thing and then another, in a clip and across clips."""

from collections.abc import Iterator

import numpy as np
import pytest

from pipelines.asked import Asked
from pipelines.search import Searcher, SearchHit
from pipelines.search_order import joined
from tests.small_index import the_recipe  # noqa: F401  (a fixture)
from tests.timed_index import Film, timed_index
from transforms.errors import UsageError
from transforms.index.hits import Hit
from transforms.index.in_order import pair_in_order, turn_in_order
from transforms.recipe import Recipe

CAT, ROCKET, CUP = "a cat sleeping on a sofa", "a rocket on the launch pad", "a cup of coffee on a table"
FILMS = [
    Film("cat then rocket.mp4", [[CAT, CAT, ROCKET, ROCKET]]),
    Film("rocket then cat.mp4", [[ROCKET, ROCKET, CAT, CAT]]),
    Film("cat.mp4", [[CAT] * 4]),
    Film("cup.mp4", [[CUP]]),
    Film("series.mp4", [[CAT, CAT], [CUP, CUP], [CUP, CUP], [ROCKET, ROCKET], [CUP, CUP], [CAT, CAT]]),
    Film("talk.mp3", said=["my name is Zaphod Quimby", "the espresso is ready"]),
]


@pytest.fixture(scope="module", name="index")
def the_ordered_index(tmp_path_factory: pytest.TempPathFactory, recipe: Recipe) -> str:
    return timed_index(tmp_path_factory.mktemp("order") / "ordered.reelvec", FILMS, recipe)


@pytest.fixture(name="searcher")
def the_searcher(index: str) -> Iterator[Searcher]:
    with Searcher(index) as opened:
        yield opened


def videos(hits: list[SearchHit]) -> list[str]:
    return [hit.video.removeprefix("/films/") for hit in hits]


def test_a_clip_that_shows_both_in_order_comes_first_and_before_its_mirror(searcher: Searcher) -> None:
    forwards = videos(searcher.ask(Asked("a cat", then="a rocket")))
    backwards = videos(searcher.ask(Asked("a rocket", then="a cat")))
    assert forwards[0] == "cat then rocket.mp4" and backwards[0] == "rocket then cat.mp4"
    assert forwards.index("cat then rocket.mp4") < forwards.index("rocket then cat.mp4")
    assert "cup.mp4" not in forwards  # it has one frame: nothing comes after it


def test_an_ordinary_sentence_stays_one(searcher: Searcher) -> None:
    hits = searcher.search("a cat, then a rocket")
    assert {hit.by for hit in hits} <= {"frames", "transcript", "words"}


def test_what_follows_in_a_later_clip_is_one_hit_from_the_one_to_the_other(searcher: Searcher) -> None:
    asked = Asked("a cat", then="a rocket", within_seconds=20.0, by="frame", limit=20)
    spans = [hit for hit in searcher.ask(asked) if hit.by == "follows" and hit.video == "/films/series.mp4"]
    assert (spans[0].start_seconds, spans[0].end_seconds) == (0.0, 32.0)
    assert {"follows", "frame", "then frame"} <= set(spans[0].why)
    backwards = searcher.ask(Asked("a rocket", then="a cat", within_seconds=20.0, by="frame", limit=20))
    assert (24.0, 48.0) in [(hit.start_seconds, hit.end_seconds) for hit in backwards if hit.by == "follows"]


def test_what_follows_too_late_is_no_hit(searcher: Searcher) -> None:
    asked = Asked("a cat", then="a rocket", within_seconds=10.0, limit=100)
    spans = [
        (hit.start_seconds, hit.end_seconds)
        for hit in searcher.ask(asked)
        if "series" in hit.video and hit.by == "follows"
    ]
    assert (0.0, 32.0) not in spans and spans


def test_what_is_said_can_follow_too(searcher: Searcher) -> None:
    asked = Asked("Quimby", then="espresso", within_seconds=5.0, by="words")
    (hit,) = searcher.ask(asked)
    assert (hit.video, hit.start_seconds, hit.end_seconds) == ("/films/talk.mp3", 0.0, 16.0)
    assert hit.transcript == "my name is Zaphod Quimby ... the espresso is ready"
    assert searcher.ask(Asked("espresso", then="Quimby", within_seconds=5.0, by="words")) == []
    with pytest.raises(UsageError, match="by words looks at none of this index; --within"):
        searcher.ask(Asked("Quimby", then="espresso", by="words"))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"text": "a cat", "then": ""}, "text of --then is empty"),
        ({"text": "a cat", "then": "  "}, "text of --then is empty"),
        ({"text": "", "then": "a rocket"}, "the question is empty"),
        ({"text": " ", "then": "a rocket"}, "the question is empty"),
        ({"text": "a cat", "then": "a rocket", "near_seconds": 1.0}, "goes with --between, not with --near"),
    ],
)
def test_half_a_sequence_is_refused(asked: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Asked(**asked)  # type: ignore[arg-type]


def test_the_same_thing_twice_or_words_of_which_none_counts_do_no_harm(searcher: Searcher) -> None:
    assert searcher.ask(Asked("a cat", then="a cat"))
    assert searcher.ask(Asked("the of", then="of the", within_seconds=5.0, by="words")) == []


def test_an_order_goes_with_a_span(searcher: Searcher) -> None:
    hits = searcher.ask(Asked("a cat", then="a rocket", between_seconds=(0.0, 8.0), limit=20))
    assert {hit.start_seconds for hit in hits} == {0.0}


def test_frames_are_compared_in_their_order() -> None:
    cat, rocket = np.array([0.9, 0.8, 0.1, 0.2], np.float32), np.array([0.1, 0.2, 0.9, 0.7], np.float32)
    assert pair_in_order(cat, rocket) == pytest.approx(0.9)
    assert pair_in_order(cat[::-1], rocket[::-1]) == pytest.approx((0.2 + 0.9) / 2)
    assert turn_in_order(cat, rocket) == pytest.approx(((0.8 + 0.6) / 2 + (0.8 + 0.5) / 2) / 2)
    assert turn_in_order(cat[::-1], rocket[::-1]) < 0
    assert pair_in_order(cat[:1], rocket[:1]) == turn_in_order(cat[:1], rocket[:1]) == -1.0


def test_the_best_follower_is_taken_and_none_that_starts_at_the_same_time() -> None:
    def hit(name: str, start: float, score: float, uri: str = "file:///a") -> Hit:
        return Hit(name, score, "frame", {"uri": uri, "start_seconds": start, "end_seconds": start + 8.0})

    first = [hit("a0", 0.0, 0.9), hit("a8", 8.0, 0.5)]
    second = [hit("b0", 0.0, 1.0), hit("b8", 8.0, 0.4), hit("b16", 16.0, 0.8), hit("b99", 99.0, 1.0)]
    elsewhere = [hit("c8", 8.0, 1.0, "file:///c")]
    pairs = joined(first, [*second, *elsewhere], within_seconds=8.0)
    assert [found.clip_ids for found in pairs] == [("a0", "b16"), ("a8", "b16")]
    assert [found.hit.score for found in pairs] == pytest.approx([0.85, 0.65])
    assert pairs[0].hit.payload["end_seconds"] == 24.0
