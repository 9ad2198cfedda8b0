"""`fsck`: look at an index from all sides, mend what can be mended, and look again."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

from pipelines.fsck.beside import (
    collections_compared,
    folder_compared,
    pointer_compared,
    published_compared,
    rejects_compared,
    spaces_compared,
    spaces_kept,
)
from pipelines.fsck.books import read_books
from pipelines.fsck.corpus import corpus_compared
from pipelines.fsck.mend import mend_points
from pipelines.fsck.points import read_clips, read_wholes
from pipelines.fsck.problem import Problem
from pipelines.fsck.videos import videos_compared
from pipelines.rejects import write_rejects
from transforms.archive.layout import check_recipe, open_archive
from transforms.archive.state import archive_problems
from transforms.errors import IndexLocked, MissingIndex, RecipeMismatch
from transforms.index.folder import counts_of, current_version, distrust, has_live, live_counts
from transforms.index.ledger import read_entries
from transforms.index.location import IndexLocation
from transforms.index.lock import holder, writing
from transforms.index.open import open_reader, open_writer, read_schema, release
from transforms.index.publish import publish
from transforms.index.store import Reader
from transforms.index.unpublished import mark_published, mark_unpublished
from transforms.records import Schema
from transforms.uris import is_local, path_of_uri

#: One mend may lay bare another problem; more rounds than this would mean that mending makes problems.
_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class FsckReport:
    """What is wrong with an index now; `repaired` counts what was and is no longer."""

    index: str
    problems: tuple[Problem, ...]
    repaired: int = 0
    notes: tuple[str, ...] = ()  # what was not looked at, and why; what takes room on purpose


def fsck(
    location: IndexLocation,
    *,
    corpus: Sequence[str] = (),
    archive: Path | None = None,
    repair: bool = False,
    wait: bool = False,
) -> FsckReport:
    """Compare all that an index holds; `repair` takes the writer's lock, mends, publishes and looks again.

    Without it nothing is changed and no lock is held: what readers see is looked at, also while a run writes.
    Raises MissingIndex, IndexFormatError for an index of a newer format, IndexLocked (`repair`), Outage.
    """
    if repair:
        with writing(location, command="fsck", wait=wait):
            return _repair(location, corpus, archive)
    return _look(location, corpus, archive)


def _look(location: IndexLocation, corpus: Sequence[str], archive: Path | None) -> FsckReport:
    problems = _stands(location)
    if any(problem.kind.startswith("alias") for problem in problems):
        return FsckReport(str(location), tuple(problems))
    schema = _schema(location)
    writer, notes = holder(location), []
    if writer is not None:
        notes.append(
            f"a run writes the index ({writer}): receipts, counts of clips, files and the corpus were not compared; "
            "look again when it is done"
        )
    if any(problem.mend == "distrust_and_publish" for problem in problems):
        notes.append("no clip and no ledger entry could be looked at: searches cannot open what was published")
    else:
        problems += spaces_compared(location)
        notes += spaces_kept(location)
        found = _read_twice(location, schema, busy=writer is not None)
        problems += found
        if writer is None:
            problems += [*_corpus(location, corpus), *_archive(location, archive)]
    if location.kind == "edge" and writer is None:
        problems += folder_compared(location)
        problems += _live_compared(location, schema, problems)
    return FsckReport(str(location), tuple(problems), notes=tuple(notes))


def _repair(location: IndexLocation, corpus: Sequence[str], archive: Path | None) -> FsckReport:
    before: dict[tuple[str, str, str], Problem] = {}
    left: list[Problem] = []
    for _ in range(_ROUNDS):
        left = _all_problems(location)
        before |= {problem.key: problem for problem in left}
        if any(problem.kind == "record_newer" for problem in left) or not any(problem.mend for problem in left):
            break
        _mend(location, left)
    else:
        left = _all_problems(location)
    mended = before.keys() - {problem.key for problem in left}
    notes: list[str] = []
    if not any(problem.kind.startswith("alias") for problem in left):
        notes += spaces_kept(location)
        left += [*spaces_compared(location), *_corpus(location, corpus), *_archive(location, archive)]
    return FsckReport(str(location), tuple(left), repaired=len(mended), notes=tuple(notes))


def _all_problems(location: IndexLocation) -> list[Problem]:
    """Everything but the corpus, of what the writer's store holds; hold the run lock around it."""
    problems = _stands(location)
    if any(problem.kind.startswith("alias") for problem in problems):
        return problems
    schema = _schema(location)
    if location.kind == "edge":
        problems += folder_compared(location)
        if not has_live(location):
            return problems
    store = open_writer(location, schema)
    try:
        problems += _points(store, location, schema, busy=False)
        if location.kind == "edge" and not any(problem.mend == "distrust_and_publish" for problem in problems):
            reader = open_reader(location)
            try:
                problems += published_compared(location, counts_of(store), counts_of(reader))
            finally:
                reader.close()
    finally:
        store.close()
        release(location)
    return problems


