"""The child that publishes an Edge index: copies the live shard, proves the copy, points CURRENT at it.

Run as a script in a fresh interpreter, so that neither its copying nor the engine's optimising
holds the writer's GIL; it imports the standard library and the engine. It and its parent take
turns, one JSON object a line:

    parent                            child
    holds the writer's lock
    {"do": "survey"}           ->     writes pages out, notes the stamps       -> {"done": "survey"}
    lets go                           copies what changed since last time      -> {"done": "copy"}
    holds the lock, flushes
    {"do": "settle", points}   ->     copies again what changed meanwhile      -> {"done": "settle"}
    lets go
    {"do": "switch"}           ->     opens the copy, counts, replaces CURRENT -> {"done": "switch", ...}

A file whose stamp (inode, size, mtime) stands still after its pages were written out has not changed:
a page that was written out is write-protected, so the next store into it moves the mtime. Where
the file system does not keep that promise (`_mtime_moves` tries it), contents are compared.
"""

import ctypes
import errno
import fcntl
import json
import mmap
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import qdrant_edge as edge

LIVE, PUBLISHED, CURRENT, STAMPS = "live", "published", "CURRENT", "stamps.json"

#: Opening a version rewrites some small descriptions in it; what is larger is read only, and versions share it.
_SHARE_BYTES = 1 << 16
#: Smaller files stay whole: a reader's engine stores into some of them, and on a full disk a hole is a SIGBUS.
_HOLES_FROM_BYTES = 2 << 20
_BLOCK_BYTES = 1 << 18
_HOLE = bytes(_BLOCK_BYTES)
_SPARE_BYTES = 64 << 20
#: Coarser than any kernel's file clock.
_TICK_SECONDS = 0.02

Stamp = tuple[int, int, int]
Stamps = dict[str, Stamp]


