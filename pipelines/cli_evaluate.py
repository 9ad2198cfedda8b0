"""The command that measures an index on labelled questions."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli_options import DEFAULT_INDEX, Index, Json, print_json, say

#: The exit code when a gate was not met.
GATE_NOT_MET = 3

Html = Annotated[Path | None, typer.Option("--html", help="Also write a report with plots, one self-contained file.")]
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
