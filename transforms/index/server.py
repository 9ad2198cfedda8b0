"""A Qdrant server as a VectorStore: a collection of one recipe behind an alias.

`NAME` is an alias of `NAME--<recipe fingerprint>` from the first run on, so that a later migration
can switch it in one step. The schema is kept in the collection's metadata.
"""

import json
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from typing import Any, TypeVar

from qdrant_client import QdrantClient, models

from transforms.errors import IndexFormatError, MissingIndex, RecipeMismatch, StoreUnavailable
from transforms.index import held, wire
from transforms.index.checks import check_payload, check_payloads, check_points, check_query
from transforms.index.location import IndexLocation
from transforms.index.manifest import manifest_of, schema_of, verify_schema, with_payloads
from transforms.index.retry import AlreadyThere, call
from transforms.index.store import Query, ScoredPoint, Vectors, Where
from transforms.records import ClipPoint, Schema, SparseVector

#: A request stays well below the 32 MB that a server takes.
_BATCH_BYTES = 8 * 2**20
_BATCH_POINTS = 512
_TIMEOUT_SECONDS = 30
#: A reader answers at most so long from a collection that is no longer in use.
_LOOK_SECONDS = 1.0
_METADATA = "reelvec"

T = TypeVar("T")


class ServerStore:
    """One collection; reads and writes. `follows` is the alias of a reader, `local` the client's in-memory mode."""

    def __init__(
        self,
        client: QdrantClient,
        collection: str,
        schema: Schema,
        *,
        shown: str,
        location: IndexLocation | None = None,
        local: bool = False,
        follows: IndexLocation | None = None,
    ) -> None:
        self.schema = schema
        self.collection = collection
        self._client = client
        self._shown = shown
        self._location = location
        self._local = local
        self._closed = False
        self._follows, self._looked_at = follows, time.monotonic()
        self._moving = threading.Lock()  # a thread must not see the new collection with the schema of the old one

    def query(self, queries: Sequence[Query]) -> list[list[ScoredPoint]]:
        """One list of hits a query, best first."""
        for query in queries:
            check_query(query.using, query.vector, self.schema)
        if not queries:
            return []
        requests = [wire.query_out(query) for query in queries]
        answers = self._call("querying", lambda: self._client.query_batch_points(self.collection, requests))
        return [
            [ScoredPoint(str(hit.id), float(hit.score), hit.payload or {}) for hit in answer.points]
            for answer in answers
        ]

    def count(self, where: Where) -> int:
        """The exact number of points."""
        wanted = wire.filter_out(where)
        counted = self._call("counting", lambda: self._client.count(self.collection, wanted, exact=True))
        return int(counted.count)

    def retrieve(self, ids: Sequence[str], *, vectors: Vectors = False, payload: bool = True) -> list[ClipPoint]:
        """The points of these ids that exist."""
        records = self._call(
            "retrieving",
            lambda: self._client.retrieve(
                self.collection, list(ids), with_payload=payload, with_vectors=wire.vectors_out(vectors)
            ),
        )
        return [wire.point_in(record) for record in records]

    def scroll(self, where: Where, *, vectors: Vectors = False, batch: int = 1000) -> Iterator[ClipPoint]:
        """Every point, each once, in the order of their ids; a page is read at a time."""
        wanted, offset = wire.filter_out(where), None
        while True:
            records, offset = self._call("reading", self._page(wanted, batch, offset, vectors))
            yield from map(wire.point_in, records)
            if offset is None:
                return

    def upsert(self, points: Sequence[ClipPoint]) -> None:
        """Store the points after checking all of them; raises BadVectors."""
        check_points(points, self.schema)
        for some in _batches(points):
            self._write("upserting", self._upsert_of(some))

    def set_payload(self, payload: Mapping[str, Any], where: Where) -> None:
        """Set these payload fields of every matching point."""
        check_payload(payload, f"fields={', '.join(payload)}")
        fields, wanted = dict(payload), wire.filter_out(where)
        self._write(
            "setting payloads", lambda: self._client.set_payload(self.collection, fields, points=wanted, **_WRITE)
        )

    def overwrite_payloads(self, points: Sequence[ClipPoint]) -> None:
        """Replace the payload of each of these points."""
        check_payloads(points)
        for some in _batches(points):
            self._write("overwriting payloads", self._overwrite_of(some))

    def delete(self, where: Where) -> None:
        """Delete every matching point."""
        selector = models.FilterSelector(filter=wire.filter_out(where))
        self._write("deleting", lambda: self._client.delete(self.collection, selector, **_WRITE))

    def together(self) -> AbstractContextManager[None]:
        """A server shows each update at once: nothing is held back."""
        return nullcontext()

    def flush(self) -> None:
        """A server has logged every update before it answers: nothing is left to do."""

    @contextmanager
    def pinned(self) -> Iterator["ServerStore"]:
        """The collection that the alias names now; the alias is looked at once a second."""
        if self._follows is not None and time.monotonic() - self._looked_at > _LOOK_SECONDS:
            self._look()
        with self._moving:
            now = ServerStore(self._client, self.collection, self.schema, shown=self._shown, local=self._local)
        yield now

    def _look(self) -> None:
        """Follow the alias to another collection, if it leads there now."""
        assert self._follows is not None
        found = _collection_of(self._client, self._follows)
        if found is None:
            raise MissingIndex(f"the index is gone: {self._shown}")
        if found != self.collection:
            schema = _schema_of(self._client, found, self._shown)
            with self._moving:
                self.collection, self.schema = found, schema
        self._looked_at = time.monotonic()

    def current_run(self) -> int:
        """The number of the run that took the right to write last; 0 before the first."""
        from transforms.index.lease import read_lease

        if self._location is None:
            return 0
        lease = read_lease(self._client, self._location)
        return lease.run if lease is not None else 0

    def close(self) -> None:
        """Let go of the connection."""
        if not self._closed:
            self._closed = True
            self._client.close()

    def _page(self, where: models.Filter, limit: int, offset: Any, vectors: Vectors) -> Callable[[], Any]:
        return lambda: self._client.scroll(
            self.collection,
            where,
            limit=limit,
            offset=offset,
            with_payload=True,
            with_vectors=wire.vectors_out(vectors),
        )

    def _overwrite_of(self, points: Sequence[ClipPoint]) -> Callable[[], models.UpdateResult]:
        operations = [wire.payload_out(point) for point in points]

        def overwrite() -> models.UpdateResult:
            results = self._client.batch_update_points(self.collection, operations, **_WRITE)
            unfinished = (result for result in results if result.status != models.UpdateStatus.COMPLETED)
            return next(unfinished, results[-1])

        return overwrite

    def _upsert_of(self, points: Sequence[ClipPoint]) -> Callable[[], models.UpdateResult]:
        if self._local:
            structs = [wire.local_point_out(point) for point in points]
            return lambda: self._client.upsert(self.collection, structs, **_WRITE)
        request = wire.upsert_out(self.collection, points)
        return lambda: wire.update_in(self._client.grpc_points.Upsert(request, timeout=_TIMEOUT_SECONDS))

    def _write(self, doing: str, work: Callable[[], models.UpdateResult]) -> None:
        def work_of_ours() -> models.UpdateResult:
            held.check(self._shown)  # before every try: the one before may have taken a minute
            return work()

        result = self._call(doing, work_of_ours)
        if result.status != models.UpdateStatus.COMPLETED:
            raise StoreUnavailable(f"the server did not finish: {doing}: {self._shown}: status={result.status}")

    def _call(self, doing: str, work: Callable[[], T]) -> T:
        if self._closed:
            raise StoreUnavailable(f"the store was closed before this use: {self._shown}")
        return call(doing, self._shown, work, patient=self._location is not None)


