"""What was listed against what the ledger says: decided in the database where nothing is to be done."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Literal

from transforms.records import MAX_ATTEMPTS, LedgerEntry, VideoRef
from transforms.tables.database import Database
from transforms.tables.entries import FIELDS, EntryTable
from transforms.tables.listed import VIDEO_FIELD_COUNT, VIDEO_FIELDS, ListedVideos, Streamed, video_of

#: What becomes of a listed video for which nothing is to be done.
Fate = Literal["unchanged", "rejected", "skipped"]

_ANOTHER_CHANCE = "(:decoder != '' AND k.decoders NOT IN ('', :decoder))"
_RETRIED = f"({_ANOTHER_CHANCE} OR (k.transient AND k.attempts < :most))"
_SEEN = "(k.size_bytes = l.size_bytes AND k.version = l.version)"
_NOTHING_TO_NOTE = "(k.origin = l.origin AND k.metadata = l.metadata AND l.event = '')"
#: The fate of a video of which size, version, origin and metadata are known; NULL where more has to be thought of.
_FATE = (
    f"CASE WHEN {_SEEN} AND {_NOTHING_TO_NOTE} AND NOT {_RETRIED} THEN CASE "
    "WHEN k.state IN ('committed', 'partial') THEN 'unchanged' "
    "WHEN k.state IN ('rejected', 'quarantined') THEN 'rejected' "
    "WHEN k.state = 'dropped' OR (k.state = 'skipped' AND NOT l.expected) THEN 'skipped' END END"
)


class Comparison:
    """The videos of a listing with what the ledger says of them, and the entries that no listing names.

    What another decoder than `decoder` rejected counts as not tried yet ("": nothing does).
    """

    def __init__(self, videos: Collection[VideoRef], ledger: Mapping[str, LedgerEntry], decoder: str = "") -> None:
        self.listed, self.ledger = _together(videos, ledger)
        self._database = self.ledger.database
        self._values = {"decoder": decoder, "most": MAX_ATTEMPTS}
        self._fates = self._database.fresh_name("fates")
        self._noted: list[tuple[str, str]] = []
        self._database.run(f"CREATE TABLE {self._fates} (fate, place)")

    def undecided(self) -> Iterator[tuple[VideoRef, LedgerEntry | None]]:
        """Note the fate of all for which nothing is to be done; gives the others with their entries."""
        self._database.run(
            f"INSERT INTO {self._fates} SELECT {_FATE}, k.rowid FROM {self.listed.name} l "
            f"CROSS JOIN {self.ledger.name} k ON k.uri = l.uri WHERE {_FATE} IS NOT NULL ORDER BY l.uri",
            self._values,
        )
        return self._pairs(f"{_FATE} IS NULL")

    def differing(self) -> Iterator[VideoRef]:
        """The videos that the ledger does not know, or not with this size and version."""
        return (video for video, _ in self._pairs(f"{_SEEN} IS NOT 1"))

    def note(self, fate: Fate, uri: str) -> None:
        """Count a video of the ledger as one for which nothing is to be done."""
        self._noted.append((fate, uri))
        if len(self._noted) >= 1000:
            self._settle()

    def those(self, fate: Fate) -> "Decided":
        """The videos of this fate."""
        self._settle()
        return Decided(self._database, self._fates, self.listed, self.ledger, fate)

    def unlisted(self, covered: Callable[[str, str], bool]) -> list[LedgerEntry]:
        """The entries that are gone: not listed, though `covered(uri, origin)`; in the order of the ledger."""
        rows = self._database.rows(
            f"SELECT k.rowid, k.uri, k.origin FROM {self.ledger.name} k INDEXED BY {self.ledger.name}_by_uri "
            f"WHERE NOT EXISTS (SELECT 1 FROM {self.listed.name} l WHERE l.uri = k.uri) "
            "AND k.state NOT IN ('forgotten', 'deleted')"
        )
        places = sorted((place, uri) for place, uri, origin in rows if covered(uri, origin))
        return [self.ledger[uri] for _, uri in places]

    def known_sizes(self, sizes: Iterable[int]) -> set[int]:
        """Those of these sizes that a video of the ledger has whose bytes are known."""
        return {size for (size,) in self._found("DISTINCT k.size_bytes", "k.size_bytes", sizes, "k.content != ''")}

    def sources(self, contents: Iterable[str]) -> dict[str, str]:
        """By content, the video whose outcome holds for every file with these bytes; the last where there are many."""
        settled = f"NOT k.transient AND NOT {_ANOTHER_CHANCE}"
        copyable = f"{settled} AND (k.live_content != '' OR (k.state = 'rejected' AND k.content != ''))"
        own = "CASE WHEN k.live_content != '' THEN k.live_content ELSE k.content END"
        return dict(self._found(f"{own}, k.uri", own, contents, copyable))

    def contents(self, videos: Iterable[VideoRef], same_bytes: Callable[[VideoRef], str]) -> dict[str, str]:
        """What the ledger says of the bytes of these remote videos, by what their stores say (`same_bytes`)."""
        sizes = {video.size_bytes for video in videos}
        fields = "k.uri, k.size_bytes, k.version, k.content"
        found = self._found(fields, "k.size_bytes", sizes, "k.content != ''")
        told = ((same_bytes(VideoRef(uri, size, version)), content) for uri, size, version, content in found)
        return {name: content for name, content in told if name}

    def _pairs(self, condition: str) -> Iterator[tuple[VideoRef, LedgerEntry | None]]:
        rows = self._database.rows(
            f"SELECT {VIDEO_FIELDS}, {FIELDS} FROM {self.listed.name} l LEFT JOIN {self.ledger.name} k "
            f"ON k.uri = l.uri WHERE {condition} ORDER BY l.uri",
            self._values,
        )
        for row in rows:
            own = row[VIDEO_FIELD_COUNT:]
            yield video_of(row[:VIDEO_FIELD_COUNT]), None if own[0] is None else self.ledger.entry(own)

    def _found(self, fields: str, column: str, wanted: Iterable[Any], condition: str) -> Iterator[tuple[Any, ...]]:
        """These fields of the entries of which a column is among what is wanted: by one walk over the ledger."""
        name = self._database.fresh_name("wanted")
        self._database.run(f"CREATE TABLE {name} (value PRIMARY KEY) WITHOUT ROWID")
        self._database.run_many(f"INSERT OR IGNORE INTO {name} VALUES (?)", ((value,) for value in wanted))
        yield from self._database.rows(
            f"SELECT {fields} FROM {self.ledger.name} k NOT INDEXED "
            f"WHERE {condition} AND {column} IN (SELECT value FROM {name}) ORDER BY k.rowid",
            self._values,
        )

    def _settle(self) -> None:
        self._database.run_many(
            f"INSERT INTO {self._fates} SELECT ?, rowid FROM {self.ledger.name} WHERE uri = ?", self._noted
        )
        self._noted.clear()


class Decided(Streamed[VideoRef]):
    """Videos for which nothing is to be done, counted; gone over in the order of their URIs."""

    def __init__(self, database: Database, fates: str, listed: ListedVideos, ledger: EntryTable, fate: Fate) -> None:
        self._database, self._fate = database, fate
        self._count = database.number(f"SELECT COUNT(*) FROM {fates} WHERE fate = ?", (fate,))
        self._joined = (
            f"FROM {fates} f CROSS JOIN {ledger.name} k ON k.rowid = f.place "
            f"CROSS JOIN {listed.name} l ON l.uri = k.uri WHERE f.fate = ?"
        )

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[VideoRef]:
        query = f"SELECT {VIDEO_FIELDS} {self._joined} ORDER BY l.uri"
        return map(video_of, self._database.rows(query, (self._fate,)))

    def __contains__(self, video: object) -> bool:
        return any(video == own for own in self)


def _together(videos: Collection[VideoRef], ledger: Mapping[str, LedgerEntry]) -> tuple[ListedVideos, EntryTable]:
    """Both as tables of one database, which they are already where a run made them."""
    if isinstance(videos, ListedVideos) and isinstance(ledger, EntryTable) and videos.database is ledger.database:
        videos.settle()
        return videos, ledger
    database = Database()
    listed = ListedVideos(database, videos)
    listed.settle()
    return listed, EntryTable.of(database, ledger.values())
