"""One question for the stages of this process: has the user asked to stop, or is the run's time over?

A stopped run starts no new segment, finishes what is in flight and ends in order. One whose time is over has not
failed: it also copies, removes and publishes what it planned.
Workers in other processes never see the request: their job is cancelled. They are told when their time is over.
Signal handlers ask, so these are plain names: a lock could be held by the very code that a handler interrupts.
"""

import time

_requested = False
_for_good = False
_time_is_over = False


def request(*, for_good: bool = False) -> None:
    """Ask every stage of this process to start nothing new; `for_good`: and every run that begins later."""
    global _requested, _for_good
    _for_good = _for_good or for_good
    _requested = True


def requested() -> bool:
    """Whether somebody asked."""
    return _requested or _for_good


def reset(*, for_good: bool = False) -> None:
    """Forget the request and the time; a run calls this before it starts. One for good is forgotten `for_good` only."""
    global _requested, _for_good, _time_is_over
    _for_good = _for_good and not for_good
    _requested = _time_is_over = False


def end_in_time() -> None:
    """Say that the run has had the time that it was given."""
    global _time_is_over
    _time_is_over = True


def stopping(ends_at: float | None = None) -> bool:
    """Whether no new segment is to be started; `ends_at` is when the time of the run is over, in Unix seconds."""
    return requested() or _time_is_over or (ends_at is not None and time.time() >= ends_at)
