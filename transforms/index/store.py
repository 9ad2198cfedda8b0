"""The one protocol that Qdrant Edge and a Qdrant server both answer to.

A store holds points of several kinds, told apart by the payload field `kind`: `clip`, `whole` (a whole video),
`receipt`, `video` (a ledger entry) and `calibration` (what chance scores). Only clips and whole videos carry vectors.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from transforms.records import ClipPoint, Schema, Vector


@dataclass(frozen=True, slots=True)
class Equals:
    """The payload field holds this value."""

    field: str
    value: str | int | bool


@dataclass(frozen=True, slots=True)
class AnyOf:
    """The payload field holds one of these values."""

    field: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Between:
    """The payload field lies in [at_least, below); None leaves a side open."""

    field: str
    at_least: float | None = None
    below: float | None = None


@dataclass(frozen=True, slots=True)
class HasVector:
    """The point carries the named vector."""

    name: str


@dataclass(frozen=True, slots=True)
class HasId:
    """The point is one of these."""

    ids: tuple[str, ...]


Condition = Equals | AnyOf | Between | HasVector | HasId


@dataclass(frozen=True, slots=True)
class Where:
    """Points that meet every condition of `must` and none of `must_not`."""

    must: tuple[Condition, ...] = ()
    must_not: tuple[Condition, ...] = ()


#: Candidates that the walk of a graph keeps (hnsw_ef). A text lies far from every picture and every clip, so a walk
#: that is wide enough from clip to clip misses much of what is near a text. Recall@10 of texts in 100,000 clips:
#: `frame` 0.83 with the store's own 100, 0.99 with 512; `clip` 0.79, 0.93 with 512, 0.97 with 2,048.
LEAST_EF = 512
LEAST_EF_OF = {"clip": 2048}


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """The `limit` points nearest to `vector` in the named vector `using`, among those of `where`."""

    using: str
    vector: Vector
    where: Where = Where()
    limit: int = 10
    exact: bool = False  # compare with every point instead of walking the graph

    @property
    def ef(self) -> int:
        """Candidates that the walk of the graph keeps, more than hits are wanted."""
        return max(self.limit, LEAST_EF_OF.get(self.using, LEAST_EF))


@dataclass(frozen=True, slots=True, eq=False)
class ScoredPoint:
    """A hit; cosine or MaxSim for dense vectors, weighted overlap for sparse ones."""

    id: str
    score: float
    payload: Mapping[str, Any]


#: Which vectors of a point are wanted: all, none, or those of these names.
Vectors = bool | tuple[str, ...]


class Reader(Protocol):
    """What searching needs. Every method raises `StoreUnavailable` when the store fails."""

    @property
    def schema(self) -> Schema:
        """What the index says of itself."""

    def query(self, queries: Sequence[Query]) -> list[list[ScoredPoint]]:
        """One list of hits a query, best first."""

    def count(self, where: Where) -> int:
        """The exact number of points."""

    def retrieve(self, ids: Sequence[str], *, vectors: Vectors = False, payload: bool = True) -> list[ClipPoint]:
        """The points of these ids that exist, in no order; all vectors or those named, payloads unless not."""

    def scroll(self, where: Where, *, vectors: Vectors = False, batch: int = 1000) -> Iterator[ClipPoint]:
        """Every point, each once, in the order of their ids."""

    def pinned(self) -> "AbstractContextManager[Reader]":
        """The index as it is now, in one space and, in a folder, one version, for as long as the context lasts."""

    def close(self) -> None:
        """Let go of the store; calling it twice does no harm."""


class VectorStore(Reader, Protocol):
    """What writing needs besides. Writes are seen by the same store at once."""

    def upsert(self, points: Sequence[ClipPoint]) -> None:
        """Store the points, replacing those of the same ids, vectors and payload whole.

        Raises `BadVectors` for a vector that is not finite, has another size than the
        schema says, an unknown name, or (dense) is not of unit length within 1e-3.
        """

    def set_payload(self, payload: Mapping[str, Any], where: Where) -> None:
        """Set these payload fields of every matching point; other fields stay."""

    def overwrite_payloads(self, points: Sequence[ClipPoint]) -> None:
        """Replace the payload of each of these points, which exist, whole; their vectors stay, those given count not.

        Raises ValueError for a payload that JSON cannot hold.
        """

    def delete(self, where: Where) -> None:
        """Delete every matching point."""

    def together(self) -> AbstractContextManager[None]:
        """Updates made inside are published as one: a reader of an Edge index sees all of them or none.

        A server shows each update at once.
        """

    def flush(self) -> None:
        """Return once every update before this call is durable."""

    def current_run(self) -> int:
        """The number of the run that took the right to write last (`transforms.index.lock`); 0 before the first."""