#: Answered when done, and in one order on every replica.
_WRITE: dict[str, Any] = {"wait": True, "ordering": models.WriteOrdering.STRONG}


def open_server_writer(location: IndexLocation, schema: Schema) -> ServerStore:
    """The collection of this recipe behind the alias; created with it where there is none."""
    client = connect(location)
    try:
        shown = str(location)
        collection = _collection_of(client, location)
        if collection is None:
            collection = f"{location.name}--{schema.recipe[:12]}"
            _check_name(client, location, collection)
            _create(client, collection, schema, shown)
            _name(client, collection, location)
        elif location.space:
            _create(client, collection, schema, shown)
        known = _verify(client, collection, schema, shown)
        if schema.payloads > known.payloads:
            _note_payloads(client, collection, schema, shown)
        return ServerStore(client, collection, schema, shown=shown, location=location)
    except BaseException:
        client.close()
        raise


def open_server_reader(location: IndexLocation) -> ServerStore:
    """The collection that the alias names now; raises MissingIndex where there is none."""
    client = connect(location)
    try:
        collection = _collection_of(client, location)
        if collection is None:
            _check_name(client, location, "")
            raise MissingIndex(f"there is no index here: {location}; make one with `reelvec ingest`")
        schema = _schema_of(client, collection, str(location))
        follows = None if location.space else location
        return ServerStore(client, collection, schema, shown=str(location), follows=follows)
    except BaseException:
        client.close()
        raise


