"""Points <-> columns of Arrow: vectors as they are, to the bit.

A dense vector is a list of float32, a multivector a list of them, a sparse one a struct of two lists; a vector that a
point lacks is null. No fixed-size lists: in Parquet they are the same lists, and pyarrow cannot read them back where
rows are null (25.0: "Expected all lists to be of size=4 but index 1 had size=0"). The payload is JSON text; what people
filter by stands beside it in columns.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from transforms.errors import BadVectors
from transforms.records import ClipPoint, DenseVector, Float32, Schema, SparseVector, Vector

#: Vectors are called `vector_NAME`: an index has a vector `transcript` and a text of that name.
PREFIX = "vector_"

#: Fields of the payload that have a column too.
TEXTS = ("kind", "uri", "video_id", "content", "recipe", "transcript", "screen_text")
NUMBERS = ("start_seconds", "end_seconds")
COUNTS = ("clip_index",)

#: Values that repeat from row to row.
DICTIONARY = ("kind", "uri", "video_id", "content", "recipe")

_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
_FLOATS, _NUMBERS = pa.list_(pa.float32()), pa.list_(pa.uint32())
_MANY = pa.list_(_FLOATS)
_SPARSE = pa.struct([("indices", _NUMBERS), ("values", _FLOATS)])


def points_schema(schema: Schema, metadata: dict[bytes, bytes]) -> pa.Schema:
    """The columns of an index's points."""
    columns = [("id", pa.string())]
    columns += [(name, pa.string()) for name in TEXTS]
    columns += [(name, pa.int64()) for name in COUNTS]
    columns += [(name, pa.float64()) for name in NUMBERS]
    columns += [("payload", pa.string())]
    columns += [(PREFIX + vector.name, _MANY if vector.multi else _FLOATS) for vector in schema.dense]
    columns += [(PREFIX + name, _SPARSE) for name in schema.sparse]
    return pa.schema(columns, metadata=metadata)


def to_batch(points: Sequence[ClipPoint], columns: pa.Schema, schema: Schema) -> pa.RecordBatch:
    """One row a point."""
    payloads = [point.payload for point in points]
    arrays = [pa.array([point.id for point in points], pa.string())]
    arrays += [pa.array([payload.get(name) for payload in payloads], pa.string()) for name in TEXTS]
    arrays += [pa.array([payload.get(name) for payload in payloads], pa.int64()) for name in COUNTS]
    arrays += [pa.array([payload.get(name) for payload in payloads], pa.float64()) for name in NUMBERS]
    arrays.append(pa.array([_JSON.encode(payload) for payload in payloads], pa.string()))
    for vector in schema.dense:
        own = [point.vectors.get(vector.name) for point in points]
        arrays.append(_many(own, vector) if vector.multi else _one(own, vector))
    arrays += [_sparse([point.vectors.get(name) for point in points]) for name in schema.sparse]
    return pa.record_batch(arrays, schema=columns)


def to_points(batch: pa.RecordBatch, schema: Schema) -> list[ClipPoint]:
    """The points of these rows; their vectors are views of the batch."""
    ids, payloads = batch.column("id").to_pylist(), batch.column("payload").to_pylist()
    vectors: list[dict[str, Vector]] = [{} for _ in ids]
    for vector in schema.dense:
        column = batch.column(PREFIX + vector.name)
        places = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
        for place, own in zip(places.tolist(), _rows_of(column, vector), strict=True):
            vectors[place][vector.name] = own
    for name in schema.sparse:
        column = batch.column(PREFIX + name)
        places = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
        indices, values = column.filter(column.is_valid()).flatten()
        split = zip(_split(indices), _split(values), strict=True)
        for place, (own_indices, own_values) in zip(places.tolist(), split, strict=True):
            vectors[place][name] = SparseVector(own_indices, own_values)
    return [ClipPoint(id_, own, json.loads(payload)) for id_, own, payload in zip(ids, vectors, payloads, strict=True)]


def _one(vectors: Sequence[Any], spec: DenseVector) -> pa.Array:
    held = [vector for vector in vectors if vector is not None]
    rows = np.concatenate(held) if held else np.zeros(0, np.float32)
    offsets = _offsets([None if vector is None else spec.dimensions for vector in vectors])
    return pa.ListArray.from_arrays(offsets, pa.array(rows))


def _many(vectors: Sequence[Any], spec: DenseVector) -> pa.Array:
    held = [vector for vector in vectors if vector is not None]
    rows = np.concatenate(held) if held else np.zeros((0, spec.dimensions), np.float32)
    inner = pa.ListArray.from_arrays(_offsets([spec.dimensions] * len(rows)), pa.array(rows.reshape(-1)))
    return pa.ListArray.from_arrays(_offsets([None if v is None else len(v) for v in vectors]), inner)


def _sparse(vectors: Sequence[Any]) -> pa.Array:
    held = [vector for vector in vectors if vector is not None]
    offsets = _offsets([0 if v is None else len(v.indices) for v in vectors])
    indices = np.concatenate([v.indices for v in held]) if held else np.zeros(0, np.uint32)
    values = np.concatenate([v.values for v in held]) if held else np.zeros(0, np.float32)
    lists = [pa.ListArray.from_arrays(offsets, pa.array(each)) for each in (indices, values)]
    missing = pa.array([vector is None for vector in vectors], pa.bool_())
    return pa.StructArray.from_arrays(lists, fields=list(_SPARSE), mask=missing)


def _offsets(lengths: Sequence[int | None]) -> pa.Array:
    """Where each list starts, and the last one ends; a list that is None is null."""
    ends = np.concatenate([[0], np.cumsum([length or 0 for length in lengths])]).astype(np.int32)
    missing = np.array([*(length is None for length in lengths), False], bool)
    return pa.array(ends, mask=missing)


def _rows_of(column: Any, spec: DenseVector) -> list[Float32]:
    """The vectors of the rows that have one, in order; raises BadVectors where one has another size than it should."""
    held = column.drop_null()
    lists = held.flatten() if spec.multi else held
    lengths = lists.value_lengths().to_numpy()
    if (lengths != spec.dimensions).any():
        raise BadVectors(
            f"the archive has a vector of another size than its schema says: vector={spec.name!r}, "
            f"size={int(lengths[lengths != spec.dimensions][0])}, dimensions={spec.dimensions}; export it again"
        )
    flat = lists.flatten().to_numpy().reshape(-1, spec.dimensions)
    return _cut(flat, column) if spec.multi else list(flat)


def _split(column: Any) -> list[Any]:
    return _cut(column.flatten().to_numpy(), column)


def _cut(flat: Any, column: Any) -> list[Any]:
    lengths = column.drop_null().value_lengths().to_numpy()
    ends = np.cumsum(lengths)
    return [flat[end - length : end] for end, length in zip(ends.tolist(), lengths.tolist(), strict=True)]
