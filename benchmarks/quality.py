"""What an index finds of labelled questions: the table of `reelvec evaluate`, and how far `auto` is from its goals.

    python benchmarks/quality.py --media FOLDER [--index I]    # a folder with queries.tsv and, if any, duplicates.tsv

Without --index the whole folder is indexed first, with the default recipe. Predicted before the first run, recall@5 of
`auto`, with that over all questions known to be 0.74: visual 0.55 (recall@1 0.32), speech 0.95, ocr 0.85, sound 0.25,
order 0.35; two questions about pictures lost against `frames`, none elsewhere.
"""

import argparse
import os
import tempfile
from contextlib import ExitStack
from pathlib import Path

from report import figure, finish

from pipelines.evaluate import Evaluation, evaluate, strategies
from pipelines.gates import ALL
from pipelines.ingest import ingest
from pipelines.questions import Copies, check, lengths_of, read_copies, read_questions
from pipelines.search import Searcher
from pipelines.settings import IngestSettings
from pipelines.show_reports import show_evaluation
from transforms.index.query import AUTO


def measured(media: Path, index: str) -> Evaluation:
    """The folder's questions by every way that text can be searched, `frames` too."""
    questions = read_questions(media / "queries.tsv", media=media)
    table = media / "duplicates.tsv"
    copies = read_copies(table, media=media) if table.exists() else Copies()
    with Searcher(index) as searcher:
        check(questions, lengths_of(searcher.reader, questions))
        names = [*strategies(searcher), *(name for name in searcher.names if name == "frames")]
        return evaluate(searcher, questions, by=names, copies=copies)


def found(evaluation: Evaluation, by: str, kind: str, *, depth: int = 5) -> int:
    """How many questions of the kind have a right file among the first ones."""
    asked = [one for one in evaluation.answers[by] if kind in (ALL, one.question.kind)]
    return sum(int(one.judged.found(depth)) for one in asked)


def compare_with_single(evaluation: Evaluation, singles: list[str]) -> None:
    """`auto` beside the modality that is best for a kind, and beside the one that is best over all."""
    for kind, figures in evaluation.figures[AUTO].items():
        best = max(singles, key=lambda name, kind=kind: [found(evaluation, name, kind, depth=at) for at in (5, 1)])  # type: ignore[misc]
        more = found(evaluation, AUTO, kind) - found(evaluation, best, kind)
        figure(f"{kind}: recall@5 of auto, {figures['queries']} questions", figures["recall@5"])
        figure(f"{kind}: questions that auto finds more than {best}", more, at_least=1 if kind == ALL else -1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--media", type=Path, default=os.environ.get("REELVEC_TEST_MEDIA"))
    parser.add_argument("--index")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    if chosen.media is None:
        print("left out: name a folder of videos with questions in queries.tsv, by --media or REELVEC_TEST_MEDIA")
        raise SystemExit
    media = Path(chosen.media)
    with ExitStack() as stack:
        index = chosen.index
        if index is None:
            index = stack.enter_context(tempfile.TemporaryDirectory()) + "/index"
            ingest(IngestSettings(sources=(str(media),), index=index))
        evaluation = measured(media, index)
        with Searcher(index) as searcher:
            held = searcher.reader.schema.vector_names
        singles = [name for name in evaluation.answers if name in held and name != "clip"]
    if not chosen.json:
        show_evaluation(evaluation)
    for name, goal in (("recall@1", 0.35), ("recall@5", 0.6)):
        if "visual" in evaluation.figures[AUTO]:
            figure(f"visual: {name} of auto", evaluation.figures[AUTO]["visual"][name], at_least=goal)
    compare_with_single(evaluation, singles)
    finish()