def _mend(location: IndexLocation, problems: Sequence[Problem]) -> None:
    mends = {problem.mend for problem in problems}
    if "name_collection" in mends or "index_payloads" in mends:
        _mend_collections(location, problems)
    for problem in problems:
        if problem.mend == "delete_file":
            _delete(Path(problem.id))
    if "distrust_and_publish" in mends and (version := current_version(location)) is not None:
        distrust(version)
    if "name_collection" in mends:  # what it holds is looked at in the next round
        return
    store = open_writer(location, _schema(location))
    try:
        mark_unpublished(location)
        mend_points(store, problems)
        publish(location, store, optimize=False)
        mark_published(location)
        if location.kind == "edge":
            write_rejects(location, read_entries(store).values())
    finally:
        store.close()
        release(location)


def _mend_collections(location: IndexLocation, problems: Sequence[Problem]) -> None:
    from transforms.index.collections import collections_of, index_payloads, name_collection

    for problem in problems:
        if problem.mend == "name_collection":
            name_collection(location, problem.id)
    fields = tuple(problem.id for problem in problems if problem.mend == "index_payloads")
    aliased = collections_of(location).aliased
    if fields and aliased is not None:
        index_payloads(location, aliased, fields)


def _stands(location: IndexLocation) -> list[Problem]:
    """Whether the pointer or the alias names something that can be read."""
    return list(pointer_compared(location) if location.kind == "edge" else collections_compared(location))


def _schema(location: IndexLocation) -> Schema:
    schema = read_schema(location)
    if schema is None:
        raise MissingIndex(f"there is no index here: {location}; make one with `reelvec ingest`")
    return schema


def _points(reader: Reader, location: IndexLocation, schema: Schema, *, busy: bool) -> list[Problem]:
    """Ledger, clips, whole videos and receipts against each other.

    While a run writes (`busy`), only what no run in progress can explain: the records and the points by themselves.
    """
    books = read_books(reader)
    points = read_clips(reader)
    read_wholes(reader, points, books, counted=not busy)
    problems = [*books.problems, *points.problems]
    if not busy:
        problems += videos_compared(books, points, schema.recipe, _is_here)
        if not books.problems:
            problems += rejects_compared(location, books.entries.values())
    return problems


def _read_twice(location: IndexLocation, schema: Schema, *, busy: bool) -> list[Problem]:
    """What two looks find: a store that changes while it is read can look wrong once."""
    found: list[Problem] = []
    for look in range(2):
        reader = open_reader(location)
        try:
            seen = _points(reader, location, schema, busy=busy)
        finally:
            reader.close()
        if not seen:
            return []
        first = {problem.key for problem in found}
        found = [problem for problem in seen if not look or problem.key in first]
    return found


def _corpus(location: IndexLocation, corpus: Sequence[str]) -> list[Problem]:
    if not corpus:
        return []
    reader = open_reader(location)
    try:
        entries = read_books(reader).entries
    finally:
        reader.close()
    return list(corpus_compared(corpus, entries, location))


def _archive(location: IndexLocation, archive: Path | None) -> list[Problem]:
    """What is wrong with the archive, and where it differs from the ledger."""
    if archive is None:
        return []
    reader = open_reader(location)
    try:
        check_recipe(open_archive(archive), reader.schema)
        entries = read_books(reader).entries
    except RecipeMismatch as error:
        cure = "after a change of recipe: another folder for --archive, which the next run fills"
        return [Problem("archive_of_other_recipe", str(archive), str(error), cure)]
    finally:
        reader.close()
    cure = f"run again with --archive {archive}; `reelvec archive check` says more"
    found = archive_problems(archive, entries.values())
    return [Problem(kind.replace("-", "_"), name, f"{sentence}: {name}", cure) for kind, name, sentence in found]


def _live_compared(location: IndexLocation, schema: Schema, problems: Sequence[Problem]) -> list[Problem]:
    """Whether searches see what the writer's shard holds: opened for a moment, unless a run begins just then."""
    unusable = any(problem.mend == "distrust_and_publish" for problem in problems)
    if unusable or not has_live(location) or any(problem.kind == "unpublished" for problem in problems):
        return []
    with suppress(IndexLocked), writing(location, command="fsck", wait=False):
        live = live_counts(location, schema)
        reader = open_reader(location)
        try:
            return list(published_compared(location, live, counts_of(reader)))
        finally:
            reader.close()
    return []


def _is_here(uri: str) -> bool:
    return is_local(uri) and path_of_uri(uri).is_file()


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        rmtree(path)
    else:
        path.unlink(missing_ok=True)
