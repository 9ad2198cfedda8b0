"""`reelvec report`: what an index is like, beyond single searches."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli_evaluate import Duplicates, Html
from pipelines.cli_options import DEFAULT_INDEX, Index, Json, print_json, say
from transforms.errors import UsageError

report = typer.Typer(name="report", help="Reports on a whole index.", no_args_is_help=True)


@report.callback()
def report_options() -> None:
    """Reports on a whole index."""


@report.command("modalities")
def modalities_command(
    index: Index = DEFAULT_INDEX,
    queries: Annotated[Path | None, typer.Option(help="Labelled questions, as `evaluate` takes them.")] = None,
    media: Annotated[Path | None, typer.Option(help="The folder that `relevant` is relative to.")] = None,
    duplicates: Duplicates = None,
    sample: Annotated[
        int, typer.Option(min=1, max=5000, help="Clips that are compared with each other, at most 16 of a video.")
    ] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Which clips, and which halves of the questions.")] = 0,
    html: Html = None,
    as_json: Json = False,
) -> None:
    """Say what each modality covers, finds alone, adds to the others and repeats of them; recommend weights."""
    from pipelines.modalities import modality_report
    from pipelines.questions import Copies, check, lengths_of, read_copies, read_questions
    from pipelines.search import Searcher

    if (queries is None) != (media is None) or (duplicates and media is None):
        raise UsageError("--queries, and --duplicates with it, need --media FOLDER, and the other way round")
    if html:
        from pipelines.report_html import check_writable

        check_writable(html)
    asked = read_questions(queries, media=media) if queries and media else []
    copies = read_copies(duplicates, media=media) if duplicates and media else Copies()
    with Searcher(index) as searcher:
        if asked:
            check(asked, lengths_of(searcher.reader, asked))
        found = modality_report(searcher, asked, copies=copies, most_clips=sample, seed=seed)
    for note in found.notes:
        say(note)
    if html:
        from pipelines.report_html import write_page
        from pipelines.report_modalities import modalities_page

        write_page(html, modalities_page(found, index=index))
    if as_json:
        print_json(found.as_json())
        return
    from pipelines.show_reports import show_modalities

    show_modalities(found)


@report.command("drift")
def drift_command(
    against: Annotated[str, typer.Option(help="Another index, or an archive's folder.", metavar="INDEX|ARCHIVE")],
    index: Index = DEFAULT_INDEX,
    queries: Annotated[
        Path | None, typer.Option(help="Labelled questions to ask both, as `evaluate` takes them.")
    ] = None,
    media: Annotated[Path | None, typer.Option(help="The folder that `relevant` is relative to.")] = None,
    sample: Annotated[int, typer.Option(min=2, max=5000, help="Clips of each side that are compared.")] = 2000,
    html: Html = None,
    as_json: Json = False,
) -> None:
    """Say whether the vectors of two indexes, or of an index and its archive, still mean the same."""
    from pipelines.drift import ask_both, drift_report
    from pipelines.drift_sides import is_archive, side_of
    from pipelines.questions import read_questions
    from pipelines.search import Searcher

    if (queries is None) != (media is None):
        raise UsageError("--queries needs --media FOLDER, and the other way round")
    if queries and (named := [side for side in (index, against) if is_archive(side)]):
        raise UsageError(f"an archive answers no questions: {named[0]}; leave --queries out, or import it")
    if html:
        from pipelines.report_html import check_writable

        check_writable(html)
    texts = [one.text for one in read_questions(queries, media=media) if not one.options] if queries and media else []
    sides = [side_of(name, most_clips=sample) for name in (index, against)]
    asked = None
    if texts:
        with Searcher(index) as one, Searcher(against) as other:
            asked = ask_both(one, other, texts)
    found = drift_report(*sides, queries=asked)
    for note in found.notes:
        say(note)
    if html:
        from pipelines.report_drift import drift_page
        from pipelines.report_html import write_page

        write_page(html, drift_page(found))
    if as_json:
        print_json(found.as_json())
        return
    from pipelines.report_drift import show_drift

    show_drift(found)
