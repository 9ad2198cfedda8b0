"""Archives of indexes: export, what every run appends, import, compaction, and a look at their files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from transforms.archive.append import Appended, append
from transforms.archive.compact import Compacted, compact
from transforms.archive.layout import Archive, check_recipe, open_archive, open_or_create, writing_archive
from transforms.archive.restore import restore
from transforms.archive.state import Problem, archive_problems, read_state
from transforms.errors import MissingIndex, RecipeMismatch, StoreUnavailable
from transforms.index.ledger import read_entries
from transforms.index.location import IndexLocation
from transforms.index.lock import writing
from transforms.index.open import open_reader, open_writer, read_schema, release
from transforms.index.publish import publish
from transforms.index.store import Reader
from transforms.index.unpublished import mark_published, mark_unpublished
from transforms.records import LedgerEntry, Schema


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did."""

    created: bool
    videos: int
    clips: int
    points: int
    videos_unchanged: int
    videos_forgotten: int
    problems: tuple[str, ...]


def check_archive(folder: Path, schema: Schema, location: IndexLocation) -> None:
    """Raise, before anything is done, what `follow` would raise after it: another recipe, index or folder."""
    with writing_archive(folder):
        open_or_create(folder, schema, index=str(location))


def follow(folder: Path, reader: Reader, location: IndexLocation, entries: Mapping[str, LedgerEntry]) -> Appended:
    """Append what the archive lacks of an index; raises IndexLocked while another process writes the archive."""
    with writing_archive(folder):
        return append(open_or_create(folder, reader.schema, index=str(location)), reader, entries)


def export(location: IndexLocation, folder: Path) -> Appended:
    """Write what was published of an index; a second time only what changed since.

    Raises MissingIndex, and StoreUnavailable when the index changed meanwhile, or holds other clips than it says.
    """
    reader = open_reader(location)
    try:
        done = follow(folder, reader, location, read_entries(reader))
    finally:
        reader.close()
    if done.left:
        raise StoreUnavailable(
            f"{len(done.left)} videos hold another number of clips than the ledger says and were left out, e.g. "
            f"{done.left[0]}: {location} changed while it was read, or is damaged; export again"
        )
    return done


def import_archive(folder: Path, location: IndexLocation, *, wait: bool) -> Imported:
    """Make an index hold what an archive holds; it is created where there is none. No model is loaded.

    Raises RecipeMismatch before anything is written, UsageError for a damaged archive.
    """
    archive = open_archive(folder)
    state = read_state(archive)
    state.refuse_damage(folder)
    with writing(location, command="import", wait=wait):
        known = read_schema(location)
        if known is not None:
            _check(archive, known, location)
        store = open_writer(location, archive.schema)
        try:
            mark_unpublished(location)
            done = restore(archive, state, store, fresh=known is None or not read_entries(store))
            publish(location, store, optimize=False)
            mark_published(location)
        finally:
            store.close()
            release(location)
    told = tuple(f"{name}: {said}" for _, name, said in state.problems)
    return Imported(known is None, done.videos, done.clips, done.points, done.unchanged, done.forgotten, told)


def compact_archive(folder: Path) -> Compacted:
    """Merge the parts of an archive."""
    archive = open_archive(folder)
    with writing_archive(folder):
        return compact(archive)


def check(folder: Path, location: IndexLocation | None) -> list[Problem]:
    """What is wrong with an archive; with an index also what it lacks of it."""
    if location is None:
        return archive_problems(folder)
    if read_schema(location) is None:
        raise MissingIndex(f"there is no index at {location}")
    reader = open_reader(location)
    try:
        check_recipe(open_archive(folder), reader.schema)
        return archive_problems(folder, read_entries(reader).values())
    finally:
        reader.close()


def _check(archive: Archive, known: Schema, location: IndexLocation) -> None:
    try:
        check_recipe(archive, known)
    except RecipeMismatch as error:
        raise RecipeMismatch(f"nothing was imported into {location}: {error}") from error
