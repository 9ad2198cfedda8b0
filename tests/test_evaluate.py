"""Figures over labelled questions: what counts as found, in which order, and what the report shows."""

import math
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipelines.asked import Asked
from pipelines.evaluate import DEPTH, Answer, Question, answer, evaluate, figures_of
from pipelines.gates import judge, parse_gate
from pipelines.questions import Copies
from pipelines.report_evaluation import BINS, binned, evaluation_page
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
    limits: list[int] = []
    clips = [hit("/one long film", at * 8.0, at * 8.0 + 8.0) for at in range(3100)]
    clips += [hit(f"/{at}") for at in range(200)]

    def ask(asked: Asked) -> Sequence[SearchHit]:
        limits.append(asked.limit)
        return clips[: asked.limit]

    found = answer(ask, question("/3"), by="frame")
    assert limits == [50, 400, 3200]
    assert len(found.hits) == DEPTH
    assert [one.video for one in found.hits[:3]] == ["/one long film", "/0", "/1"]


def test_no_more_clips_are_asked_for_than_there_are() -> None:
    limits: list[int] = []

    def ask(asked: Asked) -> Sequence[SearchHit]:
        limits.append(asked.limit)
        return [hit(f"/{at % 20}") for at in range(60)][: asked.limit]

    assert len(answer(ask, question("/3"), by="frame").hits) == 20
    assert limits == [50, 400]


def test_what_a_shallow_search_shows_first_stays_first() -> None:
    def ask(asked: Asked) -> Sequence[SearchHit]:
        found = [hit(f"/{at % 20}") for at in range(60)]
        return found[: asked.limit] if asked.limit <= 50 else [hit("/fused deeper"), *found]

    found = answer(ask, question("/3"), by="auto")
    assert [one.video for one in found.hits] == [*(f"/{at}" for at in range(20)), "/fused deeper"]


def copies(*groups: tuple[str, ...]) -> Copies:
    return Copies({uri_of_path(name): f"group {group[0]}" for group in groups for name in group})


def test_a_copy_of_a_right_file_is_right_and_copies_count_as_one() -> None:
    known = copies(("/a", "/a again", "/a once more"), ("/wrong", "/wrong again"))
    found = [hit("/wrong"), hit("/wrong again"), hit("/a again"), hit("/a"), hit("/b")]

    def ask(asked: Asked) -> Sequence[SearchHit]:
        return found

    plain = answer(ask, question("/a"), by="frame").judged
    merged = answer(ask, question("/a", "/a once more", "/b"), by="frame", copies=known)
    assert (plain.first_rank, plain.answers) == (4.0, 1)
    assert [one.video for one in merged.hits] == ["/wrong", "/a again", "/b"]
    assert (merged.judged.right, merged.judged.answers) == ((False, True, True), 2)


def test_a_span_is_judged_in_the_files_that_were_labelled_and_not_in_their_copies() -> None:
    asked = question("/a", start=2.0, end=4.0)
    found = Answer(asked, (hit("/a again", 8.0, 16.0),), copies(("/a", "/a again"))).judged
    assert (found.right, found.span_hits) == ((True,), ())


def test_further_columns_reach_the_search_and_a_refusal_counts_as_not_found() -> None:
    told: list[Asked] = []

    def ask(asked: Asked) -> Sequence[SearchHit]:
        told.append(asked)
        if asked.by == "words":
            raise UsageError("words know no order")
        return [hit("/a")]

    in_order = Question("a cat", "order", (uri_of_path("/a"),), options={"then": "a rocket"})
    assert answer(ask, in_order, by="frame").judged.first_rank == 1.0
    refused = answer(ask, in_order, by="words")
    assert [(one.text, one.then) for one in told] == [("a cat", "a rocket")] * 2
    assert (refused.judged.first_rank, refused.refused) == (math.inf, "words know no order")
    with pytest.raises(UsageError, match="no order"):
        answer(ask, question("/a"), by="words")


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


def test_every_figure_has_its_interval_and_every_strategy_its_distance_from_the_best(searcher: Searcher) -> None:
    asked = [
        Question("a rocket on the launch pad", "visual", (uri_of_path("/films/launch.mp4"),), 8.0, 16.0),
        Question("Quimby", "speech", (uri_of_path("/films/zoo.ts"),)),
    ]
    figures = evaluate(searcher, asked, by=["auto", "words"]).figures
    own = figures["auto"]["all"]
    names = {"recall@1", "recall@5", "recall@10", "map", "ndcg@10", "mrr", "median_rank", "span_hit"}
    assert set(own) == names | {f"{name}_ci95" for name in names} | {"queries", "files_not_indexed", "versus_best"}
    assert own["recall@1"] == own["map"] == own["span_hit"] == 1.0
    assert own["recall@1_ci95"] == [pytest.approx(0.1581, abs=1e-4), 1.0]
    assert own["versus_best"] is None
    assert figures["words"]["visual"]["versus_best"]["strategy"] == "auto"
    assert figures["words"]["visual"]["recall@1"] == 0.0


