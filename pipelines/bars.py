"""How far a run is, as a bar on a terminal."""

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.text import Text

from pipelines.lines import Counts, LineProgress
from pipelines.show import err
from pipelines.times import lasting


class _Speed(ProgressColumn):
    """Seconds of video per second and the time to go, from the counts of the run."""

    def __init__(self, counts: Counts) -> None:
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
