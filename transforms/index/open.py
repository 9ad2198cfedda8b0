"""Open an index by its location. Neither engine is imported unless the location needs it."""

from transforms.errors import MissingIndex
from transforms.index.location import IndexLocation
from transforms.index.manifest import read_manifest, schema_of
from transforms.index.spaces import home_of
from transforms.index.store import Reader, VectorStore
from transforms.records import Schema


def open_writer(location: IndexLocation, schema: Schema) -> VectorStore:
    """The index for writing, created where there is none.

    Raises RecipeMismatch for one of another recipe, IndexFormatError for one of another format or a
    folder of other things, IndexLocked when another process has it open. Takes no run lock: hold
    `lock.writing` around it. Stores of one process share one Edge shard.
    """
    if location.kind == "edge":
        from transforms.index.edge import EdgeStore

        return EdgeStore(location, schema)
    from transforms.index.server import open_server_writer

    return open_server_writer(location, schema)


def open_reader(location: IndexLocation) -> Reader:
    """The index for searching; `Reader.schema` is what the index says of itself.

    Edge: the version published last, looked for before each use; while a writer is at work too.
    Raises MissingIndex where there is none.
    """
    if location.kind == "edge":
        from transforms.index.published import PublishedReader

        return PublishedReader(location)
    from transforms.index.server import open_server_reader

    return open_server_reader(location)


def read_schema(location: IndexLocation) -> Schema | None:
    """What an index says of itself, without opening its points; None where there is none."""
    if location.kind == "edge":
        manifest = read_manifest(location.path)
        return None if manifest is None else schema_of(manifest, shown=str(location))
    try:
        reader = open_reader(location)
    except MissingIndex:
        return None
    try:
        return reader.schema
    finally:
        reader.close()


def release(location: IndexLocation) -> None:
    """Close this process's shared Edge shard until its next use, so that another process can open it."""
    if location.kind == "edge":
        from transforms.index.live import close_shared

        close_shared(home_of(location))
