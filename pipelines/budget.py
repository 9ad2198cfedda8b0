"""How much of its work a run takes up: the first videos in an order, and no new segment after a time."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from transforms import interrupt
from transforms.encoders.family import family
from transforms.encoders.names import Name
from transforms.progress import listener
from transforms.recipe import Recipe
from transforms.records import Work

Order = Literal["newest", "oldest", "smallest", "listed"]


def in_order(work: Sequence[Work], order: Order) -> list[Work]:
    """The work in the order in which a run takes it up; what has no time stamp (an etag) counts as oldest."""
    if order == "smallest":
        return sorted(work, key=lambda each: each.video.size_bytes)
    if order == "listed":
        return list(work)
    return sorted(work, key=_changed_at, reverse=order == "newest")


def taken_up(work: Sequence[Work], *, order: Order, max_videos: int | None) -> list[Work]:
    """The work of a run that may embed so many videos; the rest is left to the next run."""
    return in_order(work, order)[:max_videos]


def ends_at(started: float, max_hours: float | None) -> float | None:
    """When the time of a run is over, in Unix seconds, for workers whose monotonic clocks are not this one's."""
    if max_hours is None:
        return None
    return time.time() + started + max_hours * 3600.0 - time.monotonic()


def note_caps(recipe: Recipe) -> None:
    """Say of encoders that cost money that each worker process counts for itself."""
    paid = [name for name in recipe.encoders().values() if family(Name.parse(name).family).weights == "service"]
    for name in paid:
        listener().message(
            f"max_requests of {name} bounds each worker process, not the run: so many workers, so many times as much"
        )


@contextmanager
def ending_in_time(started: float, max_hours: float | None) -> Iterator[None]:
    """Start no new segment once so much time has passed since `started` (of the monotonic clock)."""
    if max_hours is None:
        yield
        return
    left_seconds = started + max_hours * 3600.0 - time.monotonic()
    if left_seconds <= 0.0:
        interrupt.end_in_time()
        yield
        return
    timer = threading.Timer(min(left_seconds, threading.TIMEOUT_MAX), interrupt.end_in_time)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _changed_at(work: Work) -> int:
    version = work.video.version
    return int(version) if version.lstrip("-").isdigit() else -(2**63)
