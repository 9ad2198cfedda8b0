"""Parquet files that appear whole or not at all."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from transforms.archive.columns import DICTIONARY
from transforms.index.manifest import sync_folder

#: About 20 KB a clip of the offline recipe: 10 MB a row group, 1 GB a file.
GROUP_ROWS, FILE_ROWS = 512, 51_200

#: Vectors of unit length hardly shrink; level 1 is the quickest.
_OPTIONS: dict[str, Any] = {"compression": "zstd", "compression_level": 1, "use_dictionary": list(DICTIONARY)}


@contextmanager
def whole_file(path: Path, schema: pa.Schema, **options: Any) -> Iterator[pq.ParquetWriter]:
    """A writer of `path`, which appears when the block ends without an error, synced to the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            with pq.ParquetWriter(file, schema, **{**_OPTIONS, **options}) as writer:
                yield writer
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    os.replace(part, path)
    sync_folder(path.parent)
    sync_folder(path.parent.parent)


class PointFiles:
    """The points of one run: files of FILE_ROWS, each written by a thread while the next rows are made."""

    def __init__(self, folder: Path, columns: pa.Schema) -> None:
        self._folder, self._columns = folder, columns
        self._writer: Any = None
        self._open: Any = None
        self._rows = 0
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="archive")
        self._last: Future[None] | None = None
        self.files: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        return self

    def write(self, batch: pa.RecordBatch) -> None:
        """Hand over one row group; waits for the one before."""
        if self._last is not None:
            self._last.result()
        self._last = self._pool.submit(self._write, batch)

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._last is not None and kind is None:
                self._last.result()
        except BaseException as error:
            self._pool.shutdown()
            self._close(type(error), error)
            raise
        self._pool.shutdown()
        self._close(kind, raised)

    def _write(self, batch: pa.RecordBatch) -> None:
        if self._open is None:
            name = f"part-{len(self.files):03d}.parquet"
            self._open = whole_file(self._folder / name, self._columns)
            self._writer = self._open.__enter__()
            self.files.append({"file": name, "rows": 0})
        self._writer.write_batch(batch)
        self.files[-1]["rows"] += batch.num_rows
        if self.files[-1]["rows"] >= FILE_ROWS:
            self._close(None, None)

    def _close(self, kind: type[BaseException] | None, raised: BaseException | None) -> None:
        if self._open is not None:
            opened, self._open = self._open, None
            opened.__exit__(kind, raised, None)


def write_rows(path: Path, schema: pa.Schema, rows: Sequence[dict[str, Any]]) -> None:
    """A small table as one file."""
    with whole_file(path, schema, use_dictionary=True) as writer:
        for start in range(0, len(rows), 50_000):
            writer.write_table(pa.Table.from_pylist(list(rows[start : start + 50_000]), schema=schema))
