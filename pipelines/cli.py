"""The command line. Results go to standard output, everything else to standard error.

Exit codes: 0 all that could be done was done; 1 outage; 2 wrong usage; 3 what was asked of the outcome is not met
(rejects with `--fail-on-reject`, a `--gate`, a check before a switch); 4 the index is being written by another
process; 10 there is work to do (`plan`); 130 interrupted.
"""

import importlib.metadata
import logging
import threading
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from pipelines.cli_archive import archive, export_command, import_command
from pipelines.cli_dlq import dlq
from pipelines.cli_encoders import encoders, weights
from pipelines.cli_engines import EngineCommand
from pipelines.cli_evaluate import evaluate
from pipelines.cli_fit import fit
from pipelines.cli_fsck import fsck_command
from pipelines.cli_ingest import ingest_command
from pipelines.cli_migrate import migrate_command
from pipelines.cli_options import (
    DEFAULT_INDEX,
    INTERRUPTED,
    LOCKED,
    OK,
    OUTAGE,
    REJECTS,
    USAGE,
    Index,
    Json,
    Wait,
    print_json,
    say,
)
from pipelines.cli_plan import plan_command
from pipelines.cli_reindex import reindex_command
from pipelines.cli_report import report
from pipelines.cli_report_run import report_run_command
from pipelines.cli_search import search
from pipelines.cli_stream import stream_command
from pipelines.cli_train import train_fusion_command
from pipelines.cli_watch import watch_command
from pipelines.log_json import use_text
from transforms.errors import IndexLocked, ReelvecError, SwitchRefused, UsageError

if TYPE_CHECKING:
    pass

#: A command imports what it needs when it runs: `--help` and `--version` import nothing heavy.
_DEBUG = "--debug"
_debugging = threading.Event()
_OF_DEVELOPERS = (
    "root",
    "PrismRunner",
    "apache_beam.utils.subprocess_server",
    "apache_beam.runners.portability.stager",
)


class Commands(TyperGroup):
    """Says what went wrong in one sentence; with `--debug`, anywhere on the line, also where."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        options = args[: args.index("--")] if "--" in args else args
        (_debugging.set if _DEBUG in options else _debugging.clear)()
        kept = [arg for arg in options if arg != _DEBUG] + args[len(options) :]
        return super().parse_args(ctx, kept)

    def invoke(self, ctx: Any) -> Any:
        use_text()
        try:
            return super().invoke(ctx)
        except (Exception, KeyboardInterrupt) as error:
            if isinstance(error, BrokenPipeError) or _is_usage_of_typer(error):
                raise
            if _debugging.is_set():
                traceback.print_exc()
            said = "interrupted" if isinstance(error, KeyboardInterrupt) else _sentence(error)
            say(": ".join((*getattr(error, "__notes__", ()), said)), error=True)
            raise typer.Exit(exit_code_of(error)) from error


def exit_code_of(error: BaseException) -> int:
    """The exit code that tells a script what kind of failure this is."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, IndexLocked):
        return LOCKED
    if isinstance(error, SwitchRefused):
        return REJECTS
    return USAGE if isinstance(error, UsageError) else OUTAGE


app = typer.Typer(
    cls=Commands,
    name="reelvec",
    help="Make a folder of videos searchable: by what is seen, by what is said, by the words themselves.",
    epilog=f"Every command takes {_DEBUG} to show where an error comes from.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("ingest", cls=EngineCommand)(ingest_command)
app.command("export")(export_command)
app.command("import")(import_command)
app.add_typer(archive)
app.add_typer(dlq)
app.add_typer(fit)
app.add_typer(weights)
app.add_typer(report)
report.command("run")(report_run_command)
app.command("encoders")(encoders)
app.command("evaluate")(evaluate)
app.command("migrate")(migrate_command)
app.command("plan")(plan_command)
app.command("reindex", cls=EngineCommand)(reindex_command)
app.command("fsck")(fsck_command)
app.command("search")(search)
app.command("stream", cls=EngineCommand)(stream_command)
app.command("train-fusion")(train_fusion_command)
app.command("watch")(watch_command)


@app.callback(invoke_without_command=True)
def main_options(
    version: Annotated[bool, typer.Option("--version", is_eager=True, help="Print the version.")] = False,
) -> None:
    """Options of every command."""
    if version:
        print(f"reelvec {_installed_version()}")
        raise typer.Exit(OK)


@app.command()
def status(
    index: Index = DEFAULT_INDEX,
    everything: Annotated[bool, typer.Option("--all", help="List every video, however many.")] = False,
    since: Annotated[
        str | None,
        typer.Option(help="Only what became searchable since: 1h, 2d, yesterday or an ISO time.", metavar="TIME"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what an index holds, video by video."""
    from pipelines.show import show_status
    from pipelines.status import status as read_status
    from pipelines.times import parse_since
    from transforms.index.location import IndexLocation

    report = asdict(read_status(IndexLocation.parse(index), since=parse_since(since) if since is not None else None))
    if as_json:
        print_json(report)
    else:
        show_status(report, everything=everything)


@app.command()
def forget(
    video: Annotated[str, typer.Argument(help="Its path or its URI.")],
    index: Index = DEFAULT_INDEX,
    wait: Wait = False,
    as_json: Json = False,
) -> None:
    """Take one video out of the index, and keep it out until it is ingested by name."""
    from pipelines.status import forget as forget_video
    from transforms.index.location import IndexLocation

    clips = forget_video(IndexLocation.parse(index), video, wait=wait)
    if as_json:
        print_json({"video": video, "clips_deleted": clips})
    else:
        print(f"forgotten: {clips} clips deleted")


@app.command()
def doctor(index: Index = DEFAULT_INDEX, as_json: Json = False) -> None:
    """Look at what this machine has and lacks; exits with 1 when something that is needed is missing."""
    from pipelines.doctor import all_is_here, examine

    checks = examine(Path.cwd() if "://" in index else Path(index).absolute())
    if as_json:
        print_json({"ok": all_is_here(checks), "checks": [asdict(check) for check in checks]})
    else:
        from pipelines.show import show_checks

        show_checks(checks)
    if not all_is_here(checks):
        raise typer.Exit(OUTAGE)


def _installed_version() -> str:
    try:
        return importlib.metadata.version("reelvec")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def _sentence(error: BaseException) -> str:
    """The message of what was raised on purpose; of anything else also its class, since nobody worded it for people."""
    if isinstance(error, ReelvecError):
        return str(error)
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]} ({_DEBUG} shows where)"


def _is_usage_of_typer(error: BaseException) -> bool:
    """Whether typer prints the error itself: its exceptions tell their exit code."""
    return hasattr(error, "exit_code")


def main() -> None:
    """What `reelvec` starts."""
    handler = logging.StreamHandler()
    handler.addFilter(_is_for_people)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], format="%(levelname)s %(name)s: %(message)s")
    app(prog_name="reelvec")


def _is_for_people(record: logging.LogRecord) -> bool:
    """Beam tells its developers much through these loggers; that is of no use to whoever runs a command."""
    return record.name not in _OF_DEVELOPERS or record.levelno >= logging.ERROR or _debugging.is_set()


if __name__ == "__main__":
    main()
