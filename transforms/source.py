"""Files, folders, globs and manifests -> VideoRefs: what the corpus holds now.

Nothing is decoded here. In a folder or a glob, a file whose name promises media is a video
to be looked into; of any other file the first bytes are read, and those that are surely
something else are skipped. Names that begin with a dot are left out, as a shell does, and
so are folders that hold an index.
"""

import fnmatch
import glob
import os
import stat
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

from transforms.errors import UsageError
from transforms.manifest import Metadata, read_manifest
from transforms.media.sniff import MEDIA_SUFFIXES, looks_like_media
from transforms.records import LedgerEntry, VideoRef
from transforms.uris import is_local, path_of_uri, shown, uri_of_path

#: A folder that holds this file is an index, not a part of the corpus.
INDEX_MARK = "reelvec.json"
HEAD_BYTES = 4096
_EVERYTHING = ("**",)


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
        return f"{self.uri}/{quote(os.fsencode(self.pattern))}" if self.pattern else self.uri

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
        wanted = _components(self.pattern)
        states = _start(wanted)
        for part in uri.removeprefix(base).split("/"):
            states = _advance(states, os.fsdecode(unquote_to_bytes(part)), wanted)
        return len(wanted) in states


@dataclass(frozen=True, slots=True)
class Listing:
    """What a run found; `videos` are sorted by URI, each one once."""

    videos: tuple[VideoRef, ...]
    skipped: tuple[str, ...] = ()  # URIs of files that are surely no media and that nobody named
    roots: tuple[Root, ...] = ()
    problems: tuple[str, ...] = ()  # sentences about what could not be listed


def list_videos(
    sources: Sequence[str],
    *,
    manifest: Path | None = None,
    ignore: Collection[Path] = (),
    known: Mapping[str, LedgerEntry] | None = None,
) -> Listing:
    """List paths, folders, globs and `file://` URIs, and the rows of a manifest.

    `ignore` are paths that are never listed. Files of `known`, by URI, are not opened when size and version agree.
    Raises UsageError for a path that is not there, but for a folder of `known`: that one is a root which lists nothing.
    """
    listing = _Lister(frozenset(os.path.abspath(path) for path in ignore), known or {})
    for source in sources:
        listing.add_source(source)
    if manifest is not None:
        listing.add_manifest(manifest)
    return Listing(
        videos=tuple(listing.videos[uri] for uri in sorted(listing.videos)),
        skipped=tuple(sorted(listing.skipped - listing.videos.keys())),
        roots=tuple(listing.roots),
        problems=tuple(listing.problems),
    )


@dataclass(slots=True)
class _Lister:
    ignore: frozenset[str]
    known: Mapping[str, LedgerEntry]
    videos: dict[str, VideoRef] = field(default_factory=dict)
    skipped: set[str] = field(default_factory=set)
    roots: list[Root] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def add_source(self, source: str) -> None:
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
            self._add_video(_video(uri_of_path(path), found))
        else:
            raise UsageError(f"neither a file nor a folder: {source!r}")

    def add_manifest(self, manifest: Path) -> None:
        rows, problems = read_manifest(manifest)
        self.problems += problems
        origin = uri_of_path(manifest)
        listed: set[str] = set()
        for row in rows:
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
            self._add_video(_video(uri, found, origin=origin, metadata=row.metadata))
        self.roots.append(Root(origin, listed=len(listed), manifest=True))

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
        walk = _Walk(self.ignore)
        listed = 0
        for uri, path, found in walk.files(base, root.uri.rstrip("/"), _components(pattern)):
            listed += 1
            self._add_member(uri, path, found, root.origin)
        self.problems += walk.problems
        ok = root.uri.rstrip("/") not in walk.closed
        self.roots.append(replace(root, ok=ok, listed=listed, unreadable=tuple(sorted(walk.closed))))

    def _add_member(self, uri: str, path: str, found: os.stat_result, origin: str) -> None:
        if not stat.S_ISREG(found.st_mode):
            self.skipped.add(uri)
            return
        expected = os.path.splitext(path)[1].lower() in MEDIA_SUFFIXES
        video = _video(uri, found, origin=origin, expected=expected)
        if expected or _is_known(video, self.known.get(uri)) or self._may_be_media(path):
            self._add_video(video)
        else:
            self.skipped.add(uri)

    def _may_be_media(self, path: str) -> bool:
        try:
            with open(path, "rb", buffering=0) as file:
                return looks_like_media(file.read(HEAD_BYTES)) is not False
        except OSError as error:
            self.problems.append(f"a file cannot be read: {shown(uri_of_path(path))!r}: {error.strerror}")
            return False

    def _add_video(self, video: VideoRef) -> None:
        """Add it, or what this second mention of it adds: being named, metadata."""
        first = self.videos.get(video.uri)
        if first is not None:
            video = replace(
                first,
                expected=first.expected or video.expected,
                origin=first.origin if video.origin else "",
                metadata=first.metadata or video.metadata,
            )
        self.videos[video.uri] = video


