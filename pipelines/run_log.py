"""`runs.jsonl` beside the index: one line a run, from which the next plan knows how fast this index grows."""

import json
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipelines.tally import RunTally
from transforms import measures
from transforms.errors import IndexLocked, UsageError
from transforms.index.location import IndexLocation
from transforms.index.manifest import reelvec_version
from transforms.progress import Progress

if TYPE_CHECKING:
    from pipelines.summary import IngestSummary

RunOutcome = Literal["ok", "outage", "interrupted", "refused"]

FORMAT = 1
#: So many of the last runs that embedded something tell how fast this index grows.
_LAST_RUNS = 20


@dataclass(frozen=True, slots=True)
class PastRun:
    """What a line says of the speed of a run."""

    recipe: str  # fingerprint
    seconds_embedded: float
    wall_seconds: float
    clips_written: int


class Spent:
    """Hears all that a listener hears, and counts what this process embedded."""

    def __init__(self, listener: Progress) -> None:
        self._listener = listener
        self._lock = threading.Lock()
        self.seconds = 0.0
        self.clips = 0

    def planned(self, videos: int) -> None:
        self._listener.planned(videos)

    def video_found(self, seconds: float) -> None:
        self._listener.video_found(seconds)

    def segment_done(self, seconds: float, clips: int) -> None:
        with self._lock:
            self.seconds += seconds
            self.clips += clips
        self._listener.segment_done(seconds, clips)

    def video_done(self) -> None:
        self._listener.video_done()

    def message(self, text: str) -> None:
        self._listener.message(text)


@dataclass(slots=True)
class RunRecord:
    """One run while it goes on; a line is written only for an index that exists."""

    command: str
    spent: Spent
    recipe: str = ""
    exists: bool = False
    summary: "IngestSummary | None" = None
    tally: RunTally = field(default_factory=RunTally)
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    _began: float = field(default_factory=time.monotonic)

    @property
    def idle(self) -> bool:
        """Whether it was a round of a watch that found nothing to do: a line a minute would bury the others."""
        did = self.summary
        return (
            self.command == "watch"
            and did is not None
            and not (did.videos_indexed or did.videos_moved or did.videos_removed or did.clips_written)
            and not did.payloads_rewritten
        )

    def line(self, outcome: RunOutcome, error: str) -> dict[str, Any]:
        """The line as plain values."""
        counts = {} if self.summary is None else asdict(self.summary)
        for unused in ("rejects_path", "interrupted", "problems", "wall_seconds"):
            counts.pop(unused, None)
        return {
            "format": FORMAT,
            "started": self.started.isoformat(timespec="seconds"),
            "ended": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": self.command,
            "outcome": outcome,
            **({"error": error} if error else {}),
            "recipe": self.recipe,
            **({"clips_written": self.spent.clips} | counts),
            "seconds_embedded": round(self.spent.seconds, 3),
            "wall_seconds": round(time.monotonic() - self._began, 3),
            "host": socket.gethostname(),
            "reelvec": reelvec_version(),
            **self.tally.told(),
        }


def runs_path(location: IndexLocation) -> Path:
    """The JSON-lines file beside the index; in the working directory for a server's."""
    if location.kind == "edge":
        return Path(location.folder).absolute() / "runs.jsonl"
    return Path.cwd() / f"{location.name}.runs.jsonl"


@contextmanager
def recorded(location: IndexLocation, command: str, spent: Spent) -> Iterator[RunRecord]:
    """Append one line when the run is over, whatever came of it; a disk that takes none fails no run."""
    record = RunRecord(command, spent)
    outcome: RunOutcome = "outage"
    said = ""
    try:
        with measures.heard_by(record.tally):
            yield record
        outcome = "interrupted" if record.summary is not None and record.summary.interrupted else "ok"
    except BaseException as error:
        outcome, said = outcome_of(error), str(error)
        raise
    finally:
        line = record.line(outcome, said)
        measures.tell_listeners(lambda listener: listener.run_ended(line))
        if record.exists and not record.idle:
            try:
                _append(runs_path(location), line)
            except OSError as error:
                spent.message(f"the run could not be noted in {runs_path(location)}: {error.strerror}")


def outcome_of(error: BaseException) -> RunOutcome:
    """The word of the log for what ended a run."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return "refused" if isinstance(error, UsageError | IndexLocked) else "outage"


def past_runs(location: IndexLocation, *, recipe: str) -> list[PastRun]:
    """The last runs that embedded something by this recipe; a line that is torn or of another kind is passed over."""
    last: deque[PastRun] = deque(maxlen=_LAST_RUNS)
    try:
        with runs_path(location).open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                run = _read(line)
                if run is not None and run.recipe == recipe:
                    last.append(run)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return list(last)


def past_lines(location: IndexLocation) -> Iterator[dict[str, Any]]:
    """The lines of the log, oldest first; what is torn or of another format is passed over."""
    try:
        with runs_path(location).open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                try:
                    held = json.loads(line)
                except ValueError:
                    continue
                if isinstance(held, dict) and held.get("format") == FORMAT:
                    yield held
    except (FileNotFoundError, NotADirectoryError):
        return


def last_ok(location: IndexLocation) -> datetime | None:
    """When a run last ended with everything done, as far as the log goes back."""
    ended = [str(line["ended"]) for line in past_lines(location) if line.get("outcome") == "ok" and "ended" in line]
    return datetime.fromisoformat(ended[-1]) if ended else None


def speed_of(runs: list[PastRun]) -> float | None:
    """Seconds of video a second of these runs together, starting and planning included; None without any."""
    wall_seconds = sum(run.wall_seconds for run in runs)
    return sum(run.seconds_embedded for run in runs) / wall_seconds if wall_seconds > 0 else None


def _append(path: Path, line: Mapping[str, Any]) -> None:
    """One write at the end, so that lines of two runs do not mix; after a torn line a new one is begun."""
    text = json.dumps(line, ensure_ascii=True, allow_nan=False) + "\n"
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(handle).st_size
        torn = size and os.pread(handle, 1, size - 1) != b"\n"
        os.write(handle, (("\n" if torn else "") + text).encode())
    finally:
        os.close(handle)


def _read(line: str) -> PastRun | None:
    if '"seconds_embedded"' not in line or '"seconds_embedded": 0.0,' in line:
        return None
    try:
        held = json.loads(line)
        if held["format"] != FORMAT:
            return None
        run = PastRun(
            str(held["recipe"]),
            float(held["seconds_embedded"]),
            float(held["wall_seconds"]),
            int(held["clips_written"]),
        )
    except (ValueError, TypeError, KeyError):
        return None
    return run if run.seconds_embedded > 0 and run.wall_seconds > 0 else None
