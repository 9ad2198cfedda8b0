"""Figures over labelled questions: what counts as found, and tables that cannot be read."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from pipelines.evaluate import Answer, Question, answer, evaluate, figures_of, read_questions
from pipelines.search import Searcher, SearchHit
from tests.small_index import the_index, the_recipe, the_searcher  # noqa: F401  (fixtures)
from transforms.errors import UsageError
from transforms.uris import shown, uri_of_path

HEADER = "query\tmodality\trelevant\tstart_seconds\tend_seconds\tnote\n"


def hit(video: str, start: float = 0.0, end: float = 8.0, *, clock_starts: float = 0.0) -> SearchHit:
    return SearchHit(video, clock_starts + start, clock_starts + end, 0.5, "frame", None, "id", clock_starts)


def question(*relevant: str, kind: str = "visual", start: float | None = None, end: float | None = None) -> Question:
    return Question("what", kind, tuple(uri_of_path(name) for name in relevant), start, end)


def test_recall_counts_the_first_distinct_files() -> None:
    files = [f"/{number}" for number in range(12)]
    answers = [
        Answer(question("/0"), tuple(hit(file) for file in files[:10])),
        Answer(question("/4", "/9"), tuple(hit(file) for file in files[:10])),
        Answer(question("/9"), tuple(hit(file) for file in files[:10])),
        Answer(question("/11"), tuple(hit(file) for file in files[:10])),
    ]
    figures = figures_of(answers)["visual"]
    assert (figures["recall@1"], figures["recall@5"], figures["recall@10"]) == (0.25, 0.5, 0.75)
    assert (figures["queries"], figures["span_hit"]) == (4, None)


def test_figures_are_told_for_each_kind_of_question_and_for_all() -> None:
    answers = [Answer(question("/a", kind="visual"), (hit("/a"),)), Answer(question("/a", kind="speech"), (hit("/b"),))]
    figures = figures_of(answers)
    assert {kind: values["recall@1"] for kind, values in figures.items()} == {"visual": 1.0, "speech": 0.0, "all": 0.5}


@pytest.mark.parametrize(
    ("start", "end", "overlaps"),
    [(0.0, 8.0, 1.0), (7.9, 9.0, 1.0), (8.0, 9.0, 0.0), (20.0, None, 0.0), (3.0, None, 1.0), (3.0, 3.0, 1.0)],
)
def test_a_span_is_hit_when_the_clip_shares_a_moment_with_it(start: float, end: float | None, overlaps: float) -> None:
    asked = question("/a", start=start, end=end)
    assert figures_of([Answer(asked, (hit("/a"),))])["all"]["span_hit"] == overlaps


def test_spans_are_of_a_players_clock_whatever_the_container_counts_from() -> None:
    asked = question("/a.ts", start=2.0, end=4.0)
    assert figures_of([Answer(asked, (hit("/a.ts", clock_starts=70910.8),))])["all"]["span_hit"] == 1.0


def test_span_hit_is_a_share_of_the_right_files_that_were_found() -> None:
    asked = question("/a", "/b", "/c", start=2.0, end=4.0)
    answers = [Answer(asked, (hit("/a"), hit("/wrong"), hit("/b", 8.0, 16.0))), Answer(question("/d"), (hit("/d"),))]
    assert figures_of(answers)["all"]["span_hit"] == 0.5


def test_more_clips_are_asked_for_until_there_are_enough_files() -> None:
    asked: list[int] = []
    clips = [hit("/one long film", at * 8.0, at * 8.0 + 8.0) for at in range(500)] + [hit(f"/{at}") for at in range(30)]

    def search(text: str, *, by: str, limit: int) -> Sequence[SearchHit]:
        asked.append(limit)
        return clips[:limit]

    found = answer(search, question("/3"), by="frame")  # type: ignore[arg-type]
    assert asked == [50, 200, 800]
    assert [one.video for one in found.hits] == ["/one long film", *(f"/{at}" for at in range(9))]


def test_files_that_the_index_does_not_hold_are_counted_and_not_hidden(searcher: Searcher) -> None:
    asked = [
        Question("a rocket on the launch pad", "visual", (uri_of_path("/films/launch.mp4"),)),
        Question("a fish", "visual", (uri_of_path("/films/sea.mp4"),)),
    ]
    evaluation = evaluate(searcher, asked, by=["frame", "words"])
    assert list(evaluation.figures) == ["frame", "words"]
    assert evaluation.figures["frame"]["visual"]["recall@1"] == 0.5
    assert evaluation.figures["frame"]["visual"]["files_not_indexed"] == 1
    assert [shown(uri) for uri in evaluation.not_indexed] == ["/films/sea.mp4"]


def test_every_way_that_the_index_offers_is_measured_unless_told_otherwise(searcher: Searcher) -> None:
    asked = [Question("a cat", "visual", (uri_of_path("/films/zoo.ts"),))]
    single = {"frame", "transcript", "ocr", "words", "clip"}
    assert set(evaluate(searcher, asked).figures) == {"auto", "rrf", "weighted", "dbsf", *single}
    with pytest.raises(UsageError, match="audio"):
        evaluate(searcher, asked, by=["audio"])


def test_a_table_of_questions_reads_as_it_is_written(tmp_path: Path) -> None:
    table = tmp_path / "queries.tsv"
    rows = 'what "he" said\tspeech\ta.mp4|sub/b c.mp4\t1:30\t95.5\tby ear\na cat\tvisual\tc.mp4\r\n\n'
    table.write_text(HEADER + rows)
    first, second = read_questions(table, media=tmp_path)
    assert (first.text, first.kind) == ('what "he" said', "speech")
    assert first.relevant == (uri_of_path(tmp_path / "a.mp4"), uri_of_path(tmp_path / "sub" / "b c.mp4"))
    assert (first.start_seconds, first.end_seconds) == (90.0, 95.5)
    assert (second.relevant, second.start_seconds, second.end_seconds) == (
        (uri_of_path(tmp_path / "c.mp4"),),
        None,
        None,
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("question\tmodality\trelevant\n", "line 1 .* missing: query"),
        ("", "line 1"),
        (HEADER, "asks no questions"),
        (HEADER + "a cat\tvisual\n", 'line 2.*"relevant" must not be empty'),
        (HEADER + "ok\tvisual\ta.mp4\na cat\tvisual\ta.mp4\tsoon\n", "line 3.*start_seconds.*soon"),
        (HEADER + "a cat\tvisual\ta.mp4\t5\t3\n", "line 2.*ends after it starts"),
        (HEADER + "a cat\tvisual\ta.mp4\t5\t6\tnote\tmore\n", "line 2.*7 cells"),
    ],
)
def test_a_broken_table_is_wrong_usage_and_names_the_line(tmp_path: Path, content: str, told: str) -> None:
    table = tmp_path / "queries.tsv"
    table.write_text(content)
    with pytest.raises(UsageError, match=told):
        read_questions(table, media=tmp_path)


def test_missing_questions_or_media_are_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none"):
        read_questions(tmp_path / "none.tsv", media=tmp_path)
    table = tmp_path / "queries.tsv"
    table.write_text(HEADER + "a\tvisual\ta.mp4\n")
    with pytest.raises(UsageError, match="nowhere"):
        read_questions(table, media=tmp_path / "nowhere")
