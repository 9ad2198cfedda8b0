"""One model from a bucket (gs://, s3://, whatever fsspec reads) into Reelvec's cache folder."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from transforms.encoders import hub
from transforms.encoders.names import Name
from transforms.encoders.remote import Arrived, Progress, Remote, alone, check_room, growing, put, wanted
from transforms.encoders.weights import sha256_of, write_whole

_CHUNK_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Bucket:
    """What lies at a bucket's address: files in a folder, or one file."""

    store: Any
    base: str
    files: tuple[Remote, ...]
    single: bool

    @classmethod
    def at(cls, url: str) -> "Bucket":
        """List it; raises FileNotFoundError where nothing is."""
        from fsspec.core import url_to_fs

        store, root = url_to_fs(url)
        found: dict[str, dict[str, Any]] = store.find(root, detail=True)
        if not found:
            raise FileNotFoundError(url)
        single = list(found) == [root]
        base = root.rpartition("/")[0] if single else root.rstrip("/")
        paths = {path.removeprefix(f"{base}/"): about for path, about in found.items()}
        files = tuple(
            Remote(file, int(about["size"]), _version(about))
            for file, about in paths.items()
            if about["type"] == "file"
        )
        return cls(store, base, files, single)

    def fetch(self, one: Remote, place: Path, progress: Progress) -> None:
        """One file, from where an earlier try stopped if what it brought is still as it came."""
        part = growing(place, one)
        note = part.with_name(f"{part.name}.sha256")  # of what came so far: stores give no checksum of a beginning
        with self.store.open(f"{self.base}/{one.file}", "rb") as source, part.open("r+b") as target:
            came = _beginning(target, note)
            progress.advanced(source.seek(target.tell()))
            while chunk := source.read(_CHUNK_BYTES):
                target.write(chunk)
                target.flush()
                came.update(chunk)
                write_whole(note, f"{target.tell()} {came.hexdigest()}")
                progress.advanced(len(chunk))
        put(part, place, one, of=self.base)
        note.unlink(missing_ok=True)


def from_bucket(name: Name, progress: Progress) -> Arrived:
    """Bring what is missing, changed or damaged, and remove what the bucket no longer has.

    The marker is written when all of it is here. Raises the store's errors.
    """
    copy = hub.bucket_copy(name.model)
    with alone(hub.marker_of(copy)):
        return _from_bucket(name, copy, progress)


def _from_bucket(name: Name, copy: Path, progress: Progress) -> Arrived:
    bucket = Bucket.at(name.model)
    chosen = set(wanted((one.file for one in bucket.files), name, inside=copy.name if bucket.single else ""))
    places = {one: copy if bucket.single else copy / one.file for one in bucket.files}
    had = _had(copy)
    kept = {one.file for one, place in places.items() if _is_as_it_came(place, one, had)}
    files = tuple(one for one in places if one.file in chosen)
    missing = [one for one in files if one.file not in kept]
    size_bytes = sum(one.size_bytes for one in missing)
    progress.started(str(name), size_bytes)
    check_room(copy.parent, missing)
    for one in missing:
        bucket.fetch(one, places[one], progress)
    listed = {
        one.file: {"version": one.version, "sha256": sha256_of(place)}
        for one, place in places.items()
        if one.file in kept | chosen
    }
    for file in had.keys() - listed.keys():  # of an earlier state of the bucket: loaders would take it for the model's
        (copy / file).unlink(missing_ok=True)
    write_whole(hub.marker_of(copy), json.dumps({"url": name.model, "files": listed}, indent=1) + "\n")
    progress.finished(str(name))
    return Arrived(name.model, "", copy, files, size_bytes)


def _beginning(target: BinaryIO, note: Path) -> Any:
    """The checksum of what an earlier try brought, `target` standing behind it; of nothing where it is not as noted."""
    try:
        size, _, sha256 = note.read_text().partition(" ")
        content = hashlib.sha256()
        left = int(size)
        while left and (chunk := target.read(min(left, _CHUNK_BYTES))):
            content.update(chunk)
            left -= len(chunk)
        if left == 0 and content.hexdigest() == sha256:
            target.truncate()
            return content
    except (OSError, ValueError):
        pass  # no note, or none that can be read
    target.seek(0)
    target.truncate()
    return hashlib.sha256()


def _is_as_it_came(place: Path, one: Remote, had: dict[str, tuple[str, str]]) -> bool:
    version, sha256 = had.get(one.file, ("", ""))
    whole = version == one.version and place.is_file() and place.stat().st_size == one.size_bytes
    return whole and sha256_of(place) == sha256


def _version(about: dict[str, Any]) -> str:
    """What changes when an object does, by the words of the store that holds it."""
    told = [about.get(word) for word in ("ETag", "etag", "md5Hash", "generation", "LastModified", "mtime", "created")]
    return hashlib.sha256(repr((about["size"], told)).encode()).hexdigest()[:32]


def _had(copy: Path) -> dict[str, tuple[str, str]]:
    """Version and SHA-256 of each file that an earlier pull brought."""
    try:
        files = json.loads(hub.marker_of(copy).read_text())["files"]
        return {str(file): (str(about["version"]), str(about["sha256"])) for file, about in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
