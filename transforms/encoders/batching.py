"""One model, one queue: the work of several bundles of a process goes through in full batches.

Who waits with work also runs it: the first that finds the model free and a reason to go takes a
batch from the head of the queue, for itself and for others. A reason is a full batch, every
registered bundle waiting already, or 20 ms gone by; so nobody waits for work that cannot come.
"""

import copy
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from transforms import measures

WAIT_SECONDS = 0.02


@dataclass(eq=False)
class _Ticket:
    """The inputs of one call, and what became of them."""

    items: Any  # a list, or an array whose rows are the inputs
    since: float
    results: list[Any] = field(default_factory=list)
    taken: int = 0  # inputs that some batch has
    error: BaseException | None = None

    @property
    def done(self) -> bool:
        return self.error is not None or len(self.results) == len(self.items)

    @property
    def open(self) -> int:
        return len(self.items) - self.taken


@dataclass(eq=False)
class SharedBatches:
    """Calls of `run` with at most `size` inputs of one shape; what it gives is one result an input, in order."""

    run: Callable[[Any], Sequence[Any]]
    size: int
    device: threading.RLock = field(default_factory=threading.RLock)  # held while the model runs
    wait_seconds: float = WAIT_SECONDS
    batches_count: int = 0
    full_batches_count: int = 0

    def __post_init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: deque[_Ticket] = deque()
        self._bundles: set[Hashable] = set()
        self._waiting = 0
        self._running = 0

    def register(self, bundle: Hashable) -> None:
        """A bundle that may come with work: others wait for it, 20 ms at most."""
        with self._changed:
            self._bundles.add(bundle)

    def unregister(self, bundle: Hashable) -> None:
        """No more work will come from this bundle; unknown ones do no harm."""
        with self._changed:
            self._bundles.discard(bundle)
            self._changed.notify_all()

    def __call__(self, items: Any) -> list[Any]:
        """One result an input. A failure reaches everyone whose inputs were in that batch, as an own exception."""
        if not len(items):
            return []
        ticket = _Ticket(items, time.monotonic())
        with self._changed:
            self._queue.append(ticket)
            self._waiting += 1
            self._changed.notify_all()
            try:
                while not ticket.done:
                    if ticket.open and self._should_go():
                        self._run_one()
                    else:
                        self._changed.wait(self.wait_seconds)
            finally:
                self._waiting -= 1
                if ticket in self._queue:  # whoever was interrupted waits no more
                    self._queue.remove(ticket)
        if ticket.error is not None:
            raise ticket.error
        return ticket.results

    def _should_go(self) -> bool:
        if self._running:
            return False
        queued = sum(ticket.open for ticket in self._queue)
        everyone_waits = self._waiting >= len(self._bundles)
        late = time.monotonic() - self._queue[0].since >= self.wait_seconds
        return queued >= self.size or everyone_waits or late

    def _run_one(self) -> None:
        """Take a batch off the queue and run it; the queue stays open to others meanwhile."""
        parts = self._take()
        self._running += 1
        self._changed.release()
        error: BaseException | None = None
        results: Sequence[Any] = ()
        batch: Any = ()
        try:
            batch = _joined([ticket.items[start:end] for ticket, start, end in parts])
            with self.device:
                results = self.run(batch)
            if len(results) != len(batch):
                raise RuntimeError(f"a model gave {len(results)} results for {len(batch)} inputs")
        except BaseException as raised:
            error = raised
        finally:
            self._changed.acquire()
            self._running -= 1
        self.batches_count += 1
        self.full_batches_count += len(batch) >= self.size
        measures.observe(measures.BATCH_FILL, 100 * min(1.0, len(batch) / self.size))
        place = 0
        for ticket, start, end in parts:
            if error is None:
                ticket.results += list(results[place : place + end - start])
            else:
                ticket.error = _own(error)
                if ticket in self._queue:
                    self._queue.remove(ticket)
            place += end - start
        self._changed.notify_all()

    def _take(self) -> list[tuple[_Ticket, int, int]]:
        """Inputs from the head of the queue, all of one shape: (ticket, start, end)."""
        shape, room, parts = _shape(self._queue[0].items), self.size, []
        for ticket in self._queue:
            if room == 0 or _shape(ticket.items) != shape:
                continue
            count = min(room, ticket.open)
            parts.append((ticket, ticket.taken, ticket.taken + count))
            room -= count
        for ticket, _, end in parts:  # nothing is taken before all of it is known: a failure here takes nothing
            ticket.taken = end
            if not ticket.open:
                self._queue.remove(ticket)
        return parts


def _own(error: BaseException) -> BaseException:
    """An exception of the same class for one waiter: one that several threads raise gets the traceback of all."""
    try:
        own = copy.copy(error)
    except TypeError:  # its class wants more than what it keeps
        return error
    own.__cause__ = error
    return own


def _shape(items: Any) -> Hashable:
    """Inputs of one shape may share a batch: arrays by the shape of a row, everything else always."""
    return (items.shape[1:], items.dtype.str) if isinstance(items, np.ndarray) else None


def _joined(parts: Sequence[Any]) -> Any:
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    return [item for part in parts for item in part]
