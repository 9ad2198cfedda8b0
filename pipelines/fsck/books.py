"""The ledger entries and receipts of an index, read without trusting any of them."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.fsck.problem import NEWER, REPAIR, Problem
from transforms.index.ledger import FORMAT, RECEIPT, VIDEO, entry_of, receipt_of
from transforms.index.store import Equals, Reader, Where
from transforms.records import ClipPoint, LedgerEntry, Receipt
from transforms.uris import shown

#: (uri, content, recipe): one version of one video.
Version = tuple[str, str, str]

_PAGE = 2000


@dataclass(slots=True)
class Waiting:
    """The receipts of one version, added up."""

    segments: int  # that the version has
    receipts: int = 0
    clips: int = 0  # that the receipts vouch for

    @property
    def complete(self) -> bool:
        return self.receipts >= self.segments


@dataclass(slots=True)
class Books:
    """What the ledger and the receipts say, and what is wrong with their records themselves."""

    entries: dict[str, LedgerEntry] = field(default_factory=dict)
    waiting: dict[Version, Waiting] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    unreadable: set[str] = field(default_factory=set)  # URIs whose records say nothing that can be relied on

    def waiting_of(self) -> Mapping[str, dict[Version, Waiting]]:
        """The waiting versions by video."""
        by_video: dict[str, dict[Version, Waiting]] = defaultdict(dict)
        for version, waiting in self.waiting.items():
            by_video[version[0]][version] = waiting
        return by_video


def read_books(reader: Reader) -> Books:
    """Read every ledger entry and receipt; one that cannot be read is a problem, not an error."""
    books = Books()
    for point in reader.scroll(_kind(VIDEO), batch=_PAGE):
        entry = _read(books, point, entry_of, "ledger entry")
        if entry is None:
            continue
        if point.id != entry.id:
            books.problems.append(
                Problem(
                    "entry_id",
                    point.id,
                    f"a ledger entry lies under another id than its video's: {shown(entry.uri)}, expected {entry.id}",
                    f"{REPAIR} puts it where it belongs",
                    "move_entry",
                    entry.uri,
                )
            )
        books.entries[entry.uri] = entry
    for point in reader.scroll(_kind(RECEIPT), batch=_PAGE):
        receipt: Receipt | None = _read(books, point, receipt_of, "receipt")
        if receipt is not None:
            version = receipt.uri, receipt.content, receipt.recipe
            waiting = books.waiting.setdefault(version, Waiting(receipt.count))
            waiting.receipts += 1
            waiting.clips += receipt.clips
    return books


def _read(books: Books, point: ClipPoint, read: Any, what: str) -> Any:
    """The record, or None with a problem noted."""
    uri = str(point.payload.get("uri") or "")
    noted = _format_problem(point, what, uri)
    if noted is None:
        try:
            return read(point.payload)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            noted = Problem(
                "record_damaged",
                point.id,
                f"a {what} cannot be read: {shown(uri) or 'of no video'} ({error!r})",
                f"{REPAIR} deletes it; the next ingest or reindex takes its video up again",
                "delete_point",
                uri,
            )
    books.problems.append(noted)
    books.unreadable.add(uri)
    return None


def _format_problem(point: ClipPoint, what: str, uri: str) -> Problem | None:
    found = point.payload.get("format")
    if found == FORMAT:
        return None
    newer = isinstance(found, int) and found > FORMAT
    return Problem(
        "record_newer" if newer else "record_older",
        point.id,
        f"a {what} is of another format: {shown(uri)} has format={found!r}, this Reelvec reads {FORMAT}",
        NEWER if newer else "use the Reelvec that wrote it, or ingest into another --index",
        uri=uri,
    )


def _kind(kind: str) -> Where:
    return Where((Equals("kind", kind),))
