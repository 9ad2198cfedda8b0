"""What the folder of an Edge index holds beside its points: the pointer, its version, what was left half-made."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from transforms.errors import ReelvecError
from transforms.index.live import CURRENT, LIVE, PUBLISHED
from transforms.index.location import IndexLocation
from transforms.index.open import open_reader, open_writer, release
from transforms.index.spaces import home_of
from transforms.index.store import Equals, Reader, Where
from transforms.records import Schema

#: Opening a version rewrites its smaller files, or takes them away; larger ones stay as they were published.
_STEADY_BYTES = 1 << 16

#: What a live shard and its published version must hold the same number of.
_COUNTED: Mapping[str, Where] = {
    "points": Where(),
    "searchable clips": Where((Equals("kind", "clip"), Equals("live", True))),
    "whole videos": Where((Equals("kind", "whole"),)),
    "ledger entries": Where((Equals("kind", "video"),)),
    "receipts": Where((Equals("kind", "receipt"),)),
}


def has_live(location: IndexLocation) -> bool:
    """Whether the shard that writers write is there."""
    return (home_of(location).path / LIVE).is_dir()


def current_version(location: IndexLocation) -> Path | None:
    """The folder that CURRENT names, there or not; None before the first publication."""
    home = home_of(location).path
    try:
        name = (home / CURRENT).read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return None
    return home / PUBLISHED / (name or "(nothing)")


def damage_of(location: IndexLocation, version: Path) -> str:
    """What is wrong with the files of a published version; "" when it can be opened.

    Files are compared with what the publication noted before the engine maps any: a file that is cut short kills it.
    """
    if not version.is_dir():
        return "there is no such folder"
    try:
        noted = json.loads((version / "stamps.json").read_text())
    except (OSError, ValueError):
        return "its list of files is gone or no JSON"
    for name, (_, size_bytes, _) in noted.items():
        path = version / name
        if size_bytes < _STEADY_BYTES:
            continue
        if not path.exists():
            return f"its file {name} is gone"
        if path.stat().st_size != size_bytes:
            return f"its file {name} has {path.stat().st_size} bytes, not {size_bytes}"
    try:
        reader = open_reader(location)
        try:
            reader.count(Where())
        finally:
            reader.close()
    except (ReelvecError, OSError) as error:
        return str(error)
    return ""


def distrust(version: Path) -> None:
    """Let the next publication copy every file anew, and share none with this version."""
    with suppress(FileNotFoundError, NotADirectoryError):
        (version / "stamps.json").unlink()


def half_made(location: IndexLocation) -> list[Path]:
    """Files and folders that a killed process left unfinished; while nobody writes, none is of use."""
    folder, home = Path(location.folder), home_of(location).path
    found = {*folder.glob(".*.part"), *home.glob(".*.part"), *folder.glob("rejects.tmp")}
    return sorted([*found, *(home / PUBLISHED).glob(".*.part"), *(home / PUBLISHED).glob(".*.gone")])


def counts_of(reader: Reader) -> dict[str, int]:
    """How many points of each kind a shard holds."""
    return {name: reader.count(where) for name, where in _COUNTED.items()}


def live_counts(location: IndexLocation, schema: Schema) -> dict[str, int]:
    """The same of the live shard, opened for a moment; hold the run lock around it."""
    store = open_writer(location, schema)
    try:
        return counts_of(store)
    finally:
        store.close()
        release(location)
