"""Files that lie elsewhere: which of a model's are needed, and writing one that arrives piece by piece.

A file grows beside its place, goes on where it stopped, and is moved into place when it is the one that was listed.
"""

import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Protocol

from transforms.encoders.names import Name
from transforms.encoders.weights import sha256_of
from transforms.errors import DiskFull, MissingWeights

_ABOUT = ("README.md", "LICENSE*")
#: Small files beside the tensors: settings, vocabularies, the model's own card with its licence.
_BESIDE = ("*.json", "*.txt", "*.model", "*.jinja", "*.tiktoken", "*.bpe", "artifact.metadata", *_ABOUT)
_UNSAFE = ("*.bin", "*.pth", "*.pt", "*.ckpt", "*.pkl", "*.kv", "*.d2v", "*.doc2vec", "*.w2v", "*.npy")
#: Copies of the same model for other programs.
_OTHER_PROGRAMS = (
    "onnx/*",
    "openvino/*",
    "coreml/*",
    "tf/*",
    "flax/*",
    "gguf/*",
    "original/*",
    "runs/*",
    "checkpoint*/*",
)
#: The first of these patterns that matches anything decides which tensors are taken.
_TENSORS = {
    "faster-whisper": (("model.bin",),),
    "word-vectors": (("*.txt", "*.vec", "*.bin"),),
    "open_clip": (("open_clip_*.safetensors",), ("*.safetensors",)),
}
_USUAL_TENSORS = (
    ("model.safetensors", "model-*-of-*.safetensors", "*/model.safetensors", "*/model-*-of-*.safetensors"),
    ("*.safetensors",),
)


class Progress(Protocol):
    """Who hears how far a pull is."""

    def started(self, name: str, total_bytes: int) -> None:
        """A model's files are known; those that are here already do not count."""

    def advanced(self, count_bytes: int) -> None:
        """Bytes came, or were here from an earlier try; below zero where some must come again."""

    def finished(self, name: str) -> None:
        """A model is here."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A file on the hub or in a bucket."""

    file: str
    size_bytes: int
    version: str  # changes with its content; of the hub the name of its blob
    sha256: str = ""  # where it is known beforehand

    def __post_init__(self) -> None:
        parts = self.file.split("/")
        if not all(parts) or {"..", "."} & set(parts) or not re.fullmatch("[0-9a-f]{32,64}", self.version):
            raise MissingWeights(
                f"the list of the model's files is not to be trusted, nothing of it was taken: file={self.file!r}, "
                f"version={self.version!r}; take the model from somebody else"
            )


@dataclass(frozen=True, slots=True)
class Arrived:
    """A model that is here now."""

    source: str  # the hub's id, or the bucket's address
    revision: str  # the hub's commit; "" of a bucket
    place: Path
    files: tuple[Remote, ...]  # relative to the place
    downloaded_bytes: int


def wanted(files: Iterable[str], name: Name, *, inside: str = "") -> list[str]:
    """The files of a model that are needed, of all that there are; `inside` is the one file or folder that is meant.

    Raises MissingWeights where there are only weights that can run code, or none at all.
    """
    there = sorted(files)
    if inside in there:
        return [inside]
    scope = [file for file in there if not inside or file.startswith(f"{inside}/")]
    own = {file.removeprefix(f"{inside}/") if inside else file: file for file in scope}
    usable = [file for file in own if not _matches(file, _OTHER_PROGRAMS)]
    asked = name.option("file")
    preferences = ((asked,),) if asked else _TENSORS.get(name.family, _USUAL_TENSORS)
    tensors = next((found for one in preferences if (found := [file for file in usable if _matches(file, one)])), [])
    unsafe = [file for file in usable if _matches(file, _UNSAFE)]
    if not tensors and unsafe and not name.flag("unsafe"):
        raise MissingWeights(
            f"{name} holds its weights as {', '.join(unsafe[:3])} only, which can run code when they are read; "
            "take a model with safetensors, or say ?unsafe=true in its name if you trust whoever made it"
        )
    if not tensors and not unsafe:
        raise MissingWeights(f"{name} holds no weights (*.safetensors): {', '.join(usable[:5]) or 'it is empty'}")
    beside = [file for file in usable if _matches(file, _ABOUT if asked else _BESIDE)]
    return [own[file] for file in sorted({*(tensors or unsafe), *beside})]


def _matches(file: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch(file, pattern) for pattern in patterns)


@contextmanager
def alone(place: Path) -> Iterator[None]:
    """One process and thread at a time brings what belongs here; the others wait, and then find it. Raises OSError."""
    path = place.with_name(f"{place.name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("a") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            if not _is_still_at(path, held.fileno()):
                continue  # whoever had it before took the file away
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return


def _is_still_at(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def growing(place: Path, one: Remote) -> Path:
    """The file that grows beside the place, made if it is not there; never longer than the whole."""
    part = place.with_name(f"{place.name}.{one.version[:16]}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    if not part.exists() or part.stat().st_size > one.size_bytes:
        part.write_bytes(b"")
    return part


def put(part: Path, place: Path, one: Remote, *, of: str) -> None:
    """Move the part into place; raises MissingWeights where it is not the file that was listed."""
    if not is_right(part, one):
        found = _git_hash(part) if len(one.version) == 40 and not one.sha256 else sha256_of(part)
        part.unlink()
        raise MissingWeights(
            f"{one.file} of {of} came damaged: its checksum is {found}, wanted {one.sha256 or one.version}; "
            "run the same command again"
        )
    part.replace(place)


def is_right(path: Path, one: Remote) -> bool:
    """Whether this is the file that the hub or the bucket lists."""
    if not path.is_file() or path.stat().st_size != one.size_bytes:
        return False
    if one.sha256:
        return sha256_of(path) == one.sha256
    return len(one.version) != 40 or _git_hash(path) == one.version


def _git_hash(path: Path) -> str:
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def check_room(folder: Path, missing: Sequence[Remote]) -> None:
    needed = sum(one.size_bytes for one in missing)
    existing = next(path for path in (folder, *folder.parents) if path.is_dir())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise DiskFull(room(folder, f"{needed / 2**30:.1f} GiB are to come and {free / 2**30:.1f} GiB are free"))


def room(folder: Path, what: str) -> str:
    return f"there is no room for the weights: {what} at {folder}; free some, or set HF_HOME or REELVEC_CACHE elsewhere"
