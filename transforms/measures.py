"""What a run counts and times: every name, with its unit, stands here and nowhere else.

Stages call `count`, `observe` and `timed`. What they say goes to the listeners of this process, and waits for Beam: the
one who ends a bundle hands it over (`beam_measures`), so that a stage which knows no Beam is counted there too, in a
worker of another process as well.
"""

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Kind = Literal["counter", "distribution", "gauge"]

#: So many values wait for a bundle to end; a process that runs none keeps no more.
_MOST_WAITING = 10_000
_PREFIX = "reelvec"
#: How a unit of Beam's whole numbers is exported: the base unit, and what one of it is divided by.
_EXPORTED = {"count": ("", 1), "msec": ("_seconds", 1000), "percent": ("_ratio", 100), "seconds": ("_seconds", 1)}


@dataclass(frozen=True, slots=True)
class Measure:
    """One thing that is measured; its name in Beam, which ends in its unit, and what its values are told apart by."""

    name: str
    kind: Kind
    help: str
    label: str = ""

    @property
    def unit(self) -> str:
        """count, msec, percent or seconds."""
        return self.name.rpartition("_")[2]

    @property
    def per_unit(self) -> int:
        """What a value is divided by to be in the base unit: seconds, shares of 1."""
        return _EXPORTED[self.unit][1]

    @property
    def exported(self) -> str:
        """Its name in Prometheus: base units, counters end in _total."""
        stem = self.name.removesuffix(f"_{self.unit}") + _EXPORTED[self.unit][0]
        return f"{_PREFIX}_{stem}" + ("_total" if self.kind == "counter" else "")

    @property
    def series(self) -> tuple[str, ...]:
        """The names of the time series that Prometheus gets."""
        if self.kind != "distribution":
            return (self.exported,)
        return f"{self.exported}_sum", f"{self.exported}_count", f"{self.exported}_max"

    def in_beam(self, of: str) -> str:
        """Its name in Beam, which has no labels."""
        return f"{self.name}-{of}" if of else self.name


PHASE = Measure("phase_msec", "distribution", "Time that the launching process spent in a phase of a run.", "phase")
RUNS = Measure("runs_count", "counter", "Runs that ended, by how: ok, outage, interrupted, refused.", "outcome")
LISTED = Measure("videos_listed_count", "counter", "Videos that listings of the corpus found.")
PLANNED = Measure("videos_planned_count", "counter", "Videos by what a plan made of them.", "plan")
COPIED = Measure("videos_copied_count", "counter", "Videos whose vectors were taken from the same bytes elsewhere.")
REMOVED = Measure("videos_removed_count", "counter", "Videos that were taken out because they are gone.")

PROBED = Measure("videos_probed_count", "counter", "Videos that were looked into.")
SETTLED = Measure("videos_settled_count", "counter", "Videos that came to an end, by their state.", "state")
REJECTED = Measure("rejects_count", "counter", "Segments and videos that were rejected, by cause.", "cause")
DECODED = Measure("segments_decoded_count", "counter", "Segments that were decoded.")
SEGMENTS_REJECTED = Measure("segments_rejected_count", "counter", "Segments that could not be decoded.")
SEGMENTS_WRITTEN = Measure("segments_written_count", "counter", "Segments that were stored and left a receipt.")
CLIPS_WRITTEN = Measure("clips_written_count", "counter", "Clips that were stored.")
VIDEO_WRITTEN = Measure("video_written_msec", "counter", "Length of the segments that were stored.")
HALVED = Measure("batches_halved_count", "counter", "Batches that were halved because the device's memory was full.")
RETRIES = Measure("retries_count", "counter", "Requests that were sent again, by who was asked.", "asked")

