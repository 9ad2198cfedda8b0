"""Beam coders of the records that cross a stage; importing this module registers them."""

import json
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import apache_beam as beam
import numpy as np

from transforms.plain import from_plain, to_plain
from transforms.records import (
    ClipPoint,
    Receipt,
    Reject,
    RejectedVideo,
    Segment,
    SegmentResult,
    SparseVector,
    Vector,
    VideoRef,
    Work,
)

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")


class RecordCoder(beam.coders.Coder, Generic[T]):
    """One flat record as JSON: readable in a runner's logs, the same bytes for equal records."""

    kind: type[T]

    def encode(self, value: T) -> bytes:
        return json.dumps(to_plain(value), sort_keys=True, separators=(",", ":")).encode()

    def decode(self, encoded: bytes) -> T:
        return from_plain(self.kind, json.loads(encoded))

    def is_deterministic(self) -> bool:
        return True


class VideoRefCoder(RecordCoder[VideoRef]):
    kind = VideoRef


class WorkCoder(RecordCoder[Work]):
    kind = Work


class SegmentCoder(RecordCoder[Segment]):
    kind = Segment


class ReceiptCoder(RecordCoder[Receipt]):
    kind = Receipt


class RejectedVideoCoder(RecordCoder[RejectedVideo]):
    kind = RejectedVideo


class SegmentResultCoder(beam.coders.Coder):
    """Length of a JSON head (8 bytes, big-endian), the head, and after it the arrays' bytes, end to end."""

    def encode(self, value: SegmentResult) -> bytes:
        arrays: list[np.ndarray[Any, Any]] = []
        points = [
            {
                "id": point.id,
                "payload": dict(point.payload),
                "vectors": {name: _put(vector, arrays) for name, vector in point.vectors.items()},
            }
            for point in value.points
        ]
        head = json.dumps(
            {
                "segment": to_plain(value.segment),
                "outcome": value.outcome,
                "damaged": value.damaged,
                "reject": to_plain(value.reject),
                "points": points,
            }
        ).encode()
        return b"".join([len(head).to_bytes(8, "big"), head, *(array.tobytes() for array in arrays)])

    def decode(self, encoded: bytes) -> SegmentResult:
        start = 8 + int.from_bytes(encoded[:8], "big")
        head = json.loads(encoded[8:start])
        rest = _Bytes(encoded, start)
        points = [
            ClipPoint(
                point["id"], {name: _take(shape, rest) for name, shape in point["vectors"].items()}, point["payload"]
            )
            for point in head["points"]
        ]
        return SegmentResult(
            segment=from_plain(Segment, head["segment"]),
            outcome=head["outcome"],
            points=points,
            damaged=head["damaged"],
            reject=from_plain(Reject, head["reject"]) if head["reject"] else None,
        )

    def is_deterministic(self) -> bool:
        return False


class _Bytes:
    """Arrays are taken off a buffer one after the other."""

    def __init__(self, buffer: bytes, start: int) -> None:
        self._buffer, self._at = buffer, start

    def take(self, dtype: type, count: int) -> np.ndarray[Any, Any]:
        array: np.ndarray[Any, Any] = np.frombuffer(self._buffer, dtype, count, self._at).copy()
        self._at += array.nbytes
        return array


def _put(vector: Vector, arrays: list[np.ndarray[Any, Any]]) -> dict[str, Any]:
    if isinstance(vector, SparseVector):
        arrays += [vector.indices.astype(np.uint32), vector.values.astype(np.float32)]
        return {"sparse": len(vector.indices)}
    arrays.append(vector.astype(np.float32))
    return {"shape": list(vector.shape)}


def _take(shape: dict[str, Any], rest: _Bytes) -> Vector:
    if "sparse" in shape:
        return SparseVector(rest.take(np.uint32, shape["sparse"]), rest.take(np.float32, shape["sparse"]))
    return rest.take(np.float32, int(np.prod(shape["shape"]))).reshape(shape["shape"])


for _kind, _coder in (
    (VideoRef, VideoRefCoder),
    (Work, WorkCoder),
    (Segment, SegmentCoder),
    (Receipt, ReceiptCoder),
    (RejectedVideo, RejectedVideoCoder),
    (SegmentResult, SegmentResultCoder),
):
    beam.coders.registry.register_coder(_kind, _coder)
