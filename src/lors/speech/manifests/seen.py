"""Which keys were there before, however many: exact, on the disk where they do not fit in the memory."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from lors.base.errors import LorsError

_MEMORY_KIB = 32 * 1024


@contextmanager
def temporary_database() -> Iterator[sqlite3.Connection]:
    """A database of 32 MiB in memory that grows into an unnamed temporary file, which goes with it.

    Raises:
        LorsError: the disk of temporary files is full.
    """
    database = sqlite3.connect("", isolation_level=None)
    try:
        for setting in (f"cache_size = -{_MEMORY_KIB}", "journal_mode = OFF", "synchronous = OFF"):
            database.execute(f"PRAGMA {setting}")
        database.execute("BEGIN")
        yield database
    except sqlite3.OperationalError as error:
        raise LorsError(
            f"the temporary file of this work failed ({error}); free some of the disk, or name another folder "
            "for temporary files in TMPDIR."
        ) from None
    finally:
        database.close()


class SeenKeys:
    """Keys, and the line where each was first."""

    def __init__(self, database: sqlite3.Connection, name: str = "seen") -> None:
        self._name = name
        self._cursor = database.cursor()
        self._cursor.execute(f"CREATE TABLE {name} (key BLOB PRIMARY KEY, line INTEGER) WITHOUT ROWID")
        self.count = 0

    def first_line(self, key: bytes, line: int) -> int | None:
        """The line where `key` was before; None where it is new, and is now known."""
        inserted = self._cursor.execute(f"INSERT OR IGNORE INTO {self._name} VALUES (?, ?)", (key, line))
        if inserted.rowcount:
            self.count += 1
            return None
        (found,) = self._cursor.execute(f"SELECT line FROM {self._name} WHERE key = ?", (key,)).fetchone()
        return int(found)
