"""A remote video on local disk: fetched once a host, from where it stopped, checked, and held while it is read."""

import errno
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from transforms import interrupt
from transforms.errors import DiskFull, RemoteUnavailable, SourceUnavailable, VideoChanged
from transforms.records import VideoRef
from transforms.remote.cache import Cache, Held
from transforms.remote.names import WEB, redacted, scheme_of
from transforms.remote.settings import RemoteSettings
from transforms.remote.store import Broken, Checksum, Store, store_of
from transforms.remote.tries import pause

#: A server that sends less than this is as good as silent: it would hold a worker for days.
_SLOWEST_BYTES_PER_SECOND = 8 * 1024
_PATIENCE_SECONDS = 60.0
#: A try that broke after fewer bytes than these counts as one that brought nothing.
_PROGRESS_BYTES = 256 * 1024


@contextmanager
def held(video: VideoRef, settings: RemoteSettings) -> Iterator[Held]:
    """The listed version of a remote video as a local file, fetched where it is not here yet.

    Raises VideoChanged where it is not that version any more, RemoteRefused, RemoteUnavailable, LimitExceeded,
    DiskFull, SourceUnavailable.
    """
    cache = Cache(settings)
    while True:
        with cache.locked(video, alone=False):
            if (found := cache.found(video)) is not None:
                yield found
                return
        with cache.locked(video, alone=True):
            if cache.found(video) is None:
                _fetch(video, cache)
        # It may be thrown away before the lock is shared again; then it is fetched again.


class Arriving:
    """The bytes of one file on their way to disk, no more of them than were listed."""

    def __init__(self, file: BinaryIO, video: VideoRef) -> None:
        self._file, self._video = file, video
        self.size_bytes = file.seek(0, os.SEEK_END)
        self._began, self._came = time.monotonic(), 0

    def begins_at(self, offset: int) -> None:
        """What comes next belongs at this place; what lies behind it is forgotten."""
        if offset > self.size_bytes:
            raise ValueError(f"bytes would be missing: offset={offset}, here={self.size_bytes}")
        self._file.truncate(offset)
        self.size_bytes = self._file.seek(offset)
        self._began, self._came = time.monotonic(), 0

    def write(self, data: bytes) -> int:
        """Keep the next bytes. Raises VideoChanged for too many or where the run is to stop, Broken where it crawls."""
        if interrupt.requested():
            raise VideoChanged(f"told to stop while fetching {redacted(self._video.uri)}; the next run goes on with it")
        if self.size_bytes + len(data) > self._video.size_bytes:
            raise VideoChanged(
                f"the file grew while it was fetched: {redacted(self._video.uri)}, "
                f"size_bytes={self._video.size_bytes} when listed; the next run takes it up"
            )
        left = memoryview(data)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFull(f"the disk of the cache is full: {redacted(self._video.uri)}: {error}") from error
            raise
        self.size_bytes += len(data)
        self._came += len(data)
        spent_seconds = time.monotonic() - self._began
        if spent_seconds > _PATIENCE_SECONDS and self._came < spent_seconds * _SLOWEST_BYTES_PER_SECOND:
            raise Broken(f"the server sends less than {_SLOWEST_BYTES_PER_SECOND} bytes a second")
        return len(data)


def _fetch(video: VideoRef, cache: Cache) -> Held:
    """Bring a file and keep it; its lock is held alone."""
    part = cache.part(video)
    store = store_of(video.uri, cache.settings)
    try:
        sha256 = _brought(video, part, store, cache.settings)
    except VideoChanged:
        if not interrupt.requested():
            part.unlink(missing_ok=True)  # nothing that comes later continues it
        raise
    return cache.keep(video, part, sha256)


def _brought(video: VideoRef, part: Path, store: Store, settings: RemoteSettings) -> str:
    """Bring all bytes, in as many tries as it takes while each brings some; gives their SHA-256."""
    failures = 0
    with part.open("r+b", buffering=0) as file:
        into = Arriving(file, video)
        while True:
            if into.size_bytes == video.size_bytes:  # whole, but whoever brought it was killed before it was checked
                into.begins_at(max(0, video.size_bytes - 1))
            had = into.size_bytes
            try:
                checksum = store.bring(video, had, into)
                if into.size_bytes < video.size_bytes:
                    raise Broken(f"it ended after {into.size_bytes} of {video.size_bytes} bytes")
                _verify(part, checksum, into)
                store.still_there(video)
            except Broken as broken:
                failures = 1 if into.size_bytes - had >= _PROGRESS_BYTES else failures + 1
                if failures >= settings.tries:
                    raise _given_up(video, broken, into.size_bytes, failures) from broken
                pause(failures, settings.first_pause_seconds)
            else:
                os.fsync(file.fileno())
                return _digest(part, hashlib.sha256())


def _verify(part: Path, checksum: Checksum | None, into: Arriving) -> None:
    """Raise Broken, and forget all of it, where the bytes are not those that the store has."""
    if checksum is None:
        return
    if checksum.name == "crc32c":
        import google_crc32c  # comes with google-cloud-storage

        found = _digest(part, google_crc32c.Checksum())  # type: ignore[no-untyped-call]
    else:
        found = _digest(part, hashlib.md5(usedforsecurity=False))
    if found != checksum.value:
        into.begins_at(0)
        raise Broken(f"the bytes came damaged: {checksum.name} {found}, the store has {checksum.value}")


def _digest(path: Path, digest: object) -> str:
    """The digest of a file's bytes in lower-case hex."""
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(2**20):
            digest.update(chunk)  # type: ignore[attr-defined]
    found: bytes = digest.digest()  # type: ignore[attr-defined]
    return found.hex()


def _given_up(video: VideoRef, broken: Broken, here: int, failures: int) -> Exception:
    """A bucket that fails stops the run, it is the same for all videos; one web server of many does not."""
    sentence = f"{redacted(video.uri)} could not be fetched, {here} of {video.size_bytes} bytes came: {broken}"
    if scheme_of(video.uri) in WEB:
        return RemoteUnavailable(f"{sentence} ({failures} tries in a row); the next run tries it again")
    return SourceUnavailable(f"{sentence} ({failures} tries in a row); run again when the store answers")
