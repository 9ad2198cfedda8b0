"""`reelvec report run`: the report of a run that is over, from the log of runs."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli_options import DEFAULT_INDEX, Index, Json, print_json, say
from transforms.errors import MissingIndex, UsageError


def report_run_command(
    index: Index = DEFAULT_INDEX,
    back: Annotated[int, typer.Option(min=1, help="1 is the last run that was logged, 2 the one before.")] = 1,
    html: Annotated[Path | None, typer.Option(help="Write the report as one HTML file.")] = None,
    as_json: Json = False,
) -> None:
    """Say where the time of a past run went, what was rejected and which videos took longest."""
    from pipelines.lines import ending_line
    from pipelines.outside import write_report
    from pipelines.report_html import check_writable
    from pipelines.run_log import past_lines, runs_path
    from transforms.index.location import IndexLocation

    location = IndexLocation.parse(index)
    if html is not None:
        check_writable(html)
    lines = list(past_lines(location))
    if not lines:
        raise MissingIndex(f"no run is logged in {runs_path(location)}: name the --index of one that was run")
    if back > len(lines):
        raise UsageError(f"{len(lines)} runs are logged in {runs_path(location)}: --back {back}")
    line = lines[-back]
    if html is not None:
        write_report(html, line, index=str(location))
        say(f"where the time went: {html}")
    if as_json:
        print_json(line)
    elif "videos_indexed" in line:
        print(f"{line['started']} " + ending_line(line["command"], {**line, "interrupted": line["outcome"] != "ok"}))
    else:
        print(f"{line['started']} {line['command']} {line['outcome']}: {line.get('error', '')}")
