"""`reelvec ingest`, and running an ingest from the command line: progress, Ctrl-C, summary, exit code."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli_groups import grouped
from pipelines.cli_options import INTERRUPTED, REJECTS, Recipe, a_time, print_json, say
from pipelines.cli_run import Corpus, OneRun
from pipelines.outside import NOT_SEEN, Outside, seen
from transforms.errors import UsageError

if TYPE_CHECKING:
    from pipelines.lines import LineProgress
    from pipelines.settings import IngestSettings


@grouped
def ingest_command(
    ctx: typer.Context,
    corpus: Corpus,
    recipe: Recipe = None,
    frames: Annotated[str | None, typer.Option(help="Which frames: keyframes, every:1s or uniform:8.")] = None,
    cut: Annotated[str | None, typer.Option(help="Where clips end: windows, shots or speech.")] = None,
    clip: Annotated[float | None, a_time("Length of a clip.")] = None,
    segment: Annotated[float | None, a_time("Length of a segment.")] = None,
    overlap: Annotated[float | None, a_time("Overlap of clips.")] = None,
    shortest: Annotated[float | None, a_time("Shortest clip of shots or speech.")] = None,
    longest: Annotated[float | None, a_time("Longest clip of shots or speech.")] = None,
    *,
    run: OneRun,
) -> None:
    """Make videos searchable: what is new, changed or gone is brought up to date, the rest costs nothing."""
    given = {
        **corpus.given(),
        "recipe": recipe,
        "frames": frames,
        "cut": cut,
        "clip_seconds": clip,
        "segment_seconds": segment,
        "overlap_seconds": overlap,
        "shortest_seconds": shortest,
        "longest_seconds": longest,
        **run.given(ctx),
    }
    run_ingest(given, fail_on_reject=run.fail_on_reject, as_json=run.as_json, outside=run.outside)


def run_ingest(given: dict[str, Any], *, fail_on_reject: bool, as_json: bool, outside: Outside = NOT_SEEN) -> None:
    """Run an ingest with progress, tell what it did, and exit with the code that scripts rely on."""
    from pipelines.ingest import ingest
    from pipelines.lines import ending_line, summary_lines
    from pipelines.run_log import outcome_of
    from pipelines.times import lasting

    settings = settings_of(given)
    started = time.monotonic()
    with seen(outside, index=settings.index, command=settings.command), stopping_in_order():
        bar = progress_shown()
        bar.start()
        try:
            summary = asdict(ingest(settings, listen=bar))
        except BaseException as error:
            if settings.command != "ingest":
                error.add_note(f"{settings.command} {outcome_of(error)} after {lasting(time.monotonic() - started)}")
            raise
        finally:
            bar.stop()
    for problem in summary.get("problems", ()):
        say(problem)
    if as_json:
        print_json(summary)
    else:
        typer.echo("\n".join(summary_lines(summary)))
    if summary["interrupted"]:
        say("interrupted: what was committed stays, the next run goes on from there")
    if settings.command != "ingest":
        say(ending_line(settings.command, summary))
    if summary["interrupted"]:
        raise typer.Exit(INTERRUPTED)
    if fail_on_reject and summary["videos_rejected"]:
        raise typer.Exit(REJECTS)


def settings_of(given: dict[str, Any]) -> "IngestSettings":
    """Settings from options, without those that were not given (None); raises UsageError, naming the option."""
    from pydantic import ValidationError

    from pipelines.settings import IngestSettings

    try:
        return IngestSettings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = "--" + "-".join(str(part) for part in first["loc"]).removesuffix("_seconds").replace("_", "-")
        raise UsageError(f"{name}: {first['msg']}: {first['input']!r}") from error


def progress_shown() -> "LineProgress":
    """A bar where a person looks on, a line now and then elsewhere."""
    from pipelines.log_json import is_json

    if sys.stderr.isatty() and not is_json():
        from pipelines.bars import BarProgress

        return BarProgress()
    from pipelines.lines import LineProgress

    return LineProgress()


@contextmanager
def stopping_in_order() -> Iterator[None]:
    """Ctrl-C or SIGTERM once: finish what is in flight. Twice: end now; decoders die with their parent."""
    from pipelines.log_json import notice
    from transforms import interrupt

    def stop(signum: int, frame: FrameType | None) -> None:
        if interrupt.requested():
            os._exit(INTERRUPTED)
        interrupt.request()
        os.write(2, notice("finishing what is in flight; press Ctrl-C again to end at once"))  # print is not reentrant

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
