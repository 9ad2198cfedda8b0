"""One run at a time writes an index: a lock in its folder that names its holder."""

import fcntl
import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from transforms.errors import DiskFull, IndexLocked, StoreUnavailable
from transforms.index.location import IndexLocation

LOCK = "writer.lock"

#: `holder` takes the lock for an instant to see whether it is free; a writer outlasts that.
_TRY_SECONDS = 0.3
_PAUSE_SECONDS = 0.02

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that writes an index."""

    pid: int
    host: str
    command: str
    since: str  # ISO 8601, UTC

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.host} since {self.since}: {self.command}"


@contextmanager
def writing(location: IndexLocation, *, command: str, wait: bool) -> Iterator[None]:
    """Hold an Edge index's run lock; raises IndexLocked, naming the holder, unless told to wait.

    A server needs no lock (its writes are idempotent and it orders them), so none is taken there.
    """
    if location.kind == "server":
        yield
        return
    handle = _open(Path(location.folder))
    try:
        _take(handle, location, wait=wait)
        me = Holder(os.getpid(), socket.gethostname(), command, datetime.now(UTC).isoformat(timespec="seconds"))
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(asdict(me)).encode(), 0)
        try:
            yield
        finally:
            os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def holder(location: IndexLocation) -> Holder | None:
    """Who writes the index now; None when nobody does, and for a server."""
    if location.kind == "server":
        return None
    try:
        handle = os.open(Path(location.folder, LOCK), os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        return _read(handle)
    finally:
        os.close(handle)


def _open(folder: Path) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        kind = DiskFull if error.errno == 28 else StoreUnavailable
        raise kind(f"the index cannot be locked: {folder / LOCK}: {error.strerror}") from error


def _take(handle: int, location: IndexLocation, *, wait: bool) -> None:
    give_up = time.monotonic() + _TRY_SECONDS
    told = False
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > give_up:
                if not wait:
                    raise IndexLocked(
                        f"another process writes this index: {location} ({_read(handle)}); "
                        "wait for it (--wait), or stop it"
                    ) from None
                if not told:
                    log.warning("waiting for another process that writes %s (%s)", location, _read(handle))
                    told = True
            time.sleep(0.2 if told else _PAUSE_SECONDS)


def _read(handle: int) -> Holder:
    try:
        return Holder(**json.loads(os.pread(handle, 65536, 0)))
    except (ValueError, TypeError):
        return Holder(0, "?", "?", "?")  # between its taking the lock and its writing who it is
