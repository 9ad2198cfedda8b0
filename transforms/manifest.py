"""A manifest: a table that names videos, one a row, with what their owner knows of them.

CSV (or tab-separated), JSON lines or Parquet, told apart by their content. The column `uri`
holds a path, relative to the manifest's folder, or a `file://` URI; every other column
becomes user metadata: text, numbers and truth values. Empty cells, nulls and NaN are left
out. CSV has no types, so a column of it becomes numbers only where every cell is written
the way Python writes that number ("7" and "1.5", but not "007" or "1.50"), else it is text.
"""

import csv
import io
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

from transforms.errors import UsageError
from transforms.records import Scalar

Metadata = tuple[tuple[str, Scalar], ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a manifest; `number` counts the rows of data from 1."""

    number: int
    uri: str  # as written
    metadata: Metadata


def read_manifest(path: Path) -> tuple[list[Row], list[str]]:
    """The rows of a manifest, and sentences about columns that cannot be kept.

    Raises UsageError, naming the place, where the file is missing or is no table with a column `uri`.
    """
    try:
        with path.open("rb") as file:
            start = file.read(4096)
    except OSError as error:
        raise UsageError(f"the manifest cannot be read: {path}: {error.strerror}") from error
    if start.startswith(b"PAR1"):
        table = _parquet(path)
    elif start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        table = _json_lines(path)
    else:
        table = _csv(path)
    return _rows(path, table)


def _rows(path: Path, table: Iterable[Mapping[str, Any]]) -> tuple[list[Row], list[str]]:
    rows: list[Row] = []
    dropped: dict[str, str] = {}
    for number, values in enumerate(table, start=1):
        uri = values.get("uri")
        if not isinstance(uri, str) or not uri:
            raise UsageError(
                f'row {number} of the manifest {path} has no text in the column "uri": {dict(values)!r:.200}'
            )
        kept: dict[str, Scalar] = {}
        for name, value in values.items():
            if name == "uri" or value is None:
                continue
            try:
                scalar = _scalar(value)
            except TypeError:
                dropped.setdefault(name, type(value).__name__)
                continue
            if scalar is not None:
                kept[_clean(name)] = scalar
        rows.append(Row(number, uri, tuple(sorted(kept.items()))))
    return rows, [
        f"the column {name!r} of {path} is left out: metadata is text, numbers and truth values, not {kind}"
        for name, kind in sorted(dropped.items())
    ]


def _scalar(value: object) -> Scalar:
    if isinstance(value, Decimal):
        value = float(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bool | int):
        return value if -(2**63) <= value < 2**63 else str(value)
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    raise TypeError(f"not a scalar: {value!r}")


def _clean(text: str) -> str:
    """The text without the half characters that no store keeps."""
    return text.encode(errors="replace").decode()


def _csv(path: Path) -> list[dict[str, Any]]:
    try:
        # Names that are not UTF-8 must still name their file.
        text = path.read_bytes().decode("utf-8-sig", errors="surrogateescape")
        header = text.split("\n", 1)[0]
        separator = "\t" if "\t" in header and "," not in header else ","
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        names = next(reader, [])
        _check_names(path, names)
        cells = []
        for row in reader:
            if not row:
                continue
            if len(row) != len(names):
                raise UsageError(
                    f"line {reader.line_num} of the manifest {path} has {len(row)} cells, its header {len(names)}"
                )
            cells.append(row)
    except csv.Error as error:
        raise UsageError(f"line {reader.line_num} of the manifest {path} is not CSV: {error}") from error
    columns = [
        [cell or None for cell in column] if name == "uri" else _typed(column)
        for name, column in zip(names, zip(*cells, strict=True), strict=False)
    ]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _typed(cells: Sequence[str]) -> list[Any]:
    """The cells of one CSV column, empty ones None; numbers where no cell could mean anything else."""
    filled = [cell for cell in cells if cell]
    for number in (int, float):
        if all(_is_written_as(cell, number) for cell in filled):
            return [number(cell) if cell else None for cell in cells]
    return [cell or None for cell in cells]


def _is_written_as(cell: str, number: type[int] | type[float]) -> bool:
    try:
        value = number(cell)
    except ValueError:
        return False
    if number is float and cell.lstrip("-").isdecimal():
        return _is_written_as(cell, int)
    return math.isfinite(value) and repr(value) == cell


def _json_lines(path: Path) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        text = line.decode("utf-8-sig", errors="surrogateescape").strip()
        if not text:
            continue
        try:
            row = json.loads(text)
        except ValueError as error:
            raise UsageError(f"line {number} of the manifest {path} is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise UsageError(f"line {number} of the manifest {path} is not a JSON object: {text:.80}")
        rows.append(row)
    return rows


def _parquet(path: Path) -> list[dict[str, Any]]:
    from pyarrow import ArrowException, parquet  # 0.1 s to import, and few manifests are Parquet

    try:
        table = parquet.ParquetFile(os.fspath(path)).read()
    except (ArrowException, OSError) as error:
        raise UsageError(f"the manifest {path} is not Parquet that can be read: {error}") from error
    _check_names(path, table.column_names)
    return list(table.to_pylist())


def _check_names(path: Path, names: Sequence[str]) -> None:
    if "uri" not in names:
        raise UsageError(f'the manifest {path} has no column "uri"; it has: {", ".join(names) or "none"}')
    if len(set(names)) != len(names):
        raise UsageError(f"the manifest {path} has two columns of one name: {', '.join(names)}")