class Copy:
    """One new version in the making."""

    def __init__(self, folder: Path) -> None:
        self.live = folder / LIVE
        self.published = folder / PUBLISHED
        self.pointer = folder / CURRENT
        self.published.mkdir(exist_ok=True)
        self._turn = os.open(self.published / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(self._turn, fcntl.LOCK_EX)  # one publisher at a time; let go when the process ends
        self.sweep()
        versions = [int(path.name) for path in self.published.iterdir() if path.name.isdigit()]
        self.number = max(versions, default=0) + 1
        self.part = self.published / f".{self.number}.part"
        self.part.mkdir()
        self.stamps: Stamps = {}  # of the live files whose content the part holds
        self.copied_bytes = 0
        self._exact = _mtime_moves(self.published)

    def survey(self) -> Stamps:
        """The stamps of the live files, all pages written out; nobody writes meanwhile."""
        newest = 0.0
        stamps: Stamps = {}
        for path in shard_files(self.live):
            with open(path, "rb") as file:
                _write_out(file.fileno())
                status = os.fstat(file.fileno())
            stamps[str(path.relative_to(self.live))] = (status.st_ino, status.st_size, status.st_mtime_ns)
            newest = max(newest, status.st_mtime)
        time.sleep(min(_TICK_SECONDS, max(0.0, newest + _TICK_SECONDS - time.time())))
        return stamps

    def copy(self, stamps: Stamps) -> None:
        """Make the part hold these files; those of the version before that did not change are shared."""
        before, shared = self._version_before()
        check_room(self.part, sum(self._cost(name, stamp, shared) for name, stamp in stamps.items()))
        for name, stamp in stamps.items():
            target = self.part / name
            if self.stamps.get(name) == stamp and self._same(name, target):
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            source = before / name
            if shared.get(name) == stamp and stamp[1] >= _SHARE_BYTES and self._exact:
                os.link(source, target)
            else:
                try:
                    self.copied_bytes += copy_file(self.live / name, target)
                except FileNotFoundError:  # gone while the writer goes on; the settling copy sees what is true
                    continue
            self.stamps[name] = stamp
        for name in set(self.stamps) - set(stamps):
            (self.part / name).unlink(missing_ok=True)
            del self.stamps[name]

    def _cost(self, name: str, stamp: Stamp, shared: Stamps) -> int:
        """At most so many bytes does it take to hold this file."""
        if stamp in (self.stamps.get(name), shared.get(name)):
            return 0
        try:
            return (self.live / name).stat().st_blocks * 512
        except FileNotFoundError:
            return 0

    def finish(self, points: int) -> dict[str, Any]:
        """Open the copy, compare its count, give it its number and replace CURRENT; then sweep."""
        config = self.part / "edge_config.json"
        held = json.loads(config.read_text())
        held["wal_enabled"] = False  # without its log, several processes may open it at once
        config.write_text(json.dumps(held))
        shard = edge.EdgeShard.load(str(self.part))
        counted = shard.count(edge.CountRequest(exact=True))
        shard.close()
        if counted != points:
            raise RuntimeError(f"the copy holds {counted} points, the index {points}; it was not published")
        self._stamps_file(self.part).write_text(json.dumps(self.stamps))
        sync_tree(self.part)
        os.rename(self.part, self.published / str(self.number))
        _sync(self.published)
        pointer = self.pointer.with_name(f".{CURRENT}.part")
        with open(pointer, "w", encoding="ascii") as file:
            file.write(f"{self.number}\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(pointer, self.pointer)
        _sync(self.pointer.parent)
        self.sweep()
        size_bytes = sum(path.stat().st_blocks * 512 for path in shard_files(self.published / str(self.number)))
        return {"version": self.number, "points": counted, "copied_bytes": self.copied_bytes, "size_bytes": size_bytes}

    def sweep(self) -> None:
        """Delete what was left half-made, and versions that are neither current nor held by a reader."""
        current = self._current()
        for path in self.published.iterdir():
            if not path.is_dir() or path.name == current:
                continue
            handle = os.open(path, os.O_RDONLY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if path.name.isdigit():
                    gone = path.with_name(f".{path.name}.gone")
                    os.rename(path, gone)
                    path = gone
                shutil.rmtree(path)
            except BlockingIOError:
                continue
            finally:
                os.close(handle)

    def _current(self) -> str:
        try:
            return self.pointer.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return ""

    def _version_before(self) -> tuple[Path, Stamps]:
        before = self.published / (self._current() or "none")
        try:
            held = json.loads(self._stamps_file(before).read_text())
        except (FileNotFoundError, ValueError):
            return before, {}
        return before, {name: tuple(stamp) for name, stamp in held.items() if (before / name).exists()}

    def _same(self, name: str, target: Path) -> bool:
        """Whether a file whose stamp stands still is the one that was copied."""
        return self._exact or _equal(self.live / name, target)

    @staticmethod
    def _stamps_file(version: Path) -> Path:
        return version / STAMPS


def optimise(live: Path) -> float:
    """Optimise the live shard, which nobody else has open; seconds."""
    began = time.monotonic()
    check_room(live, sum(path.stat().st_blocks * 512 for path in shard_files(live)))
    shard = edge.EdgeShard.load(str(live))
    shard.optimize()
    shard.flush()
    shard.close()
    return time.monotonic() - began


def check_room(folder: Path, needed_bytes: int) -> None:
    """Raise before the disk is full: the engine's memory maps answer a full one with a SIGBUS."""
    stats = os.statvfs(folder)
    free_bytes = stats.f_bavail * stats.f_frsize
    if free_bytes < needed_bytes + _SPARE_BYTES:
        raise OSError(
            errno.ENOSPC,
            f"publishing needs {needed_bytes / 2**20:.0f} MiB and {_SPARE_BYTES >> 20} MiB to spare, "
            f"{free_bytes / 2**20:.0f} MiB are free",
        )


def shard_files(folder: Path) -> list[Path]:
    """Every file of a shard but its log."""
    found = []
    for root, folders, names in os.walk(folder):
        if root == str(folder) and "wal" in folders:
            folders.remove("wal")
        found += [Path(root, name) for name in names]
    return sorted(found)


def copy_file(source: Path, target: Path) -> int:
    """Copy a file; blocks of zeros, which the engine reserves ahead, become holes. Returns the bytes written."""
    written = 0
    with open(source, "rb", buffering=0) as reading, open(target, "wb", buffering=0) as writing:
        large = os.fstat(reading.fileno()).st_size >= _HOLES_FROM_BYTES
        while block := reading.read(_BLOCK_BYTES):
            if large and block == _HOLE:
                writing.seek(len(block), os.SEEK_CUR)
            else:
                writing.write(block)
                written += len(block)
        writing.truncate()
    return written


def _equal(one: Path, other: Path) -> bool:
    with open(one, "rb") as first, open(other, "rb") as second:
        while True:
            block = first.read(_BLOCK_BYTES)
            if block != second.read(_BLOCK_BYTES):
                return False
            if not block:
                return True


def _mtime_moves(folder: Path) -> bool:
    """Whether this file system moves a file's mtime when a synced page is stored into through a memory map."""
    probe = folder / ".probe"
    with open(probe, "w+b") as file:
        file.truncate(mmap.PAGESIZE)
        with mmap.mmap(file.fileno(), mmap.PAGESIZE) as page:
            moved = []
            for value in (1, 2):
                page[0] = value
                _write_out(file.fileno())
                moved.append(os.fstat(file.fileno()).st_mtime_ns)
                time.sleep(_TICK_SECONDS)
    probe.unlink()
    return moved[0] < moved[1]


def _write_out(handle: int) -> None:
    """Start and await the writing of a file's dirty pages, which write-protects them.

    Durability is no matter here, the engine has flushed; where the system can, no journal is waited for.
    """
    if _sync_file_range is None or _sync_file_range(handle, 0, 0, 7):  # wait before, write, wait after
        os.fsync(handle)


def _libc_sync_file_range() -> Any:
    function = getattr(ctypes.CDLL(None), "sync_file_range", None) if sys.platform == "linux" else None
    if function is not None:
        function.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    return function


_sync_file_range = _libc_sync_file_range()


def sync_tree(folder: Path) -> None:
    """Make a folder of a shard durable; a file that it shares with another one is already."""
    for root, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(root, name), "rb") as file:
                if os.fstat(file.fileno()).st_nlink == 1:
                    os.fsync(file.fileno())
        _sync(Path(root))


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


def _die_with_parent() -> None:
    """A publisher whose writer was killed must not keep the shard; elsewhere than on Linux it ends at its next line."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL


def _say(**held: Any) -> None:
    print(json.dumps(held), flush=True)


def _serve(folder: Path) -> None:
    copy = Copy(folder)
    _say(done="ready")
    for line in sys.stdin:
        asked = json.loads(line)
        match asked["do"]:
            case "optimise":
                _say(done="optimise", seconds=optimise(copy.live))
            case "survey":
                stamps = copy.survey()
                _say(done="survey")
                began = time.monotonic()
                copy.copy(stamps)
                _say(done="copy", seconds=time.monotonic() - began)
            case "settle":
                copy.copy(copy.survey())
                _say(done="settle")
            case "switch":
                _say(done="switch", **copy.finish(asked["points"]))
                return
    sys.exit("the writer went away before the copy was published")


if __name__ == "__main__":
    _die_with_parent()
    try:
        _serve(Path(sys.argv[1]))
    except Exception as error:  # the parent turns what was said into one of its own errors
        _say(error=f"{type(error).__name__}: {error}")
        sys.exit(1)
