"""What commands print for people: on a terminal in colour, elsewhere plain lines."""

import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.table import Table
from rich.text import Text

from pipelines.doctor import Check
from pipelines.evaluate import Evaluation
from pipelines.search import SearchHit
from pipelines.times import clock, lasting

_SHOWN_ROWS = 40
_LINE_EVERY_SECONDS = 10.0


def out() -> Console:
    """Standard output, for results. Made for each use: what stands behind sys.stdout may change."""
    return Console(file=sys.stdout, highlight=False, soft_wrap=not sys.stdout.isatty())


def err() -> Console:
    """Standard error, for progress and messages."""
    return Console(file=sys.stderr, highlight=False, soft_wrap=not sys.stderr.isatty())


class _Counts:
    """What a run has done so far. Listeners hear from several threads."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.started = time.monotonic()
        self.videos = self.videos_done = self.videos_found = self.clips = 0
        self.seconds_found = self.seconds_done = 0.0

    @property
    def speed(self) -> float:
        """Seconds of video a second."""
        return self.seconds_done / max(time.monotonic() - self.started, 1e-3)

    def eta_seconds(self) -> float | None:
        """Until everything is done, going by the videos looked into so far; None before anything is known."""
        if not self.seconds_done or not self.videos_found:
            return None
        whole = self.seconds_found * max(1.0, self.videos / self.videos_found)
        return max(0.0, whole - self.seconds_done) / self.speed

    def line(self) -> str:
        eta = self.eta_seconds()
        rest = "" if eta is None else f", {lasting(eta)} to go"
        return f"{self.videos_done}/{self.videos} videos, {self.clips} clips, {self.speed:.1f} s of video per second{rest}"


class LineProgress:
    """Progress as a line now and then, for logs."""

    def __init__(self, *, every_seconds: float = _LINE_EVERY_SECONDS) -> None:
        self.counts = _Counts()
        self._every_seconds = every_seconds
        self._last = time.monotonic()

    def planned(self, videos: int) -> None:
        with self.counts.lock:
            self.counts.videos += videos

    def video_found(self, seconds: float) -> None:
        with self.counts.lock:
            self.counts.videos_found += 1
            self.counts.seconds_found += seconds

    def segment_done(self, seconds: float, clips: int) -> None:
        with self.counts.lock:
            self.counts.seconds_done += seconds
            self.counts.clips += clips
        self._tell()

    def video_done(self) -> None:
        with self.counts.lock:
            self.counts.videos_done += 1
        self._tell()

    def message(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def start(self) -> None:
        """Begin to show; the clock of the speed starts here."""
        self.counts.started = self._last = time.monotonic()

    def stop(self) -> None:
        """Show no more."""

    def _tell(self) -> None:
        with self.counts.lock:
            now = time.monotonic()
            if now - self._last < self._every_seconds:
                return
            self._last = now
            line = self.counts.line()
        print(line, file=sys.stderr, flush=True)


class _Speed(ProgressColumn):
    """Seconds of video per second and the time to go, from the counts of the run."""

    def __init__(self, counts: _Counts) -> None:
        super().__init__()
        self._counts = counts

    def render(self, task: Task) -> Text:
        eta = self._counts.eta_seconds()
        rest = "" if eta is None else f"  {lasting(eta)} to go"
        return Text(f"{self._counts.speed:.1f} s of video/s  {self._counts.clips} clips{rest}")


class BarProgress(LineProgress):
    """Progress as a bar on a terminal."""

    def __init__(self) -> None:
        super().__init__()
        self._bar = Progress(
            SpinnerColumn(), TextColumn("videos"), BarColumn(), MofNCompleteColumn(), _Speed(self.counts), console=err()
        )
        self._task = self._bar.add_task("videos", total=None)

    def start(self) -> None:
        super().start()
        self._bar.start()

    def stop(self) -> None:
        self._bar.stop()

    def message(self, text: str) -> None:
        self._bar.console.print(Text(text))

    def _tell(self) -> None:
        self._bar.update(self._task, total=self.counts.videos or None, completed=self.counts.videos_done)


def progress() -> LineProgress:
    """A bar where a person looks on, lines elsewhere."""
    return BarProgress() if sys.stderr.isatty() else LineProgress()


def show_hits(hits: Sequence[SearchHit]) -> None:
    """Hits, best first; times are those of a player, which starts at 0:00."""
    if not hits:
        err().print("nothing found")
    console = out()
    for place, hit in enumerate(hits, start=1):
        start, end = (clock(max(0.0, at - hit.media_start_seconds)) for at in (hit.start_seconds, hit.end_seconds))
        console.print(Text.assemble((f"{place:>2}. ", "dim"), (_clean(hit.video), "bold"), f"  {start} - {end}", (f"  {hit.by} {hit.score:.3f}", "dim")))
        if hit.transcript:
            console.print(Text(f"    {_shortened(_clean(hit.transcript))}", style="italic"))


def show_summary(summary: Mapping[str, Any]) -> None:
    """What an ingest did, in lines that add up."""
    console = out()
    found = summary["videos_found"]
    console.print(Text(f"{found} video{'' if found == 1 else 's'} found", style="bold"))
    for name in ("indexed", "unchanged", "moved", "deferred", "rejected"):
        if summary[f"videos_{name}"]:
            console.print(f"  {summary[f'videos_{name}']:>7} {name}")
    if summary["videos_removed"]:
        console.print(f"{summary['videos_removed']} removed: gone from the corpus")
    if summary["files_skipped"]:
        console.print(f"{summary['files_skipped']} other files skipped")
    console.print(
        f"{summary['clips_written']} clips written, {lasting(summary['seconds_of_video'])} of video "
        f"in {lasting(summary['wall_seconds'])}"
    )
    if summary["videos_rejected"]:
        console.print(Text(f"why {summary['videos_rejected']} were rejected: {summary['rejects_path']}"))


def show_evaluation(evaluation: Evaluation) -> None:
    """A row a kind of question, a column a way of searching."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("questions")
    table.add_column("", justify="right")
    for by in evaluation.figures:
        table.add_column(by, justify="right")
    first = next(iter(evaluation.figures.values()))
    for kind, figures in first.items():
        table.add_row(kind, str(figures["queries"]), *(_cell(by[kind]) for by in evaluation.figures.values()))
    console = out()
    console.print(table)
    console.print("recall@1 / @5 / @10 over distinct files (share of right files whose clip overlaps the span)", style="dim")


