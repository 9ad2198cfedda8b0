"""`reelvec watch`: ingest again and again, one line a round that did something."""

import json
import os
import select
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli_ingest import settings_of
from pipelines.cli_options import (
    DEFAULT_INDEX,
    INTERRUPTED,
    LOCKED,
    OUTAGE,
    AllowPrivate,
    Device,
    Index,
    Json,
    Manifest,
    MaxDelete,
    Recipe,
    Sources,
    a_time,
    say,
)
from pipelines.outside import LogFormat, MetricsFile, MetricsPort, Outside, seen
from transforms.errors import ReelvecError, UsageError

if TYPE_CHECKING:
    from pipelines.summary import IngestSummary
    from pipelines.watch import Round


def watch_command(
    sources: Sources = None,
    index: Index = DEFAULT_INDEX,
    every: Annotated[float, a_time("From the start of a round to the next.")] = 60.0,
    settle: Annotated[float, a_time("Leave files alone that changed so lately; 0: none.")] = 2.0,
    max_videos: Annotated[int | None, typer.Option(help="Most videos to take up in one round.")] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="End after so many rounds.")] = None,
    max_failures: Annotated[
        int | None, typer.Option(min=1, help="End after so many failed rounds in a row; without it, never.")
    ] = None,
    manifest: Manifest = None,
    recipe: Recipe = None,
    device: Device = None,
    max_delete: MaxDelete = None,
    allow_private_addresses: AllowPrivate = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="A line for idle rounds too.")] = False,
    metrics_port: MetricsPort = None,
    metrics_file: MetricsFile = None,
    log_format: LogFormat = "text",
    as_json: Json = False,
) -> None:
    """Keep an index true while its folder changes: a round of ingest every so often, models stay loaded.

    Ctrl-C (exit code 130) and SIGTERM (0) finish what is in flight; a second one ends at once.
    """
    from pipelines.lines import LineProgress
    from pipelines.watch import watch

    if not sources and manifest is None:
        raise UsageError("name the videos: files, folders or globs, or a --manifest")
    if every <= 0:
        raise UsageError(f"the interval is longer than nothing: --every {every:g}")
    given = {
        "sources": tuple(sources or ()),
        "index": index,
        "manifest": manifest,
        "recipe": recipe,
        "device": device,
        "max_delete": max_delete,
        "max_videos": max_videos,
        "allow_private_addresses": allow_private_addresses or None,
        "command": "watch",
    }
    settings = settings_of(given)
    teller = _Teller(as_json=as_json, verbose=verbose)
    outside = Outside(metrics_port, metrics_file, log_format)
    with seen(outside, index=settings.index, command="watch"), stopped_by_signals() as stop:
        for one in watch(
            settings,
            every_seconds=every,
            settle_seconds=settle,
            rounds=rounds,
            max_failures=max_failures,
            stop=stop,
            listen=LineProgress,
        ):
            teller.tell(one)
        say(f"the watch ended after {teller.rounds} rounds, {teller.failed} of them failed")
        if stop.signum == signal.SIGINT:
            raise typer.Exit(INTERRUPTED)
        if teller.last is not None and teller.last.error and not stop.is_set():
            raise typer.Exit(LOCKED if teller.last.locked else OUTAGE)


class _Teller:
    """Prints what rounds did, and the same thing only once."""

    def __init__(self, *, as_json: bool, verbose: bool) -> None:
        self._as_json, self._verbose = as_json, verbose
        self.rounds = self.failed = 0
        self.last: Round | None = None
        self._problems: tuple[str, ...] = ()
        self._rejected = 0

    def tell(self, one: "Round") -> None:
        self.rounds, before, self.last = one.number, self.last, one
        if one.error is not None:
            self.failed += not one.locked
            if not (one.locked and before is not None and before.locked) or self._verbose:
                say(f"round {one.number} {_failure(one)}")
            return
        assert one.summary is not None, "a round without an error has a summary"
        for problem in one.summary.problems:
            if problem not in self._problems:
                say(problem)
        if self._as_json:
            print(json.dumps(asdict(one.summary), ensure_ascii=False, allow_nan=False), flush=True)
        elif self._verbose or one.summary.videos_rejected != self._rejected or _did_something(one.summary):
            print(_line(one, one.summary), flush=True)
        self._problems, self._rejected = one.summary.problems, one.summary.videos_rejected


def _did_something(summary: "IngestSummary") -> bool:
    counts = (summary.videos_indexed, summary.videos_moved, summary.videos_removed, summary.clips_written)
    return any(counts) or summary.interrupted


def _line(one: "Round", summary: "IngestSummary") -> str:
    from pipelines.times import lasting

    names = ("indexed", "unchanged", "moved", "deferred", "rejected", "removed")
    parts = [f"{count} {name}" for name in names if (count := getattr(summary, f"videos_{name}"))]
    if one.growing:
        parts.append(f"{one.growing} still growing")
    spent = f"{summary.clips_written} clips written in {lasting(summary.wall_seconds)}"
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{now} round {one.number}: {', '.join(parts) or 'no videos'}; {spent}"


def _failure(one: "Round") -> str:
    from pipelines.times import lasting

    error = one.error
    what = str(error) if isinstance(error, ReelvecError) else f"{type(error).__name__}: {error}"
    kind = "did not run" if one.locked else "failed"
    then = "" if one.pause_seconds is None else f"; the next try comes in {lasting(one.pause_seconds)}"
    return f"{kind}: {what}{then}"


class _Signals:
    """A stop that SIGINT and SIGTERM set; it is slept on through a pipe, which a signal handler may write to."""

    def __init__(self) -> None:
        self.signum: int | None = None
        self._read, self._write = os.pipe()

    def is_set(self) -> bool:
        return self.signum is not None

    def wait(self, timeout: float, /) -> bool:
        return bool(select.select([self._read], [], [], timeout)[0])

    def close(self) -> None:
        os.close(self._read)
        os.close(self._write)

    def heard(self, signum: int, frame: FrameType | None) -> None:
        from pipelines.log_json import notice
        from transforms import interrupt

        if self.is_set():
            os._exit(INTERRUPTED)
        self.signum = signum
        interrupt.request(for_good=True)
        os.write(self._write, b"!")
        os.write(2, notice("finishing what is in flight; a second signal ends it at once"))  # print is not reentrant


@contextmanager
def stopped_by_signals() -> Iterator[_Signals]:
    """SIGINT or SIGTERM once: finish what is in flight. Twice: end now; decoders die with their parent."""
    from transforms import interrupt

    stop = _Signals()
    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, stop.heard) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        interrupt.reset(for_good=True)
        stop.close()
