"""Ledger entries and receipts as points without vectors: JSON with a version, and back."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from transforms.errors import IndexFormatError
from transforms.index.payloads import FIRST
from transforms.index.store import AnyOf, Equals, Reader, VectorStore, Where
from transforms.plain import from_plain, to_plain
from transforms.records import ClipPoint, LedgerEntry, Receipt, Reject, stable_id
from transforms.tables.database import Database
from transforms.tables.entries import EntryTable

#: Raised when the fields of an entry, a receipt or a reject change their meaning.
FORMAT = 1

VIDEO, RECEIPT = "video", "receipt"

_PAGE = 2000

#: Texts that thousands of entries have in common: without sharing them, an entry takes three times the memory.
_COMMON = ("state", "recipe", "vectors", "origin")

T = TypeVar("T")


def entry_payload(entry: LedgerEntry) -> dict[str, Any]:
    """A ledger entry as JSON holds it."""
    plain = to_plain(entry)
    if entry.payloads == FIRST:  # as entries were before payloads had revisions: archives compare these texts
        del plain["payloads"]
    return {"kind": VIDEO, "format": FORMAT, **plain}


def entry_of(payload: Mapping[str, Any], common: Mapping[str, dict[Any, Any]] | None = None) -> LedgerEntry:
    """The ledger entry that a payload holds; raises IndexFormatError for one of another format.

    Values of the fields in `common` are held once for all entries that are read with it.
    """
    return from_plain(LedgerEntry, _checked(payload), common=common or {})


def receipt_payload(receipt: Receipt) -> dict[str, Any]:
    """A receipt as JSON holds it, with the URI where filters look for it."""
    return {"kind": RECEIPT, "format": FORMAT, "uri": receipt.uri, **to_plain(receipt)}


def receipt_of(payload: Mapping[str, Any]) -> Receipt:
    """The receipt that a payload holds; raises IndexFormatError for one of another format."""
    return from_plain(Receipt, _checked(payload))


def reject_payload(reject: Reject) -> dict[str, Any]:
    """A reject as a line of a dead-letter file holds it."""
    return {"format": FORMAT, **to_plain(reject)}


def reject_of(payload: Mapping[str, Any]) -> Reject:
    """The reject that `reject_payload` made; raises IndexFormatError for one of another format."""
    return from_plain(Reject, _checked(payload))


def read_entries(store: Reader) -> dict[str, LedgerEntry]:
    """Every ledger entry, by URI: about a kilobyte of memory each."""
    return {entry.uri: entry for entry in scroll_entries(store)}


def scroll_entries(store: Reader) -> Iterator[LedgerEntry]:
    """Every ledger entry, while the store gives them."""
    common: dict[str, dict[Any, Any]] = {name: {} for name in _COMMON}
    return (entry_of(point.payload, common) for point in store.scroll(_kind(VIDEO), batch=_PAGE))


def read_table(store: Reader, database: Database) -> EntryTable:
    """Every ledger entry, for an index of any size: they lie in the database, and are made when they are asked for."""
    return EntryTable(database, (_checked(point.payload) for point in store.scroll(_kind(VIDEO), batch=_PAGE)))


def read_rejected(store: Reader) -> Iterator[LedgerEntry]:
    """The ledger entries that hold a reject, while the store gives them."""
    for point in store.scroll(_kind(VIDEO), batch=_PAGE):
        if _checked(point.payload).get("rejects"):
            yield entry_of(point.payload)


def read_entry(store: Reader, uri: str) -> LedgerEntry | None:
    """What the index knows of one video; None where it knows nothing."""
    return read_some(store, [uri]).get(uri)


def read_some(store: Reader, uris: Iterable[str]) -> dict[str, LedgerEntry]:
    """The ledger entries of these videos, by URI; unknown ones are missing."""
    ids = [_entry_id(uri) for uri in uris]
    found: dict[str, LedgerEntry] = {}
    for some in _pages(ids):
        for point in store.retrieve(some):
            entry = entry_of(point.payload)
            found[entry.uri] = entry
    return found


def write_entries(store: VectorStore, entries: Sequence[LedgerEntry]) -> None:
    """Store the entries, replacing those of the same videos."""
    for some in _pages(entries):
        store.upsert([ClipPoint(entry.id, {}, entry_payload(entry)) for entry in some])


def delete_entries(store: VectorStore, uris: Iterable[str]) -> None:
    """Forget what the index knows of these videos; their clips and receipts stay."""
    for some in _pages(list(uris)):
        store.delete(Where(must=(Equals("kind", VIDEO), AnyOf("uri", tuple(some)))))


def read_receipts(store: Reader, uri: str, content: str, recipe: str) -> list[Receipt]:
    """The receipts of one version of a video under one recipe, in the order of its segments."""
    where = Where(must=(*_kind(RECEIPT).must, *_version(uri, content, recipe)))
    return sorted((receipt_of(point.payload) for point in store.scroll(where)), key=lambda receipt: receipt.index)


def scroll_receipts(store: Reader) -> Iterator[Receipt]:
    """Every receipt of the index, while the store gives them."""
    return (receipt_of(point.payload) for point in store.scroll(_kind(RECEIPT), batch=_PAGE))


def read_all_receipts(store: Reader) -> list[Receipt]:
    """Every receipt of the index."""
    return list(scroll_receipts(store))


def write_receipts(store: VectorStore, receipts: Sequence[Receipt]) -> None:
    """Store the receipts, replacing those of the same segments."""
    for some in _pages(receipts):
        store.upsert([ClipPoint(receipt.id, {}, receipt_payload(receipt)) for receipt in some])


def delete_receipts(store: VectorStore, uri: str, *, content: str | None = None, recipe: str | None = None) -> None:
    """Delete a video's receipts; only those of one version, or of one recipe, where these are given."""
    store.delete(Where(must=(*_kind(RECEIPT).must, *_version(uri, content, recipe))))


def _entry_id(uri: str) -> str:
    return stable_id("video", uri)


def _kind(kind: str) -> Where:
    return Where(must=(Equals("kind", kind),))


def _version(uri: str, content: str | None, recipe: str | None) -> tuple[Equals, ...]:
    given = (("uri", uri), ("content", content), ("recipe", recipe))
    return tuple(Equals(field, value) for field, value in given if value is not None)


def _checked(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    found = payload.get("format")
    if found != FORMAT:
        newer = isinstance(found, int) and found > FORMAT
        cure = "use a newer Reelvec" if newer else "use the Reelvec that wrote it"
        raise IndexFormatError(
            f"a record of the index is of another format: format={found!r}, this Reelvec reads {FORMAT}, "
            f"uri={payload.get('uri')!r}; {cure}, or ingest into another --index"
        )
    return payload


def _pages(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _PAGE):
        yield items[start : start + _PAGE]
