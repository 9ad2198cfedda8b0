"""Between our records and Qdrant Edge's classes; the only module that knows its spelling and its errors."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from struct import Struct
from typing import Any

import numpy as np
import qdrant_edge as edge

from transforms.errors import BadVectors, DiskFull, IndexLocked, StoreUnavailable
from transforms.index.store import (
    AnyOf,
    Between,
    Condition,
    Equals,
    HasId,
    HasVector,
    Query,
    ScoredPoint,
    Vectors,
    Where,
)
from transforms.records import ClipPoint, DenseVector, Float32, Quantization, Schema, SparseVector, Vector

#: What filters look at, indexed before anything is loaded.
KEYWORDS = ("kind", "video_id", "uri", "content", "recipe")
FLAGS = ("live",)
FLOATS = ("start_seconds", "end_seconds")

_NO_GRAPH = edge.HnswIndexConfig(m=0, ef_construct=100, full_scan_threshold=10_000)


@contextmanager
def engine_errors(shown: str) -> Iterator[None]:
    """Edge raises bare `Exception`s: turn them into ours by what they say."""
    try:
        yield
    except OSError as error:
        if error.errno == 28:
            raise DiskFull(f"no room is left on the disk of the index: {shown}; free some and run again") from error
        raise StoreUnavailable(f"the index failed: {shown}: {error}") from error
    except Exception as error:
        if type(error) is not Exception:
            raise
        said = str(error)
        if "WouldBlock" in said:
            raise IndexLocked(f"another process has this index open for writing: {shown}") from error
        if "No space left" in said or "StorageFull" in said or "os error 28" in said or "out of disk" in said.lower():
            raise DiskFull(f"no room is left on the disk of the index: {shown}: {said}") from error
        if "Vector dimension error" in said or "Not existing vector name" in said:
            raise BadVectors(f"the index refuses a vector: {shown}: {said}") from error
        raise StoreUnavailable(f"the index failed: {shown}: {said}") from error


def create_shard(folder: str, schema: Schema) -> None:
    """A new shard with the schema's vectors and every payload index, closed again."""
    config = edge.EdgeConfig(
        vectors={vector.name: _params(vector) for vector in schema.dense} or None,
        sparse_vectors={
            # A shard wants one vector at least; an index of ledger entries alone has this one.
            name: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)
            for name in schema.sparse or (() if schema.dense else ("none",))
        },
        wal_enabled=True,
    )
    shard = edge.EdgeShard.create(folder, config)
    kinds = edge.PayloadSchemaType
    for names, kind in ((KEYWORDS, kinds.Keyword), (FLAGS, kinds.Bool), (FLOATS, kinds.Float)):
        for name in names:
            shard.update(edge.UpdateOperation.create_field_index(name, kind))
    shard.flush()
    shard.close()


def points_out(points: Sequence[ClipPoint]) -> edge.UpdateOperation:
    """The upsert of these points. Lists of floats: Edge takes them twice as fast as numpy arrays."""
    return edge.UpdateOperation.upsert_points(
        [
            edge.Point(point.id, {name: _vector_out(v) for name, v in point.vectors.items()}, dict(point.payload))
            for point in points
        ]
    )


def vectors_alone_out(points: Sequence[ClipPoint]) -> edge.UpdateOperation:
    """The update of these named vectors of points that exist; their other vectors and payloads stay."""
    return edge.UpdateOperation.update_vectors(
        [edge.PointVectors(p.id, {name: _vector_out(vector) for name, vector in p.vectors.items()}) for p in points]
    )


def payload_out(point: ClipPoint) -> edge.UpdateOperation:
    """The update that replaces the payload of a point that exists; its vectors stay."""
    return edge.UpdateOperation.overwrite_payload([point.id], dict(point.payload))


def point_in(record: Any) -> ClipPoint:
    """A record as Edge gives it, with numpy vectors and its id as text."""
    vectors = {name: _vector_in(vector) for name, vector in (record.vector or {}).items()}
    return ClipPoint(str(record.id), vectors, record.payload or {})


def hit_in(hit: Any) -> ScoredPoint:
    return ScoredPoint(str(hit.id), float(hit.score), hit.payload or {})


