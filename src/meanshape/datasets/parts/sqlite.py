"""SQLite databases that anybody may have made: plain tables are read, nothing in the file is run.

A view may be a program that never ends, a function in it may ask for a gigabyte. So an authorizer lets
nothing but columns of tables be read, and rows, text and steps are counted.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from meanshape.core.errors import FormatError
from meanshape.core.regular import open_regular

ROWS, TEXT, STEPS = 2_000_000, 64_000_000, 200_000_000
"""What is read of one database: rows, bytes of text, and steps of SQLite's machine, a few seconds' worth."""
LONGEST = 1_000_000
"""Bytes of one value."""
OFTEN = 100_000


class Database:
    """An open database."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection, self._rows, self._text = connection, ROWS, TEXT

    def rows(self, table: str, *columns: str) -> Iterator[tuple[Any, ...]]:
        """Yield these columns of each row."""
        for row in self._connection.execute(f"SELECT {', '.join(columns)} FROM {table}"):
            self._rows -= 1
            self._text -= sum(len(value) for value in row if isinstance(value, (str, bytes)))
            if self._rows < 0 or self._text < 0:
                raise FormatError(f"more than {ROWS:,} rows or {TEXT:,} bytes of text")
            yield row


@contextmanager
def opened(path: Path, what: str) -> Iterator[Database]:
    """Open a database to read it; `what` says in errors what it should be."""
    try:
        open_regular(path).close()
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            _restrict(connection)
            yield Database(connection)
    except FormatError as error:
        raise FormatError(str(error), path) from error
    except (sqlite3.Error, OSError, MemoryError) as error:
        raise FormatError(f"not {what}: {error or 'it wants too much memory'}", path) from error


def _restrict(connection: sqlite3.Connection) -> None:
    """Let nothing but columns of tables be read, in a bounded number of steps."""
    left = STEPS // OFTEN

    def stop() -> bool:
        nonlocal left
        left -= 1
        return left < 0

    def allow(action: int, table: str | None, column: str | None, base: str | None, view: str | None) -> int:
        plain = view is None and action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ)
        return sqlite3.SQLITE_OK if plain else sqlite3.SQLITE_DENY

    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST)
    connection.set_progress_handler(stop, OFTEN)
    connection.set_authorizer(allow)


__all__ = ["Database", "opened"]
