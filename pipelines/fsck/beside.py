"""What lies around the points: an Edge index's folder, a server's collections, the file of rejects."""

from collections.abc import Iterable, Iterator, Mapping

from pipelines.fsck.problem import REPAIR, Problem
from pipelines.rejects import rejects_path, rejects_text
from transforms.index.folder import current_version, damage_of, half_made, has_live
from transforms.index.location import IndexLocation
from transforms.index.spaces import kept_until, left_behind
from transforms.index.unpublished import is_unpublished
from transforms.records import LedgerEntry

_PUBLISHES = f"{REPAIR} publishes the index anew"


def pointer_compared(location: IndexLocation) -> Iterator[Problem]:
    """Whether CURRENT names a version that readers can open."""
    version = current_version(location)
    damage = damage_of(location, version) if version is not None else ""
    while damage and version != (
        now := current_version(location)
    ):  # another was published while this one was looked at
        version = now
        damage = damage_of(location, version) if version is not None else ""
    if damage and version is not None:
        kind = "version_damaged" if version.is_dir() else "current_dangling"
        sentence = f"CURRENT names a version that searches cannot use: {version}: {damage}"
        if has_live(location):
            yield Problem(kind, str(version), sentence, _PUBLISHES, "distrust_and_publish")
        else:
            yield Problem(kind, str(version), sentence, "ingest again into another --index")


def folder_compared(location: IndexLocation) -> Iterator[Problem]:
    """What a killed process left; call it only while nobody writes the index."""
    if not has_live(location):
        sentence = f"the index has lost its folder 'live', so that nothing can be written: {location}"
        yield Problem("live_missing", location.folder, sentence, "ingest again into another --index")
    elif is_unpublished(location):
        sentence = f"a run changed the index and did not live to publish it: {location}"
        yield Problem("unpublished", location.folder, sentence, f"{_PUBLISHES}, and so does the next run", "publish")
    for path in half_made(location):
        sentence = f"a process that was killed left this half-made: {path}"
        yield Problem("left_half_made", str(path), sentence, f"{REPAIR} deletes it", "delete_file")


def published_compared(
    location: IndexLocation, live: Mapping[str, int], published: Mapping[str, int]
) -> Iterator[Problem]:
    """Whether searches see as many points as the writer's shard holds; counted by kind."""
    differ = [f"{count} {name}, not {published[name]}" for name, count in live.items() if count != published[name]]
    if differ:
        sentence = f"the index holds more or less than searches see: {'; '.join(differ)}: {location}"
        yield Problem("published_differs", location.folder, sentence, _PUBLISHES, "publish")


def rejects_compared(location: IndexLocation, entries: Iterable[LedgerEntry]) -> Iterator[Problem]:
    """Whether the file of rejects beside a folder says what the ledger says.

    A server's lies wherever its last run was started, and is not looked for.
    """
    if location.kind != "edge":
        return
    path, text = rejects_path(location), rejects_text(entries)
    held = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    if held != text:
        sentence = f"the file of rejects is not what the ledger says: {path}"
        yield Problem("rejects_file", str(path), sentence, f"{REPAIR} writes it anew", "write_rejects")


def spaces_compared(location: IndexLocation) -> Iterator[Problem]:
    """Spaces that no search uses, of migrations that are not finished; one that was in use is kept for its time."""
    kept = kept_until(location)
    for space in left_behind(location):
        if space in kept:
            continue
        sentence = (
            "vectors of another recipe take room, no search uses them and --rollback does not go back to them; a "
            f"migration left them that is not finished: {location}: {space}"
        )
        cure = "`reelvec migrate --recipe ...` (or reindex) again ends it, `reelvec migrate --abandon` deletes it"
        yield Problem("space_left_behind", space, sentence, cure)


def spaces_kept(location: IndexLocation) -> Iterator[str]:
    """What takes room on purpose, in sentences: spaces that were in use, beside the one for --rollback."""
    others = left_behind(location)
    for space, until in kept_until(location).items() if others else ():
        if space in others:
            yield (
                "vectors of another recipe, which were in use before and were rolled back or replaced, are kept until "
                f"{until}, when the next run deletes them: {location}: {space or 'the folder itself'}; "
                "`reelvec migrate --recipe ...` uses them again, `reelvec migrate --abandon` deletes them now"
            )


def collections_compared(location: IndexLocation) -> Iterator[Problem]:
    """Whether the alias of a server's index names one good collection, and no other is left behind."""
    from transforms.index.collections import collections_of

    found = collections_of(location)
    others = tuple(name for name in found.held if name != found.aliased)
    url = f"{location.url}/collections"
    if found.aliased is None and others:
        yield from _nameless(location, others)
        return
    if found.dangling:
        sentence = f"the alias {location.name!r} names a collection that is not there: {found.aliased}"
        cure = f"let it name {' or '.join(others)} (POST {url}/aliases)" if others else "ingest again"
        yield Problem("alias_dangling", location.name, sentence, cure)
        return
    for field in found.unindexed:
        sentence = f"the collection {found.aliased} has no payload index of {field!r}, which every search filters by"
        yield Problem("index_missing", field, sentence, f"{REPAIR} makes it", "index_payloads")


def _nameless(location: IndexLocation, others: tuple[str, ...]) -> Iterator[Problem]:
    if len(others) == 1:
        sentence = f"the server has the collection {others[0]} and no alias {location.name!r} names it"
        yield Problem("alias_missing", others[0], sentence, f"{REPAIR} lets the alias name it", "name_collection")
        return
    sentence = f"the server has {len(others)} collections of that name and the alias names none: {', '.join(others)}"
    cure = f"choose one and let the alias {location.name!r} name it (POST {location.url}/collections/aliases)"
    yield Problem("alias_missing", location.name, sentence, cure)
