"""The command line. Results go to standard output, everything else to standard error.

Exit codes: 0 all that could be done was done; 1 outage; 2 wrong usage; 3 what was asked of the outcome is not
met (rejects with `--fail-on-reject`, a `--gate`); 4 the index is being written by another process; 130 interrupted.
"""

import importlib.metadata
import json
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from pipelines.cli_encoders import encoders, weights
from pipelines.cli_evaluate import evaluate
from pipelines.cli_fit import fit
from pipelines.cli_report import report
from pipelines.cli_search import search
from pipelines.cli_train import train_fusion_command
from transforms.errors import IndexLocked, ReelvecError, UsageError

if TYPE_CHECKING:
    from pipelines.lines import LineProgress

OK, OUTAGE, USAGE, REJECTS, LOCKED, INTERRUPTED = 0, 1, 2, 3, 4, 130

#: A command imports what it needs when it runs: `--help` and `--version` import nothing heavy.
DEFAULT_INDEX = "reelvec.index"
_DEBUG = "--debug"
_debugging = threading.Event()


class Commands(TyperGroup):
    """Says what went wrong in one sentence; with `--debug`, anywhere on the line, also where."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        options = args[: args.index("--")] if "--" in args else args
        (_debugging.set if _DEBUG in options else _debugging.clear)()
        kept = [arg for arg in options if arg != _DEBUG] + args[len(options) :]
        return super().parse_args(ctx, kept)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (Exception, KeyboardInterrupt) as error:
            if isinstance(error, BrokenPipeError) or _is_usage_of_typer(error):
                raise
            if _debugging.is_set():
                traceback.print_exc()
            _say("interrupted" if isinstance(error, KeyboardInterrupt) else _sentence(error))
            raise typer.Exit(exit_code_of(error)) from error


def exit_code_of(error: BaseException) -> int:
    """The exit code that tells a script what kind of failure this is."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, IndexLocked):
        return LOCKED
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
dlq = typer.Typer(name="dlq", help="What could not be indexed: list it, or try it again.", no_args_is_help=True)
app.add_typer(dlq)
app.add_typer(fit)
app.add_typer(weights)
app.add_typer(report)
app.command("encoders")(encoders)
app.command("evaluate")(evaluate)
app.command("search")(search)
app.command("train-fusion")(train_fusion_command)


def _seconds(text: str | float) -> float:
    from pipelines.times import parse_seconds

    try:
        return parse_seconds(str(text))
    except UsageError as error:
        raise typer.BadParameter(str(error)) from error


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
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait while another process writes the index.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu or cuda; cuda never falls back to the processor.")]
FailOnReject = Annotated[bool, typer.Option("--fail-on-reject", help="Exit with 3 when anything was rejected.")]


@app.callback(invoke_without_command=True)
def main_options(
    version: Annotated[bool, typer.Option("--version", is_eager=True, help="Print the version.")] = False,
) -> None:
    """Options of every command."""
    if version:
        print(f"reelvec {_installed_version()}")
        raise typer.Exit(OK)


@app.command("ingest")
def ingest_command(
    sources: Annotated[list[str] | None, typer.Argument(help="Files, folders, globs in quotes.")] = None,
    index: Index = DEFAULT_INDEX,
    manifest: Annotated[Path | None, typer.Option(help='CSV, JSON lines or Parquet with a column "uri".')] = None,
    recipe: Annotated[str | None, typer.Option(help="A recipe's name or its .toml file.")] = None,
    frames: Annotated[str | None, typer.Option(help="Which frames: keyframes, every:1s or uniform:8.")] = None,
    cut: Annotated[str | None, typer.Option(help="Where clips end: windows, shots or speech.")] = None,
    clip: Annotated[float | None, typer.Option(parser=_seconds, metavar="TIME", help="Length of a clip.")] = None,
    segment: Annotated[float | None, typer.Option(parser=_seconds, metavar="TIME", help="Length of a segment.")] = None,
    overlap: Annotated[float | None, typer.Option(parser=_seconds, metavar="TIME", help="Overlap of clips.")] = None,
    shortest: Annotated[
        float | None, typer.Option(parser=_seconds, metavar="TIME", help="Shortest clip of shots or speech.")
    ] = None,
    longest: Annotated[
        float | None, typer.Option(parser=_seconds, metavar="TIME", help="Longest clip of shots or speech.")
    ] = None,
    device: Device = None,
    prefetch: Annotated[int | None, typer.Option(help="Segments to decode ahead.")] = None,
    max_delete: Annotated[str | None, typer.Option(help="Most videos to remove as gone: a share or a number.")] = None,
    publish_every: Annotated[
        float | None, typer.Option(parser=_seconds, metavar="TIME", help="How often searches get to see the progress.")
    ] = None,
    wait: Wait = False,
    fail_on_reject: FailOnReject = False,
    as_json: Json = False,
) -> None:
    """Make videos searchable: what is new, changed or gone is brought up to date, the rest costs nothing."""
    if not sources and manifest is None:
        raise UsageError("name the videos: files, folders or globs, or a --manifest")
    given = {
        "sources": tuple(sources or ()),
        "index": index,
        "manifest": manifest,
        "recipe": recipe,
        "frames": frames,
        "cut": cut,
        "clip_seconds": clip,
        "segment_seconds": segment,
        "overlap_seconds": overlap,
        "shortest_seconds": shortest,
        "longest_seconds": longest,
        "device": device,
        "prefetch": prefetch,
        "max_delete": max_delete,
        "publish_every_seconds": publish_every,
        "wait": wait or None,
    }
    _run_ingest(given, fail_on_reject=fail_on_reject, as_json=as_json)


