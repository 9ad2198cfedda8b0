"""The command that measures an index on labelled questions."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

#: The exit code when a gate was not met.
GATE_NOT_MET = 3

#: The same defaults and help wherever an index is named or a report is written.
DEFAULT_INDEX = "reelvec.index"
Index = Annotated[
    str,
    typer.Option(
        "--index",
        "-i",
        envvar="REELVEC_INDEX",
        help="A folder, or http(s)://host:port/NAME of a Qdrant server.",
        metavar="FOLDER|URL",
    ),
]
Html = Annotated[Path | None, typer.Option("--html", help="Also write a report with plots, one self-contained file.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Duplicates = Annotated[
    Path | None, typer.Option(help="Tab-separated: group, file. A copy of a right file is right, and counts once.")
]


def evaluate(
    questions: Annotated[Path, typer.Argument(help="Tab-separated: query, modality, relevant, start_seconds, ...")],
    media: Annotated[Path, typer.Option(help="The folder that `relevant` is relative to.")],
    index: Index = DEFAULT_INDEX,
    by: Annotated[list[str] | None, typer.Option(help="Again for each way of searching; default: all.")] = None,
    duplicates: Duplicates = None,
    gate: Annotated[
        list[str] | None,
        typer.Option(help="[STRATEGY.][KIND.]FIGURE>=LIMIT, again for each; exits with 3 where one is not met."),
    ] = None,
    html: Html = None,
    as_json: Json = False,
) -> None:
    """Measure how well an index answers labelled questions."""
    from pipelines import evaluate as measure
    from pipelines.gates import ALL, judge, parse_gate
    from pipelines.questions import Copies, check, lengths_of, read_copies, read_questions
    from pipelines.search import Searcher

    if html:
        from pipelines.report_html import check_writable

        check_writable(html)
    asked = read_questions(questions, media=media)
    copies = read_copies(duplicates, media=media) if duplicates else Copies()
    with Searcher(index) as searcher:
        check(asked, lengths_of(searcher.reader, asked))
        kinds = (*dict.fromkeys(question.kind for question in asked), ALL)
        names = measure.strategies(searcher, by or ())
        gates = [parse_gate(text, strategies=names, kinds=kinds) for text in gate or ()]
        evaluation = measure.evaluate(searcher, asked, by=names, copies=copies)
        verdicts = [judge(one, evaluation.figures) for one in gates]
    if evaluation.not_indexed:
        say(f"{len(evaluation.not_indexed)} right files are not in the index; no question can find them")
    for sentence in evaluation.refused:
        say(sentence)
    if html:
        from pipelines.report_evaluation import evaluation_page
        from pipelines.report_html import write_page

        write_page(html, evaluation_page(evaluation, verdicts, index=index))
    if as_json:
        print_json(evaluation.figures)
    else:
        from pipelines.show_reports import show_evaluation

        show_evaluation(evaluation)
    for verdict in verdicts:
        say(f"gate {verdict.sentence}")
    if not all(verdict.met for verdict in verdicts):
        raise typer.Exit(GATE_NOT_MET)


def print_json(document: Any) -> None:
    """One document on standard output; a number that is not finite is a fault of ours and raises ValueError."""
    print(json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2))


def say(text: str) -> None:
    """One line on standard error."""
    print(f"reelvec: {text}", file=sys.stderr, flush=True)
