"""Runs ffmpeg or ffprobe as a child that is limited, alone in its process group, and dies with us.

No code runs between fork and exec (other threads may hold locks there): small programs
of util-linux and `ulimit` of the shell set the child up, each replacing itself with the next.
"""

import contextlib
import fcntl
import os
import resource
import shutil
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

from transforms.errors import UnreadableVideo, UsageError
from transforms.media.limits import Limits

#: Takes the bytes of one pipe in pieces of any size.
Sink = Callable[[bytes], object]
_NO_SINKS: Final[Mapping[int, Sink]] = MappingProxyType({})

_CHUNK_BYTES: Final = 2**20
_ERROR_TEXT_BYTES: Final = 2**16  # the last of what the child complained about
#: Nothing of ours. Each arena of the allocator would reserve 64 MB of the address space that is limited.
_ENVIRONMENT: Final = {"LC_ALL": "C", "PATH": os.defpath, "MALLOC_ARENA_MAX": "2"}
_NO_NETWORK: Final = ("unshare", "--user", "--map-root-user", "--net")
_DIE_WITH_PARENT: Final = ("setpriv", "--pdeathsig", "KILL")
_LIMIT_AND_RUN: Final = (
    'ulimit -c 0 && ulimit -f 0 && ulimit -n "$1" && ulimit -v "$2" && ulimit -St "$3" && ulimit -Ht "$4" && '
    'shift 4 && exec "$@"'
)


@dataclass(frozen=True, slots=True, eq=False)
class Finished:
    """How a child ended: what came through each of its pipes, and why it stopped."""

    outputs: list[bytearray]
    error_text: str
    returncode: int  # negative: the signal that ended it
    timed_out: bool = False
    overran: bool = False  # more output than the limits allow


@dataclass(slots=True, eq=False)
class _Budget:
    """Bytes that the pipes of one child may still give, together."""

    left: int
    overrun: Callable[[], None]
    overran: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def spend(self, size: int) -> bool:
        with self.lock:
            self.left -= size
            if self.left >= 0:
                return True
            self.overran = True
        self.overrun()
        return False


@contextlib.contextmanager
def opened_source(path: Path) -> Iterator[int]:
    """A descriptor of a local regular file, for children to open by number.

    The name never reaches ffmpeg, so nothing in it can be taken for an option, a pattern or a
    protocol, and the file that was checked is the file that is read.
    """
    if not path.exists():
        raise UnreadableVideo(f"there is no such file: {shown_name(path)}")
    if not stat.S_ISREG(path.stat().st_mode):  # before opening, which would block on a FIFO
        raise UnreadableVideo(f"only regular files are opened, not folders, pipes or devices: {shown_name(path)}")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError as error:
        raise UnreadableVideo(f"no permission to read the file: {shown_name(path)}") from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UnreadableVideo(f"only regular files are opened, not folders, pipes or devices: {shown_name(path)}")
        yield descriptor
    finally:
        os.close(descriptor)


def source_name(descriptor: int) -> str:
    """What ffmpeg is told to open."""
    return f"file:/dev/fd/{descriptor}"


def shown_name(path: Path) -> str:
    """A file's name for a message, in one printable line."""
    return repr(os.fsencode(path.name).decode(errors="backslashreplace"))


def run_child(
    arguments_for: Callable[[Sequence[int]], Sequence[str]],
    *,
    pipes: int,
    source: int,
    limits: Limits,
    sinks: Mapping[int, Sink] = _NO_SINKS,
) -> Finished:
    """Run a program to its end and gather what it writes.

    `arguments_for` is given the numbers of `pipes` descriptors to write to (the first is standard
    output) and returns the command. What comes through a pipe that has a sink (by its place) goes there as it
    comes and is not kept. Whatever happens, the child and its group are gone on return.
    """
    readers, writers = [], []
    try:
        for _ in range(pipes):
            reader, writer = os.pipe()
            readers.append(reader)
            writers.append(writer)
            _widen(writer)
        command = arguments_for([1, *writers[1:]])
        process = subprocess.Popen(
            launched(command, limits),
            stdin=subprocess.DEVNULL,
            stdout=writers[0],
            stderr=subprocess.PIPE,
            pass_fds=(source, *writers[1:]),
            env=_ENVIRONMENT,
            cwd="/",
            start_new_session=True,
        )
    except BaseException:
        for descriptor in readers:
            os.close(descriptor)
        raise
    finally:
        for descriptor in writers:
            os.close(descriptor)
    return _attend(process, readers, limits, sinks)