@dataclass(slots=True)
class _Walk:
    """A walk below one folder. Links to files and folders are followed, but never round in a circle."""

    ignore: frozenset[str]
    closed: set[str] = field(default_factory=set)  # URIs that were not looked into
    problems: list[str] = field(default_factory=list)

    def files(self, base: str, base_uri: str, wanted: tuple[str, ...]) -> Iterator[tuple[str, str, os.stat_result]]:
        """Every file that is wanted: (uri, path, stat). Linked folders come last, and only if not yet seen."""
        folders = deque([(base, base_uri, _start(wanted), False)])
        links: deque[tuple[str, str, frozenset[int], bool]] = deque()
        seen: set[tuple[int, int]] = set()
        while folders or links:
            folder, uri, states, linked = (folders or links).popleft()
            for entry in self._entries(folder, uri, seen, linked):
                below = _advance(states, entry.name, wanted)
                if not below:
                    continue
                own_uri = f"{uri}/{quote(os.fsencode(entry.name))}"
                if entry.path in self.ignore:
                    self.closed.add(own_uri)
                    continue
                try:
                    found = entry.stat()
                except OSError as error:
                    self._close(own_uri, error)
                    continue
                if stat.S_ISDIR(found.st_mode):
                    is_link = entry.is_symlink()
                    (links if is_link else folders).append((entry.path, own_uri, below, is_link))
                elif len(wanted) in below:
                    yield own_uri, entry.path, found

    def _entries(self, folder: str, uri: str, seen: set[tuple[int, int]], linked: bool) -> list[os.DirEntry[str]]:
        try:
            found = os.stat(folder)
            identity = (found.st_dev, found.st_ino)
            if identity in seen or (linked and _holds(os.path.realpath(folder), os.path.dirname(folder))):
                return []
            seen.add(identity)
            with os.scandir(folder) as entries:
                inside = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            self._close(uri, error)
            return []
        if any(entry.name == INDEX_MARK for entry in inside):
            self.closed.add(uri)
            return []
        return inside

    def _close(self, uri: str, error: OSError) -> None:
        self.closed.add(uri)
        self.problems.append(
            f"this cannot be read, so nothing of it is listed or removed: {shown(uri)!r}: {error.strerror}"
        )


def _video(
    uri: str, found: os.stat_result, *, expected: bool = True, origin: str = "", metadata: Metadata = ()
) -> VideoRef:
    return VideoRef(uri, found.st_size, str(found.st_mtime_ns), expected, origin, metadata)


def _is_known(video: VideoRef, entry: LedgerEntry | None) -> bool:
    return entry is not None and (entry.size_bytes, entry.version) == (video.size_bytes, video.version)


def _local_path(source: str) -> str:
    if is_local(source):
        return os.fspath(path_of_uri(source))
    scheme, mark, _ = source.partition("://")
    if mark and scheme.isalnum() and not os.path.lexists(source):
        raise UsageError(f"only files of this machine can be read, by a path or a file:// URI: {source!r}")
    return source


def _holds(folder: str, path: str) -> bool:
    """Whether `path` lies in `folder` or is it: a link there to `folder` would lead round in a circle."""
    return os.path.commonpath((folder, os.path.realpath(path))) == folder


def _components(pattern: str) -> tuple[str, ...]:
    return tuple(pattern.split("/")) if pattern else _EVERYTHING


# A path is matched component by component; a state is how many components of the pattern are
# used up. `**` may stand for no folder or for many, so a path can be in several states at once.
def _start(wanted: tuple[str, ...]) -> frozenset[int]:
    return _with_skips(0, wanted)


def _advance(states: frozenset[int], name: str, wanted: tuple[str, ...]) -> frozenset[int]:
    """The states after one more component of the path; none: nothing below can match.

    All that lies below a folder that matches is wanted, as when a shell names that folder.
    """
    hidden = name.startswith(".")
    reached: frozenset[int] = frozenset()
    for state in states:
        if state == len(wanted) or wanted[state] == "**":
            if not hidden:
                reached |= _with_skips(state, wanted)
        elif (not hidden or wanted[state].startswith(".")) and fnmatch.fnmatchcase(name, wanted[state]):
            reached |= _with_skips(state + 1, wanted)
    return reached


def _with_skips(state: int, wanted: tuple[str, ...]) -> frozenset[int]:
    states = {state}
    while state < len(wanted) and wanted[state] == "**":
        state += 1
        states.add(state)
    return frozenset(states)
