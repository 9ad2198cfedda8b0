"""A store in this process's memory, for unit tests only: the client's local mode is no engine."""

from qdrant_client import QdrantClient

from transforms.index import wire
from transforms.index.server import ServerStore
from transforms.index.store import VectorStore
from transforms.records import Schema


def memory_store(schema: Schema) -> VectorStore:
    """An empty store of this schema that is gone when it is closed."""
    client = QdrantClient(":memory:")
    client.create_collection(
        "memory", vectors_config=wire.vectors_config(schema), sparse_vectors_config=wire.sparse_config(schema)
    )
    return ServerStore(client, "memory", schema, shown=":memory:", local=True)