LOADING = Measure("models_load_msec", "distribution", "Loading the models of a recipe, one a worker.")
PROBING = Measure("probe_msec", "distribution", "Looking into a video and hashing it.")
DECODING = Measure("decode_msec", "distribution", "Decoding a segment, hearing it too where speech decides its cuts.")
DECODE_WAIT = Measure("decode_wait_msec", "distribution", "Waiting for a segment to be decoded.")
ENCODING = Measure("encode_msec", "distribution", "Encoding a segment, by section of the recipe.", "modality")
FUSING = Measure("fuse_msec", "distribution", "Making the points of a segment from its vectors.")
WRITING = Measure("write_msec", "distribution", "Storing, checking and committing a group of segments.")
BATCH_FILL = Measure("batch_fill_percent", "distribution", "How full the batches were that went through a model.")

GOING = Measure("runs_going_count", "gauge", "Runs that go on now.")
LAST_ENDED = Measure("last_run_ended_timestamp_seconds", "gauge", "When the last run ended.")
LAST_OK = Measure("last_ok_run_ended_timestamp_seconds", "gauge", "When a run last ended with everything done.")
LAST_TOOK = Measure("last_run_seconds", "gauge", "How long the last run took.")
FOUND = Measure("videos_found_count", "gauge", "Videos that the last run found.")
DEFERRED = Measure("videos_deferred_count", "gauge", "Videos that the last run left to the next one.")
STAY_REJECTED = Measure("videos_rejected_count", "gauge", "Videos of the corpus that are rejected, as of the last run.")

MEASURES: tuple[Measure, ...] = tuple(one for one in list(globals().values()) if isinstance(one, Measure))


@dataclass(slots=True)
class Total:
    """All values of one measure and one label: of a counter only their sum means anything."""

    sum: float = 0.0
    count: int = 0
    max: float = 0.0

    def add(self, other: "Total") -> None:
        self.sum, self.count, self.max = self.sum + other.sum, self.count + other.count, max(self.max, other.max)


#: By measure and label.
Totals = Mapping[tuple[Measure, str], Total]


class Listener(Protocol):
    """What hears all that is measured. Calls come from several threads."""

    def hear(self, measure: Measure, value: float, of: str, video: str) -> None:
        """One value, in the unit of the measure."""

    def elsewhere(self, totals: Totals | None) -> None:
        """What workers in other processes measured so far: it counts in place of what this one hears until None."""

    def run_ended(self, line: Mapping[str, Any]) -> None:
        """A run is over; `line` is what the log of runs keeps of it."""


_listeners: tuple[Listener, ...] = ()
_lock = threading.Lock()
_waiting_counts: defaultdict[tuple[Measure, str], float] = defaultdict(float)
_waiting_values: deque[tuple[Measure, str, float]] = deque(maxlen=_MOST_WAITING)


def count(measure: Measure, by: float = 1, *, of: str = "") -> None:
    """Add to a counter."""
    with _lock:
        _waiting_counts[measure, of] += by
    for listener in _listeners:
        listener.hear(measure, by, of, "")


def observe(measure: Measure, value: float, *, of: str = "", video: str = "") -> None:
    """One value of a distribution; `video` is the URI of that on which the time was spent."""
    with _lock:
        _waiting_values.append((measure, of, value))
    for listener in _listeners:
        listener.hear(measure, value, of, video)


@contextmanager
def timed(measure: Measure, *, of: str = "", video: str = "") -> Iterator[None]:
    """Observe how many milliseconds the block takes, also where it fails."""
    began = time.perf_counter()
    try:
        yield
    finally:
        observe(measure, (time.perf_counter() - began) * 1000, of=of, video=video)


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Inside, the listener hears what this process measures."""
    global _listeners
    with _lock:
        _listeners = (*_listeners, listener)
    try:
        yield
    finally:
        with _lock:
            _listeners = tuple(one for one in _listeners if one is not listener)


def tell_listeners(tell: Callable[[Listener], None]) -> None:
    """Tell each listener of this process something."""
    for listener in _listeners:
        tell(listener)


def hand_over() -> tuple[dict[tuple[Measure, str], float], list[tuple[Measure, str, float]]]:
    """What was counted and observed since the last time; it is whoever asked that keeps it now."""
    with _lock:
        counts, values = dict(_waiting_counts), list(_waiting_values)
        _waiting_counts.clear()
        _waiting_values.clear()
    return counts, values