def query_out(query: Query) -> edge.QueryRequest:
    return edge.QueryRequest(
        limit=query.limit,
        query=edge.Query.Nearest(_vector_out(query.vector), using=query.using),
        filter=filter_out(query.where),
        with_payload=True,
        params=edge.SearchParams(
            hnsw_ef=query.ef,
            exact=query.exact,
            quantization=edge.QuantizationSearchParams(ignore=query.exact, rescore=True),
        ),
    )


def filter_out(where: Where) -> edge.Filter | None:
    if not where.must and not where.must_not:
        return None
    return edge.Filter(must=[_condition(c) for c in where.must], must_not=[_condition(c) for c in where.must_not])


def _condition(condition: Condition) -> Any:
    match condition:
        case Equals(field, bool() as value):
            # Edge takes Python's True for the integer 1, which equals no flag; numpy's is taken for what it is.
            return edge.FieldCondition(field, match=edge.MatchValue(np.bool_(value)))  # type: ignore[arg-type]
        case Equals(field, value):
            return edge.FieldCondition(field, match=edge.MatchValue(value))
        case AnyOf(field, values):
            return edge.FieldCondition(field, match=edge.MatchAny(list(values)))
        case Between(field, at_least, below):
            return edge.FieldCondition(field, range=edge.RangeFloat(gte=at_least, lt=below))
        case HasVector(name):
            return edge.HasVectorCondition(name)
        case HasId(ids):
            return edge.HasIdCondition(set(ids))


def _params(vector: DenseVector) -> edge.EdgeVectorParams:
    return edge.EdgeVectorParams(
        vector.dimensions,
        edge.Distance.Cosine,
        multivector_config=edge.MultiVectorConfig(edge.MultiVectorComparator.MaxSim) if vector.multi else None,
        hnsw_config=_NO_GRAPH if vector.multi else None,
        quantization_config=_quantized(vector.quantization),
    )


def _quantized(kind: Quantization) -> Any:
    if kind == "int8":
        return edge.ScalarQuantizationConfig(edge.ScalarType.Int8)
    if kind == "binary":
        return edge.BinaryQuantizationConfig()
    return edge.ProductQuantizationConfig(edge.CompressionRatio.X16) if kind == "product" else None


def _vector_out(vector: Vector) -> Any:
    if isinstance(vector, SparseVector):
        return edge.SparseVector(vector.indices.tolist(), vector.values.tolist())
    return vector.tolist()


def _vector_in(vector: Any) -> Vector:
    if isinstance(vector, edge.SparseVector):
        return SparseVector(np.array(vector.indices, np.uint32), np.array(vector.values, np.float32))
    if vector and isinstance(vector[0], list):  # of a multivector
        return _floats(vector).reshape(len(vector), -1)
    return _floats([vector])


def _floats(rows: list[list[float]]) -> Float32:
    """Lists of floats of one length as one flat array; packing takes two thirds of the time of np.array."""
    packing = _packing(len(rows[0]))
    packed = bytearray(packing.size * len(rows))
    for place, row in enumerate(rows):
        packing.pack_into(packed, packing.size * place, *row)
    return np.frombuffer(packed, np.float32)


@cache
def _packing(count: int) -> Struct:
    return Struct(f"{count}f")


def count_out(where: Where) -> edge.CountRequest:
    return edge.CountRequest(exact=True, filter=filter_out(where))


def vectors_out(vectors: Vectors) -> Any:
    return vectors if isinstance(vectors, bool) else list(vectors)


def page_out(where: Where, *, limit: int, offset: Any, vectors: Vectors) -> edge.ScrollRequest:
    return edge.ScrollRequest(
        offset=offset, limit=limit, filter=filter_out(where), with_payload=True, with_vector=vectors_out(vectors)
    )


def set_payload_out(payload: Mapping[str, Any], where: Where) -> edge.UpdateOperation:
    return edge.UpdateOperation.set_payload_by_filter(filter_out(where) or edge.Filter(), dict(payload))


def delete_out(where: Where) -> edge.UpdateOperation:
    return edge.UpdateOperation.delete_points_by_filter(filter_out(where) or edge.Filter())