def _cell(figures: Mapping[str, float | int | None]) -> str:
    recalls = " / ".join(_figure(figures[f"recall@{depth}"]) for depth in (1, 5, 10))
    return f"{recalls} ({_figure(figures['span_hit'])})"


def _figure(value: float | int | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def show_checks(checks: Sequence[Check]) -> None:
    """What `doctor` found: a line each, and the cure below what is missing."""
    console = out()
    for check in checks:
        word, style = ("ok", "green") if check.ok else ("MISSING", "red") if check.needed else ("no", "yellow")
        console.print(Text.assemble((f"{word:<8}", style), f"{check.name:<42} ", _clean(check.found)))
        if check.cure and not check.ok:
            console.print(Text(f"{'':<8}-> {check.cure}"))


def show_videos(rows: Sequence[Mapping[str, Any]], *, everything: bool) -> None:
    """A line a video: state, clips, length, vectors, since when it is searchable."""
    console = out()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, side in (("state", "left"), ("clips", "right"), ("length", "right"), ("searchable since", "left"), ("vectors", "left"), ("video", "left")):
        table.add_column(name, justify=side, no_wrap=True)  # type: ignore[arg-type]
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


def show_values(values: Mapping[str, Any]) -> None:
    """Names and values, a line each."""
    for name, value in values.items():
        out().print(Text(f"{name.replace('_', ' ')}: {'-' if value in (None, '') else _clean(str(value))}"))


def show_rejects(rejects: Sequence[Mapping[str, Any]]) -> None:
    """A line a reject, with its reason below."""
    console = out()
    for reject in rejects:
        span = "" if reject["start_seconds"] is None else f" at {clock(reject['start_seconds'])}"
        console.print(Text.assemble((_clean(reject["video"]), "bold"), f"{span}  {reject['error']} in {reject['stage']}"))
        again = "; tried again on the next run" if reject["transient"] else ""
        console.print(Text(f"    {_clean(reject['message'])}{again}"))
    if not rejects:
        err().print("no rejects")


def _clean(text: str) -> str:
    """The text without control characters, which in a file name could rewrite the terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _shortened(text: str, longest: int = 160) -> str:
    return text if len(text) <= longest else f"{text[: longest - 3].rstrip()}..."
