"""The right to write a server's index, as long as this process has it: asked before every write.

A worker process of a runner has no such right of its own; there the run number of what it writes is compared instead.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

_checks: dict[str, Callable[[], None]] = {}


@contextmanager
def having(shown: str, check: Callable[[], None]) -> Iterator[None]:
    """While the block runs, `check` decides over writes to the index that is shown as this."""
    _checks[shown] = check
    try:
        yield
    finally:
        _checks.pop(shown, None)


def check(shown: str) -> None:
    """Raise RunOvertaken where this process had the right to write this index and has lost it."""
    if (own := _checks.get(shown)) is not None:
        own()
