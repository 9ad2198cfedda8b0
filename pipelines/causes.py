"""Rejects by what caused them, and taking them off the list for good."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipelines.rejects import write_rejects
from transforms.content import content_of
from transforms.errors import MissingIndex, UsageError
from transforms.index.kinds import points_of
from transforms.index.ledger import delete_entries, delete_receipts, read_entries, write_entries
from transforms.index.location import IndexLocation
from transforms.index.lock import writing
from transforms.index.open import open_reader, open_writer, read_schema, release
from transforms.index.publish import publish
from transforms.index.store import VectorStore
from transforms.index.unpublished import mark_published, mark_unpublished
from transforms.plain import to_plain
from transforms.records import LedgerEntry, Reject
from transforms.uris import is_local, is_message, path_of_uri, shown, uri_of_path
from transforms.write.commit import may_be_mended

_URI = re.compile(r"[a-z][a-z0-9+.-]*://\S+")
_PATH = re.compile(r"(?<!\w)~?(?:/[^/\s:,;'\"()]+)+/?")
_NUMBER = re.compile(r"\b0x[0-9a-f]+\b|(?<![\w.])\d+(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class Cause:
    """Rejects that went wrong in the same way."""

    error: str
    stage: str
    cause: str  # their message without paths and numbers
    rejects: int
    videos: int
    tried_again: int  # so many of the rejects are tried again by the next run
    example: Reject


def cause_of(reject: Reject) -> str:
    """What a reject says, without what is its own: paths, its file's name, and numbers."""
    message = reject.message.replace(shown(reject.uri), "VIDEO")
    name = shown(reject.uri).rsplit("/", 1)[-1]
    message = message.replace(name, "VIDEO") if name else message
    return _NUMBER.sub("N", _PATH.sub("PATH", _URI.sub("URI", message)))


def causes(entries: Iterable[LedgerEntry]) -> list[Cause]:
    """The rejects of these videos by error, stage and cause, the most frequent first."""
    alike: dict[tuple[str, str, str], list[tuple[LedgerEntry, Reject]]] = defaultdict(list)
    for entry in entries:
        for reject in entry.rejects:
            alike[reject.error, reject.stage, cause_of(reject)].append((entry, reject))
    found = [
        Cause(
            *key,
            rejects=len(some),
            videos=len({entry.uri for entry, _ in some}),
            tried_again=sum(reject.transient and may_be_mended(entry) for entry, reject in some),
            example=min((reject for _, reject in some), key=lambda reject: (reject.uri, reject.start_seconds or 0.0)),
        )
        for key, some in alike.items()
    ]
    return sorted(found, key=lambda cause: (-cause.rejects, cause.error, cause.stage, cause.cause))


def read_causes(location: IndexLocation) -> list[Cause]:
    """The causes of all rejects of an index, as it was published last."""
    return causes(_entries(location).values())


def details(location: IndexLocation, name: str) -> list[dict[str, Any]]:
    """All that is known of a reject, by its id, or of every reject of a video, by its path or URI, and what to do.

    Raises UsageError where there is none of it.
    """
    entries = _entries(location)
    uri = uri_of(name)
    found = [
        (entry, reject)
        for entry in entries.values()
        for reject in entry.rejects
        if reject.id == name or entry.uri == uri
    ]
    if not found:
        entry = entries.get(uri)
        known = f"its state is {entry.state!r}" if entry is not None else "the index does not know it"
        raise UsageError(f"nothing of {name!r} was rejected ({known}); `reelvec dlq list` shows what was")
    return [_detailed(entry, reject) for entry, reject in found]


def drop(
    location: IndexLocation, videos: Sequence[str] = (), *, error: str | None = None, wait: bool = False
) -> list[str]:
    """Take rejects off the list: their videos are kept out until their bytes change. Gives their URIs.

    What could be read of a partial video stays searchable. Raises UsageError where nothing was rejected.
    """
    schema = read_schema(location)
    if schema is None:
        raise MissingIndex(f"there is no index here: {location}; make one with `reelvec ingest`")
    with writing(location, command="dlq drop", wait=wait):
        store = open_writer(location, schema)
        try:
            entries = read_entries(store)
            chosen = choose(entries.values(), videos, error=error)
            mark_unpublished(location)
            for uri in chosen:
                _drop_one(store, entries[uri])
            store.flush()
            publish(location, store, optimize=False)
            mark_published(location)
            write_rejects(location, read_entries(store).values())
            return chosen
        finally:
            store.close()
            release(location)


