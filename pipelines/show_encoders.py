"""What `encoders` and `weights pull` print for people, and how far a pull is."""

import sys
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table
from rich.text import Text

from pipelines.show import err, out

if TYPE_CHECKING:
    from transforms.encoders.listing import Listed
    from transforms.encoders.pull import Pulled

_LINE_EVERY_SECONDS = 10.0
_STYLES = {"available": "green", "missing-package": "yellow", "missing-key": "yellow", "missing-weights": "yellow"}


def show_encoders(rows: Sequence["Listed"]) -> None:
    """A line a model; what it lacks stands in its cure."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("family", "model", "modality"):
        table.add_column(heading, overflow="fold")
    table.add_column("dimensions", justify="right", no_wrap=True)
    table.add_column("text queries", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("cure", overflow="fold")
    table.add_column("licence", overflow="fold")
    for row in rows:
        table.add_row(
            row.family,
            row.model or "-",
            row.modality,
            str(row.dimensions or "-"),
            {True: "yes", False: "no", None: "-"}[row.text_queries],
            Text(row.state, style=_STYLES[row.state]),
            Text(row.cure or "-"),
            Text(row.licence or "-"),
        )
    console = out()
    console.print(table)
    here = sum(row.state == "available" for row in rows)
    console.print(f"{here} of {len(rows)} can be used here; a family takes any model of its kind", style="dim")


def show_pulled(pulled: Sequence["Pulled"]) -> None:
    """A line a name: what came, or why nothing had to."""
    for one in pulled:
        if one.locked is None:
            print(f"{one.name}: nothing to pull, {one.note}")
            continue
        whole = sum(file.size_bytes for file in one.locked.files)
        came = f"{size_of(one.downloaded_bytes)} came" if one.downloaded_bytes else "all of it was here"
        at = f" at {one.locked.revision}" if one.locked.revision else ""
        print(f"{one.name}: {len(one.locked.files)} files, {size_of(whole)}, {came}; {one.locked.repository}{at}")


def size_of(count_bytes: int) -> str:
    """12.3 MB."""
    size, units = float(count_bytes), ["B", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:.0f} {units[0]}" if units[0] == "B" else f"{size:.1f} {units[0]}"


class PullLines:
    """A pull as lines on standard error, for logs."""

    def __init__(self, *, every_seconds: float = _LINE_EVERY_SECONDS) -> None:
        self._every_seconds = every_seconds
        self._last = time.monotonic()
        self._name = ""
        self._total = self._done = 0
        self._lock = threading.Lock()

    def started(self, name: str, total_bytes: int) -> None:
        self._name, self._total, self._done, self._last = name, total_bytes, 0, time.monotonic()
        if total_bytes:
            self._say(f"{name}: {size_of(total_bytes)} to come")

    def advanced(self, count_bytes: int) -> None:
        with self._lock:
            self._done += count_bytes
            if time.monotonic() - self._last < self._every_seconds:
                return
            self._last = time.monotonic()
        self._say(f"{self._name}: {size_of(self._done)} of {size_of(self._total)}")

    def finished(self, name: str) -> None:
        if self._total:
            self._say(f"{name}: done")

    def stop(self) -> None:
        """Nothing to take away."""

    def _say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)


class PullBars:
    """A pull as a bar a model on a terminal."""

    def __init__(self) -> None:
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=err(),
        )
        self._task = self._bars.add_task("", visible=False)
        self._bars.start()

    def started(self, name: str, total_bytes: int) -> None:
        self._task = self._bars.add_task(name, total=total_bytes, visible=total_bytes > 0)

    def advanced(self, count_bytes: int) -> None:
        self._bars.advance(self._task, count_bytes)

    def finished(self, name: str) -> None:
        self._bars.stop_task(self._task)

    def stop(self) -> None:
        """Leave the terminal as it is."""
        self._bars.stop()
