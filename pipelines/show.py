"""What commands print for people: on a terminal in colour, elsewhere plain lines."""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.printable import printable as _clean
from pipelines.times import clock

if TYPE_CHECKING:
    from pipelines.doctor import Check
    from pipelines.search import SearchHit

_SHOWN_ROWS = 40


def out() -> Console:
    """Standard output, for results. Made for each use: what stands behind sys.stdout may change."""
    return _console(sys.stdout)


def err() -> Console:
    """Standard error, for progress and messages."""
    return _console(sys.stderr)


def _console(stream: TextIO) -> Console:
    """Lines are cut to the width of a terminal, and left whole for whoever reads a pipe."""
    return Console(file=stream, highlight=False, markup=False, width=None if stream.isatty() else 10_000)


def show_hits(hits: Sequence["SearchHit"]) -> None:
    """Hits, best first; times are those of a player, which starts at 0:00."""
    if not hits:
        err().print("nothing found")
    console = out()
    for place, hit in enumerate(hits, start=1):
        start, end = (clock(max(0.0, at - hit.media_start_seconds)) for at in (hit.start_seconds, hit.end_seconds))
        console.print(
            Text.assemble(
                (f"{place:>2}. ", "dim"),
                (_clean(hit.video), "bold"),
                f"  {start} - {end}",
                (f"  {hit.by} {hit.score:.3f}", "dim"),
            )
        )
        if hit.transcript:
            console.print(Text(f"    {_shortened(_clean(hit.transcript))}", style="italic"))
        if hit.screen_text and hit.by in ("ocr", "words"):
            console.print(Text(f"    on screen: {_shortened(_clean(hit.screen_text))}", style="italic"))


def show_checks(checks: Sequence["Check"]) -> None:
    """What `doctor` found: a line each, and the cure below what is missing."""
    console = out()
    for check in checks:
        word, style = ("ok", "green") if check.ok else ("MISSING", "red") if check.needed else ("no", "yellow")
        console.print(Text.assemble((f"{word:<8}", style), f"{check.name:<42} ", _clean(check.found)))
        if check.cure and not check.ok:
            console.print(Text(f"{'':<8}-> {check.cure}"))


def show_status(report: Mapping[str, Any], *, everything: bool) -> None:
    """The videos of an index, then what is true of all of it."""
    show_videos(report["videos"], everything=everything)
    totals = ", ".join(f"{count} {name}" for name, count in report["totals"].items())
    left = ", ".join(report.get("left", ()))
    for name, value in {**report, "videos": None, "totals": totals, "left": left}.items():
        if value not in (None, ""):
            out().print(Text(f"{name.replace('_', ' ')}: {_clean(str(value))}"))


def show_videos(rows: Sequence[Mapping[str, Any]], *, everything: bool) -> None:
    """A line a video: state, clips, length, vectors, since when it is searchable."""
    console = out()
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("state", no_wrap=True)
    table.add_column("clips", justify="right", no_wrap=True)
    table.add_column("length", justify="right", no_wrap=True)
    table.add_column("searchable since", no_wrap=True)
    table.add_column("vectors", overflow="fold")
    table.add_column("video", overflow="fold")
    shown = rows if everything else rows[:_SHOWN_ROWS]
    for row in shown:
        table.add_row(
            row["state"],
            str(row["clips"]),
            clock(row["duration_seconds"]),
            row["searchable_since"] or "-",
            " ".join(row["vectors"]) or "-",
            Text(_clean(row["video"])),
        )
    console.print(table)
    if len(shown) < len(rows):
        console.print(f"... and {len(rows) - len(shown)} more (--all shows them)", style="dim")


def _shortened(text: str, longest: int = 160) -> str:
    return text if len(text) <= longest else f"{text[: longest - 3].rstrip()}..."
