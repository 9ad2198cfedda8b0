"""One question for the stages of this process: has the user asked to stop?

A stopped run starts no new segment, finishes what is in flight and ends in order.
Workers in other processes never see the request: their runner cancels them.
"""

import threading

_requested = threading.Event()


def request() -> None:
    """Ask every stage of this process to start nothing new."""
    _requested.set()


def requested() -> bool:
    """Whether somebody asked."""
    return _requested.is_set()


def reset() -> None:
    """Forget the request; a run calls this before it starts."""
    _requested.clear()
