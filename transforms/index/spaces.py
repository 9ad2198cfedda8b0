"""The spaces of an index: the vectors of one recipe each, of which exactly one is in use.

A change of the recipe fills another space beside the one in use and then switches, in one step: a folder has a
subfolder a space and says in its manifest which one is in use, a server has a collection a space and an alias.
The space that an index began with is the folder itself, so an index that never migrated has no subfolder.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from transforms.errors import IndexFormatError, MissingIndex, RecipeMismatch, StoreUnavailable
from transforms.index.location import IndexLocation
from transforms.index.manifest import MANIFEST, read_manifest, redirect_of, write_atomically
from transforms.index.store import HasId, Reader, VectorStore, Where
from transforms.records import ClipPoint, Schema, stable_id

FOLDER = "spaces"
KIND = "space"

_NOTE_ID = stable_id(KIND)


@dataclass(frozen=True, slots=True)
class SpaceNote:
    """What a space says of the switch that put it in use."""

    switched_at: str  # ISO 8601, UTC
    replaces: str  # the space that was in use before
    manifest: Mapping[str, Any]  # of that space, as JSON holds it
    keep_until: str  # ISO 8601, UTC: until then the one before can be switched back to
    checks: tuple[Mapping[str, Any], ...] = ()


def home_of(location: IndexLocation) -> IndexLocation:
    """Where the space in use lives: the location itself for a server, whose alias leads there."""
    if location.kind == "server" or location.space:
        return location
    manifest = read_manifest(location.path)
    return location.at(str(manifest.get("space") or "")) if manifest else location


def in_use(location: IndexLocation) -> IndexLocation:
    """The space in use by its own name, which stays what it is when another one is put in use."""
    if location.kind == "edge" or location.space:
        return home_of(location)
    from transforms.index.server import collection_in_use

    return location.at(collection_in_use(location) or "")


def space_for(location: IndexLocation, schema: Schema, used: str) -> IndexLocation:
    """Where the space of a recipe lives, or will; `used` is the one in use, which it never is."""
    name = schema.recipe[:12]
    space = f"{FOLDER}/{name}" if location.kind == "edge" else f"{location.name}--{name}"
    return location.at(space if space != used else f"{space}-2")  # the same vectors, kept in another quantization


def spaces_of(location: IndexLocation) -> tuple[str, ...]:
    """The names of all spaces that exist, in use or not."""
    if location.kind == "server":
        from transforms.index.server import collections_of

        return collections_of(location)
    folder = Path(location.folder)
    own = ("",) if (folder / "live").exists() else ()
    below = folder / FOLDER
    return (
        (*own, *sorted(f"{FOLDER}/{path.name}" for path in below.iterdir() if path.is_dir())) if below.exists() else own
    )


def left_behind(location: IndexLocation) -> tuple[str, ...]:
    """Spaces that are neither in use nor what `--rollback` goes back to."""
    used = in_use(location).space
    others = tuple(space for space in spaces_of(location) if space != used)
    note = note_of(location) if others else None
    return tuple(space for space in others if note is None or space != note.replaces)


def note_of(location: IndexLocation) -> SpaceNote | None:
    """What the space in use says of the switch that put it in use."""
    from transforms.index.open import open_reader

    reader = open_reader(location)
    try:
        return read_note(reader)
    finally:
        reader.close()


def kept_until(location: IndexLocation) -> dict[str, str]:
    """Spaces that are not in use and were once, each with the time (ISO 8601, UTC) until which it is kept.

    What a switch replaced is kept as long as that switch said; what was rolled back, as long as its own switch said of
    the one that it replaced. What never was in use is not among them.
    """
    used, spaces = in_use(location).space, spaces_of(location)
    notes = {space: note for space in spaces if (note := _note_in(location, space, used)) is not None}
    said: dict[str, list[str]] = {}
    for space, note in notes.items():
        for one in (space, note.replaces):
            said.setdefault(one, []).append(note.keep_until)
    if used in notes:
        said[notes[used].replaces] = [notes[used].keep_until]
    return {
        space: max(times, key=datetime.fromisoformat)
        for space, times in said.items()
        if space != used and space in spaces
    }


def _note_in(location: IndexLocation, space: str, used: str) -> SpaceNote | None:
    """What a space says of its switch; None for one that nobody switched to, or that this Reelvec cannot read."""
    if space == used:
        return note_of(location)
    if not space:  # the folder itself, which an index begins with
        return None
    try:
        return note_of(location.at(space))
    except (IndexFormatError, MissingIndex, RecipeMismatch):
        return None


def drop_expired(location: IndexLocation, *, now: datetime | None = None) -> tuple[str, ...]:
    """Delete the spaces whose time is over, of those that were in use before; gives what was deleted."""
    moment = now or datetime.now(UTC)
    over = [space for space, until in kept_until(location).items() if datetime.fromisoformat(until) <= moment]
    for space in over:
        drop_space(location, space)
    return tuple(over)


def switch(location: IndexLocation, space: str, manifest: Mapping[str, Any]) -> None:
    """Put a space in use, in one step: every search that begins later is answered by it alone.

    `manifest` is that of the space. Raises StoreUnavailable; then the one before is still in use.
    """
    if location.kind == "server":
        from transforms.index.server import point_alias

        point_alias(location, space)
        return
    text = json.dumps(redirect_of(manifest, space) if space else manifest, indent=1, ensure_ascii=True) + "\n"
    write_atomically(Path(location.folder, MANIFEST), text)


def drop_space(location: IndexLocation, space: str) -> None:
    """Delete a space that is not in use, and what it holds; one that is gone already is fine.

    Raises StoreUnavailable for what cannot be deleted.
    """
    if location.kind == "server":
        from transforms.index.server import drop_collection

        drop_collection(location, space)
        return
    if home_of(location).space == space:
        raise ValueError(f"the space in use is not dropped: {location}, space={space!r}")
    if space:
        _remove(Path(location.folder, space))
        return
    for name in ("CURRENT", "UNPUBLISHED", "live", "published"):
        _remove(Path(location.folder, name))


def _remove(path: Path) -> None:
    """Delete a file, or a folder with all that is in it; what is gone already is fine."""
    try:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except FileNotFoundError:  # somebody else deletes it too
        return
    except OSError as error:
        raise StoreUnavailable(
            f"a space that is no longer used cannot be deleted, so its disk is not free: {error.filename}: "
            f"{error.strerror}; give this user the right to delete it, and run again"
        ) from error


def read_note(reader: Reader) -> SpaceNote | None:
    """What the space says of the switch that put it in use; None for the first space of an index."""
    for point in reader.retrieve([_NOTE_ID]):
        held = {name: point.payload[name] for name in ("switched_at", "replaces", "keep_until")}
        return SpaceNote(**held, manifest=json.loads(point.payload["manifest"]), checks=tuple(point.payload["checks"]))
    return None


def delete_note(store: VectorStore) -> None:
    """Take it out of a space that is filled again: what is unfinished is not kept for a time."""
    store.delete(Where((HasId((_NOTE_ID,)),)))
    store.flush()


def write_note(store: VectorStore, note: SpaceNote) -> None:
    """Store it in the space, in place of the one before."""
    payload = {
        "kind": KIND,
        "switched_at": note.switched_at,
        "replaces": note.replaces,
        "keep_until": note.keep_until,
        "manifest": json.dumps(note.manifest),
        "checks": [dict(check) for check in note.checks],
    }
    store.upsert([ClipPoint(_NOTE_ID, {}, payload)])
    store.flush()
