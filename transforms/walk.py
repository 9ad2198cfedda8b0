"""A walk below a folder: which files lie there, without holding what a folder holds."""

import os
import stat
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import quote

from transforms.patterns import advance, start
from transforms.uris import shown

#: A folder that holds this file is an index, not a part of the corpus.
INDEX_MARK = "reelvec.json"


@dataclass(slots=True)
class Walk:
    """A walk below one folder. Links to files and folders are followed, but never round in a circle."""

    ignore: frozenset[str]
    closed: set[str] = field(default_factory=set)  # URIs that were not looked into
    problems: list[str] = field(default_factory=list)

    def files(self, base: str, base_uri: str, wanted: tuple[str, ...]) -> Iterator[tuple[str, str, os.stat_result]]:
        """Every file that is wanted: (uri, path, stat). Linked folders come last, and only if not yet seen.

        The files of one folder come as the system gives them, its folders in the order of their names.
        """
        folders = deque([(base, base_uri, start(wanted), False)])
        links: deque[tuple[str, str, frozenset[int], bool]] = deque()
        seen: set[tuple[int, int]] = set()
        while folders or links:
            folder, uri, states, linked = (folders or links).popleft()
            if not self._opens(folder, uri, seen, linked):
                continue
            inside: list[tuple[str, str, frozenset[int], bool]] = []
            refused: list[tuple[str, OSError]] = []
            for entry in self._entries(folder, uri):
                below = advance(states, entry.name, wanted)
                if not below:
                    continue
                own_uri = f"{uri}/{quote(os.fsencode(entry.name))}"
                if entry.path in self.ignore:
                    self.closed.add(own_uri)
                    continue
                try:
                    found = entry.stat()
                except OSError as error:
                    refused.append((own_uri, error))
                    continue
                if stat.S_ISDIR(found.st_mode):
                    inside.append((entry.path, own_uri, below, entry.is_symlink()))
                elif len(wanted) in below:
                    yield own_uri, entry.path, found
            for own_uri, why in sorted(refused, key=lambda one: one[0]):
                self._close(own_uri, why)
            for below_here in sorted(inside, key=lambda one: one[0]):
                (links if below_here[-1] else folders).append(below_here)

    def _opens(self, folder: str, uri: str, seen: set[tuple[int, int]], linked: bool) -> bool:
        """Whether to look into a folder: not twice, not round in a circle, and not where it is an index."""
        try:
            found = os.stat(folder)
            identity = (found.st_dev, found.st_ino)
            if identity in seen or (linked and _holds(os.path.realpath(folder), os.path.dirname(folder))):
                return False
        except OSError as error:
            self._close(uri, error)
            return False
        seen.add(identity)
        if os.path.lexists(os.path.join(folder, INDEX_MARK)):
            self.closed.add(uri)
            return False
        return True

    def _entries(self, folder: str, uri: str) -> Iterator[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as entries:
                yield from entries
        except OSError as error:
            self._close(uri, error)

    def _close(self, uri: str, error: OSError) -> None:
        self.closed.add(uri)
        self.problems.append(
            f"this cannot be read, so nothing of it is listed or removed: {shown(uri)!r}: {error.strerror}"
        )


def _holds(folder: str, path: str) -> bool:
    """Whether `path` lies in `folder` or is it: a link there to `folder` would lead round in a circle."""
    return os.path.commonpath((folder, os.path.realpath(path))) == folder