def replayable(location: IndexLocation, videos: Sequence[str] = (), *, error: str | None = None) -> list[str]:
    """URIs of the rejected videos that are meant, and of dropped ones that are named: they are tried again too."""
    entries = _entries(location)
    named = {uri_of(video) for video in videos}
    dropped = sorted(uri for uri in named if uri in entries and entries[uri].state == "dropped")
    others = named - set(dropped)
    return [*dropped, *(choose(entries.values(), others, error=error) if others or not dropped else ())]


def choose(entries: Iterable[LedgerEntry], videos: Collection[str], *, error: str | None) -> list[str]:
    """URIs of the rejected videos that are meant: those named, or those with a reject of this class, or all."""
    rejected = {entry.uri: {reject.error for reject in entry.rejects} for entry in entries if entry.rejects}
    named = {uri_of(video) for video in videos}
    if unknown := named - rejected.keys():
        raise UsageError(f"nothing of {shown(min(unknown))!r} was rejected; `reelvec dlq list` shows what was")
    classes = {kind for kinds in rejected.values() for kind in kinds}
    if error is not None and error not in classes:
        raise UsageError(f"no reject is of the class {error!r}; there are {', '.join(sorted(classes)) or 'none'}")
    return sorted(
        uri for uri, kinds in rejected.items() if (not named or uri in named) and (error is None or error in kinds)
    )


def uri_of(name: str) -> str:
    """The URI of a video that a person named by it or by its path."""
    return name if "://" in name else uri_of_path(name)


def _drop_one(store: VectorStore, entry: LedgerEntry) -> None:
    if is_message(entry.uri):  # there are no bytes of it to wait for
        delete_entries(store, [entry.uri])
        return
    dropped = replace(entry, rejects=(), content=entry.content or _content_now(entry))
    if entry.state != "partial":  # nothing of these bytes is searchable, and no other bytes are waited for
        dropped = replace(dropped, state="dropped", live_content="", clips=0, vectors=(), searchable_since="")
        store.delete(points_of(entry.uri))
    delete_receipts(store, entry.uri)
    write_entries(store, [dropped])


def _content_now(entry: LedgerEntry) -> str:
    """SHA-256 of a file that is still the one that was rejected, so that a touched one is known again."""
    try:
        path = path_of_uri(entry.uri) if is_local(entry.uri) else None
        if path is None or (path.stat().st_size, str(path.stat().st_mtime_ns)) != (entry.size_bytes, entry.version):
            return ""
        return content_of(path)
    except OSError:
        return ""


def _detailed(entry: LedgerEntry, reject: Reject) -> dict[str, Any]:
    again = reject.transient and may_be_mended(entry)
    return {
        "id": reject.id,
        "video": shown(reject.uri),
        **to_plain(reject),
        "cause": cause_of(reject),
        "state": entry.state,
        "clips": entry.clips,
        "live_content": entry.live_content,
        "recipe": entry.recipe,
        "tried_again": again,
        "cure": _cure(entry, again=again),
    }


def _cure(entry: LedgerEntry, *, again: bool) -> str:
    video = shown(entry.uri)
    if is_message(entry.uri):
        return f"mend whoever sends it, and have it sent again; to take it off the list: reelvec dlq drop {video}"
    if again:
        return f"the next run tries it again; to stop that: reelvec dlq drop {video}"
    return (
        f"mend or replace the file, and the next run takes it up; after a fix of anything else: reelvec dlq replay "
        f"{video}; to take it off the list: reelvec dlq drop {video}"
    )


def _entries(location: IndexLocation) -> dict[str, LedgerEntry]:
    reader = open_reader(location)
    try:
        return read_entries(reader)
    finally:
        reader.close()