def test_no_questions_at_all_are_wrong_usage(searcher: Searcher) -> None:
    with pytest.raises(UsageError, match="no questions"):
        evaluate(searcher, [])


def test_a_kind_called_all_is_wrong_usage(searcher: Searcher) -> None:
    with pytest.raises(UsageError, match='cannot be called "all"'):
        evaluate(searcher, [Question("a cat", "all", (uri_of_path("/films/zoo.ts"),))], by=["frame"])


def test_ranks_fall_into_bins_that_hold_them_all() -> None:
    assert binned([1, 2, 3, 4, 5, 10, 11, 100, math.inf]) == [1, 1, 1, 2, 1, 1, 1, 1]
    assert BINS[-1][1] == math.inf


def test_the_report_is_one_page_that_holds_every_question_and_asks_for_nothing(searcher: Searcher) -> None:
    asked = [
        Question("a rocket on the launch pad", "visual", (uri_of_path("/films/launch.mp4"),), 8.0, 16.0),
        Question("the coffee", "speech", (uri_of_path(os.fsdecode(b"/films/kitchen \xff.mp4")),)),
        Question("a fish", "visual", (uri_of_path("/films/sea.mp4"),)),
    ]
    evaluation = evaluate(searcher, asked, by=["frame", "words"])
    gate = parse_gate("frame.recall@1>=0.9", strategies=("frame",), kinds=("all",))
    page = evaluation_page(evaluation, [judge(gate, evaluation.figures)], index="small")
    assert page.count("<svg") == 2
    assert "NOT met: frame.all.recall@1" in page
    assert all(text in page for text in ("a rocket on the launch pad", "kitchen %FF.mp4", "1 right files are not"))
    assert not any(mark in page for mark in ("<script", "src=", "@import", "<link"))


def test_a_median_rank_in_the_report_is_a_whole_rank_or_beyond(searcher: Searcher) -> None:
    asked = [Question("Quimby", "speech", (uri_of_path("/films/zoo.ts"),))]
    page = evaluation_page(evaluate(searcher, asked, by=["words", "ocr"]), [], index="small")
    assert "<td>1<br><small>1</small></td>" in page
    assert "<td>beyond<br><small>beyond</small></td>" in page


HOSTILE = "<script>alert(1)</script> $x^$ {{ 7 * 7 }} \u202etxt.4pm \x1b[2J 魚"


def test_names_in_a_report_are_text_and_never_markup(searcher: Searcher) -> None:
    asked = [Question(HOSTILE, HOSTILE, (uri_of_path(f"/films/{HOSTILE}"),))]
    page = evaluation_page(evaluate(searcher, asked, by=["frame"]), [], index=HOSTILE)
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; $x^$ {{ 7 * 7 }}" in page
    assert not any(mark in page for mark in ("\u202e", "\x1b"))


def test_questions_about_real_videos_are_answered_and_measured(media: Path, tmp_path: Path) -> None:
    from pipelines.ingest import ingest
    from pipelines.questions import check, lengths_of, read_copies, read_questions
    from pipelines.settings import IngestSettings

    names = ("pyscenedetect/testvideo.mp4", "moviepy/fire2.mp4", "pyscenedetect/counter.mp4")
    recipe = tmp_path / "pictures.toml"
    recipe.write_text('name = "pictures"\n[frames]\nencoder = "conse:tf_efficientnet_lite2"\n')
    sources = tuple(str(media / name) for name in names)
    ingest(IngestSettings(sources=sources, index=str(tmp_path / "index"), recipe=str(recipe)))
    held = {uri_of_path(media / name) for name in names}
    asked = [one for one in read_questions(media / "queries.tsv", media=media) if held >= set(one.relevant)]
    assert len(asked) >= 3
    with Searcher(str(tmp_path / "index")) as searcher:
        check(asked, lengths_of(searcher.reader, asked))
        figures = evaluate(searcher, asked, copies=read_copies(media / "duplicates.tsv", media=media)).figures
    assert figures["auto"]["all"]["recall@10"] == 1.0  # three files in all
    assert figures["auto"]["all"]["recall@1"] >= 0.5
    assert figures["auto"]["all"]["files_not_indexed"] == 0
