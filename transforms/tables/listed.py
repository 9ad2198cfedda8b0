"""The videos that a run listed, each once, and the files that it passed over."""

from collections.abc import Collection, Container, Iterable, Iterator
from typing import Any, TypeVar

from transforms.records import VideoRef
from transforms.tables.database import Database
from transforms.tables.metadata import metadata_of, metadata_text

#: The fields of a video in their order.
VIDEO_FIELDS = "l.uri, l.size_bytes, l.version, l.expected, l.origin, l.metadata, l.event"
VIDEO_FIELD_COUNT = 7

_AT_ONCE = 1000

T = TypeVar("T")


def video_of(row: tuple[Any, ...]) -> VideoRef:
    """The video that the columns `VIDEO_FIELDS` hold."""
    uri, size_bytes, version, expected, origin, metadata, event = row
    return VideoRef(uri, size_bytes, version, bool(expected), origin, metadata_of(metadata), event)


class Streamed(Collection[T]):
    """What is read from the database as it is gone over; it equals any collection of the same in the same order."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Collection) or len(self) != len(other):
            return False
        return all(mine == its for mine, its in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]


class ListedVideos(Streamed[VideoRef]):
    """Videos by URI, gone over in the order of their URIs.

    A second mention of a video adds what it says: that it is named, or its metadata where the first had none.
    """

    def __init__(self, database: Database, videos: Iterable[VideoRef] = ()) -> None:
        self.database = database
        self.name = database.fresh_name("listed")
        self._waiting: list[tuple[Any, ...]] = []
        database.run(
            f"CREATE TABLE {self.name} "
            "(uri PRIMARY KEY, size_bytes, version, expected, origin, metadata, event) WITHOUT ROWID"
        )
        for video in videos:
            self.add(video)

    def add(self, video: VideoRef) -> None:
        """Add a video, or what this mention of it adds."""
        metadata = metadata_text(video.metadata)
        row = (video.uri, video.size_bytes, video.version, video.expected, video.origin, metadata, video.event)
        self._waiting.append(row)
        if len(self._waiting) >= _AT_ONCE:
            self.settle()

    def settle(self) -> None:
        """Put what waits into the table; before anybody else asks the database."""
        if self._waiting:
            self.database.run_many(
                f"INSERT INTO {self.name} VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (uri) DO UPDATE SET "
                "expected = expected OR excluded.expected, "
                "origin = CASE WHEN excluded.origin = '' THEN '' ELSE origin END, "
                "metadata = CASE WHEN metadata = '' THEN excluded.metadata ELSE metadata END",
                self._waiting,
            )
            self._waiting.clear()

    def take_from(self, entries: str) -> None:
        """Give the videos the origin and the metadata that the table of entries of this name has for them."""
        self.settle()
        self.database.run(
            f"UPDATE {self.name} SET origin = k.origin, metadata = k.metadata "
            f"FROM {entries} k WHERE k.uri = {self.name}.uri"
        )

    def __len__(self) -> int:
        self.settle()
        return self.database.number(f"SELECT COUNT(*) FROM {self.name}")

    def __iter__(self) -> Iterator[VideoRef]:
        self.settle()
        return map(video_of, self.database.rows(f"SELECT {VIDEO_FIELDS} FROM {self.name} l ORDER BY l.uri"))

    def __contains__(self, video: object) -> bool:
        return isinstance(video, VideoRef) and self.get(video.uri) == video

    def get(self, uri: str) -> VideoRef | None:
        """The video of this URI; None where it was not listed."""
        self.settle()
        row = self.database.row(f"SELECT {VIDEO_FIELDS} FROM {self.name} l WHERE l.uri = ?", (uri,))
        return None if row is None else video_of(row)

    @property
    def uris(self) -> Container[str]:
        """Their URIs, to ask whether one is among them."""
        return _Uris(self)


class _Uris(Container[str]):
    def __init__(self, videos: ListedVideos) -> None:
        self._videos = videos

    def __contains__(self, uri: object) -> bool:
        self._videos.settle()
        return self._videos.database.row(f"SELECT 1 FROM {self._videos.name} WHERE uri = ?", (uri,)) is not None


class SkippedFiles(Streamed[str]):
    """URIs of files that were passed over, and that no other mention made a video."""

    def __init__(self, videos: ListedVideos) -> None:
        self._videos, self._database = videos, videos.database
        self._name = self._database.fresh_name("skipped")
        self._database.run(f"CREATE TABLE {self._name} (uri PRIMARY KEY) WITHOUT ROWID")
        self._but_listed = f"NOT EXISTS (SELECT 1 FROM {videos.name} l WHERE l.uri = s.uri)"

    def add(self, uri: str) -> None:
        """Pass over a file."""
        self._database.run(f"INSERT OR IGNORE INTO {self._name} VALUES (?)", (uri,))

    def __len__(self) -> int:
        self._videos.settle()
        return self._database.number(f"SELECT COUNT(*) FROM {self._name} s WHERE {self._but_listed}")

    def __iter__(self) -> Iterator[str]:
        self._videos.settle()
        query = f"SELECT s.uri FROM {self._name} s WHERE {self._but_listed} ORDER BY s.uri"
        return (uri for (uri,) in self._database.rows(query))

    def __contains__(self, uri: object) -> bool:
        self._videos.settle()
        query = f"SELECT 1 FROM {self._name} s WHERE s.uri = ? AND {self._but_listed}"
        return self._database.row(query, (uri,)) is not None
