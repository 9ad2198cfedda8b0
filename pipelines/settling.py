"""Files that are still being written are left alone until they rest: half a video must not become a reject."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from transforms.records import LedgerEntry, VideoRef
from transforms.uris import is_local


@dataclass(slots=True)
class Settling:
    """Tells files at rest from growing ones, over the rounds of one watch.

    A new or changed file rests when its time stamp is at least `settle_seconds` old and nothing about it
    changed since the look before, if there was one. A time stamp of the future says nothing: such a file
    rests when two looks that lie `settle_seconds` apart saw the same. 0 turns all of this off.
    """

    settle_seconds: float
    growing_count: int = 0  # at the last look
    _seen: dict[str, tuple[int, str, float]] = field(default_factory=dict)  # size, version, first seen (monotonic)

    def growing(self, videos: Iterable[VideoRef], ledger: Mapping[str, LedgerEntry]) -> frozenset[str]:
        """The URIs of files that may still be written to; called once a round with all that was listed."""
        if not self.settle_seconds:
            return frozenset()
        looked, clock = time.monotonic(), time.time()
        seen: dict[str, tuple[int, str, float]] = {}
        growing = set()
        for video in videos:
            entry = ledger.get(video.uri)
            if entry is not None and (entry.size_bytes, entry.version) == (video.size_bytes, video.version):
                continue
            if not is_local(video.uri):
                continue  # an object of a bucket appears when it is whole
            before = self._seen.get(video.uri)
            same = before is not None and before[:2] == (video.size_bytes, video.version)
            since = before[2] if before is not None and same else looked
            seen[video.uri] = (video.size_bytes, video.version, since)
            old_enough = clock - int(video.version) / 1e9 >= self.settle_seconds
            watched_enough = same and looked - since >= self.settle_seconds
            if not (watched_enough or (old_enough and (before is None or same))):
                growing.add(video.uri)
        self._seen = seen
        self.growing_count = len(growing)
        return frozenset(growing)