def collections_of(location: IndexLocation) -> tuple[str, ...]:
    """The collections of an index, the one behind its alias among them."""
    with closing(connect(location)) as client:
        held = call("listing collections", str(location), lambda: _collections(client))
    return tuple(sorted(name for name in held if name.startswith(f"{location.name}--")))


def collection_in_use(location: IndexLocation) -> str | None:
    """The collection behind the alias; None where there is none."""
    with closing(connect(location)) as client:
        return _collection_of(client, location)


def point_alias(location: IndexLocation, collection: str) -> None:
    """Make the alias lead to another collection, in one step."""
    drop = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=location.name))
    alias = models.CreateAlias(collection_name=collection, alias_name=location.name)
    make = models.CreateAliasOperation(create_alias=alias)
    with closing(connect(location)) as client:
        call("switching", str(location), lambda: client.update_collection_aliases([drop, make]))


def drop_collection(location: IndexLocation, collection: str) -> None:
    """Delete a collection that the alias does not name."""
    with closing(connect(location)) as client:
        if _collection_of(client, location) == collection:
            raise ValueError(f"the space in use is not dropped: {location}, space={collection!r}")
        call("deleting a collection", str(location), lambda: client.delete_collection(collection))


def connect(location: IndexLocation) -> QdrantClient:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Api key is used with an insecure connection")  # loopback only
        return QdrantClient(
            url=location.url,
            grpc_port=location.grpc_port,
            api_key=location.api_key(),
            prefer_grpc=True,
            timeout=_TIMEOUT_SECONDS,
            check_compatibility=False,
        )


def _collection_of(client: QdrantClient, location: IndexLocation) -> str | None:
    """The collection behind the alias, or the space that the location names; None where the alias is free."""
    if location.space:
        return location.space
    aliases = call("reading aliases", str(location), client.get_aliases).aliases
    return next((alias.collection_name for alias in aliases if alias.alias_name == location.name), None)


def _create(client: QdrantClient, collection: str, schema: Schema, shown: str) -> None:
    """The collection with its payload indexes; what a killed run or another process made of it stays."""
    metadata = {_METADATA: json.dumps(manifest_of(schema))}  # as text: a store may sort the keys of an object
    if not call("looking for the collection", shown, lambda: client.collection_exists(collection)):
        with suppress(AlreadyThere):  # two first runs at once make the same collection
            call(
                "creating the collection",
                shown,
                lambda: client.create_collection(
                    collection,
                    vectors_config=wire.vectors_config(schema),
                    sparse_vectors_config=wire.sparse_config(schema),
                    metadata=metadata,
                ),
            )
    for field, kind in wire.PAYLOAD_INDEXES.items():
        call(
            "indexing payloads",
            shown,
            lambda field=field, kind=kind: client.create_payload_index(  # type: ignore[misc]
                collection, field, field_schema=kind, wait=True
            ),
        )


