"""The writer's shard of an Edge index: one handle a process, shared by threads, lent out and taken back."""

import json
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import qdrant_edge as edge

from transforms.errors import DiskFull, IndexFormatError, IndexLocked
from transforms.index.engine import create_shard, engine_errors
from transforms.index.location import IndexLocation
from transforms.index.lock import LOCK, RUN, holder
from transforms.index.manifest import (
    MANIFEST,
    manifest_of,
    read_manifest,
    schema_of,
    verify_schema,
    with_payloads,
    write_atomically,
)
from transforms.records import Schema

LIVE, PUBLISHED, CURRENT, REJECTS, RUNS = "live", "published", "CURRENT", "rejects.jsonl", "runs.jsonl"

#: The engine writes through memory maps, where a full disk is no error but a SIGBUS that kills the
#: process: so it is never let near one.
SPARE_BYTES = 64 * 2**20
#: A point is written to the log and to its segment.
_WRITE_FACTOR = 4
#: What the engine reserves on disk for each vector of a new shard, and for the log and payload.
_CHUNK_BYTES = 32 * 2**20


class LiveShard:
    """The open `live/` shard of one folder; every use of it goes through `use()`.

    Edge holds the GIL while it works, so one lock costs nothing. Whoever holds the lock has the
    shard to itself: publishing flushes and looks at its files under it.
    """

    def __init__(self, location: IndexLocation, schema: Schema) -> None:
        self.location = location
        self.schema = schema
        self._lock = threading.RLock()
        self._shard: Any = None

    @property
    def path(self) -> Path:
        return self.location.path / LIVE

    @contextmanager
    def use(self) -> Iterator[Any]:
        """The open shard, for this thread alone; opened when it was closed."""
        with self._lock, engine_errors(str(self.location)):
            if self._shard is None:
                self._shard = self._opened()
            yield self._shard

    @contextmanager
    def closed(self) -> Iterator[None]:
        """The shard closed, so that another process may open it; the next use opens it again."""
        with self._lock:
            self.close()
            yield

    @contextmanager
    def together(self) -> Iterator[None]:
        """Keep publishing, and every other thread, out until what belongs together is stored."""
        with self._lock:
            yield

    def close(self) -> None:
        with self._lock, engine_errors(str(self.location)):
            if self._shard is not None:
                shard, self._shard = self._shard, None
                shard.close()

    def check_room(self, bytes_to_write: int) -> None:
        """Raise DiskFull before the engine would touch a page that cannot be had."""
        check_room(self.location.path, SPARE_BYTES + _WRITE_FACTOR * bytes_to_write)

    def _opened(self) -> Any:
        check_room(self.location.path, SPARE_BYTES)
        try:
            with engine_errors(str(self.location)):
                return edge.EdgeShard.load(str(self.path))
        except IndexLocked as error:
            raise IndexLocked(
                f"another process has this index open for writing: {self.location} "
                f"({holder(self.location) or 'it holds no run lock'}); wait for it (--wait), or stop it"
            ) from error


_shared: dict[str, tuple[LiveShard, int]] = {}
_shared_lock = threading.Lock()


def borrow(location: IndexLocation, schema: Schema) -> LiveShard:
    """This process's handle of a folder; the index is created where there is none. Give it back with `give_back`."""
    with _shared_lock:
        prepare(location, schema)
        live, users = _shared.get(str(location.path), (LiveShard(location, schema), 0))
        with live.use():
            _shared[str(location.path)] = live, users + 1
        return live


def give_back(live: LiveShard) -> None:
    """The last one to give it back closes the shard."""
    with _shared_lock:
        held, users = _shared.get(str(live.location.path), (live, 0))
        if held is not live:
            return
        if users > 1:
            _shared[str(live.location.path)] = live, users - 1
        else:
            _shared.pop(str(live.location.path), None)
            live.close()


def shared(location: IndexLocation) -> LiveShard | None:
    """This process's handle of a folder, where it has one."""
    with _shared_lock:
        return _shared.get(str(location.path), (None, 0))[0]


def close_shared(location: IndexLocation) -> None:
    """Close this process's shard, whoever borrowed it, until its next use; another process can open it then."""
    if (live := shared(location)) is not None:
        live.close()


def prepare(location: IndexLocation, schema: Schema) -> None:
    """Create an index where there is none; otherwise see that it is of this format and recipe."""
    folder = location.path
    with engine_errors(str(location)):
        manifest = read_manifest(folder)
        if manifest is None:
            _refuse_foreign(folder)
            folder.mkdir(parents=True, exist_ok=True)
            _check_room_for_new(folder, schema)
            write_atomically(folder / MANIFEST, _json(manifest_of(schema)))
        else:
            known = schema_of(manifest, shown=str(location))
            verify_schema(known, schema, shown=str(location))
            if schema.payloads > known.payloads:
                _note_payloads(location, manifest, schema.payloads)
        if not (folder / LIVE).exists():
            if (folder / CURRENT).exists():
                raise IndexFormatError(
                    f"the index has lost its folder {LIVE!r}: {location}; ingest again into another --index"
                )
            _check_room_for_new(folder, schema)
            _create_live(folder, schema)


def _note_payloads(location: IndexLocation, manifest: Mapping[str, Any], payloads: int) -> None:
    """Say, before the first is written, that payloads of this revision may be here: an older Reelvec keeps away then.

    The manifest that names the space in use says so first, so that a killed process does both again.
    """
    root = read_manifest(Path(location.folder)) if location.space else None
    if root is not None and root.get("space") == location.space:
        write_atomically(Path(location.folder, MANIFEST), _json(with_payloads(root, payloads)))
    write_atomically(location.path / MANIFEST, _json(with_payloads(manifest, payloads)))


def check_room(folder: Path, needed_bytes: int) -> None:
    """Raise DiskFull unless the folder's disk has that much left."""
    stats = os.statvfs(folder)
    free_bytes = stats.f_bavail * stats.f_frsize
    if free_bytes < needed_bytes:
        raise DiskFull(
            f"too little room is left on the disk of the index: {folder} has {free_bytes / 2**20:.0f} MiB, "
            f"{needed_bytes / 2**20:.0f} MiB are wanted; free some and run again, nothing flushed is lost"
        )


def _check_room_for_new(folder: Path, schema: Schema) -> None:
    check_room(folder, SPARE_BYTES + _CHUNK_BYTES * (len(schema.vector_names) + 3))


def _create_live(folder: Path, schema: Schema) -> None:
    part = folder / f".{LIVE}.part"
    _remove(part)
    part.mkdir()
    create_shard(str(part), schema)
    os.replace(part, folder / LIVE)


def _refuse_foreign(folder: Path) -> None:
    """A folder that holds other things (somebody's films) is not made an index."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise IndexFormatError(f"an index is a folder, this is a file: {folder}; name another --index")
    ours, ours_half_written = (LOCK, RUN, REJECTS, RUNS), (f".{MANIFEST}.", f".{RUN}.")
    foreign = [name for name in os.listdir(folder) if name not in ours and not name.startswith(ours_half_written)]
    if foreign:
        raise IndexFormatError(
            f"the folder is no index of Reelvec and not empty: {folder} holds {foreign[0]!r}; name another --index"
        )


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=True, allow_nan=False) + "\n"


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
