"""Fetched files on this machine's disk: a bounded folder that all processes of a host share.

    NAME.json        what it is: address, size, version, and the SHA-256 of the bytes that came
    NAME             the file, whole; its time stamp is when it was used last
    NAME.SIZE.part   what came so far of a file of SIZE bytes, which are set aside for it
    NAME.lock        held shared by who reads the file, alone by who fetches it or throws it away
    .lock            held by who counts what is there and makes room

NAME is a hash of address, size and version, so a file is never anything but the version that was listed.
"""

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from transforms import interrupt
from transforms.errors import DiskFull, LimitExceeded, SourceUnavailable, UsageError, VideoChanged
from transforms.records import VideoRef
from transforms.remote.names import redacted
from transforms.remote.settings import RemoteSettings

_LOOKS_SECONDS = 0.05  # between two looks at a lock or at room that others hold


@dataclass(frozen=True, slots=True)
class Held:
    """A file that stays where it is as long as it is held."""

    path: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class Cache:
    """The folder of fetched files."""

    settings: RemoteSettings

    @property
    def folder(self) -> Path:
        return self.settings.folder

    def name_of(self, video: VideoRef) -> str:
        """What the files of this version of a video begin with."""
        told = f"{video.uri}\x1f{video.size_bytes}\x1f{video.version}"
        return hashlib.sha256(told.encode("utf-8", "surrogateescape")).hexdigest()[:40]

    @contextmanager
    def locked(self, video: VideoRef, *, alone: bool) -> Iterator[None]:
        """Hold the lock of one file; others wait, in this process and in all of the host."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"remote files cannot be fetched to {self.folder}: {error.strerror}; name a folder with "
                "REELVEC_REMOTE_CACHE"
            ) from error
        descriptor = self._opened(
            self.folder / f"{self.name_of(video)}.lock", fcntl.LOCK_EX if alone else fcntl.LOCK_SH
        )
        try:
            yield
        finally:
            os.close(descriptor)

    def found(self, video: VideoRef) -> Held | None:
        """The file, if it is here and whole; it counts as used now. Whoever asks holds its lock."""
        path = self.folder / self.name_of(video)
        try:
            about = json.loads(path.with_name(f"{path.name}.json").read_text())
            if path.stat().st_size != video.size_bytes:
                return None
            os.utime(path)
            return Held(path, str(about["sha256"]))
        except (OSError, ValueError, KeyError):
            return None

    def part(self, video: VideoRef) -> Path:
        """Where a file may grow to its size: room is set aside. Whoever asks holds its lock alone.

        Raises LimitExceeded for a file that is too large, DiskFull, SourceUnavailable where all else stays in use.
        """
        most = min(self.settings.largest_bytes, self.settings.cache_bytes)
        if video.size_bytes > most:
            raise LimitExceeded(
                f"the file is larger than may be fetched: {redacted(video.uri)}, {video.size_bytes} bytes, "
                f"{most} are allowed; raise REELVEC_REMOTE_LARGEST_MEGABYTES, with it REELVEC_REMOTE_CACHE_MEGABYTES"
            )
        path = self.folder / f"{self.name_of(video)}.{video.size_bytes}.part"
        until = time.monotonic() + self.settings.wait_seconds
        while not self._set_aside(path, video):
            if time.monotonic() > until:
                raise SourceUnavailable(
                    f"the cache of fetched files is full of files in use: {self.folder}, "
                    f"{self.settings.cache_bytes} bytes; raise REELVEC_REMOTE_CACHE_MEGABYTES"
                )
            _wait()
        return path

    def keep(self, video: VideoRef, part: Path, sha256: str) -> Held:
        """A file that is whole now."""
        path = self.folder / self.name_of(video)
        about = {"uri": video.uri, "size_bytes": video.size_bytes, "version": video.version, "sha256": sha256}
        path.with_name(f"{path.name}.json").write_text(json.dumps(about))
        os.replace(part, path)
        return Held(path, sha256)

    def _set_aside(self, part: Path, video: VideoRef) -> bool:
        """Make room and create the growing file; False where what is in the way is in use."""
        descriptor = self._opened(self.folder / ".lock", fcntl.LOCK_EX)
        try:
            if not part.exists():
                while self._taken() + video.size_bytes > self.settings.cache_bytes:
                    if not self._throw_away_oldest(keep=self.name_of(video)):
                        return False
                part.touch(mode=0o600)
            while self._missing():
                if not self._throw_away_oldest(keep=self.name_of(video)):
                    part_size = part.stat().st_size
                    if not part_size:
                        part.unlink()
                    free = shutil.disk_usage(self.folder).free
                    raise DiskFull(
                        f"there is no room to fetch {redacted(video.uri)} to {self.folder}: "
                        f"{video.size_bytes - part_size} bytes are needed, {free} are free, of which "
                        f"{self.settings.min_free_bytes} stay free; make room, or name a folder on another disk with "
                        "REELVEC_REMOTE_CACHE"
                    )
            return True
        finally:
            os.close(descriptor)

    def _taken(self) -> int:
        """Bytes of whole files, and those set aside for growing ones."""
        return sum(_promised(entry) for entry in self._entries())

    def _missing(self) -> bool:
        """Whether the disk cannot hold what is set aside on it."""
        growing = sum(max(0, _promised(entry) - _size(entry)) for entry in self._entries())
        return shutil.disk_usage(self.folder).free < growing + self.settings.min_free_bytes

    def _entries(self) -> list[Path]:
        return [entry for entry in self.folder.iterdir() if entry.suffix in ("", ".part") and entry.name != ".lock"]

    def _throw_away_oldest(self, *, keep: str) -> bool:
        """Remove the file that was used longest ago and that nobody holds; False where there is none."""
        for entry in sorted(self._entries(), key=_last_used):
            name = entry.name.partition(".")[0]
            if name == keep:
                continue
            lock = self.folder / f"{name}.lock"
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            else:
                for path in (entry, self.folder / f"{name}.json", lock):
                    path.unlink(missing_ok=True)
                return True
            finally:
                os.close(descriptor)
        return False

    def _opened(self, lock: Path, how: int) -> int:
        """A descriptor that holds a lock. The file may have been thrown away meanwhile: then it is made again."""
        while True:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                while not _taken_at_once(descriptor, how):
                    _wait()
                with suppress(FileNotFoundError):
                    if os.stat(lock).st_ino == os.fstat(descriptor).st_ino:
                        return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)


def _taken_at_once(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait() -> None:
    """Sleep a moment; raises VideoChanged, which leaves a file to the next run, where this one was told to stop."""
    if interrupt.requested():
        raise VideoChanged("the run was told to stop; a file that it waited for is left to the next one")
    time.sleep(_LOOKS_SECONDS)


def _promised(entry: Path) -> int:
    """The bytes that a file has, or will have when it is whole."""
    if entry.suffix == ".part":
        return int(entry.name.split(".")[1])
    return _size(entry)


def _size(entry: Path) -> int:
    """The bytes that a file has; none where it was finished or thrown away in this moment."""
    try:
        return entry.stat().st_size
    except FileNotFoundError:
        return 0


def _last_used(entry: Path) -> float:
    try:
        return entry.stat().st_mtime
    except FileNotFoundError:
        return 0.0
