"""What every place that holds remote media can do, and which one an address belongs to."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from transforms.records import SAME_BYTES, LedgerEntry, VideoRef
from transforms.remote.names import WEB, scheme_of
from transforms.remote.settings import RemoteSettings


class Broken(Exception):
    """A try that failed and may pass: no answer, a server's error, a connection that ended too soon."""


@dataclass(frozen=True, slots=True)
class Found:
    """One remote file, as a listing or a look shows it."""

    uri: str
    size_bytes: int
    version: str  # `etag:`, `md5:`, `generation:` or `modified:` with what the store says; "" where it says nothing


@dataclass(frozen=True, slots=True)
class Checksum:
    """What a store says of a file's bytes: lower-case hex."""

    name: str  # md5 or crc32c
    value: str


class Arriving(Protocol):
    """Takes the bytes of one file as they come."""

    def begins_at(self, offset: int) -> None:
        """The first byte that comes next has this place in the file; what lies behind it is forgotten."""

    def write(self, data: bytes) -> int:
        """Raises VideoChanged for more than was listed, DiskFull, and VideoChanged where the run was stopped."""


class Store(Protocol):
    """A place that holds remote media. Every method may raise Broken; who calls tries again."""

    def look(self, uri: str) -> Found | None:
        """What lies at an address, None where nothing does. Raises RemoteRefused, UsageError."""

    def pages(self, prefix: str) -> Iterator[list[Found]]:
        """All that begins with this address, page by page. Raises UsageError, and Broken after tries of its own."""

    def bring(self, video: VideoRef, offset: int, into: Arriving) -> Checksum | None:
        """Bring the listed version from this byte on. Raises VideoChanged, RemoteRefused."""

    def still_there(self, video: VideoRef) -> None:
        """Raise VideoChanged where a file that was just brought is not the listed one any more."""


def store_of(uri: str, settings: RemoteSettings) -> Store:
    """The place that an address belongs to. Raises MissingPackage."""
    scheme = scheme_of(uri)
    if scheme in WEB:
        from transforms.remote.web import Web

        return Web(settings)
    if scheme == "s3":
        from transforms.remote.s3 import S3

        return S3()
    if scheme == "gs":
        from transforms.remote.gcs import GCS

        return GCS()
    raise ValueError(f"not a remote address: uri={uri!r}")


def same_bytes(video: VideoRef | LedgerEntry) -> str:
    """A name that two remote videos share only where their store says that their bytes are the same; "": unknown.

    It begins with SAME_BYTES.
    The ETag of S3 is made from the bytes, that of a web server from whatever it likes.
    """
    scheme = scheme_of(video.uri)
    if (scheme == "s3" and video.version.startswith("etag:")) or video.version.startswith("md5:"):
        return f"{SAME_BYTES}{scheme}:{video.size_bytes}:{video.version}"
    return ""
