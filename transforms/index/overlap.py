"""Only clips that overlap a span of their video: a payload range, put around any reader.

Payloads hold times of the container's clock. Where that starts at 0, as in most videos, the span is a payload range.
Where it does not (a transport stream starts anywhere), it is compared after the query, which is then asked deeper and
deeper until enough is left or nothing more comes.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from transforms.index.hits import Hit, hits_of
from transforms.index.store import Between, Query, Reader, ScoredPoint, Vectors, Where
from transforms.records import ClipPoint, Schema

#: Deeper is not asked; a span that keeps less than one clip in this many finds fewer hits than there are.
MOST_CANDIDATES = 20_000

#: Payloads are rounded to microseconds.
_CLOCK_AT_ZERO = Between("media_start_seconds", at_least=-5e-7, below=5e-7)


@dataclass(frozen=True, slots=True)
class Overlapping:
    """A reader that finds and gives clips that share a moment with [start_seconds, end_seconds) of their video only.

    The times are seconds since the video's start; `count` and `retrieve` are those of the reader itself.
    """

    reader: Reader
    start_seconds: float
    end_seconds: float

    @property
    def schema(self) -> Schema:
        return self.reader.schema

    @contextmanager
    def pinned(self) -> Iterator[Reader]:
        """The same over the index as it is now."""
        with self.reader.pinned() as reader:
            yield replace(self, reader=reader)

    def query(self, queries: Sequence[Query]) -> list[list[ScoredPoint]]:
        """One list of hits a query, best first."""
        at_zero = self.reader.query([replace(query, where=self._in_range(query.where)) for query in queries])
        elsewhere = self._elsewhere(queries)
        return [
            sorted([*first, *second], key=lambda point: -point.score)[: query.limit]
            for query, first, second in zip(queries, at_zero, elsewhere, strict=True)
        ]

    def scroll(self, where: Where, *, vectors: Vectors = False, batch: int = 1000) -> Iterator[ClipPoint]:
        """Every such point, each once."""
        yield from self.reader.scroll(self._in_range(where), vectors=vectors, batch=batch)
        for point in self.reader.scroll(_clock_elsewhere(where), vectors=vectors, batch=batch):
            if self._holds(Hit(point.id, 0.0, "", point.payload)):
                yield point

    def count(self, where: Where) -> int:
        return self.reader.count(where)

    def retrieve(self, ids: Sequence[str], *, vectors: Vectors = False, payload: bool = True) -> list[ClipPoint]:
        return self.reader.retrieve(ids, vectors=vectors, payload=payload)

    def close(self) -> None:
        self.reader.close()

    def _elsewhere(self, queries: Sequence[Query]) -> list[list[ScoredPoint]]:
        """The hits in videos whose clock does not start at 0."""
        found: list[list[ScoredPoint]] = [[] for _ in queries]
        open_places = list(range(len(queries)))
        factor = 1
        while open_places:
            asked = [_elsewhere_deeper(queries[place], factor) for place in open_places]
            still = []
            for place, query, points in zip(open_places, asked, self.reader.query(asked), strict=True):
                inside = {hit.id for hit in hits_of(query.using, points) if self._holds(hit)}
                found[place] = [point for point in points if point.id in inside]
                enough = len(inside) >= queries[place].limit or len(points) < query.limit
                if not enough and query.limit < MOST_CANDIDATES:
                    still.append(place)
            open_places, factor = still, factor * 4
        return found

    def _in_range(self, where: Where) -> Where:
        after = math.nextafter(self.start_seconds, math.inf)  # half-open: a clip that ends there does not overlap
        span = (Between("start_seconds", below=self.end_seconds), Between("end_seconds", at_least=after))
        return Where((*where.must, _CLOCK_AT_ZERO, *span), where.must_not)

    def _holds(self, hit: Hit) -> bool:
        return hit.start_seconds < self.end_seconds and hit.end_seconds > self.start_seconds


def _elsewhere_deeper(query: Query, factor: int) -> Query:
    return replace(query, where=_clock_elsewhere(query.where), limit=query.limit * factor)


def _clock_elsewhere(where: Where) -> Where:
    return Where(where.must, (*where.must_not, _CLOCK_AT_ZERO))
