"""How many requests the services were sent: what `max_requests` of a name bounds.

Counted by service, not by name, since two names of one service are one bill: from the beginning of a run, or of the
process where none runs, and in each worker process for itself. Questions of a search are not counted: each is one
request that somebody asked for, and what an ingest has spent must not keep its index from answering.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from transforms.errors import SpendingCap

_sent: Counter["Account"] = Counter()
_lock = threading.Lock()
_asking = ContextVar("asking", default=False)


@dataclass(frozen=True, slots=True)
class Account:
    """Who pays for a request: one service, one endpoint, one key."""

    family: str
    endpoint: str
    key_variable: str


def spend(account: Account, most: int, *, name: str) -> None:
    """Count one request; raises SpendingCap instead where as many were sent as the name allows."""
    if _asking.get():
        return
    with _lock:
        if _sent[account] >= most:
            raise SpendingCap(
                f"{name} was sent {_sent[account]} requests by this run's process, as many as its name allows "
                f"(max_requests={most}); say a larger max_requests in its name and run again with that recipe "
                "(--recipe FILE): what was committed stays"
            )
        _sent[account] += 1


def start_again() -> None:
    """A run begins: nothing is counted yet."""
    with _lock:
        _sent.clear()


@contextmanager
def questions() -> Iterator[None]:
    """Inside, requests are the questions of a search, which no cap counts."""
    token = _asking.set(True)
    try:
        yield
    finally:
        _asking.reset(token)
