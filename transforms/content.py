"""What a local file holds, and whether it is still the one that was listed."""

import hashlib
import os
from pathlib import Path

from transforms.errors import VideoChanged
from transforms.records import VideoRef
from transforms.uris import path_of_uri, shown

_SAMPLE_BYTES = 65536


def content_of(path: Path) -> str:
    """SHA-256 of the file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sparse_content_of(path: Path) -> str:
    """SHA-256 of a file's size, beginning, middle and end, in hex: files where it differs are different."""
    with path.open("rb", buffering=0) as file:
        size_bytes = file.seek(0, os.SEEK_END)
        found = hashlib.sha256(str(size_bytes).encode())
        for start in sorted({0, max(0, size_bytes // 2), max(0, size_bytes - _SAMPLE_BYTES)}):
            file.seek(start)
            found.update(file.read(_SAMPLE_BYTES))
    return found.hexdigest()


def check_unchanged(video: VideoRef) -> None:
    """Raise VideoChanged unless the file still has the size and the time that were listed."""
    try:
        found = path_of_uri(video.uri).stat()
    except FileNotFoundError as error:
        raise VideoChanged(f"the file vanished while it was read: {shown(video.uri)}") from error
    if (found.st_size, str(found.st_mtime_ns)) != (video.size_bytes, video.version):
        raise VideoChanged(
            f"the file changed while it was read: {shown(video.uri)}, "
            f"size_bytes={video.size_bytes} then {found.st_size}; the next run takes it up"
        )