def _check_name(client: QdrantClient, location: IndexLocation, own: str) -> None:
    """Raise where a free alias does not mean that there is no index; `own` was begun by a run that was killed."""
    every = call("looking for the name", str(location), lambda: _collections(client))
    if location.name in every:
        raise IndexFormatError(
            f"the server has a collection of that name, not made by Reelvec: {location}; name another --index"
        )
    others = sorted(name for name in every if name.startswith(f"{location.name}--"))
    if own not in others and any(_holds_points(client, location, name) for name in others):
        raise IndexFormatError(
            f"the alias of the index is lost: {location}; the server has {', '.join(others)} and no alias names one. "
            "`reelvec fsck --repair` lets the alias name a single one, and says what to do with several"
        )


def _holds_points(client: QdrantClient, location: IndexLocation, collection: str) -> bool:
    """False for a collection that a run was killed over before it wrote anything."""
    counted = call("counting", str(location), lambda: client.count(collection, exact=True))
    return bool(counted.count)


def _name(client: QdrantClient, collection: str, location: IndexLocation) -> None:
    alias = models.CreateAlias(collection_name=collection, alias_name=location.name)
    operation = models.CreateAliasOperation(create_alias=alias)
    call("naming the collection", str(location), lambda: client.update_collection_aliases([operation]))


def _collections(client: QdrantClient) -> set[str]:
    return {held.name for held in client.get_collections().collections}


def _schema_of(client: QdrantClient, collection: str, shown: str) -> Schema:
    """What the collection says of itself, compared with what it is."""
    config = call("reading the schema", shown, lambda: client.get_collection(collection)).config
    text = (config.metadata or {}).get(_METADATA)
    if not isinstance(text, str):
        raise IndexFormatError(f"the collection was not made by Reelvec: {shown} ({collection}); name another --index")
    schema = schema_of(json.loads(text), shown=shown)
    if differs := wire.difference(config.params, schema):
        raise RecipeMismatch(
            f"the collection is not what its recipe {schema.recipe_name!r} ({schema.recipe[:12]}) makes: "
            f"{shown} ({collection}) differs in {differs}; ingest again into another --index"
        )
    return schema


def _verify(client: QdrantClient, collection: str, schema: Schema, shown: str) -> Schema:
    """What the collection says of itself, once it is known to be of this recipe."""
    known = _schema_of(client, collection, shown)
    verify_schema(known, schema, shown=f"{shown} ({collection})")
    return known


def _note_payloads(client: QdrantClient, collection: str, schema: Schema, shown: str) -> None:
    """Say, before the first is written, that payloads of this revision may be here; an older Reelvec keeps away."""

    def note() -> bool:
        held = client.get_collection(collection).config.metadata or {}
        manifest = with_payloads(json.loads(held[_METADATA]), schema.payloads)
        return client.update_collection(collection, metadata={**held, _METADATA: json.dumps(manifest)})

    call("noting the revision of payloads", shown, note)


def _batches(points: Sequence[ClipPoint]) -> Iterator[list[ClipPoint]]:
    some: list[ClipPoint] = []
    size_bytes = 0
    for point in points:
        own_bytes = _bytes_of(point)
        if some and (size_bytes + own_bytes > _BATCH_BYTES or len(some) >= _BATCH_POINTS):
            yield some
            some, size_bytes = [], 0
        some.append(point)
        size_bytes += own_bytes
    if some:
        yield some


def _bytes_of(point: ClipPoint) -> int:
    vectors = sum(v.values.nbytes * 2 if isinstance(v, SparseVector) else v.nbytes for v in point.vectors.values())
    return vectors + 2 * len(json.dumps(dict(point.payload)))
