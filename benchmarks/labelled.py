"""What an index finds of labelled questions: the table of `reelvec evaluate`, and how far `auto` is from its goals.

    python benchmarks/labelled.py --media FOLDER [--index I]    # a folder with queries.tsv and, if any, duplicates.tsv

Without --index the whole folder is indexed first, with the default recipe. `auto` is compared with the single named
vector that finds most of a kind among the first five files (then: first): lost are the questions that only that one
finds among the first five, won those that only `auto` does. Predicted before the first run, recall@5 of `auto`, with
that over all questions known to be 0.74: visual 0.55 (recall@1 0.32), speech 0.95, ocr 0.85, sound 0.25, order 0.35;
two questions about pictures lost against `frames`, none elsewhere. Predicted before the questions about an order were
first asked with `--then`: recall@5 0.8, a question more than as a sentence.
"""

import argparse
import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from report import figure, finish

from pipelines.evaluate import Evaluation, evaluate, strategies
from pipelines.gates import ALL
from pipelines.ingest import ingest
from pipelines.questions import Copies, Question, check, lengths_of, read_copies, read_questions
from pipelines.search import Searcher
from pipelines.settings import IngestSettings
from pipelines.show_reports import show_evaluation
from transforms.index.query import AUTO, FUSIONS

DEPTH = 5
GOALS_VISUAL = {"recall@1": 0.35, "recall@5": 0.6}
MOST_LOST, LEAST_WON_MORE = 1, 1


def found(evaluation: Evaluation, by: str, kind: str, *, depth: int) -> list[bool]:
    """Of each question of the kind, whether a right file is among the first ones."""
    asked = [one for one in evaluation.answers[by] if kind in (ALL, one.question.kind)]
    return [one.judged.first_rank <= depth for one in asked]


def compare_with_single(evaluation: Evaluation, singles: Sequence[str]) -> None:
    """`auto` beside the named vector that is best for a kind, and beside the one that is best over all."""
    for kind, figures in evaluation.figures[AUTO].items():

        def most(name: str, kind: str = kind) -> list[int]:
            return [sum(found(evaluation, name, kind, depth=depth)) for depth in (DEPTH, 1)]

        best = max(singles, key=most)
        pairs = list(
            zip(*(found(evaluation, name, kind, depth=DEPTH) for name in (AUTO, best)), strict=True)
        )  # (by auto, by the best)
        lost, won = sum(other and not ours for ours, other in pairs), sum(ours and not other for ours, other in pairs)
        told = f"{kind}, {figures['queries']} questions"
        figure(f"{told}: recall@{DEPTH} of auto", figures[f"recall@{DEPTH}"])
        figure(f"{told}: recall@{DEPTH} of {best}", evaluation.figures[best][kind][f"recall@{DEPTH}"])
        figure(f"{told}: lost by auto against {best}", lost, at_most=None if kind == ALL else MOST_LOST)
        figure(f"{told}: won by auto against {best}", won)
        if kind == ALL:
            figure(f"{told}: found by auto more than by {best}", won - lost, at_least=LEAST_WON_MORE)


def in_order(questions: Sequence[Question]) -> list[Question]:
    """The questions "A, then B" as `search A --then B`."""
    parts = [(one, *one.text.partition(", then ")) for one in questions if one.kind == "order"]
    return [replace(one, text=first, options={"then": second}) for one, first, _, second in parts if second]


def measure(media: Path, index: str, *, show: bool) -> None:
    """Ask all of it, by every way that text can be searched, `frames` too."""
    questions = read_questions(media / "queries.tsv", media=media)
    table = media / "duplicates.tsv"
    copies = read_copies(table, media=media) if table.exists() else Copies()
    with Searcher(index) as searcher:
        check(questions, lengths_of(searcher.reader, questions))
        names = [*strategies(searcher), *(name for name in searcher.names if name == "frames")]
        evaluation = evaluate(searcher, questions, by=names, copies=copies)
        ordered = in_order(questions)
        then = evaluate(searcher, ordered, by=[AUTO], copies=copies).figures[AUTO][ALL] if ordered else {}
    if show:
        show_evaluation(evaluation)
    for name, goal in GOALS_VISUAL.items():
        if "visual" in evaluation.figures[AUTO]:
            figure(f"visual: {name} of auto", evaluation.figures[AUTO]["visual"][name], at_least=goal)
    compare_with_single(evaluation, [name for name in names if name not in (*FUSIONS, "clip")])
    for name in ("recall@1", f"recall@{DEPTH}") if ordered else ():
        figure(f"order, asked with --then: {name} of auto", then[name])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=Path, default=os.environ.get("REELVEC_TEST_MEDIA"))
    parser.add_argument("--index", help="an index of that folder; made for the occasion where none is named")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    if chosen.media is None:
        print("left out: name a folder of videos with questions in queries.tsv, by --media or REELVEC_TEST_MEDIA")
        raise SystemExit
    with ExitStack() as stack:
        index = chosen.index
        if index is None:
            index = stack.enter_context(tempfile.TemporaryDirectory()) + "/index"
            ingest(IngestSettings(sources=(str(chosen.media),), index=index))
        measure(Path(chosen.media), index, show=not chosen.json)
    finish()
