"""A URI that an event named -> the file as it is now."""

import errno
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transforms.errors import ForbiddenUri, Outage, UsageError
from transforms.media.sniff import MEDIA_SUFFIXES
from transforms.records import Scalar, VideoRef
from transforms.uris import is_local, path_of_uri, shown, uri_of_path

#: What is wrong with the name or the rights of one file, and not with the disk.
_OF_THE_NAME = (errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL)


@dataclass(frozen=True, slots=True)
class Places:
    """Where the files of events lie, and which of them may be read.

    `mapped` leads from the beginning of a URI to a folder that holds the same files. With `roots`, files elsewhere,
    also where a link leads there, are forbidden.
    """

    roots: tuple[Path, ...] = ()
    mapped: tuple[tuple[str, Path], ...] = ()

    def local(self, uri: str) -> str:
        """The URI that a video is known by here; raises ForbiddenUri for one that must not, or cannot, be read."""
        for prefix, folder in self.mapped:
            if uri.startswith(prefix):
                uri = uri_of_path(path_of_uri(f"{uri_of_path(folder)}/{uri.removeprefix(prefix)}"))
                if not _lies_in(path_of_uri(uri), folder):
                    raise ForbiddenUri(f"a key leads out of its folder: {shown(uri)}")
                break
        if not is_local(uri):
            raise ForbiddenUri(
                f"only files can be read: {uri}; if a folder holds them, lead there: --map PREFIX=FOLDER"
            )
        path = path_of_uri(uri)
        if self.roots and not any(_lies_in(path, root) for root in self.roots):
            raise ForbiddenUri(f"an event names a file outside of --root {self.roots[0]}: {shown(uri)}")
        return uri

    def check_mounted(self) -> None:
        """Raise Outage where a folder is gone: its files are not missing, a disk may not be mounted."""
        for folder in (*self.roots, *(folder for _, folder in self.mapped)):
            if not folder.is_dir():
                raise Outage(f"the folder of the events' files is not there: {folder}; is a disk not mounted?")


def mapping(text: str) -> tuple[str, Path]:
    """PREFIX=FOLDER as `Places.mapped` takes it; raises UsageError for anything else."""
    prefix, mark, folder = text.rpartition("=")
    if not mark or "://" not in prefix or not folder:
        raise UsageError(f"--map is the beginning of URIs and a folder, like gs://bucket/=/mnt/bucket: {text!r}")
    if not Path(folder).is_dir():
        raise UsageError(f"--map leads to no folder: {folder!r}")
    return prefix.rstrip("/") + "/", Path(folder).absolute()


def look(uri: str, *, origin: str, metadata: Sequence[tuple[str, Scalar]], event: str) -> VideoRef | None:
    """The file as it is now, None where there is none; raises ForbiddenUri for what is no regular file."""
    path = path_of_uri(uri)
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno not in _OF_THE_NAME:
            raise Outage(f"a file cannot be looked at now: {shown(uri)}: {error.strerror}") from error
        raise ForbiddenUri(f"a file cannot be looked at: {shown(uri)}: {error}") from error
    if not stat.S_ISREG(found.st_mode):
        raise ForbiddenUri(f"neither a video nor any other regular file: {shown(uri)}")
    return VideoRef(
        uri,
        found.st_size,
        str(found.st_mtime_ns),
        expected=path.suffix.lower() in MEDIA_SUFFIXES,
        origin=origin,
        metadata=tuple(metadata),
        event=event,
    )


def _lies_in(path: Path, folder: Path) -> bool:
    own, root = Path(os.path.realpath(path)), Path(os.path.realpath(folder))
    return own == root or root in own.parents
