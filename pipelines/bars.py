"""How far a run is, for the person who waits for it: a bar on a terminal, a line now and then elsewhere."""

import sys
import threading
import time

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.text import Text

from pipelines.show import err
from pipelines.times import lasting

_LINE_EVERY_SECONDS = 10.0


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
        return (
            f"{self.videos_done}/{self.videos} videos, {self.clips} clips, {self.speed:.1f} s of video per second{rest}"
        )


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