@app.command()
def status(
    index: Index = DEFAULT_INDEX,
    everything: Annotated[bool, typer.Option("--all", help="List every video, however many.")] = False,
    as_json: Json = False,
) -> None:
    """Say what an index holds, video by video."""
    from pipelines.show import show_status
    from pipelines.status import status as read_status
    from transforms.index.location import IndexLocation

    report = asdict(read_status(IndexLocation.parse(index)))
    if as_json:
        _print_json(report)
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
        _print_json({"video": video, "clips_deleted": clips})
    else:
        print(f"forgotten: {clips} clips deleted")


@dlq.command("list")
def dlq_list(index: Index = DEFAULT_INDEX, as_json: Json = False) -> None:
    """List what could not be indexed, and why."""
    from pipelines.rejects import list_rejects
    from pipelines.show import show_rejects
    from transforms.index.location import IndexLocation

    rejects = [asdict(reject) for reject in list_rejects(IndexLocation.parse(index))]
    if as_json:
        _print_json(rejects)
    else:
        show_rejects(rejects)


@dlq.command("replay")
def dlq_replay(
    videos: Annotated[list[str] | None, typer.Argument(help="Only these paths or URIs; default: all.")] = None,
    index: Index = DEFAULT_INDEX,
    device: Device = None,
    wait: Wait = False,
    fail_on_reject: FailOnReject = False,
    as_json: Json = False,
) -> None:
    """Try again what could not be indexed, when its cause is mended."""
    from pipelines.rejects import list_rejects
    from transforms.index.location import IndexLocation
    from transforms.uris import is_local, path_of_uri, uri_of_path

    rejected = {reject.uri for reject in list_rejects(IndexLocation.parse(index))}
    chosen = {video if "://" in video else uri_of_path(video) for video in videos or ()} or rejected
    if unknown := chosen - rejected:
        raise UsageError(f"nothing of {min(unknown)!r} was rejected; `reelvec dlq list` shows what was")
    here = sorted(uri for uri in chosen if not is_local(uri) or path_of_uri(uri).exists())
    if len(here) < len(chosen):
        _say(f"{len(chosen) - len(here)} rejected files are gone and left to the next ingest")
    given = {
        "sources": tuple(here),
        "retry_rejects": tuple(here),
        "index": index,
        "device": device,
        "wait": wait or None,
    }
    _run_ingest({**given, "command": "dlq replay"}, fail_on_reject=fail_on_reject, as_json=as_json)


@app.command()
def doctor(index: Index = DEFAULT_INDEX, as_json: Json = False) -> None:
    """Look at what this machine has and lacks; exits with 1 when something that is needed is missing."""
    from pipelines.doctor import all_is_here, examine

    checks = examine(Path.cwd() if "://" in index else Path(index).absolute())
    if as_json:
        _print_json({"ok": all_is_here(checks), "checks": [asdict(check) for check in checks]})
    else:
        from pipelines.show import show_checks

        show_checks(checks)
    if not all_is_here(checks):
        raise typer.Exit(OUTAGE)


def _run_ingest(given: dict[str, Any], *, fail_on_reject: bool, as_json: bool) -> None:
    """Run an ingest with progress, tell what it did, and exit with the code that scripts rely on."""
    from pydantic import ValidationError

    from pipelines.ingest import ingest
    from pipelines.lines import summary_lines
    from pipelines.settings import IngestSettings

    try:
        settings = IngestSettings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = "--" + "-".join(str(part) for part in first["loc"]).removesuffix("_seconds").replace("_", "-")
        raise UsageError(f"{name}: {first['msg']}: {first['input']!r}") from error
    bar = _progress()
    with _stopping_in_order():
        bar.start()
        try:
            summary = asdict(ingest(settings, listen=bar))
        finally:
            bar.stop()
    for problem in summary.get("problems", ()):
        _say(problem)
    if as_json:
        _print_json(summary)
    else:
        typer.echo("\n".join(summary_lines(summary)))
    if summary["interrupted"]:
        _say("interrupted: what was committed stays, the next run goes on from there")
        raise typer.Exit(INTERRUPTED)
    if fail_on_reject and summary["videos_rejected"]:
        raise typer.Exit(REJECTS)


def _progress() -> "LineProgress":
    """A bar where a person looks on, a line now and then elsewhere."""
    if sys.stderr.isatty():
        from pipelines.bars import BarProgress

        return BarProgress()
    from pipelines.lines import LineProgress

    return LineProgress()


@contextmanager
def _stopping_in_order() -> Iterator[None]:
    """Ctrl-C once: finish what is in flight. Twice: end now; decoders die with their parent."""
    from transforms import interrupt

    def stop(signum: int, frame: FrameType | None) -> None:
        if interrupt.requested():
            os._exit(INTERRUPTED)
        interrupt.request()
        os.write(2, b"\nfinishing what is in flight; press Ctrl-C again to end at once\n")  # print is not reentrant

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _installed_version() -> str:
    try:
        return importlib.metadata.version("reelvec")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def _print_json(document: Any) -> None:
    print(json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2))


def _say(text: str) -> None:
    print(f"reelvec: {text}", file=sys.stderr, flush=True)


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
    """Beam warns its developers through the nameless logger; that is of no use to whoever runs a command."""
    return record.name != "root" or record.levelno >= logging.ERROR or _debugging.is_set()


if __name__ == "__main__":
    main()
