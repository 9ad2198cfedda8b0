"""The ledger as a run found it: one row an entry, one column a field; an entry is made only when it is asked for."""

import json
import sys
from collections.abc import ItemsView, Iterable, Iterator, Mapping, ValuesView
from contextlib import contextmanager
from dataclasses import MISSING, fields
from operator import itemgetter
from typing import Any

from transforms.plain import from_plain, to_plain
from transforms.records import LedgerEntry, Reject
from transforms.tables.database import Database
from transforms.tables.metadata import metadata_of, metadata_text

_NAMES = tuple(field.name for field in fields(LedgerEntry))
_SPECIAL = ("recipe", "vectors", "rejects", "metadata")
_PLAIN = tuple(name for name in _NAMES if name not in _SPECIAL)
_COLUMNS = (*_PLAIN, *_SPECIAL, "transient", "decoders")
_NAMED = frozenset(_NAMES)
_DEFAULTS = {field.name: field.default for field in fields(LedgerEntry) if field.default is not MISSING}
_plain_of, _special_of = itemgetter(*_PLAIN), itemgetter(*_SPECIAL)
#: The fields of an entry in their order.
FIELDS = ", ".join(f"k.{name}" for name in _NAMES)
_RECIPE, _VECTORS, _REJECTS, _METADATA, _STATE, _ORIGIN, _WHOLE = (
    _NAMES.index(name) for name in ("recipe", "vectors", "rejects", "metadata", "state", "origin", "live_whole")
)


class EntryTable(Mapping[str, LedgerEntry]):
    """Ledger entries by URI, in the order in which they came. Of the fields that thousands share each value is once."""

    def __init__(self, database: Database, payloads: Iterable[Mapping[str, Any]]) -> None:
        """Take these entries in, as `to_plain` gives them."""
        self.database = database
        self.name = database.fresh_name("entries")
        self._common: list[Any] = []
        self._places: dict[Any, int] = {}
        database.run(f"CREATE TABLE {self.name} ({', '.join(_COLUMNS)})")
        marks = ", ".join("?" * len(_COLUMNS))
        database.run_many(f"INSERT INTO {self.name} VALUES ({marks})", map(self._row, payloads))
        looked_at = "uri, size_bytes, version, origin, metadata, state, transient, decoders, attempts"
        database.run(f"CREATE INDEX {self.name}_by_uri ON {self.name} ({looked_at})")

    @classmethod
    def of(cls, database: Database, entries: Iterable[LedgerEntry]) -> "EntryTable":
        """A table of entries that are here already."""
        return cls(database, map(to_plain, entries))

    def __getitem__(self, uri: str) -> LedgerEntry:
        row = self.database.row(f"SELECT {FIELDS} FROM {self.name} k WHERE k.uri = ?", (uri,))
        if row is None:
            raise KeyError(uri)
        return self.entry(row)

    def get(self, uri: str, default: Any = None) -> Any:
        """The entry of a video, without the detour over an exception."""
        row = self.database.row(f"SELECT {FIELDS} FROM {self.name} k WHERE k.uri = ?", (uri,))
        return default if row is None else self.entry(row)

    def __contains__(self, uri: object) -> bool:
        return self.database.row(f"SELECT 1 FROM {self.name} WHERE uri = ?", (uri,)) is not None

    def __iter__(self) -> Iterator[str]:
        return (uri for (uri,) in self.database.rows(f"SELECT uri FROM {self.name} NOT INDEXED ORDER BY rowid"))

    def __len__(self) -> int:
        return self.database.number(f"SELECT COUNT(*) FROM {self.name}")

    def values(self) -> ValuesView[LedgerEntry]:
        """Every entry, made while it is gone over."""
        return _Values(self)

    def items(self) -> ItemsView[str, LedgerEntry]:
        """Every URI with its entry, made while it is gone over."""
        return _Items(self)

    def where(self, condition: str = "1") -> Iterator[LedgerEntry]:
        """The entries, `k` in the condition, in their order."""
        query = f"SELECT {FIELDS} FROM {self.name} k NOT INDEXED WHERE {condition} ORDER BY k.rowid"
        return map(self.entry, self.database.rows(query))

    def rejected(self) -> Iterator[LedgerEntry]:
        """Those that hold a reject."""
        return self.where("k.rejects != ''")

    def has_rejects(self) -> bool:
        """Whether any entry holds one."""
        return self.database.row(f"SELECT 1 FROM {self.name} WHERE rejects != '' LIMIT 1") is not None

    @contextmanager
    def instead(self, changed: Mapping[str, LedgerEntry | None]) -> Iterator[None]:
        """Take these entries for those of the same videos while the block runs; None: as if there were none."""
        query = f"SELECT rowid FROM {self.name} WHERE uri = ?"
        before = {uri: self[uri] for uri in changed}
        places = {uri: self.database.number(query, (uri,)) for uri in changed}
        try:
            for uri, entry in changed.items():
                self._put(places[uri], entry)
            yield
        finally:
            for uri, entry in before.items():
                self._put(places[uri], entry)

    def entry(self, row: tuple[Any, ...]) -> LedgerEntry:
        """The entry that the columns `FIELDS` hold."""
        values = list(row)
        values[_RECIPE], values[_VECTORS] = self._common[row[_RECIPE]], self._common[row[_VECTORS]]
        rejects = row[_REJECTS]
        values[_REJECTS] = tuple(from_plain(Reject, one) for one in json.loads(rejects)) if rejects else ()
        values[_METADATA] = metadata_of(row[_METADATA])
        values[_STATE], values[_ORIGIN] = sys.intern(row[_STATE]), sys.intern(row[_ORIGIN])
        values[_WHOLE] = bool(row[_WHOLE])
        return LedgerEntry(*values)

    def _put(self, place: int, entry: LedgerEntry | None) -> None:
        self.database.run(f"DELETE FROM {self.name} WHERE rowid = ?", (place,))
        if entry is not None:
            marks = ", ".join("?" * len(_COLUMNS))
            statement = f"INSERT INTO {self.name} (rowid, {', '.join(_COLUMNS)}) VALUES (?, {marks})"
            self.database.run(statement, (place, *self._row(to_plain(entry))))

    def _row(self, plain: Mapping[str, Any]) -> tuple[Any, ...]:
        """The columns of an entry; those that are not fields are what planning asks of its rejects."""
        if not plain.keys() >= _NAMED:  # it was written before entries had all of these fields
            plain = {**_DEFAULTS, **plain}
        own, (recipe, vectors, rejects, metadata) = _plain_of(plain), _special_of(plain)
        shared = self._place(recipe), self._place(tuple(map(tuple, vectors)))
        if not rejects:
            return (*own, *shared, "", metadata_text(metadata), 0, "")
        decoders = {reject.get("decoder", "") for reject in rejects} - {""}
        transient = any(reject["transient"] for reject in rejects)
        return (*own, *shared, json.dumps(rejects), metadata_text(metadata), transient, "\n".join(sorted(decoders)))

    def _place(self, value: Any) -> int:
        """Where a value that many entries share is held."""
        place = self._places.get(value)
        if place is None:
            place = self._places[value] = len(self._common)
            self._common.append(value)
        return place


class _Values(ValuesView[LedgerEntry]):
    _mapping: EntryTable

    def __iter__(self) -> Iterator[LedgerEntry]:
        return self._mapping.where()


class _Items(ItemsView[str, LedgerEntry]):
    _mapping: EntryTable

    def __iter__(self) -> Iterator[tuple[str, LedgerEntry]]:
        return ((entry.uri, entry) for entry in self._mapping.where())
