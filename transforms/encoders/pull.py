"""Getting weights: from a hub, or from a bucket. Nothing that can run code is taken unless `?unsafe=true` is said."""

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from transforms.encoders import hub
from transforms.encoders.cards import PACKAGED
from transforms.encoders.catalog import suggestions
from transforms.encoders.family import family
from transforms.encoders.lock import Lock, Locked, LockedFile, compare, key
from transforms.encoders.names import Name
from transforms.encoders.parts import with_parts
from transforms.encoders.pull_bucket import from_bucket
from transforms.encoders.pull_hub import from_hub, repository_of
from transforms.encoders.remote import Arrived, Progress, room
from transforms.encoders.weights import sha256_of
from transforms.errors import DiskFull, MissingPackage, MissingWeights, Outage, ReelvecError, UsageError


@dataclass(frozen=True, slots=True)
class Pulled:
    """What became of one name; `locked` is None where there was nothing to pull, and `note` says why."""

    name: str
    locked: Locked | None = None
    folder: Path | None = None
    downloaded_bytes: int = 0
    note: str = ""


class Quiet:
    """Nobody listens."""

    def started(self, name: str, total_bytes: int) -> None: ...

    def advanced(self, count_bytes: int) -> None: ...

    def finished(self, name: str) -> None: ...


def pull(names: Sequence[str], progress: Progress | None = None, *, lock: Lock | None = None) -> list[Pulled]:
    """Get the weights of these encoders, those of a lock at its revisions; what is here already is not sent again.

    Raises UsageError for what cannot be found, MissingWeights for what may not be read, Outage and DiskFull.
    """
    heard = progress or Quiet()
    return [_pull(Name.parse(name), heard, lock) for name in with_parts(names)]


def nothing_to_pull(name: Name) -> str:
    """Why a name needs no pull; "" where it does."""
    found = family(name.family)
    if f"{name.family}:{name.model}" in PACKAGED and not name.revision:
        return "its weights come with packages" if PACKAGED[f"{name.family}:{name.model}"].weights else "it has none"
    if name.is_local:
        return "its weights are a folder of this machine"
    return {
        "hub": "",
        "package": "its weights come with a package",
        "service": "a service computes it",
        "corpus": "it is fitted on the corpus",
        "nothing": "it has none",
    }[found.weights]


def _pull(name: Name, progress: Progress, lock: Lock | None) -> Pulled:
    if note := nothing_to_pull(name):
        return Pulled(str(name), note=note)
    locked = lock.of(name) if lock else None
    named = replace(name, revision=locked.revision) if locked else name
    source = name.model if name.is_bucket else repository_of(name)
    with _sentences(named, source):
        arrived = from_bucket(named, progress) if name.is_bucket else from_hub(named, progress)
        found = Locked(arrived.source, arrived.revision, _files(arrived))
    if locked:
        compare(named, locked, arrived.place)
    return Pulled(str(name), found, arrived.place, arrived.downloaded_bytes)


def _files(arrived: Arrived) -> tuple[LockedFile, ...]:
    ordered = sorted(one.file for one in arrived.files)
    places = [(file, arrived.place / file if arrived.place.is_dir() else arrived.place) for file in ordered]
    return tuple(LockedFile(file, path.stat().st_size, sha256_of(path)) for file, path in places)


@contextmanager
def _sentences(name: Name, source: str) -> Iterator[None]:
    """Failures of clients as one sentence with its cure."""
    try:
        yield
    except ReelvecError:
        raise
    except Exception as error:  # the clients' own classes share no base
        raise _sentence(error, name, source) from error


def _sentence(error: BaseException, name: Name, source: str) -> ReelvecError:
    from huggingface_hub import errors

    while isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ is not None:
        error = error.__cause__
    status = getattr(getattr(error, "response", None), "status_code", None)
    why = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
    if isinstance(error, errors.GatedRepoError) or status == 403:
        return MissingWeights(
            f"{source} is closed to this account: accept its terms on its page, then set HF_TOKEN to a token of yours"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return UsageError(
            f"{source} has no revision {name.revision!r}; leave @{name.revision} out, or pull with --update"
        )
    if isinstance(error, errors.RepositoryNotFoundError | errors.HFValidationError) or status in (401, 404):
        near = suggestions(key(name))
        meant = f"; did you mean {near}?" if near and near != key(name) else ""
        return UsageError(
            f"the hub has no {source!r}, or it is private and wants a valid HF_TOKEN: name={str(name)!r}{meant}"
        )
    if isinstance(error, errors.OfflineModeIsEnabled):
        return UsageError(f"nothing can be pulled while HF_HUB_OFFLINE is set: name={str(name)!r}; set it to 0")
    if isinstance(error, ImportError):
        extra = {"s3": "s3fs", "gs": "gcsfs"}.get(source.partition(":")[0], "")
        return MissingPackage(f"{source} cannot be read without its package: pip install {extra or why}")
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return DiskFull(room(hub.hub_cache(), str(error)))
    if isinstance(error, FileNotFoundError) and name.is_bucket:
        return UsageError(f"there is nothing at {source}: name={str(name)!r}")
    if isinstance(error, PermissionError) or "Credentials" in type(error).__name__:
        return MissingWeights(f"{source} may not be read or its copy not written here, log in to its store: {why}")
    answered = f"{source} answered with status {status}" if status else f"{source} cannot be reached or read"
    return Outage(f"{answered}; run the same command again, what came so far is kept: {why}")


def as_json(pulled: Pulled) -> dict[str, Any]:
    """One result as plain values."""
    locked = asdict(pulled.locked) if pulled.locked else {"repository": None, "revision": None, "files": []}
    folder = str(pulled.folder) if pulled.folder else None
    return {
        "name": pulled.name,
        "folder": folder,
        "downloaded_bytes": pulled.downloaded_bytes,
        "note": pulled.note,
        **locked,
    }
