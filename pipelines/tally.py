"""What was measured so far: of a whole process for Prometheus, of one run for its report and the log of runs."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from transforms import measures
from transforms.measures import Measure, Total, Totals

#: A run's time line is at most so many steps long: each time it is full, two become one.
_MOST_STEPS = 60
_FIRST_STEP_SECONDS = 0.25
#: Videos whose times are kept; beyond that those with the least are forgotten first.
_MOST_VIDEOS = 10_000
_SLOWEST = 10

#: What a time line is drawn of, by the name of the measure.
_BUSY = (
    measures.PHASE,
    measures.LOADING,
    measures.PROBING,
    measures.DECODING,
    measures.ENCODING,
    measures.FUSING,
    measures.WRITING,
)


class Tally:
    """Sums up what a process measures, and what its workers elsewhere do."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._own: dict[tuple[Measure, str], Total] = {}
        self._elsewhere: Totals | None = None
        self.ended: Mapping[str, Any] = {}  # the line of the run that ended last

    def hear(self, measure: Measure, value: float, of: str, video: str) -> None:
        with self._lock:
            if self._elsewhere is None or measure is measures.PHASE:
                self._own.setdefault((measure, of), Total()).add(Total(value, 1, value))
                self._heard(measure, value, of, video)

    def elsewhere(self, totals: Totals | None) -> None:
        with self._lock:
            if totals is None:
                self._own = _merged(self._own, self._elsewhere)
            self._elsewhere = totals

    def run_ended(self, line: Mapping[str, Any]) -> None:
        with self._lock:
            self.ended = line

    def totals(self) -> dict[tuple[Measure, str], Total]:
        """Everything so far, by measure and label."""
        with self._lock:
            return _merged(self._own, self._elsewhere)

    def _heard(self, measure: Measure, value: float, of: str, video: str) -> None:
        """Called with the lock held, for what this process measured itself."""


class RunTally(Tally):
    """One run: also when its time was spent, and on which videos."""

    def __init__(self) -> None:
        super().__init__()
        self._began = time.monotonic()
        self._step_seconds = _FIRST_STEP_SECONDS
        self._steps: defaultdict[str, list[float]] = defaultdict(lambda: [0.0] * _MOST_STEPS)
        self._phases: list[tuple[str, float, float]] = []
        self._videos: defaultdict[str, dict[str, float]] = defaultdict(dict)

    def _heard(self, measure: Measure, value: float, of: str, video: str) -> None:
        if measure not in _BUSY:
            return
        seconds = value / 1000
        ended = time.monotonic() - self._began
        name = measure.name.removesuffix("_msec")
        if measure is measures.PHASE:
            if value >= 1:  # a phase that had nothing to do is no phase
                self._phases.append((of, max(0.0, ended - seconds), seconds))
            return
        self._spread(f"{name} {of}".strip(), max(0.0, ended - seconds), ended)
        if video:
            own = self._videos[video]
            own[name] = own.get(name, 0.0) + seconds
            if len(self._videos) > 2 * _MOST_VIDEOS:
                kept = sorted(self._videos.items(), key=lambda item: -sum(item[1].values()))[:_MOST_VIDEOS]
                self._videos = defaultdict(dict, kept)

    def _spread(self, name: str, start: float, end: float) -> None:
        """Lay a stretch of work onto the steps that it covers."""
        while end >= _MOST_STEPS * self._step_seconds:
            self._step_seconds *= 2
            for steps in self._steps.values():
                steps[:] = [sum(steps[at : at + 2]) for at in range(0, _MOST_STEPS, 2)] + [0.0] * (_MOST_STEPS // 2)
        steps, width = self._steps[name], self._step_seconds
        for at in range(int(start / width), int(end / width) + 1):
            steps[at] += max(0.0, min(end, (at + 1) * width) - max(start, at * width))

    def told(self) -> dict[str, Any]:
        """What the log of runs keeps: seconds and counts as plain values."""
        totals = self.totals()
        with self._lock:
            slowest = sorted(self._videos.items(), key=lambda item: -sum(item[1].values()))[:_SLOWEST]
            used = 1 + max((at for steps in self._steps.values() for at, busy in enumerate(steps) if busy), default=-1)
            return {
                "measured": {
                    measure.in_beam(of): round(total.sum)
                    if measure.kind == "counter"
                    else {"sum": round(total.sum, 1), "count": total.count, "max": round(total.max, 1)}
                    for (measure, of), total in totals.items()
                    if total.sum
                },
                "phases": [[name, round(start, 3), round(seconds, 3)] for name, start, seconds in self._phases],
                "step_seconds": self._step_seconds,
                "busy_msec": {
                    name: [round(1000 * busy) for busy in steps[:used]] for name, steps in sorted(self._steps.items())
                },
                "slowest": [
                    {"uri": uri, **{name: round(seconds, 2) for name, seconds in spent.items()}}
                    for uri, spent in slowest
                ],
            }


@contextmanager
def counted_elsewhere(result: Any, *, every_seconds: float = 5.0) -> Iterator[None]:
    """While a pipeline runs in other processes, what its workers count is what the listeners here know."""
    from transforms.beam_measures import totals_of

    over = threading.Event()
    told_of_failure = False

    def ask() -> None:
        nonlocal told_of_failure
        try:
            totals = totals_of(result)
        except Exception as error:  # whatever a runner raises: a job that goes on is worth more than its numbers
            if not told_of_failure:
                from transforms.progress import listener

                told_of_failure = True
                listener().message(f"the runner tells no metrics: {type(error).__name__}: {error}")
            return
        measures.tell_listeners(lambda listener: listener.elsewhere(totals))

    def keep_asking() -> None:
        while not over.wait(every_seconds):
            ask()

    measures.tell_listeners(lambda listener: listener.elsewhere({}))
    thread = threading.Thread(target=keep_asking, name="metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        ask()
        measures.tell_listeners(lambda listener: listener.elsewhere(None))


def _merged(own: Totals, others: Totals | None) -> dict[tuple[Measure, str], Total]:
    merged = {key: replace(total) for key, total in own.items()}
    for key, total in (others or {}).items():
        merged.setdefault(key, Total()).add(total)
    return merged
