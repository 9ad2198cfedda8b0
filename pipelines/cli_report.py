"""`reelvec report`: what an index is like, beyond single searches."""

import typer

report = typer.Typer(name="report", help="Reports on a whole index.", no_args_is_help=True)


@report.callback()
def report_options() -> None:
    """Reports on a whole index."""
