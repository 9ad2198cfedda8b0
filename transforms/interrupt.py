"""One question for the stages of this process: has the user asked to stop, or is the run's time over?

A stopped run starts no new segment, finishes what is in flight and ends in order. One whose time is over has not
failed: it also copies, removes and publishes what it planned.
Workers in other processes never see the request: their runner cancels them.
"""

import threading

_requested = threading.Event()
_time_is_over = threading.Event()


def request() -> None:
    """Ask every stage of this process to start nothing new."""
    _requested.set()


def requested() -> bool:
    """Whether somebody asked."""
    return _requested.is_set()


def reset() -> None:
    """Forget the request and the time; a run calls this before it starts."""
    _requested.clear()
    _time_is_over.clear()


def end_in_time() -> None:
    """Say that the run has had the time that it was given."""
    _time_is_over.set()


def stopping() -> bool:
    """Whether no new segment is to be started."""
    return _requested.is_set() or _time_is_over.is_set()
