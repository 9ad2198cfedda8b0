"""Bounded runs one after the other in one process: models stay loaded, and the index follows its corpus."""

import itertools
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from pipelines.ingest import ingest
from pipelines.settings import IngestSettings
from pipelines.settling import Settling
from pipelines.summary import IngestSummary
from transforms import interrupt
from transforms.errors import IndexLocked, Outage, UsageError
from transforms.progress import Progress, Silent

#: After a failed round the pause doubles, up to this or to the interval, whichever is longer.
LONGEST_PAUSE_SECONDS = 900.0
#: At least so long is the index free between two rounds: `forget` and others try for 0.3 s to get hold of it.
GAP_SECONDS = 0.5


class Stop(Protocol):
    """What ends a watch: `threading.Event` is one."""

    def is_set(self) -> bool: ...

    def wait(self, timeout: float, /) -> bool:
        """Sleep so many seconds, or until it is set; gives whether it is."""


@dataclass(frozen=True, slots=True)
class Round:
    """One run of a watch: what it did, or why it failed, and when the next one comes."""

    number: int
    summary: IngestSummary | None
    error: Exception | None
    growing: int  # files that were left alone because they may still be written to
    pause_seconds: float | None  # None for the last round

    @property
    def locked(self) -> bool:
        """Whether another process had the index."""
        return isinstance(self.error, IndexLocked)


def watch(
    settings: IngestSettings,
    *,
    every_seconds: float,
    stop: Stop,
    settle_seconds: float = 2.0,
    rounds: int | None = None,
    max_failures: int | None = None,
    listen: Callable[[], Progress] = Silent,
) -> Iterator[Round]:
    """Run `ingest` every so often, from start to start, and yield what each round did; the pause follows the yield.

    What fails is tried again with longer and longer pauses, and ends the watch after `max_failures` rounds in a row.
    Raises UsageError where it comes before any round has succeeded: then the command is wrong, not the world.
    """
    settling = Settling(settle_seconds)
    failures, worked = 0, False
    for number in itertools.count(1):
        began = time.monotonic()
        summary: IngestSummary | None = None
        error: Exception | None = None
        failed = False
        try:
            summary = ingest(settings, listen=listen(), settling=settling)
            failures, worked = 0, True
        except IndexLocked as locked:
            error = locked
        except (Outage, UsageError, OSError) as failure:
            if isinstance(failure, UsageError) and not worked:
                raise
            error, failed = failure, True
            failures += 1
        more = summary is not None and summary.videos_indexed > 0 and summary.videos_deferred > settling.growing_count
        pause = pause_seconds(
            every_seconds,
            spent_seconds=time.monotonic() - began,
            failures=failures if failed else 0,
            more=more,
        )
        over = number == rounds or (failed and failures == max_failures) or interrupt.requested() or stop.is_set()
        yield Round(number, summary, error, settling.growing_count, None if over else pause)
        if over or interrupt.requested() or stop.wait(pause):
            return


def pause_seconds(every_seconds: float, *, spent_seconds: float, failures: int, more: bool) -> float:
    """How long to sleep after a round: what is left of the interval; next to nothing where more work is known.

    After failures it is the interval, doubled with each, and up to half as much again by chance: watches
    that failed together shall not come back together.
    """
    if failures:
        longest = max(every_seconds, LONGEST_PAUSE_SECONDS)
        return min(longest, every_seconds * 2.0 ** min(failures - 1, 30)) * random.uniform(1.0, 1.5)
    return GAP_SECONDS if more else max(GAP_SECONDS, every_seconds - spent_seconds)
