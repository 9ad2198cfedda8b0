"""How far a run is and what it did, in plain lines: nothing here needs a terminal, nor imports what draws on one."""

import threading
import time
from collections.abc import Mapping
from typing import Any

from pipelines.log_json import tell
from pipelines.times import lasting

_LINE_EVERY_SECONDS = 10.0


class Counts:
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
        self.counts = Counts()
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
        tell(text)

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
        tell(line)


def summary_lines(summary: Mapping[str, Any]) -> list[str]:
    """What an ingest did, in lines that add up."""
    found = summary["videos_found"]
    lines = [f"{found} video{'' if found == 1 else 's'} found"]
    parts = {name: summary[f"videos_{name}"] for name in ("indexed", "unchanged", "moved", "deferred", "rejected")}
    lines += [f"  {count:>7} {name}" for name, count in parts.items() if count]
    if summary["videos_removed"]:
        lines.append(f"{summary['videos_removed']} removed: gone from the corpus")
    if summary["files_skipped"]:
        lines.append(f"{summary['files_skipped']} other files skipped")
    spent = f"{lasting(summary['seconds_of_video'])} of video in {lasting(summary['wall_seconds'])}"
    lines.append(f"{summary['clips_written']} clips written, {spent}")
    if summary["payloads_rewritten"]:
        lines.append(f"payloads of {summary['payloads_rewritten']} clips rewritten, no vectors")
    if summary["videos_rejected"]:
        lines.append(f"why {summary['videos_rejected']} were rejected: {summary['rejects_path']}")
    return lines


def ending_line(command: str, summary: Mapping[str, Any]) -> str:
    """One line that says how a run ended, for whoever is paged."""
    counts = {name: summary[f"videos_{name}"] for name in ("indexed", "moved", "removed", "rejected", "deferred")}
    parts = [f"{count} {name}" for name, count in counts.items() if count or name == "indexed"]
    ended = "interrupted" if summary["interrupted"] else "ok"
    return f"{command} {ended}: {', '.join(parts)} in {lasting(summary['wall_seconds'])}"
