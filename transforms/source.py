"""Files, folders, globs, buckets, web addresses and manifests -> VideoRefs: what the corpus holds now.

Nothing is decoded here. In a folder or a glob, a file whose name promises media is a video
to be looked into; of any other file the first bytes are read, and those that are surely
something else are skipped. Names that begin with a dot are left out, as a shell does, and
so are folders that hold an index.
"""

import glob
import os
import stat
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, unquote_to_bytes

from transforms.errors import MissingPackage, RemoteRefused, SourceUnavailable, UsageError
from transforms.manifest import Metadata, read_manifest
from transforms.media.sniff import MEDIA_SUFFIXES, looks_like_media
from transforms.patterns import components, matches
from transforms.records import VideoRef
from transforms.remote.listing import Below, looked_up
from transforms.remote.names import BUCKETS, bucket_and_key, is_remote, normalised, redacted, scheme_of
from transforms.remote.settings import DEFAULTS, RemoteSettings
from transforms.remote.store import Broken, Found, Store, store_of
from transforms.remote.tries import tried
from transforms.tables.database import Database
from transforms.tables.listed import ListedVideos, SkippedFiles
from transforms.uris import is_local, path_of_uri, shown, uri_of_path
from transforms.walk import INDEX_MARK, Walk

HEAD_BYTES = 4096


