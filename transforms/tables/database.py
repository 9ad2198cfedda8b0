"""A database of one run that nobody else sees, in memory while it is small and in a file without a name after that."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from typing import Any

from transforms.errors import DiskFull, StoreUnavailable

#: So much of it is held in memory; what is above lies in a file that is gone as soon as the process is.
_CACHE_KIB = 32 * 1024

_FULL = "database or disk is full"


class Database:
    """A temporary SQLite database; use it from one thread. What it holds ends with it."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect("", isolation_level=None)  # "": temporary, unlinked when it is opened
        self._numbers = count(1)
        for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{_CACHE_KIB}"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.execute("BEGIN")  # never ended: there is nobody to commit for, and nothing to take back

    def run(self, statement: str, values: Sequence[Any] | dict[str, Any] = ()) -> None:
        """Execute a statement that gives no rows. Raises DiskFull and StoreUnavailable, as all of these do."""
        try:
            self._connection.execute(statement, values)
        except sqlite3.Error as error:
            raise _told(error) from error

    def run_many(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Execute it once for each row; they may come from a generator."""
        try:
            self._connection.executemany(statement, rows)
        except sqlite3.Error as error:
            raise _told(error) from error

    def rows(self, query: str, values: Sequence[Any] | dict[str, Any] = ()) -> Iterator[tuple[Any, ...]]:
        """What a query gives, read as it is asked for."""
        try:
            yield from self._connection.execute(query, values)
        except sqlite3.Error as error:
            raise _told(error) from error

    def row(self, query: str, values: Sequence[Any] | dict[str, Any] = ()) -> tuple[Any, ...] | None:
        """The first row of a query; None where there is none."""
        try:
            found: tuple[Any, ...] | None = self._connection.execute(query, values).fetchone()
        except sqlite3.Error as error:
            raise _told(error) from error
        return found

    def number(self, query: str, values: Sequence[Any] | dict[str, Any] = ()) -> int:
        """The one number that a query gives."""
        found = self.row(query, values)
        return 0 if found is None else int(found[0])

    def fresh_name(self, kind: str) -> str:
        """A name that no table of it has."""
        return f"{kind}_{next(self._numbers)}"


def _told(error: sqlite3.Error) -> Exception:
    if _FULL in str(error):
        return DiskFull(
            "no room is left for the list of this run, about 600 bytes a video: free some where temporary files lie "
            "(/var/tmp), or name another folder for them in SQLITE_TMPDIR"
        )
    return StoreUnavailable(
        f"the temporary database of this run failed: {error}; is SQLITE_TMPDIR a folder to write in?"
    )
