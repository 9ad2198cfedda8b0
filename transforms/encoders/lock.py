"""A recipe's lock: for each of its encoders the revision and the checksums that `weights pull` saw.

It lies beside a recipe's own file (`my.toml`, `my.lock`), or in the cache folder for a packaged recipe. Where there
is one, a recipe loads exactly these revisions, and files that are others are refused.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from transforms.encoders import hub
from transforms.encoders.names import Name
from transforms.encoders.parts import of_parts, parts_of
from transforms.encoders.weights import cache_folder, sha256_of, write_whole
from transforms.errors import MissingWeights, UsageError

_VERSION = 1


@dataclass(frozen=True, slots=True)
class LockedFile:
    """One file as it was pulled."""

    file: str  # relative to the model's folder
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Locked:
    """What one encoder's weights are."""

    repository: str  # a hub id, or a bucket's address
    revision: str  # the hub's commit; "" for a bucket
    files: tuple[LockedFile, ...]


@dataclass(frozen=True, slots=True)
class Lock:
    """What a recipe's encoders are, by `key` of their names."""

    encoders: Mapping[str, Locked]

    def of(self, name: Name) -> Locked | None:
        """What is locked of this encoder, if anything is."""
        return self.encoders.get(key(name))


def key(name: Name) -> str:
    """An encoder's name with those of its options only that decide what is pulled."""
    return str(replace(name, options=tuple(option for option in name.options if option[0] == "file")))


def lock_path(recipe: str) -> Path:
    """Where the lock of a recipe lies, given its name or its .toml file."""
    if recipe.endswith(".toml"):
        return Path(recipe).with_suffix(".lock")
    return cache_folder() / "locks" / f"{recipe}.lock"


def read_lock(path: Path) -> Lock | None:
    """The lock of this file; None where there is none. Raises UsageError for a file that is no lock."""
    try:
        written = json.loads(path.read_text())
        if written["version"] != _VERSION:
            raise ValueError(f"version {written['version']}, wanted {_VERSION}")
        return Lock(
            {
                name: Locked(one["repository"], one["revision"], tuple(LockedFile(**file) for file in one["files"]))
                for name, one in written["encoders"].items()
            }
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"the lock cannot be read: {path}: {error!r}; write it anew: reelvec weights pull") from error


def write_lock(path: Path, pulled: Mapping[str, Locked]) -> None:
    """Write the lock of encoders that were pulled, by their names. Raises OSError."""
    encoders = {key(Name.parse(name)): asdict(locked) for name, locked in sorted(pulled.items())}
    write_whole(path, json.dumps({"version": _VERSION, "encoders": encoders}, indent=1) + "\n")


def apply(name: str, lock: Lock | None) -> str:
    """The encoder's name with the locked revision, and with those of its parts; as it is where nothing is locked.

    Raises MissingWeights where the files are here and are not those of the lock.
    """
    if lock is None:
        return name
    plain = Name.parse(name)
    parts = parts_of(plain)
    pinned = tuple(apply(part, lock) for part in parts)
    asked = of_parts(plain, pinned) if pinned != parts else plain
    locked = lock.of(asked)
    if locked is None:
        return str(asked) if pinned != parts else name
    named = replace(asked, revision=locked.revision)
    try:
        place = hub.locate(named, locked.repository)
    except MissingWeights:
        return str(named)  # whoever loads it is told how to get them
    compare(named, locked, place)
    return str(named)


def compare(name: Name, locked: Locked, place: Path) -> None:
    """Raise MissingWeights for the first file that is missing or is not the one that was locked."""
    for one in locked.files:
        path = place / one.file if place.is_dir() else place
        if not path.is_file():
            raise MissingWeights(f"{name} lacks {one.file}, which its lock names: {place}; {hub.cure(name)}")
        found = sha256_of(path)
        if found != one.sha256:
            raise MissingWeights(
                f"a file of {name} is not the locked one: {path} has SHA-256 {found}, wanted {one.sha256}; "
                "delete it and pull again, or lock the new one with: reelvec weights pull --update"
            )
