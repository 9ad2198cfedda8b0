"""A listed video as a file of this machine, wherever it lies."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from transforms.content import check_unchanged, content_of
from transforms.errors import IngestError
from transforms.records import VideoRef
from transforms.remote.fetch import held
from transforms.remote.names import is_remote
from transforms.remote.settings import RemoteSettings
from transforms.uris import path_of_uri


@dataclass(frozen=True, slots=True)
class OnDisk:
    """Where the bytes of a video lie while it is read; their SHA-256, where fetching them told it."""

    path: Path
    sha256: str = ""

    @property
    def content(self) -> str:
        """SHA-256 of the bytes, in hex."""
        return self.sha256 or content_of(self.path)


@contextmanager
def on_disk(video: VideoRef, remote: RemoteSettings) -> Iterator[OnDisk]:
    """The very version of a video that was listed: a local file where it is, a remote one fetched and held.

    Raises VideoChanged when it is not, or does not stay, that version: no reject is made of it. A remote one cannot
    change once it is here.
    """
    if is_remote(video.uri):
        with held(video, remote) as copy:
            yield OnDisk(copy.path, copy.sha256)
        return
    check_unchanged(video)
    try:
        yield OnDisk(path_of_uri(video.uri))
    except IngestError:
        check_unchanged(video)
        raise
    check_unchanged(video)
