"""Readers of an Edge index: they open the version that `CURRENT` names, and look at it before each use."""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import qdrant_edge as edge

from transforms.errors import MissingIndex, StoreUnavailable
from transforms.index.edge import EdgeReads
from transforms.index.engine import engine_errors, page_out, point_in
from transforms.index.live import CURRENT, PUBLISHED
from transforms.index.location import IndexLocation
from transforms.index.manifest import MANIFEST, read_manifest, schema_of
from transforms.index.store import Reader, Vectors, Where
from transforms.records import ClipPoint, Schema

#: A version may be replaced and swept between reading its name and holding it; then the name is read again.
_TRIES = 20


class Version:
    """One published version, open and held: while its folder is flocked nobody deletes it."""

    def __init__(self, path: Path, schema: Schema) -> None:
        self.path, self.schema = path, schema
        self.users = 0
        self._handle = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_SH)
            if os.stat(path).st_ino != os.fstat(self._handle).st_ino:
                raise FileNotFoundError(f"another folder took the name: {path}")
            self.shard = _load(path)
        except BaseException:
            os.close(self._handle)
            raise

    def close(self) -> None:
        self.shard.close()
        os.close(self._handle)


class PublishedReader(EdgeReads):
    """Answers from what was published last in the space in use; before anything was, from nothing.

    Threads may share it. `schema` is that of the space that was in use last.
    """

    def __init__(self, location: IndexLocation) -> None:
        self._location = location
        self._read_at: tuple[int, int, int] | None = None
        self._read_manifest()
        self._lock = threading.Lock()
        self._version: Version | None = None
        self._closed = False

    def close(self) -> None:
        """Let go of the version; what is in use is closed by its last user."""
        with self._lock:
            self._closed = True
            self._retire()

    def scroll(self, where: Where, *, vectors: Vectors = False, batch: int = 1000) -> Iterator[ClipPoint]:
        """Every point of one version, each once, also when another is published meanwhile."""
        offset = None
        with self._use() as shard:
            while True:
                with engine_errors(str(self._location)):
                    records, offset = shard.scroll(page_out(where, limit=batch, offset=offset, vectors=vectors))
                yield from map(point_in, records)
                if offset is None:
                    return

    @contextmanager
    def pinned(self) -> Iterator[Reader]:
        """The version published last, whatever is published or switched to meanwhile."""
        with self._held() as version:
            yield (
                _Pinned(self._location, version.shard, version.schema)
                if version
                else _Pinned(self._location, _NOTHING, self.schema)
            )

    @contextmanager
    def _use(self) -> Iterator[Any]:
        with self._held() as version, engine_errors(str(self._location)):
            yield _NOTHING if version is None else version.shard

    @contextmanager
    def _held(self) -> Iterator[Version | None]:
        version = self._taken()
        try:
            yield version
        finally:
            if version is not None:
                self._let_go(version)

    def _taken(self) -> Version | None:
        with self._lock:
            if self._closed:
                raise StoreUnavailable(f"the reader was closed before this use: {self._location}")
            self._follow()
            if self._version is not None:
                self._version.users += 1
            return self._version

    def _let_go(self, version: Version) -> None:
        with self._lock:
            version.users -= 1
            if version is not self._version and not version.users:
                version.close()

    def _follow(self) -> None:
        """Open the version that CURRENT of the space in use names, unless it is open."""
        for left in reversed(range(_TRIES)):
            self._read_manifest()
            try:
                name = (self._home.path / CURRENT).read_text(encoding="ascii").strip()
            except FileNotFoundError:
                if self._home.path.exists():
                    return
                if left:
                    continue
                raise MissingIndex(f"the index is gone: {self._location}") from None
            path = self._home.path / PUBLISHED / name
            if self._version is not None and self._version.path == path:
                return
            try:
                with engine_errors(str(self._location)):
                    version = Version(path, self.schema)
            except (FileNotFoundError, StoreUnavailable):
                if not left:
                    raise
                continue
            self._retire()
            self._version = version
            return

    def _read_manifest(self) -> None:
        """Know the space in use; read again only where the file is another one."""
        path = self._location.path / MANIFEST
        try:
            found = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            known = self._read_at is not None
            gone = "the index is gone" if known else "there is no index here"
            raise MissingIndex(f"{gone}: {self._location}; make one with `reelvec ingest`") from None
        stamp = (found.st_ino, found.st_size, found.st_mtime_ns)
        if stamp == self._read_at:
            return
        manifest = read_manifest(self._location.path)
        if manifest is None:
            raise MissingIndex(f"the index is gone: {self._location}")
        self.schema = schema_of(manifest, shown=str(self._location))
        self._home = self._location.at(str(manifest.get("space") or "")) if not self._location.space else self._location
        self._read_at = stamp

    def _retire(self) -> None:
        if self._version is not None and not self._version.users:
            self._version.close()
        self._version = None


class _Pinned(EdgeReads):
    """One version; whoever pinned it holds it."""

    def __init__(self, location: IndexLocation, shard: Any, schema: Schema) -> None:
        self.schema = schema
        self._location, self._shard = location, shard

    @contextmanager
    def pinned(self) -> Iterator[Reader]:
        """It is."""
        yield self

    @contextmanager
    def _use(self) -> Iterator[Any]:
        with engine_errors(str(self._location)):
            yield self._shard

    def close(self) -> None:
        """Nothing to let go of."""


class _Nothing:
    """What a reader sees of an index before its first publication."""

    def query(self, _: Any) -> list[Any]:
        return []

    def count(self, _: Any) -> int:
        return 0

    def retrieve(self, *_: Any) -> list[Any]:
        return []

    def scroll(self, _: Any) -> tuple[list[Any], None]:
        return [], None


_NOTHING = _Nothing()


def _load(path: Path) -> Any:
    """Open the shard. Opening rewrites small files beside it with what they hold, so one process does it at a time."""
    handle = os.open(path / "opening.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        return edge.EdgeShard.load(str(path))
    finally:
        os.close(handle)
