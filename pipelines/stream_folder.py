"""A folder as a source of events: it is looked at again and again, and what differs from the last look is told."""

import json
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from pipelines.settling import Settling
from transforms.errors import UsageError
from transforms.plan import check_deletions
from transforms.records import LedgerEntry
from transforms.remote.names import is_remote
from transforms.source import list_videos
from transforms.stream.messages import Message
from transforms.uris import shown, uri_of_path


class Seen(NamedTuple):
    """A file as it was when it was told of."""

    size_bytes: int
    version: str


class FolderSource:
    """Continuous matching. What `entries`, the ledger, knows of the folder counts as seen before.

    `tell` hears, once each time, that the folder cannot be listed or that too much of it is gone.
    """

    def __init__(
        self,
        folder: str,
        *,
        every_seconds: float = 1.0,
        settle_seconds: float = 2.0,
        max_delete: str = "10%",
        entries: Callable[[], Mapping[str, LedgerEntry]] = dict,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.name = uri_of_path(folder)
        self._folder, self._every_seconds, self._max_delete = folder, every_seconds, max_delete
        self._entries, self._tell = entries, tell
        self._settling = Settling(settle_seconds)
        self._seen: dict[str, Seen] = {}
        self._told: deque[tuple[str, Seen | None]] = deque()
        self._next_look = 0.0  # monotonic seconds
        self._problem = ""

    def open(self) -> None:
        if is_remote(self._folder):
            raise UsageError(f"--folder is one of this machine; a bucket sends events: {self._folder}")
        check_deletions(0, 0, self._max_delete)
        list_videos([self._folder], known=self._known())  # says what is wrong with it

    def _known(self) -> Mapping[str, Seen]:
        if not self._seen:
            below = self.name.rstrip("/") + "/"
            self._seen = {
                uri: Seen(entry.size_bytes, entry.version)
                for uri, entry in self._entries().items()
                if uri.startswith(below) and entry.state not in ("forgotten", "deleted")
            }
        return self._seen

    def take(self, most: int, wait_seconds: float) -> list[Message]:
        if not self._told:
            time.sleep(min(wait_seconds, max(0.0, self._next_look - time.monotonic())))
            if time.monotonic() < self._next_look:
                return []
            self._next_look = time.monotonic() + self._every_seconds
            self._look()
        return [self._message(*self._told.popleft()) for _ in range(min(most, len(self._told)))]

    def done(self, messages: Sequence[Message]) -> None:
        """What was told counts as seen since it was told: only a process that ends forgets it."""

    def close(self) -> None:
        """There is nothing to let go."""

    def _look(self) -> None:
        try:
            listing = list_videos([self._folder], known=self._seen)
        except (UsageError, OSError) as error:
            self._say(f"the folder cannot be listed, looking again: {error}")
            return
        (root,) = listing.roots
        if self._seen and not root.listed:
            self._say(f"nothing is left of {shown(self.name)}: is a disk not mounted? Nothing is removed")
            return
        if not root.ok:
            self._say("; ".join(listing.problems))
            return
        fresh = [video for video in listing.videos if self._seen.get(video.uri) != (video.size_bytes, video.version)]
        growing = self._settling.growing(fresh, {})
        now = {video.uri: Seen(video.size_bytes, video.version) for video in listing.videos}
        gone = [uri for uri in self._seen if uri not in now and root.covers(uri, root.origin)]
        sizes = {now[uri][0] for uri in growing}
        gone = [uri for uri in gone if self._seen[uri][0] not in sizes]  # what may have been moved is not gone yet
        try:
            check_deletions(len(gone), len(self._seen), self._max_delete)
            self._problem = ""
        except UsageError as error:
            self._say(str(error))
            gone = []
        for uri, seen in now.items():
            if uri not in growing and self._seen.get(uri) != seen:
                self._seen[uri] = seen
                self._told.append((uri, seen))
        for uri in gone:
            del self._seen[uri]
            self._told.append((uri, None))

    def _message(self, uri: str, seen: Seen | None) -> Message:
        event = {"type": "delete" if seen is None else "change", "uri": uri, "time": _now()}
        return Message(f"folder{uri.removeprefix('file')}", json.dumps(event).encode())

    def _say(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            self._tell(problem)


def _now() -> str:
    return datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="microseconds")
