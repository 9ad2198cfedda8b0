"""Vectors and payloads are checked before they are written: engines store NaN without a word."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from transforms.errors import BadVectors
from transforms.records import ClipPoint, DenseVector, Float32, Schema, SparseVector, Vector

#: How far from 1 the length of a unit vector may lie.
UNIT_TOLERANCE = 1e-3


def check_points(points: Sequence[ClipPoint], schema: Schema) -> None:
    """Raise BadVectors, naming clip and vector, for what must not be stored; ValueError for a payload that is no JSON.

    Vectors of one name are looked at together: the cost is that of a few numpy calls a batch.
    """
    dense = {vector.name: vector for vector in schema.dense}
    rows: dict[str, list[Float32]] = defaultdict(list)
    owners: dict[str, list[ClipPoint]] = defaultdict(list)
    for point in points:
        _check_payload(point)
        for name, vector in point.vectors.items():
            if isinstance(vector, SparseVector):
                if name not in schema.sparse:
                    raise BadVectors(_unknown(point, name, schema))
                _check_sparse(point, name, vector)
            elif name in dense:
                block = _rows(point, dense[name], vector)
                rows[name].append(block)
                owners[name].extend([point] * len(block))
            else:
                raise BadVectors(_unknown(point, name, schema))
    for name, blocks in rows.items():
        _check_lengths(name, np.concatenate(blocks), owners[name])


def check_payloads(points: Sequence[ClipPoint]) -> None:
    """Raise ValueError, naming the clip, for a payload that JSON or UTF-8 cannot hold."""
    for point in points:
        _check_payload(point)


def check_query(name: str, vector: Vector, schema: Schema) -> None:
    """Raise BadVectors for a query that no stored vector can be compared with."""
    dense = {spec.name: spec for spec in schema.dense}
    if isinstance(vector, SparseVector):
        fits = name in schema.sparse and bool(np.isfinite(vector.values).all())
    else:
        fits = (
            name in dense
            and vector.ndim in ((1, 2) if dense[name].multi else (1,))
            and vector.shape[-1] == dense[name].dimensions
            and vector.size > 0
            and bool(np.isfinite(vector).all())
        )
    if not fits:
        shape = vector.values.shape if isinstance(vector, SparseVector) else vector.shape
        raise BadVectors(
            f"the index cannot be asked this: vector={name!r}, shape={shape}; "
            f"it holds {', '.join(schema.vector_names) or 'no vectors'}"
        )


def _rows(point: ClipPoint, spec: DenseVector, vector: Float32) -> Float32:
    """The vector as (n, dimensions)."""
    wanted = f"(n, {spec.dimensions})" if spec.multi else f"({spec.dimensions},)"
    right = vector.ndim == (2 if spec.multi else 1) and vector.shape[-1] == spec.dimensions and len(vector) > 0
    if not right or vector.dtype != np.float32:
        raise BadVectors(
            f"a vector has another shape than its recipe says: vector={spec.name!r}, "
            f"shape={vector.shape}, dtype={vector.dtype}, expected {wanted} float32, {_shown(point)}"
        )
    return vector if spec.multi else vector[np.newaxis]


def _check_lengths(name: str, rows: Float32, owners: Sequence[ClipPoint]) -> None:
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
    wrong = np.flatnonzero(~(np.abs(lengths - 1.0) <= UNIT_TOLERANCE))  # NaN and inf fail the comparison too
    if wrong.size:
        first = int(wrong[0])
        what = "of unit length" if np.isfinite(rows[first]).all() else "finite"
        raise BadVectors(
            f"a vector that is not {what} must not be stored: vector={name!r}, length={lengths[first]:.6g}, "
            f"{_shown(owners[first])}, {wrong.size} of {len(rows)} in the batch; check the encoder and its driver"
        )


def _check_sparse(point: ClipPoint, name: str, vector: SparseVector) -> None:
    if not np.isfinite(vector.values).all():
        raise BadVectors(f"a sparse vector is not finite: vector={name!r}, {_shown(point)}")
    if len(np.unique(vector.indices)) != len(vector.indices):
        raise BadVectors(f"a sparse vector names an index twice: vector={name!r}, {_shown(point)}")


def _check_payload(point: ClipPoint) -> None:
    check_payload(point.payload, _shown(point))


def check_payload(payload: Mapping[str, Any], shown: str) -> None:
    """Raise ValueError for a payload that JSON or UTF-8 cannot hold."""
    try:
        json.dumps(dict(payload), allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:
        raise ValueError(f"a payload must be plain JSON in UTF-8: {error}, {shown}") from error


def _unknown(point: ClipPoint, name: str, schema: Schema) -> str:
    return (
        f"the recipe has no such vector: vector={name!r}, {_shown(point)}; "
        f"it has {', '.join(schema.vector_names) or 'none'}"
    )


def _shown(point: ClipPoint) -> str:
    return f"uri={point.payload.get('uri')!r}, clip={point.payload.get('clip_index')!r}, id={point.id}"