def launched(command: Sequence[str], limits: Limits) -> list[str]:
    """The command behind everything that holds it in on this machine."""
    cpu_seconds = _at_most(limits.cpu_seconds, resource.RLIMIT_CPU)
    numbers = (
        _at_most(limits.open_files, resource.RLIMIT_NOFILE),
        _at_most(limits.memory_bytes, resource.RLIMIT_AS) // 1024,
        cpu_seconds,
        _at_most(cpu_seconds + 5, resource.RLIMIT_CPU),
    )
    program = program_path(command[0])
    limited = ("/bin/sh", "-c", _LIMIT_AND_RUN, "sh", *(str(number) for number in numbers), program, *command[1:])
    return [*without_network(), *dying_with_parent(), *limited]


@cache
def without_network() -> tuple[str, ...]:
    """The launcher that takes the network away, or nothing where the system does not allow it (2 ms)."""
    return _NO_NETWORK if _works(_NO_NETWORK) else ()


@cache
def dying_with_parent() -> tuple[str, ...]:
    """The launcher that ends the child with the thread that started it, or nothing where it is missing (2 ms)."""
    return _DIE_WITH_PARENT if _works(_DIE_WITH_PARENT) else ()


@cache
def program_path(name: str) -> str:
    """Where a program is. Raises UsageError where it is not installed."""
    if (found := shutil.which(name)) is None:
        raise UsageError(f"{name} is not installed or not on PATH; install ffmpeg with the system's package manager")
    return found


def _at_most(wanted: int, limit: int) -> int:
    """What is wanted, or the limit that we live under ourselves where it is lower."""
    _, hard = resource.getrlimit(limit)
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def _works(launcher: Sequence[str]) -> bool:
    try:
        tried = subprocess.run(
            [*launcher, "/bin/sh", "-c", "exit 0"], stdin=subprocess.DEVNULL, capture_output=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return tried.returncode == 0


def _attend(
    process: subprocess.Popen[bytes], readers: Sequence[int], limits: Limits, sinks: Mapping[int, Sink]
) -> Finished:
    outputs = [bytearray() for _ in readers]
    errors = bytearray()
    failed: list[Exception] = []
    budget = _Budget(limits.output_bytes, lambda: _kill_group(process))
    assert process.stderr is not None
    threads = [
        threading.Thread(target=_hand_on, args=(reader, sinks[place], failed, process), daemon=True)
        if place in sinks
        else threading.Thread(target=_gather, args=(reader, output, budget), daemon=True)
        for place, (reader, output) in enumerate(zip(readers, outputs, strict=True))
    ]
    threads.append(threading.Thread(target=_keep_last, args=(process.stderr.fileno(), errors), daemon=True))
    deadline = time.monotonic() + limits.wall_seconds
    timed_out, ended = False, False
    try:
        for thread in threads:
            thread.start()
        # Its pipes close when it ends; waiting for the process itself would poll, up to 50 ms too long.
        for thread in threads:
            thread.join(timeout=max(0.0, deadline - time.monotonic()))
        process.wait(timeout=max(0.0, deadline - time.monotonic()))
        ended = True
    except subprocess.TimeoutExpired:
        timed_out = True
    finally:
        if not ended:
            _kill_group(process)
            process.wait()
        for thread in threads:
            if thread.ident is not None:
                thread.join()
        process.stderr.close()
        for reader in readers:
            os.close(reader)
    if failed:
        raise failed[0]
    text = errors.decode(errors="replace")
    return Finished(outputs, text, process.returncode, timed_out=timed_out, overran=budget.overran)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _widen(pipe: int) -> None:
    """Let a pipe hold a whole chunk, where the system has that and grants it: frames then pass in fewer turns."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(PermissionError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _CHUNK_BYTES)


def _gather(reader: int, output: bytearray, budget: _Budget) -> None:
    while chunk := os.read(reader, _CHUNK_BYTES):
        if not budget.spend(len(chunk)):
            return
        output += chunk


def _hand_on(reader: int, sink: Sink, failed: list[Exception], process: subprocess.Popen[bytes]) -> None:
    """Give what comes to a sink; where that fails the child is of no more use."""
    try:
        while chunk := os.read(reader, _CHUNK_BYTES):
            sink(chunk)
    except Exception as error:
        failed.append(error)
        _kill_group(process)


def _keep_last(reader: int, text: bytearray) -> None:
    while chunk := os.read(reader, _CHUNK_BYTES):
        text += chunk
        del text[:-_ERROR_TEXT_BYTES]
