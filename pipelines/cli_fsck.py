"""`reelvec fsck`: what is wrong with an index, and mending it."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli_options import DEFAULT_INDEX, WORK, Index, Json, Wait, print_json, say
from transforms.errors import UsageError


def fsck_command(
    corpus: Annotated[
        list[str] | None, typer.Argument(help="Compare with these files, folders and globs in quotes too.")
    ] = None,
    index: Index = DEFAULT_INDEX,
    archive: Annotated[Path | None, typer.Option(help="Compare with this archive too.")] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended without losing anything.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only look: the default.")] = False,
    wait: Wait = False,
    as_json: Json = False,
) -> None:
    """Compare ledger, clips, receipts, files and corpus with each other; exits with 10 when something is wrong."""
    from pipelines.fsck.run import fsck
    from pipelines.show_fsck import report_json, show_report
    from transforms.index.location import IndexLocation

    if repair and dry_run:
        raise UsageError("--dry-run only looks and --repair mends: say one of them")
    report = fsck(IndexLocation.parse(index), corpus=corpus or (), archive=archive, repair=repair, wait=wait)
    for note in report.notes:
        say(note)
    if as_json:
        print_json(report_json(report))
    else:
        show_report(report)
    if report.problems:
        raise typer.Exit(WORK)
