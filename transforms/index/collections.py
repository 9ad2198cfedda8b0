"""What a Qdrant server holds of one index: its alias, its collections and their payload indexes."""

from dataclasses import dataclass

from qdrant_client import QdrantClient, models

from transforms.index import wire
from transforms.index.location import IndexLocation
from transforms.index.retry import call
from transforms.index.server import connect


@dataclass(frozen=True, slots=True)
class Collections:
    """The collections of one name as the server lists them."""

    aliased: str | None  # what the alias names; None where there is no alias
    held: tuple[str, ...]  # NAME--..., sorted
    unindexed: tuple[str, ...] = ()  # payload fields of the aliased one that filters need and that have no index

    @property
    def dangling(self) -> bool:
        """Whether the alias names a collection that is not there."""
        return self.aliased is not None and self.aliased not in self.held


def collections_of(location: IndexLocation) -> Collections:
    """Look at the server; raises StoreUnavailable and UsageError as every call does."""
    client, shown = connect(location), str(location)
    try:
        aliases = call("reading aliases", shown, client.get_aliases).aliases
        aliased = next((alias.collection_name for alias in aliases if alias.alias_name == location.name), None)
        every = {held.name for held in call("listing collections", shown, client.get_collections).collections}
        held = {name for name in every if name.startswith(f"{location.name}--") or name == aliased}
        unindexed: tuple[str, ...] = ()
        if aliased in held:
            found = call("reading the payload indexes", shown, lambda: client.get_collection(str(aliased)))
            unindexed = tuple(sorted(set(wire.PAYLOAD_INDEXES) - set(found.payload_schema)))
        return Collections(aliased, tuple(sorted(held)), unindexed)
    finally:
        client.close()


def index_payloads(location: IndexLocation, collection: str, fields: tuple[str, ...]) -> None:
    """Make the payload indexes that are missing."""
    client = connect(location)
    try:
        for field in fields:
            _index_one(client, location, collection, field)
    finally:
        client.close()


def name_collection(location: IndexLocation, collection: str) -> None:
    """Let the alias name this collection."""
    client = connect(location)
    try:
        alias = models.CreateAlias(collection_name=collection, alias_name=location.name)
        operation = models.CreateAliasOperation(create_alias=alias)
        call("naming the collection", str(location), lambda: client.update_collection_aliases([operation]))
    finally:
        client.close()


def _index_one(client: QdrantClient, location: IndexLocation, collection: str, field: str) -> None:
    kind = wire.PAYLOAD_INDEXES[field]
    call(
        "indexing payloads",
        str(location),
        lambda: client.create_payload_index(collection, field, field_schema=kind, wait=True),
    )
