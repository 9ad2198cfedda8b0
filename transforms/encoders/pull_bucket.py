"""One model from a bucket (gs://, s3://, whatever fsspec reads) into Reelvec's cache folder."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transforms.encoders import hub
from transforms.encoders.names import Name
from transforms.encoders.remote import Arrived, Progress, Remote, check_room, growing, put, wanted
from transforms.encoders.weights import write_whole

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
        """One file, from where an earlier try stopped."""
        part = growing(place, one)
        with self.store.open(f"{self.base}/{one.file}", "rb") as source, part.open("r+b") as target:
            progress.advanced(source.seek(target.seek(0, 2)))
            while chunk := source.read(_CHUNK_BYTES):
                target.write(chunk)
                progress.advanced(len(chunk))
        put(part, place, one, of=self.base)


def from_bucket(name: Name, progress: Progress) -> Arrived:
    """Bring what is missing or changed; the marker is written when all of it is here. Raises the store's errors."""
    copy = hub.bucket_copy(name.model)
    bucket = Bucket.at(name.model)
    chosen = set(wanted((one.file for one in bucket.files), name, inside=copy.name if bucket.single else ""))
    places = {one: copy if bucket.single else copy / one.file for one in bucket.files if one.file in chosen}
    had = _had(copy)
    missing = [one for one, place in places.items() if had.get(one.file) != one.version or not place.is_file()]
    size_bytes = sum(one.size_bytes for one in missing)
    progress.started(str(name), size_bytes)
    check_room(copy.parent, missing)
    for one in missing:
        bucket.fetch(one, places[one], progress)
    listed = {"url": name.model, "files": {one.file: one.version for one in places}}
    write_whole(hub.marker_of(copy), json.dumps(listed, indent=1) + "\n")
    progress.finished(str(name))
    return Arrived(name.model, "", copy, tuple(places), size_bytes)


def _version(about: dict[str, Any]) -> str:
    """What changes when an object does, by the words of the store that holds it."""
    told = [about.get(word) for word in ("ETag", "etag", "md5Hash", "generation", "LastModified", "mtime", "created")]
    return hashlib.sha256(repr((about["size"], told)).encode()).hexdigest()[:32]


def _had(copy: Path) -> dict[str, str]:
    """The versions of the files that an earlier pull brought."""
    try:
        return dict(json.loads(hub.marker_of(copy).read_text())["files"])
    except (OSError, ValueError, KeyError):
        return {}
