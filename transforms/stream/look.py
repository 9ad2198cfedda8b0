"""A URI that an event named -> the file, or the object of a bucket, as it is now."""

import errno
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes

from transforms.errors import ForbiddenUri, MissingPackage, Outage, RemoteRefused, SourceUnavailable, UsageError
from transforms.media.sniff import MEDIA_SUFFIXES
from transforms.records import Scalar, VideoRef
from transforms.remote.names import BUCKETS, bucket_and_key, is_remote, normalised, redacted, scheme_of
from transforms.remote.settings import DEFAULTS, RemoteSettings
from transforms.remote.store import Broken, Found, store_of
from transforms.remote.tries import tried
from transforms.uris import is_local, path_of_uri, shown, uri_of_path

#: What is wrong with the name or the rights of one file, and not with the disk.
_OF_THE_NAME = (errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL)
#: Of an object's key; a store answers a longer one with an error that would look like one of its own.
_LONGEST_KEY_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Places:
    """Where the files of events lie, and which of them may be read.

    `mapped` leads from the beginning of a URI to a folder that holds the same files. Files outside of `roots` are
    forbidden, also where a link leads there, and objects that do not begin with one of `prefixes`, each of which ends
    at a slash. Without any of the three everything may be read but the web.
    """

    roots: tuple[Path, ...] = ()
    mapped: tuple[tuple[str, Path], ...] = ()
    prefixes: tuple[str, ...] = ()

    def local(self, uri: str) -> str:
        """The URI that a video is known by here; raises ForbiddenUri for one that must not, or cannot, be read."""
        for prefix, folder in self.mapped:
            if uri.startswith(prefix):
                uri = uri_of_path(path_of_uri(f"{uri_of_path(folder)}/{uri.removeprefix(prefix)}"))
                if not _lies_in(path_of_uri(uri), folder):
                    raise ForbiddenUri(f"a key leads out of its folder: {shown(uri)}")
                return self._checked_file(uri, bounded=bool(self.roots))
        if is_local(uri):
            return self._checked_file(uri, bounded=bool(self.roots or self.mapped or self.prefixes))
        if scheme_of(uri) in BUCKETS:
            return self._checked_object(uri)
        raise ForbiddenUri(
            f"no event may have a web address fetched, since its sender would choose whom this machine asks: "
            f"{redacted(uri)}; name it in a manifest of `reelvec ingest`, or lead to a folder: --map PREFIX=FOLDER"
        )

    def _checked_file(self, uri: str, *, bounded: bool) -> str:
        path = path_of_uri(uri)
        if bounded and not any(_lies_in(path, root) for root in self.roots):
            allowed = f"outside of --root {self.roots[0]}" if self.roots else "and no --root FOLDER allows that"
            raise ForbiddenUri(f"an event names a file {allowed}: {shown(uri)}")
        return uri

    def _checked_object(self, uri: str) -> str:
        """An event's URI is percent-encoded, the identity of an object is its key as it is."""
        try:
            plain = normalised(unquote_to_bytes(uri).decode())
        except (UnicodeDecodeError, UsageError) as error:
            raise ForbiddenUri(f"an event names what can be no object: {redacted(uri)}: {error}") from error
        _, key = bucket_and_key(plain)
        if not key or key.endswith("/") or len(key.encode()) > _LONGEST_KEY_BYTES:
            raise ForbiddenUri(f"a key is 1 to {_LONGEST_KEY_BYTES} bytes, and the name of a file: {plain}")
        if {".", ".."} & set(key.split("/")):  # clients and proxies shorten such paths: it would be another object
            raise ForbiddenUri(f"a key leads out of its prefix: {plain}")
        if (self.roots or self.mapped or self.prefixes) and not plain.startswith(self.prefixes):
            allowed = f"outside of --root {self.prefixes[0]}" if self.prefixes else "and no --root or --map allows that"
            raise ForbiddenUri(f"an event names an object {allowed}: {plain}")
        return plain

    def check_mounted(self) -> None:
        """Raise Outage where a folder is gone: its files are not missing, a disk may not be mounted."""
        for folder in (*self.roots, *(folder for _, folder in self.mapped)):
            if not folder.is_dir():
                raise Outage(f"the folder of the events' files is not there: {folder}; is a disk not mounted?")

    def check_stores(self, remote: RemoteSettings) -> None:
        """Ask each bucket once. Raises UsageError for a lack of packages and credentials, Outage where none answers."""
        for prefix in self.prefixes:
            try:
                _asked(f"{prefix}reelvec", remote)
            except RemoteRefused:
                pass  # so a store answers, too, who may read but not list: this object is not there
            except Broken as error:
                raise SourceUnavailable(f"a bucket of --root does not answer: {prefix}: {error}") from error


def places_of(roots: Sequence[str], mapped: Sequence[str]) -> Places:
    """What --root and --map say; raises UsageError."""
    folders, prefixes = [], []
    for text in roots:
        scheme = scheme_of(text)
        if scheme in BUCKETS:
            prefix = normalised(text)
            prefixes.append(prefix if prefix.endswith("/") else f"{prefix}/")
        elif scheme or not (folder := path_of_uri(text) if is_local(text) else Path(text)).is_dir():
            raise UsageError(
                f"--root is a folder, or s3://bucket/prefix, or gs://bucket/prefix (never the web): {redacted(text)!r}"
            )
        else:
            folders.append(folder.absolute())
    return Places(tuple(folders), tuple(map(mapping, mapped)), tuple(prefixes))


def mapping(text: str) -> tuple[str, Path]:
    """PREFIX=FOLDER as `Places.mapped` takes it; raises UsageError for anything else."""
    prefix, mark, folder = text.rpartition("=")
    if not mark or "://" not in prefix or not folder:
        raise UsageError(f"--map is the beginning of URIs and a folder, like gs://bucket/=/mnt/bucket: {text!r}")
    if not Path(folder).is_dir():
        raise UsageError(f"--map leads to no folder: {folder!r}")
    return prefix.rstrip("/") + "/", Path(folder).absolute()


def look(
    uri: str,
    *,
    origin: str,
    metadata: Sequence[tuple[str, Scalar]],
    event: str,
    remote: RemoteSettings = DEFAULTS,
) -> VideoRef | None:
    """What `Places.local` gave as it is now, None where there is nothing.

    Raises ForbiddenUri for what is no regular file, or is refused; Outage where a disk or a store fails.
    """
    if is_remote(uri):
        there = _look_at_object(uri, remote)
        if there is None:
            return None
        expected = os.path.splitext(uri)[1].lower() in MEDIA_SUFFIXES
        return VideoRef(uri, there.size_bytes, there.version, expected, origin, tuple(metadata), event=event)
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


def _look_at_object(uri: str, remote: RemoteSettings) -> Found | None:
    try:
        return _asked(uri, remote)
    except RemoteRefused as error:
        raise ForbiddenUri(str(error)) from error
    except MissingPackage:
        raise
    except (Broken, UsageError) as error:  # credentials that ran out are no fault of the event: it waits
        raise SourceUnavailable(f"an object cannot be looked at now: {uri}: {error}") from error


def _asked(uri: str, remote: RemoteSettings) -> Found | None:
    store = store_of(uri, remote)
    return tried(lambda: store.look(uri), first_pause_seconds=remote.first_pause_seconds)


def _lies_in(path: Path, folder: Path) -> bool:
    own, root = Path(os.path.realpath(path)), Path(os.path.realpath(folder))
    return own == root or root in own.parents
