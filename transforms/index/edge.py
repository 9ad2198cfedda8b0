"""Qdrant Edge as a VectorStore: the writer's shard, and the operations it shares with readers."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from qdrant_edge import UpdateOperation

from transforms.errors import StoreUnavailable
from transforms.index.checks import check_payload, check_payloads, check_points, check_query
from transforms.index.engine import (
    count_out,
    delete_out,
    hit_in,
    page_out,
    payload_out,
    point_in,
    points_out,
    query_out,
    set_payload_out,
    vectors_alone_out,
    vectors_out,
)
from transforms.index.live import LiveShard, borrow, give_back
from transforms.index.location import IndexLocation
from transforms.index.lock import read_run
from transforms.index.spaces import home_of
from transforms.index.store import Query, Reader, ScoredPoint, Vectors, Where
from transforms.records import ClipPoint, Schema, SparseVector

#: Points handed to the engine in one call.
_BATCH_POINTS = 256


class EdgeReads(ABC):
    """Reading from an Edge shard that `_use` lends out."""

    schema: Schema

    @abstractmethod
    def _use(self) -> AbstractContextManager[Any]:
        """The shard, for as long as the context lasts."""

    def query(self, queries: Sequence[Query]) -> list[list[ScoredPoint]]:
        """One list of hits a query, best first."""
        for query in queries:
            check_query(query.using, query.vector, self.schema)
        requests = [query_out(query) for query in queries]
        with self._use() as shard:
            return [[hit_in(hit) for hit in shard.query(request)] for request in requests]

    def count(self, where: Where) -> int:
        """The exact number of points."""
        with self._use() as shard:
            return int(shard.count(count_out(where)))

    def retrieve(self, ids: Sequence[str], *, vectors: Vectors = False, payload: bool = True) -> list[ClipPoint]:
        """The points of these ids that exist."""
        with self._use() as shard:
            return [point_in(record) for record in shard.retrieve(list(ids), payload, vectors_out(vectors))]

    def scroll(self, where: Where, *, vectors: Vectors = False, batch: int = 1000) -> Iterator[ClipPoint]:
        """Every point, each once, in the order of their ids; a page is read at a time."""
        offset = None
        while True:
            with self._use() as shard:
                records, offset = shard.scroll(page_out(where, limit=batch, offset=offset, vectors=vectors))
            yield from map(point_in, records)
            if offset is None:
                return


class EdgeStore(EdgeReads):
    """The writer of an Edge folder; several of them in one process share one shard."""

    def __init__(self, location: IndexLocation, schema: Schema) -> None:
        self._live = borrow(home_of(location), schema)
        self._closed = False
        self.schema = self._live.schema

    @property
    def live(self) -> LiveShard:
        """The shard's handle; publishing closes it, or flushes it and keeps it still."""
        return self._live

    def upsert(self, points: Sequence[ClipPoint]) -> None:
        """Store the points after checking all of them; raises BadVectors."""
        check_points(points, self.schema)
        for start in range(0, len(points), _BATCH_POINTS):
            some = points[start : start + _BATCH_POINTS]
            self._live.check_room(sum(map(_bytes_of, some)))
            self._update(points_out(some))

    def update_vectors(self, points: Sequence[ClipPoint]) -> None:
        """Replace these named vectors of points that exist; other vectors and payloads stay. Raises BadVectors."""
        check_points(points, self.schema)
        for start in range(0, len(points), _BATCH_POINTS):
            some = points[start : start + _BATCH_POINTS]
            self._live.check_room(sum(map(_bytes_of, some)))
            self._update(vectors_alone_out(some))

    def set_payload(self, payload: Mapping[str, Any], where: Where) -> None:
        """Set these payload fields of every matching point."""
        check_payload(payload, f"fields={', '.join(payload)}")
        self._live.check_room(0)
        self._update(set_payload_out(payload, where))

    def overwrite_payloads(self, points: Sequence[ClipPoint]) -> None:
        """Replace the payload of each of these points."""
        check_payloads(points)
        self._live.check_room(sum(map(_bytes_of, points)))
        for point in points:
            self._update(payload_out(point))

    def delete(self, where: Where) -> None:
        """Delete every matching point."""
        self._live.check_room(0)
        self._update(delete_out(where))

    def together(self) -> AbstractContextManager[None]:
        """Updates made inside are published as one; other threads wait meanwhile, so it is to be short."""
        return self._live.together()

    @contextmanager
    def pinned(self) -> Iterator[Reader]:
        """The writer's own view, which only this process changes."""
        yield self

    def flush(self) -> None:
        """Return once every update before this call is durable."""
        self._live.check_room(0)
        with self._use() as shard:
            shard.flush()

    def current_run(self) -> int:
        """The number of the run that took the right to write last; 0 before the first."""
        return read_run(Path(self._live.location.folder))[0]

    def close(self) -> None:
        """Let go of the shard; the last user in this process closes it."""
        if not self._closed:
            self._closed = True
            give_back(self._live)

    def _use(self) -> AbstractContextManager[Any]:
        if self._closed:
            raise StoreUnavailable(f"the store was closed before this use: {self._live.location}")
        return self._live.use()

    def _update(self, operation: UpdateOperation) -> None:
        with self._use() as shard:
            shard.update(operation)


def _bytes_of(point: ClipPoint) -> int:
    vectors = sum(v.values.nbytes * 2 if isinstance(v, SparseVector) else v.nbytes for v in point.vectors.values())
    return vectors + 1024
