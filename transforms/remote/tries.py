"""Trying again what may pass, with pauses that grow and differ by chance."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from transforms.remote.store import Broken

T = TypeVar("T")
LONGEST_PAUSE_SECONDS = 15.0


def tried(work: Callable[[], T], *, tries: int = 4, first_pause_seconds: float = 0.5) -> T:
    """What `work` returns; tried again where it raises Broken, the last one of which is raised."""
    for failures in range(1, tries):
        try:
            return work()
        except Broken:
            pause(failures, first_pause_seconds)
    return work()


def pause(failures: int, first_pause_seconds: float) -> None:
    """Sleep after so many failures in a row: twice as long each time, and up to half as much again by chance."""
    seconds = min(LONGEST_PAUSE_SECONDS, first_pause_seconds * 2.0 ** (failures - 1))
    time.sleep(seconds * random.uniform(1.0, 1.5))