class Known(Protocol):
    """What somebody remembers of a file; a ledger entry is one."""

    @property
    def size_bytes(self) -> int: ...

    @property
    def version(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Root:
    """One folder, glob or manifest that this run listed."""

    uri: str  # of the folder, of the folder that the glob starts from, or of the manifest
    pattern: str = ""  # of a glob, below `uri`
    ok: bool = True
    listed: int = 0  # files seen, videos or not
    unreadable: tuple[str, ...] = ()  # URIs at or below which nothing could be listed
    manifest: bool = False
    believed: bool = False  # that there is nothing, where nothing was listed

    @property
    def origin(self) -> str:
        """The name of this root in the videos that it lists."""
        if not self.pattern:
            return self.uri
        return f"{self.uri}/{self.pattern if is_remote(self.uri) else quote(os.fsencode(self.pattern))}"

    def covers(self, uri: str, origin: str) -> bool:
        """Whether this listing would have shown the video if it still existed.

        A listing that failed or that showed nothing at all covers nothing: a disk may not be mounted.
        """
        if not self.ok or not (self.listed or self.believed):
            return False
        if any(uri == prefix or uri.startswith(prefix + "/") for prefix in self.unreadable):
            return False
        if self.manifest:
            return origin == self.uri
        base = self.uri.rstrip("/") + "/"
        if not uri.startswith(base):
            return False
        names = uri.removeprefix(base).split("/")
        if not is_remote(uri):
            names = [os.fsdecode(unquote_to_bytes(name)) for name in names]
        return matches(names, components(self.pattern))


@dataclass(frozen=True, slots=True)
class Listing:
    """What a run found; `videos` are sorted by URI, each one once."""

    videos: Collection[VideoRef]
    skipped: Collection[str] = ()  # URIs of files that are surely no media and that nobody named
    roots: tuple[Root, ...] = ()
    problems: tuple[str, ...] = ()  # sentences about what could not be listed
    skipped_remote: int = 0  # objects of buckets whose names promise no media; there may be millions, so only counted

    @property
    def skipped_count(self) -> int:
        """How many files are no media by their first bytes, or, in a bucket, by their names."""
        return len(self.skipped) + self.skipped_remote


def list_videos(
    sources: Sequence[str],
    *,
    manifest: Path | None = None,
    ignore: Collection[Path] = (),
    known: Mapping[str, Known] | None = None,
    remote: RemoteSettings = DEFAULTS,
) -> Listing:
    """List paths, folders, globs, `file://`, http(s), `s3://` and `gs://` URIs, and the rows of a manifest.

    `ignore` are paths that are never listed. Files of `known`, by URI, are not opened when size and version agree.
    Raises UsageError for a path that is not there, but for a folder of `known`: that one is a root which lists nothing.
    Raises SourceUnavailable where nothing at all answers.
    """
    listing = list_into(ListedVideos(Database()), sources, manifest=manifest, ignore=ignore, known=known, remote=remote)
    return replace(listing, videos=tuple(listing.videos), skipped=tuple(listing.skipped))


def list_into(
    videos: ListedVideos,
    sources: Sequence[str],
    *,
    manifest: Path | None = None,
    ignore: Collection[Path] = (),
    known: Mapping[str, Known] | None = None,
    remote: RemoteSettings = DEFAULTS,
) -> Listing:
    """`list_videos` for a corpus of any size: the videos go into a table, and are read as they are gone over."""
    ignored = frozenset(os.path.abspath(path) for path in ignore)
    listing = _Lister(ignored, known or {}, remote, videos, SkippedFiles(videos))
    for source in sources:
        listing.add_source(source)
    if manifest is not None:
        listing.add_manifest(manifest)
    if listing.outages and not listing.videos:
        raise SourceUnavailable(listing.outages[0])
    return Listing(
        videos=videos,
        skipped=listing.skipped,
        roots=tuple(listing.roots),
        problems=tuple(listing.problems),
        skipped_remote=listing.skipped_remote,
    )


@dataclass(slots=True)
class _Lister:
    ignore: frozenset[str]
    known: Mapping[str, Known]
    remote: RemoteSettings
    videos: ListedVideos
    skipped: SkippedFiles
    roots: list[Root] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    outages: list[str] = field(default_factory=list)  # those of the problems that may pass
    skipped_remote: int = 0

    def add_source(self, source: str) -> None:
        if is_remote(source):
            self._add_remote(normalised(source))
            return
        path = _local_path(source)
        try:
            found = os.stat(path)
        except (OSError, ValueError) as error:
            if glob.has_magic(source) and not os.path.lexists(path):
                self._add_glob(source)
                return
            below = uri_of_path(path) + "/"
            if any(uri.startswith(below) for uri in self.known):  # a folder of the index: whoever plans decides
                self.roots.append(Root(uri_of_path(path)))
                return
            reason = getattr(error, "strerror", None) or error
            raise UsageError(f"there is nothing to read at {source!r}: {reason}") from error
        if stat.S_ISDIR(found.st_mode):
            if os.path.exists(os.path.join(path, INDEX_MARK)):
                raise UsageError(f"this folder is an index, not a folder of videos: {source!r}")
            self._add_root(os.path.abspath(path), "")
        elif stat.S_ISREG(found.st_mode):
            self.videos.add(_video(uri_of_path(path), found))
        else:
            raise UsageError(f"neither a file nor a folder: {source!r}")

    def add_manifest(self, manifest: Path) -> None:
        rows, problems = read_manifest(manifest)
        self.problems += problems
        origin = uri_of_path(manifest)
        listed: set[str] = set()
        unanswered: list[str] = []
        elsewhere = iter(looked_up([row.uri for row in rows if is_remote(row.uri)], self.remote))
        for row in rows:
            if is_remote(row.uri):
                answer = next(elsewhere)
                if not isinstance(answer, Found):
                    self._add_unlisted_row(f"row {row.number} of {manifest}", row.uri, answer, unanswered)
                elif answer.uri in listed:
                    self.problems.append(
                        f"row {row.number} of {manifest} names a video again, the first row counts: {answer.uri!r}"
                    )
                else:
                    listed.add(answer.uri)
                    self.videos.add(_remote_video(answer, origin=origin, metadata=row.metadata))
                continue
            try:
                path = os.path.join(os.path.dirname(os.path.abspath(manifest)), _local_path(row.uri))
                found = os.stat(path)
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or error
                self.problems.append(f"row {row.number} of {manifest} names no file: {row.uri!r}: {reason}")
                continue
            uri = uri_of_path(path)
            if not stat.S_ISREG(found.st_mode):
                self.problems.append(f"row {row.number} of {manifest} names no regular file: {row.uri!r}")
                continue
            if uri in listed:
                self.problems.append(
                    f"row {row.number} of {manifest} names a video again, the first row counts: {row.uri!r}"
                )
                continue
            listed.add(uri)
            self.videos.add(_video(uri, found, origin=origin, metadata=row.metadata))
        self.roots.append(Root(origin, listed=len(listed), manifest=True, unreadable=tuple(sorted(unanswered))))

    def _add_unlisted_row(self, row: str, uri: str, why: Exception | None, unanswered: list[str]) -> None:
        """Say what is wrong with a row; of what does not answer now nothing is removed."""
        shown_uri = redacted(uri)
        if isinstance(why, MissingPackage):
            raise why
        if why is None:
            self.problems.append(f"{row} names no file, nothing is there: {shown_uri!r}")
            return
        self.problems.append(f"{row} cannot be listed: {shown_uri!r}: {why}")
        if isinstance(why, Broken):
            self.outages.append(self.problems[-1])
        with suppress(UsageError):  # it names no file at all
            unanswered.append(normalised(uri))

    def _add_remote(self, uri: str) -> None:
        """Add one remote file, or all that lies below a prefix of a bucket, or what a glob means there."""
        store = store_of(uri, self.remote)
        bucket = scheme_of(uri) in BUCKETS
        key = bucket_and_key(uri)[1] if bucket else ""
        try:
            if not bucket or (key and not key.endswith("/")):
                try:
                    found = tried(lambda: store.look(uri))
                except RemoteRefused:
                    if not bucket:
                        raise
                    found = None  # it may be a prefix that may be listed
                if found is not None:
                    self.videos.add(_remote_video(found))
                    return
                if not bucket:
                    raise UsageError(f"there is nothing to read at {uri!r}: the server knows no such file")
            self._add_objects(store, uri)
        except Broken as error:
            self._add_outage(uri, error)
        except RemoteRefused as error:
            raise UsageError(str(error)) from error

    def _add_objects(self, store: Store, uri: str) -> None:
        """Add what a bucket holds below a prefix, or what matches a glob; kept is what is a video."""
        below = Below.of(uri)
        root, listed = Root(below.base, below.pattern), 0
        try:
            for found in below.objects(store):
                listed += 1
                self._add_object(found, root.origin)
        except Broken as error:
            self.roots.append(replace(root, ok=False, listed=listed))
            self._add_outage(root.origin, error)
            return
        if not listed and root.pattern:
            self.problems.append(f"nothing matches {uri!r}")
        elif not listed and not any(known.startswith(f"{root.uri}/") for known in self.known):
            raise UsageError(f"there is nothing to read at {uri!r}: no object has this name or begins with it")
        self.roots.append(replace(root, listed=listed))

    def _add_object(self, found: Found, origin: str) -> None:
        """No object is opened to see what it is: in a bucket its name has to promise media."""
        expected = os.path.splitext(found.uri)[1].lower() in MEDIA_SUFFIXES
        video = _remote_video(found, expected=expected, origin=origin)
        if expected or _is_known(video, self.known.get(found.uri)):
            self.videos.add(video)
        else:
            self.skipped_remote += 1

    def _add_outage(self, uri: str, error: Broken) -> None:
        sentence = f"this could not be listed to its end, so nothing of it is removed: {redacted(uri)!r}: {error}"
        self.problems.append(sentence)
        self.outages.append(sentence)

    def _add_glob(self, source: str) -> None:
        parts = [part for part in source.split("/") if part not in ("", ".")]
        plain = next(index for index, part in enumerate(parts) if glob.has_magic(part))
        base = os.path.abspath(("/" if source.startswith("/") else "") + "/".join(parts[:plain]))
        if not os.path.isdir(base):
            below = uri_of_path(base) + "/"
            if any(uri.startswith(below) for uri in self.known):
                self.roots.append(Root(uri_of_path(base), "/".join(parts[plain:])))
                return
            raise UsageError(f"there is no folder to look for {source!r} in: {base}")
        self._add_root(base, "/".join(parts[plain:]))
        if not self.roots[-1].listed:
            self.problems.append(f"nothing matches {source!r}")

    def _add_root(self, base: str, pattern: str) -> None:
        root = Root(uri_of_path(base), pattern)
        walk = Walk(self.ignore)
        listed, told = 0, len(self.problems)
        for uri, path, found in walk.files(base, root.uri.rstrip("/"), components(pattern)):
            listed += 1
            self._add_member(uri, path, found, root.origin)
        self.problems[told:] = [*sorted(self.problems[told:]), *walk.problems]
        ok = root.uri.rstrip("/") not in walk.closed
        self.roots.append(replace(root, ok=ok, listed=listed, unreadable=tuple(sorted(walk.closed))))

    def _add_member(self, uri: str, path: str, found: os.stat_result, origin: str) -> None:
        if not stat.S_ISREG(found.st_mode):
            self.skipped.add(uri)
            return
        expected = os.path.splitext(path)[1].lower() in MEDIA_SUFFIXES
        video = _video(uri, found, origin=origin, expected=expected)
        if expected or _is_known(video, self.known.get(uri)) or self._may_be_media(path):
            self.videos.add(video)
        else:
            self.skipped.add(uri)

    def _may_be_media(self, path: str) -> bool:
        try:
            with open(path, "rb", buffering=0) as file:
                return looks_like_media(file.read(HEAD_BYTES)) is not False
        except OSError as error:
            self.problems.append(f"a file cannot be read: {shown(uri_of_path(path))!r}: {error.strerror}")
            return False


def _video(
    uri: str, found: os.stat_result, *, expected: bool = True, origin: str = "", metadata: Metadata = ()
) -> VideoRef:
    return VideoRef(uri, found.st_size, str(found.st_mtime_ns), expected, origin, metadata)


def _is_known(video: VideoRef, entry: Known | None) -> bool:
    return entry is not None and (entry.size_bytes, entry.version) == (video.size_bytes, video.version)


def _remote_video(found: Found, *, expected: bool = True, origin: str = "", metadata: Metadata = ()) -> VideoRef:
    return VideoRef(found.uri, found.size_bytes, found.version, expected, origin, metadata)


def _local_path(source: str) -> str:
    if is_local(source):
        return os.fspath(path_of_uri(source))
    scheme, mark, _ = source.partition("://")
    if mark and scheme.isalnum() and not os.path.lexists(source):
        raise UsageError(
            f"what is read is a path, or a file://, http://, https://, s3:// or gs:// URI: {redacted(source)!r}"
        )
    return source
