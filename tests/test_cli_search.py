"""`reelvec search` with an order, with times and with what is wrong."""

import json
from pathlib import Path

import pytest

from tests.small_index import the_recipe  # noqa: F401  (a fixture)
from tests.test_cli import run
from tests.timed_index import Film, timed_index
from transforms.recipe import Recipe

CAT, ROCKET = "a cat sleeping on a sofa", "a rocket on the launch pad"
FILMS = [
    Film("forwards.mp4", [[CAT, CAT, ROCKET, ROCKET], [CAT], [CAT]]),
    Film("backwards.mp4", [[ROCKET, ROCKET, CAT, CAT]]),
    Film("late.ts", [[ROCKET], [CAT]], clock_starts_seconds=1000.0),
]


@pytest.fixture(scope="module", name="index")
def the_index_of_films(tmp_path_factory: pytest.TempPathFactory, recipe: Recipe) -> str:
    return timed_index(tmp_path_factory.mktemp("cli") / "films.reelvec", FILMS, recipe)


def test_an_order_is_asked_with_then(index: str) -> None:
    code, out, err = run("search", "a cat", "--then", "a rocket", "--json", "--index", index)
    assert (code, err) == (0, "")
    first = json.loads(out)[0]
    assert (first["video"], first["by"]) == ("/films/forwards.mp4", "order")
    assert {"order", "frame", "then frame"} <= set(first["why"])


def test_times_are_those_that_a_player_shows(index: str) -> None:
    _, out, _ = run("search", "a cat", "--between", "0:08", "16s", "--json", "--index", index)
    assert {(hit["video"], hit["start_seconds"], hit["media_start_seconds"]) for hit in json.loads(out)} == {
        ("/films/forwards.mp4", 8.0, 0.0),
        ("/films/late.ts", 1008.0, 1000.0),
    }
    _, out, _ = run("search", "a cat", "--at", "end", "--limit", "1", "--by", "frame", "--json", "--index", index)
    assert json.loads(out)[0]["start_seconds"] in (16.0, 1008.0)
    assert "forwards.mp4  0:16 - 0:24" in run("search", "--near", "0:20", "--index", index)[1]


@pytest.mark.parametrize("args", [("a cat", "--near", "1:00"), ("--between", "60", "2:00"), ("--near", "1h")])
def test_a_time_beyond_every_end_finds_nothing_and_says_so(index: str, args: tuple[str, ...]) -> None:
    code, out, err = run("search", *args, "--json", "--index", index)
    assert (code, json.loads(out)) == (0, [])
    assert "the longest ends at 0:24" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("a cat", "--then", ""), "--then is empty"),
        (("", "--near", "5"), "the question is empty"),
        (("a cat", "--by", "weighted", "--weights", "frame=1,frame=2"), "frame has 1 and 2"),
        (("a cat", "--by", "weighted", "--weights", ""), "written as frame=1"),
        (("a cat", "--by", "weighted", "--weights", "frame=1e308,words=1e308"), "from 0 to 1e+06: frame=1e+308"),
        (("a cat", "--by", "weighted", "--weights", "frame=1", "--then", "a dog"), "they need --within"),
        (("--like", "x.jpg", "--by", "frame", "--weights", "frame=1"), "--like FILE compares one vector"),
        (("--like", __file__, "--by", "frame"), "test_cli_search.py"),
        (("a cat", "--limit", "99999999999999999999"), "1000000"),
        (
            ("a cat", "--level", "video", "--pooled", "--by", "weighted", "--weights", "words=1"),
            "whole videos have no words",
        ),
        (("", "--then", "a cat"), "the question is empty"),
        (("--then", "a cat"), "say what to look for"),
        (("--then", "a cat", "--near", "5"), "the question is empty"),
        (("a cat", "--within", "60s"), "needs a --then"),
        (("a cat", "--then", "a dog", "--within", "soon"), "a time is written as"),
        (("a cat", "--then", "a dog", "--at", "end"), "goes with --between"),
        (("a cat", "--between", "2:00", "1:00"), "ends after it starts"),
        (("a cat", "--between", "1:00", "1:00"), "ends after it starts"),
        (("a cat", "--near", "-5"), "a time is written as"),
        (("a cat", "--near", "5", "--at", "end"), "give one of them"),
        (("a cat", "--at", "noon"), "opening, middle, end"),
        (("a cat", "--at", "1.5"), "opening, middle, end"),
        (("a cat", "--at", "nan"), "opening, middle, end"),
        (("--like", "x.png", "--near", "5"), "asked alone"),
        (("a cat", "--then", "a dog", "--by", "words"), "--within 60s"),
        (("a cat", "--weights", "frame=2"), "--by weighted"),
        (("a cat", "--by", "weighted", "--weights", "frame=-1"), "from 0 to 1e+06"),
        (("a cat", "--by", "weighted", "--weights", "frame=0"), "more than 0"),
        (("a cat", "--by", "weighted", "--weights", "frame"), "weights are written as"),
    ],
)
def test_what_contradicts_itself_is_refused_in_a_sentence(index: str, args: tuple[str, ...], said: str) -> None:
    code, out, err = run("search", *args, "--index", index)
    assert (code, out) == (2, "")
    assert said in err


def test_one_clip_alone_and_clips_that_are_all_the_same_can_be_asked_everything(tmp_path: Path, recipe: Recipe) -> None:
    one = timed_index(tmp_path / "one.reelvec", [Film("one.mp4", [[CAT, ROCKET]])], recipe)
    alike = timed_index(tmp_path / "alike.reelvec", [Film(f"{n}.mp4", [[CAT, CAT]] * 3) for n in range(4)], recipe)
    questions = [("--then", "a rocket"), ("--then", "a rocket", "--within", "60s"), ("--near", "2"), ("--at", "middle")]
    for index, at_most in ((one, 1), (alike, 12)):
        for asked in questions:
            code, out, err = run("search", "a cat", *asked, "--json", "--limit", "20", "--index", index)
            assert (code, err) == (0, "")
            assert 0 < len(json.loads(out)) <= 2 * at_most
