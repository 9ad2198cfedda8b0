"""One question for the stages of this process: has the user asked to stop?

A stopped run starts no new segment, finishes what is in flight and ends in order.
Workers in other processes never see the request: their runner cancels them.
Signal handlers ask, so what they set is a plain name: a lock could be held by the code that they interrupt.
"""

_requested = False
_for_good = False


def request(*, for_good: bool = False) -> None:
    """Ask every stage of this process to start nothing new; `for_good`: and every run that begins later."""
    global _requested, _for_good
    _for_good = _for_good or for_good
    _requested = True


def requested() -> bool:
    """Whether somebody asked."""
    return _requested or _for_good


def reset(*, for_good: bool = False) -> None:
    """Forget the request; a run calls this before it starts. One for good is forgotten `for_good` only."""
    global _requested, _for_good
    _for_good = _for_good and not for_good
    _requested = False
