"""Where an archive keeps what, and what it says of itself.

    DIR/reelvec-archive.json                    format, index, recipe and schema
    DIR/points/run=000001/part-000.parquet      clips and whole videos, one row a point
    DIR/ledger/run=000001/entries.parquet       one row a video; written last, so a run without it does not count

A run is a hive partition: it is what is appended, superseded, found torn and compacted as a whole. Every file is
written under another name, synced and renamed.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transforms.errors import DiskFull, IndexFormatError, IndexLocked, Outage, RecipeMismatch, UsageError
from transforms.index.manifest import manifest_of, reelvec_version, schema_of, write_atomically
from transforms.records import Schema

#: Raised when columns or folders change their meaning.
ARCHIVE_FORMAT = 1

MANIFEST, LOCK = "reelvec-archive.json", "archive.lock"
POINTS, LEDGER, ENTRIES = "points", "ledger", "entries.parquet"
TORN_FILES = "torn"  # where files that cannot be read are moved when their run is mended

#: The key under which every Parquet file says whose it is.
METADATA = b"reelvec"


@dataclass(frozen=True, slots=True)
class Archive:
    """A folder that holds one index, and the schema of that index."""

    folder: Path
    schema: Schema
    index: str  # where the index lives whose ledger this archive follows

    def metadata(self, **more: Any) -> dict[bytes, bytes]:
        """What each file of this archive says of itself."""
        return {METADATA: json.dumps({**_manifest(self.schema, self.index), **more}).encode()}

    def points_of(self, run: int) -> Path:
        """The folder of a run's points."""
        return self.folder / POINTS / run_name(run)

    def ledger_of(self, run: int) -> Path:
        """The file that makes a run count."""
        return self.folder / LEDGER / run_name(run) / ENTRIES


def run_name(run: int) -> str:
    return f"run={run:06d}"


def open_archive(folder: Path) -> Archive:
    """The archive in a folder; raises UsageError where there is none and IndexFormatError for a newer one."""
    if not folder.is_dir():
        raise UsageError(f"there is no archive here: {folder}; `reelvec export` or `ingest --archive` makes one")
    try:
        held = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if not isinstance(held, dict):
            raise ValueError("no JSON object")
    except FileNotFoundError as error:
        raise UsageError(f"the folder is no archive of Reelvec: {folder} has no {MANIFEST}") from error
    except ValueError as error:
        raise IndexFormatError(f"the archive's description is damaged: {folder / MANIFEST} ({error})") from error
    except OSError as error:
        raise UsageError(f"the archive cannot be read: {folder / MANIFEST}: {error.strerror}") from error
    check_format(held, shown=str(folder))
    return Archive(folder, schema_of(held, shown=str(folder)), str(held.get("index", "")))


def open_or_create(folder: Path, schema: Schema, *, index: str) -> Archive:
    """The archive of this index, made where there is none.

    Raises RecipeMismatch for one of another recipe, UsageError for one of another index or a folder of other things.
    """
    if (folder / MANIFEST).exists():
        held = open_archive(folder)
        check_recipe(held, schema)
        if held.index != index:
            raise UsageError(
                f"the archive is of another index: {folder} follows {held.index}, not {index}; name another folder, "
                f'or where the index was moved, write its new place as "index" into {folder / MANIFEST}'
            )
        if schema.payloads <= held.schema.payloads:
            return held
        held = replace(held, schema=replace(held.schema, payloads=schema.payloads))
        with _disk(folder):  # before the first is written: an older Reelvec keeps away then
            write_atomically(folder / MANIFEST, json.dumps(_manifest(held.schema, index), indent=1) + "\n")
        return held
    _refuse_foreign(folder)
    with _disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / MANIFEST, json.dumps(_manifest(schema, index), indent=1) + "\n")
    return Archive(folder, schema, index)


def check_recipe(archive: Archive, schema: Schema) -> None:
    """Raise RecipeMismatch unless the archive holds what this schema describes."""
    held = archive.schema
    if (held.recipe, held.dense, held.sparse) != (schema.recipe, schema.dense, schema.sparse):
        raise RecipeMismatch(
            f"the archive was made by recipe {held.recipe_name!r} ({held.recipe[:12]}), the index by "
            f"{schema.recipe_name!r} ({schema.recipe[:12]}): {archive.folder}; name another archive, or another --index"
        )


def check_format(held: Mapping[str, Any], *, shown: str) -> None:
    """Raise IndexFormatError for what this Reelvec cannot read."""
    found = held.get("archive_format")
    if found != ARCHIVE_FORMAT:
        newer = isinstance(found, int) and found > ARCHIVE_FORMAT
        cure = "use a newer Reelvec" if newer else "export again"
        raise IndexFormatError(
            f"the archive is of another format: {shown} has archive_format={found!r}, made by Reelvec "
            f"{held.get('reelvec') or '?'}, this one reads {ARCHIVE_FORMAT}; {cure}"
        )


def numbered_runs(folder: Path) -> list[int]:
    """The number of every run that has a folder, finished or not, ascending."""
    found = set()
    for part in (POINTS, LEDGER):
        for path in (folder / part).glob("run=*"):
            if path.name[4:].isdigit():
                found.add(int(path.name[4:]))
    return sorted(found)


@contextmanager
def writing_archive(folder: Path) -> Iterator[None]:
    """Be the only writer of an archive; raises IndexLocked at once where another process is, UsageError elsewhere."""
    _refuse_foreign(folder)
    with _disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise IndexLocked(f"another process writes this archive: {folder}; run again when it is done") from None
        with _disk(folder):
            yield
    finally:
        os.close(handle)


def _refuse_foreign(folder: Path) -> None:
    """A folder that holds other things is not made an archive, nor locked."""
    if not folder.exists() or (folder / MANIFEST).exists():
        return
    if not folder.is_dir():
        raise UsageError(f"an archive is a folder, this is a file: {folder}; name another")
    foreign = [name for name in os.listdir(folder) if name != LOCK and not name.startswith(f".{MANIFEST}")]
    if foreign:
        raise UsageError(f"the folder is no archive and not empty: {folder} holds {foreign[0]!r}; name another")


@contextmanager
def _disk(folder: Path) -> Iterator[None]:
    """What the disk refuses, as an outage."""
    try:
        yield
    except OSError as error:
        kind = DiskFull if error.errno == 28 else Outage
        raise kind(f"the archive cannot be written: {folder}: {error}") from error


def _manifest(schema: Schema, index: str) -> dict[str, Any]:
    return {"archive_format": ARCHIVE_FORMAT, "reelvec": reelvec_version(), "index": index, **manifest_of(schema)}
