"""How a command is seen from outside: its metrics, its logs, the report of its run."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from transforms.errors import ReelvecError, UsageError

MetricsPort = Annotated[
    str | None,
    typer.Option(
        envvar="REELVEC_METRICS_PORT",
        metavar="[HOST:]PORT",
        help="Serve metrics for Prometheus while the command runs; on 127.0.0.1 unless a host is named.",
    ),
]
MetricsFile = Annotated[
    Path | None,
    typer.Option(envvar="REELVEC_METRICS_FILE", help="Write metrics for node_exporter's textfile collector (*.prom)."),
]
LogFormat = Annotated[
    str, typer.Option(envvar="REELVEC_LOG_FORMAT", help="Logs on standard error: text, or json, one object a line.")
]
Report = Annotated[
    Path | None, typer.Option(help="Write where the time went, and what was rejected, as one HTML file.")
]


@dataclass(frozen=True, slots=True)
class Outside:
    """What was asked for; checked before a command does anything."""

    metrics_port: str | None = None
    metrics_file: Path | None = None
    log_format: str = "text"
    report: Path | None = None

    def check(self) -> None:
        """Raise UsageError and MissingPackage, each with its cure."""
        if self.log_format not in ("text", "json"):
            raise UsageError(f"logs are text or json: --log-format {self.log_format}")
        if self.metrics_port is not None or self.metrics_file is not None:
            from pipelines.prometheus import address_of, check_prometheus

            check_prometheus()
            if self.metrics_port is not None:
                address_of(self.metrics_port)
        if self.metrics_file is not None:
            _check_file(self.metrics_file)
        if self.report is not None:
            from pipelines.report_html import check_writable

            check_writable(self.report)


#: A command that nobody looks at but the person who started it.
NOT_SEEN = Outside()


@contextmanager
def seen(outside: Outside, *, index: str, command: str) -> Iterator[None]:
    """Inside, the command is seen as was asked for; afterwards its files are written, whatever came of it."""
    outside.check()
    with ExitStack() as stack:
        if outside.log_format == "json":
            from pipelines.log_json import use_json

            use_json()  # to the end of the command: also for what is said when it is over
        if outside.report is not None:
            stack.enter_context(_reported(outside.report, index))
        if outside.metrics_port is not None or outside.metrics_file is not None:
            stack.enter_context(_exported(outside, index=index, command=command))
        yield


@contextmanager
def _exported(outside: Outside, *, index: str, command: str) -> Iterator[None]:
    from pipelines.log_json import tell, without_secrets
    from pipelines.prometheus import Exported, address_of, served, written_now_and_then
    from pipelines.run_log import last_ok
    from transforms.index.location import IndexLocation
    from transforms.measures import heard_by

    location = IndexLocation.parse(index)
    exported = Exported(index=without_secrets(str(location)), command=command, last_ok=last_ok(location))
    with ExitStack() as stack:
        stack.enter_context(heard_by(exported))
        if outside.metrics_port is not None:
            port = stack.enter_context(served(exported, outside.metrics_port))
            tell(f"metrics are served at http://{address_of(outside.metrics_port)[0]}:{port}/metrics")
        if outside.metrics_file is not None:
            stack.enter_context(written_now_and_then(exported, outside.metrics_file))
        yield


@contextmanager
def _reported(path: Path, index: str) -> Iterator[None]:
    from pipelines.log_json import tell
    from pipelines.tally import Tally
    from transforms.measures import heard_by

    tally = Tally()
    try:
        with heard_by(tally):
            yield
    finally:
        if tally.ended:
            try:
                write_report(path, tally.ended, index=index)
                tell(f"where the time went: {path}")
            except ReelvecError as error:  # the run is what counts, and how it ended is told by it
                tell(f"no report was written: {error}")


def write_report(path: Path, line: Mapping[str, Any], *, index: str) -> None:
    """The report of one run, from its line in the log of runs."""
    from pipelines.report_html import write_page
    from pipelines.report_run import run_page

    write_page(path, run_page(line, index=index))


def _check_file(path: Path) -> None:
    folder = path.absolute().parent
    if path.suffix != ".prom":
        raise UsageError(f"node_exporter reads files that end in .prom: --metrics-file {path}")
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UsageError(f"the metrics cannot be written to {path}: name a file in a folder that exists")
