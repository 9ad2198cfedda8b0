"""One run at a time writes an index, and each has a number larger than all before.

A folder is locked by a file that names its holder; the system frees it when the holder dies. A server's index has a
lease (`transforms.index.lease`). Whoever gets the right to write raises the run number first, so that what an older run
writes late can be told from what is new.
"""

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

from transforms.errors import DiskFull, IndexFormatError, IndexLocked, StoreUnavailable
from transforms.index.location import IndexLocation
from transforms.index.manifest import write_atomically

LOCK, RUN = "writer.lock", "writer.run"

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


@dataclass(frozen=True, slots=True)
class Run:
    """One turn at writing an index; `after_crash` tells that the turn before did not come to its end."""

    number: int
    after_crash: bool = False


@contextmanager
def writing(location: IndexLocation, *, command: str, wait: bool) -> Iterator[Run]:
    """Hold the right to write an index; raises IndexLocked, naming the holder, unless told to wait."""
    if location.kind == "server":
        from transforms.index.lease import leasing

        with leasing(location, command=command, wait=wait) as run:
            yield run
        return
    handle = _open(Path(location.folder))
    try:
        _take(handle, location, wait=wait)
        me = Holder(os.getpid(), socket.gethostname(), command, datetime.now(UTC).isoformat(timespec="seconds"))
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(asdict(me)).encode(), 0)
        before, finished = read_run(Path(location.folder))
        run = Run(before + 1, after_crash=before > 0 and not finished)
        try:
            _write_run(Path(location.folder), run.number, finished=False)
            yield run
            _write_run(Path(location.folder), run.number, finished=True)
        finally:
            os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def holder(location: IndexLocation) -> Holder | None:
    """Who writes the index now; None when nobody does."""
    if location.kind == "server":
        from transforms.index.lease import leaseholder

        return leaseholder(location)
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


def read_run(folder: Path) -> tuple[int, bool]:
    """The number of the run that wrote a folder last, 0 before the first, and whether it came to its end."""
    try:
        held = json.loads((folder / RUN).read_text(encoding="utf-8"))
        return int(held["run"]), bool(held["finished"])
    except (FileNotFoundError, NotADirectoryError):
        return 0, True
    except (ValueError, TypeError, KeyError) as error:
        raise IndexFormatError(
            f"the number of the last run cannot be read: {folder / RUN} ({error!r}); delete that file while nothing "
            "writes the index, and numbers start again"
        ) from error


def _write_run(folder: Path, number: int, *, finished: bool) -> None:
    try:
        write_atomically(folder / RUN, json.dumps({"run": number, "finished": finished}) + "\n")
    except OSError as error:
        kind = DiskFull if error.errno == 28 else StoreUnavailable
        raise kind(f"the number of the run cannot be written: {folder / RUN}: {error.strerror}") from error


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
