"""Packing the runs of a database that are due (``sql.packer``), through a connection beside the server's.

When nothing is due, what a database of an older version lacks is added, in slices: summaries, and rows of tables.

The connection never checkpoints, and is never closed: SQLite would apply the log, perhaps to another database than its
own (``database_file``).
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from steplog.server.sql import summaries, table
from steplog.server.sql.connection import transaction
from steplog.server.sql.packer import BACKLOG_BYTES, DueRuns, SealedRows, Unpacked
from steplog.server.sql.packing import pack_run
from steplog.server.sql.runs import IS_THERE
from steplog.server.sqlite import filling
from steplog.server.sqlite.connection import SqliteConnection
from steplog.server.sqlite.database_file import DatabaseFile, change_header
from steplog.server.sqlite.schema import connect, store_error
from steplog.server.store_types import StoreError, StoreReplacedError

__all__ = ["Packer", "file_id", "pack_backlog"]

_UNPACKED = f"""
SELECT run, arrivals - packed, log_bytes, logged, status FROM progress JOIN runs ON id = run
WHERE packed < arrivals AND {IS_THERE}
"""  # noqa: S608 - a constant


class Packer:
    """Packs what is due in a database."""

    def __init__(
        self, database: Path, opened: str, say: Callable[[str], None], clock: Callable[[], float] = time.time
    ) -> None:
        """Open it, if it is still the file that ``file_id`` has ``opened`` say; ``say`` takes a line for a person.

        Raises StoreError.
        """
        self._clock = clock
        try:
            self._connection = connect(database, existing=True)
            self._connection.execute("PRAGMA wal_autocheckpoint = 0")
            self._connection.execute("SELECT value FROM about").fetchone()  # opens the log
            self._file = DatabaseFile(database, beside=True)
            if file_id(database) != opened:
                raise StoreReplacedError(f"{database} is another file than the server's")
        except (sqlite3.Error, OSError) as error:
            raise StoreError(str(error)) from error
        self._version: int | None = None  # of the database, when it was looked at last
        self._due_runs = DueRuns(clock)
        self._sealed = SealedRows(say)
        self._catching_up = True  # with what an older version did not write

    def work(self) -> bool:
        """Pack what is due, then a little of what an older version has left; whether more of that is left.

        Raises StoreError.
        """
        try:
            version = self._connection.execute("PRAGMA data_version").fetchone()[0]
            if version != self._version or self._clock() >= self._due_runs.idle_at:
                packed: set[int] = set()
                on_sealed = partial(self._sealed.tell, self._connection)
                while due := self._due_runs.among(self._connection, self._unpacked(), packed):
                    for run_id in due:
                        pack_run(self._connection, run_id, self._check, on_sealed)
                    packed.update(due)
                self._version = version  # what was committed since then shows the next time
            if self._catching_up:
                self._catching_up = self._summarize_some() or self._fill_some()
            return self._catching_up
        except sqlite3.Error as error:
            raise store_error(error) from error

    def _unpacked(self) -> list[Unpacked]:
        return [Unpacked._make(row) for row in self._connection.execute(_UNPACKED)]

    def _summarize_some(self) -> bool:
        with transaction(self._connection, writes=False):
            found = summaries.find_missing(self._connection)
        if found is not None:
            with transaction(self._connection, writes=True):
                self._check()
                summaries.add_missing(self._connection, found)
            self._file.check()
        return found is not None

    def _fill_some(self) -> bool:
        if table.unfilled(self._connection) is None:
            return False
        with transaction(self._connection, writes=True):
            self._check()
            left = filling.fill(self._connection)
        self._file.check()
        return left

    def _check(self) -> None:
        self._file.check()
        if self._connection.in_transaction:
            change_header(self._connection)


def pack_backlog(connection: SqliteConnection, check: Callable[[], None]) -> None:
    """In the server itself, pack runs with more than ``BACKLOG_BYTES`` in their log. ``check``: as for ``pack_run``.

    What the packer cannot keep up with, being of low priority or not there, then slows down those who log it, and a
    read has no more than that to decode.
    """
    query = f"SELECT run FROM progress JOIN runs ON id = run WHERE log_bytes > ? AND packed < arrivals AND {IS_THERE}"  # noqa: S608
    while long := connection.execute(query, (BACKLOG_BYTES,)).fetchall():
        for (run_id,) in long:
            pack_run(connection, run_id, check)


def file_id(database: Path) -> str:
    """Which file is at this path. Raises OSError."""
    status = os.stat(database)
    return f"{status.st_dev}:{status.st_ino}"
