"""One run at a time writes a server's index: a lease, kept in a collection of its own beside all indexes.

It is not kept in the index's collection, which does not exist before the first run and which a migration replaces. A
lease is one point an index: who holds it, until when, and the number of the run. Every change of it is a conditional
upsert that names the token found before, so of two that want it one gets it. Nothing relies on clocks that agree: a
lease that has run out is watched for `WATCH_SECONDS` before it is taken, in which time a holder that lives renews it.
"""

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from qdrant_client import QdrantClient, models

from transforms.errors import IndexLocked, MissingIndex, ReelvecError, RunOvertaken, UsageError
from transforms.index import held
from transforms.index.location import IndexLocation
from transforms.index.lock import Holder, Run
from transforms.index.retry import AlreadyThere, call
from transforms.records import stable_id

#: No index can be named so: an index's name begins with a letter or a digit.
COLLECTION = "_reelvec_leases"

LEASE_SECONDS = 60.0
RENEW_SECONDS = 15.0
#: Two renewals and some: whoever lives has been heard of by then.
WATCH_SECONDS = 35.0
_PAUSE_SECONDS = 0.5
_OLDEST_SERVER = (1, 16)  # conditional upserts; an older one would drop the condition without a word

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write one index, as its point says."""

    index: str
    token: str  # of this holder alone
    run: int
    pid: int
    host: str
    command: str
    since: str  # ISO 8601, UTC
    ends: float  # seconds of the holder's clock since 1970; 0.0: given back
    finished: bool = False  # its run came to its end

    @property
    def holder(self) -> Holder:
        return Holder(self.pid, self.host, self.command, self.since)


@contextmanager
def leasing(location: IndexLocation, *, command: str, wait: bool) -> Iterator[Run]:
    """Hold the lease of a server's index; raises IndexLocked, naming the holder, unless told to wait.

    Renewed by a thread. Who loses it all the same (a paused machine) gets RunOvertaken at its next write.
    """
    from transforms.index.server import connect

    client = connect(location)
    try:
        _prepare(client, location)
        mine, before = _acquire(client, location, command, wait=wait)
        keeper = _Keeper(client, location, mine)
        keeper.start()
        finished = False
        try:
            with held.having(str(location), keeper.check):
                yield Run(mine.run, after_crash=before is not None and not before.finished)
            finished = True
        finally:
            keeper.give_back(finished=finished)
    finally:
        client.close()


def leaseholder(location: IndexLocation) -> Holder | None:
    """Who holds the lease of a server's index; None where nobody does, or it has run out."""
    from transforms.index.server import connect

    client = connect(location)
    try:
        found = read_lease(client, location)
    finally:
        client.close()
    return found.holder if found is not None and found.ends > time.time() else None


def read_lease(client: QdrantClient, location: IndexLocation) -> Lease | None:
    """The lease as its point says; None before the first run."""
    try:
        records = call(
            "reading the lease",
            str(location),
            lambda: client.retrieve(
                COLLECTION,
                [_id(location)],
                with_payload=True,
                consistency=models.ReadConsistencyType.MAJORITY,
            ),
        )
    except MissingIndex:
        return None
    if not records:
        return None
    return Lease(**{name: value for name, value in (records[0].payload or {}).items() if name != "kind"})


def _acquire(client: QdrantClient, location: IndexLocation, command: str, *, wait: bool) -> tuple[Lease, Lease | None]:
    """The lease that this process has got, and the one before."""
    seen, seen_at, told = None, time.monotonic(), False
    while True:
        found = read_lease(client, location)
        lives = seen is not None and found != seen  # renewed, or taken by another, while it was watched
        if found != seen:
            seen, seen_at = found, time.monotonic()
        silent_seconds, ran_out = time.monotonic() - seen_at, found is not None and time.time() >= found.ends
        dead = silent_seconds >= LEASE_SECONDS or (ran_out and silent_seconds >= WATCH_SECONDS)
        if found is None or not found.ends or dead:
            mine = _new(location, command, run=1 + (found.run if found else 0))
            if _swap(client, location, mine, instead_of=found.token if found else "").token == mine.token:
                if dead and found is not None:
                    log.warning("took over the right to write %s: %s gave no sign of life", location, found.holder)
                return mine, found
            continue
        if not wait and (lives or not ran_out):
            raise IndexLocked(
                f"another process writes this index: {location} ({found.holder}); wait for it (--wait), or stop it. "
                + ("It lives" if lives else f"If it is dead, its lease ends in {found.ends - time.time():.0f} s")
            )
        if not told:
            log.warning("waiting for another process that writes %s (%s)", location, found.holder)
            told = True
        time.sleep(_PAUSE_SECONDS)


