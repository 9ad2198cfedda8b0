"""Between our records and the classes of qdrant-client."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from qdrant_client import grpc, models
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc
from qdrant_client.uploader.grpc_uploader import convert_vector_struct

from transforms.index.store import AnyOf, Between, Condition, Equals, HasId, HasVector, Query, Vectors, Where
from transforms.records import ClipPoint, DenseVector, Quantization, Schema, SparseVector, Vector

#: What filters look at, indexed before anything is loaded.
PAYLOAD_INDEXES: Mapping[str, models.PayloadSchemaType] = {
    **dict.fromkeys(("kind", "video_id", "uri", "content", "recipe"), models.PayloadSchemaType.KEYWORD),
    "live": models.PayloadSchemaType.BOOL,
    "start_seconds": models.PayloadSchemaType.FLOAT,
    "end_seconds": models.PayloadSchemaType.FLOAT,
}


def vectors_config(schema: Schema) -> dict[str, models.VectorParams]:
    return {vector.name: _params(vector) for vector in schema.dense}


def sparse_config(schema: Schema) -> dict[str, models.SparseVectorParams]:
    return {name: models.SparseVectorParams(modifier=models.Modifier.IDF) for name in schema.sparse}


def point_out(point: ClipPoint) -> Any:
    """The point as the gRPC message that is sent; the bytes of numpy arrays go in as they are."""
    dense = {name: vector for name, vector in point.vectors.items() if not isinstance(vector, SparseVector)}
    vectors = convert_vector_struct(dense) if dense else grpc.Vectors(vectors=grpc.NamedVectors())
    for name, vector in point.vectors.items():
        if isinstance(vector, SparseVector):
            sparse = grpc.SparseVector(indices=vector.indices.tolist(), values=vector.values.tolist())
            vectors.vectors.vectors[name].sparse.CopyFrom(sparse)
    payload = RestToGrpc.convert_payload(dict(point.payload))
    return grpc.PointStruct(id=grpc.PointId(uuid=point.id), vectors=vectors, payload=payload)


def upsert_out(collection: str, points: Sequence[ClipPoint]) -> Any:
    """The request that stores these points: answered when done, in one order on every replica."""
    return grpc.UpsertPoints(
        collection_name=collection,
        wait=True,
        points=[point_out(point) for point in points],
        ordering=grpc.WriteOrdering(type=grpc.WriteOrderingType.Strong),
    )


def payload_out(point: ClipPoint) -> models.OverwritePayloadOperation:
    """The operation that replaces the payload of a point that exists; its vectors stay."""
    return models.OverwritePayloadOperation(
        overwrite_payload=models.SetPayload(payload=dict(point.payload), points=[point.id])
    )


def update_in(response: Any) -> models.UpdateResult:
    return GrpcToRest.convert_update_result(response.result)


def local_point_out(point: ClipPoint) -> models.PointStruct:
    """The point for the client's local mode, which speaks no gRPC."""
    vectors = {name: vector_out(vector) for name, vector in point.vectors.items()}
    return models.PointStruct(id=point.id, vector=vectors, payload=dict(point.payload))


def point_in(record: Any) -> ClipPoint:
    held = record.vector if isinstance(record.vector, dict) else {}
    return ClipPoint(str(record.id), {name: _vector_in(v) for name, v in held.items()}, record.payload or {})


def query_out(query: Query) -> models.QueryRequest:
    quantization = models.QuantizationSearchParams(ignore=query.exact, rescore=True)
    return models.QueryRequest(
        query=vector_out(query.vector),
        using=query.using,
        filter=filter_out(query.where),
        limit=query.limit,
        with_payload=True,
        params=models.SearchParams(hnsw_ef=query.ef, exact=query.exact, quantization=quantization),
    )


def filter_out(where: Where) -> models.Filter:
    return models.Filter(must=[_condition(c) for c in where.must], must_not=[_condition(c) for c in where.must_not])


def vectors_out(vectors: Vectors) -> bool | list[str]:
    return vectors if isinstance(vectors, bool) else list(vectors)


def vector_out(vector: Vector) -> Any:
    if isinstance(vector, SparseVector):
        return models.SparseVector(indices=vector.indices.tolist(), values=vector.values.tolist())
    return vector.tolist()


def difference(found: models.CollectionParams, schema: Schema) -> str:
    """What a collection has otherwise than the schema says; "" when nothing."""
    has = found.vectors if isinstance(found.vectors, dict) else {}
    said = list({*has} ^ {vector.name for vector in schema.dense})
    said += {*(found.sparse_vectors or {})} ^ {*schema.sparse}
    for vector in schema.dense:
        params = has.get(vector.name)
        if params is None:
            continue
        multi = params.multivector_config is not None
        if (params.size, params.distance, multi) != (vector.dimensions, models.Distance.COSINE, vector.multi):
            said.append(f"{vector.name} ({params.size}, {params.distance.value}{', multi' if multi else ''})")
    for name, sparse in (found.sparse_vectors or {}).items():
        if name in schema.sparse and sparse.modifier != models.Modifier.IDF:
            said.append(f"{name} (without IDF)")
    return ", ".join(sorted(said))


def _params(vector: DenseVector) -> models.VectorParams:
    return models.VectorParams(
        size=vector.dimensions,
        distance=models.Distance.COSINE,
        multivector_config=(
            models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM) if vector.multi else None
        ),
        hnsw_config=models.HnswConfigDiff(m=0) if vector.multi else None,
        quantization_config=_quantized(vector.quantization),
    )


def _quantized(kind: Quantization) -> models.QuantizationConfig | None:
    if kind == "int8":
        return models.ScalarQuantization(scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8))
    if kind == "binary":
        return models.BinaryQuantization(binary=models.BinaryQuantizationConfig())
    if kind == "product":
        return models.ProductQuantization(
            product=models.ProductQuantizationConfig(compression=models.CompressionRatio.X16)
        )
    return None


def _condition(condition: Condition) -> Any:
    match condition:
        case Equals(field, value):
            return models.FieldCondition(key=field, match=models.MatchValue(value=value))
        case AnyOf(field, values):
            return models.FieldCondition(key=field, match=models.MatchAny(any=list(values)))
        case Between(field, at_least, below):
            return models.FieldCondition(key=field, range=models.Range(gte=at_least, lt=below))
        case HasVector(name):
            return models.HasVectorCondition(has_vector=name)
        case HasId(ids):
            return models.HasIdCondition(has_id=list(ids))


def _vector_in(vector: Any) -> Vector:
    if isinstance(vector, models.SparseVector):
        return SparseVector(np.array(vector.indices, np.uint32), np.array(vector.values, np.float32))
    return np.array(vector, np.float32)