class _Keeper:
    """Renews a lease in a thread, and answers before each write whether it still is this process's own."""

    def __init__(self, client: QdrantClient, location: IndexLocation, mine: Lease) -> None:
        self._client, self._location, self._mine = client, location, mine
        self._renewed_at = _clocks()
        self._taken_by: Lease | None = None
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def check(self) -> None:
        """Raise RunOvertaken when another has the lease; asks the server when the last renewal is long ago."""
        with self._lock:
            if self._taken_by is None and _since(self._renewed_at) > LEASE_SECONDS / 2:
                self._renew()
            if self._taken_by is not None:
                raise RunOvertaken(
                    f"another run took over the right to write {self._location}, because this one (run "
                    f"{self._mine.run}) gave no sign of life for more than {LEASE_SECONDS:.0f} s: "
                    f"run {self._taken_by.run}, {self._taken_by.holder}. This one stops; what it committed stays"
                )

    def give_back(self, *, finished: bool) -> None:
        """End the lease in order; the next run gets it at once."""
        self._over.set()
        self._thread.join()
        with self._lock:
            if self._taken_by is not None:
                return
            try:
                _swap(
                    self._client,
                    self._location,
                    replace(self._mine, ends=0.0, finished=finished),
                    instead_of=self._mine.token,
                )
            except ReelvecError as error:  # it runs out by itself
                log.warning("the right to write %s could not be given back: %s", self._location, error)

    def _keep(self) -> None:
        while not self._over.wait(RENEW_SECONDS) and self._taken_by is None:
            try:
                with self._lock:
                    self._renew()
            except ReelvecError as error:
                log.warning("the right to write %s could not be renewed: %s", self._location, error)

    def _renew(self) -> None:
        began = _clocks()
        fresh = replace(self._mine, ends=time.time() + LEASE_SECONDS)
        found = _swap(self._client, self._location, fresh, instead_of=self._mine.token)
        if found.token == fresh.token:
            self._mine, self._renewed_at = fresh, began
        else:
            self._taken_by = found


def _new(location: IndexLocation, command: str, *, run: int) -> Lease:
    return Lease(
        index=location.name,
        token=uuid.uuid4().hex,
        run=run,
        pid=os.getpid(),
        host=socket.gethostname(),
        command=command,
        since=datetime.now(UTC).isoformat(timespec="seconds"),
        ends=time.time() + LEASE_SECONDS,
    )


def _swap(client: QdrantClient, location: IndexLocation, lease: Lease, *, instead_of: str) -> Lease:
    """Store a lease if that token is the stored one ("": if none is stored); gives what is stored then."""
    point = models.PointStruct(id=_id(location), vector={}, payload={"kind": "lease", **asdict(lease)})
    held_still = models.Filter(must=[models.FieldCondition(key="token", match=models.MatchValue(value=instead_of))])
    call(
        "writing the lease",
        str(location),
        lambda: client.upsert(
            COLLECTION, [point], wait=True, ordering=models.WriteOrdering.STRONG, update_filter=held_still
        ),
    )
    found = read_lease(client, location)
    assert found is not None, "a condition that no stored point meets still lets a new one in"
    return found


def _prepare(client: QdrantClient, location: IndexLocation) -> None:
    """The collection of leases, made by the first run of all."""
    version = call("asking for the version", str(location), client.info).version
    if tuple(int(part) for part in version.split(".")[:2]) < _OLDEST_SERVER:
        raise UsageError(f"an index is written on Qdrant 1.16 or newer: {location} runs {version}; update the server")
    if not call("looking for leases", str(location), lambda: client.collection_exists(COLLECTION)):
        with suppress(AlreadyThere):
            call(
                "making room for leases",
                str(location),
                lambda: client.create_collection(COLLECTION, vectors_config={}),
            )


def _id(location: IndexLocation) -> str:
    return stable_id("lease", location.name)


def _clocks() -> tuple[float, float]:
    """One clock that never jumps and one that goes on while the machine sleeps."""
    return time.monotonic(), time.time()


def _since(then: tuple[float, float]) -> float:
    return max(now - before for now, before in zip(_clocks(), then, strict=True))
