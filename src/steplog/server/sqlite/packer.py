"""Which runs of a database are due for packing, and packing them, through a connection beside the server's.

A run is due with ``POINTS_A_NAME`` unpacked points a name on average, with ``PASS_BYTES`` of them, or when nothing has
arrived for ``IDLE_S``, or for ``ENDED_S`` of a run that has ended. Others wait, since a pass costs as much for few
points as for many. For the same reason a run that has just been packed waits for the next look, unless it has
``ENOUGH_BYTES`` again: one that is logged as fast as it is packed goes to few large chunks.

When nothing is due, what a database of an older version lacks is added, in slices: summaries, and rows of tables.

The connection never checkpoints, and is never closed: SQLite would apply the log, perhaps to another database than its
own (``database_file``).
"""

from __future__ import annotations

import math
import os
import sqlite3
import time
from collections.abc import Callable, Collection
from pathlib import Path

from steplog.server.sql import summaries, table
from steplog.server.sql.connection import transaction
from steplog.server.sql.packing import ENOUGH_BYTES, PASS_BYTES, POINTS_A_NAME, pack_run
from steplog.server.sql.runs import IS_THERE
from steplog.server.sqlite import filling
from steplog.server.sqlite.connection import SqliteConnection
from steplog.server.sqlite.database_file import DatabaseFile, change_header
from steplog.server.sqlite.schema import connect, store_error
from steplog.server.store_types import StoreError, StoreReplacedError

__all__ = ["BACKLOG_BYTES", "ENDED_S", "IDLE_S", "Packer", "file_id", "pack_backlog"]

IDLE_S = 60.0
ENDED_S = 2.0
BACKLOG_BYTES = 8 * PASS_BYTES  # in the log of a run

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
        self._say = say
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
        self._idle_at = -math.inf  # when the next run will have been idle for long enough
        self._names: dict[int, int] = {}  # of a run, when they were counted last
        self._told: set[int] = set()  # runs
        self._catching_up = True  # with what an older version did not write

    def work(self) -> bool:
        """Pack what is due, then a little of what an older version has left; whether more of that is left.

        Raises StoreError.
        """
        try:
            version = self._connection.execute("PRAGMA data_version").fetchone()[0]
            if version != self._version or self._clock() >= self._idle_at:
                packed: set[int] = set()
                while due := self._due(packed):
                    for run_id in due:
                        pack_run(self._connection, run_id, self._check, self._on_sealed)
                    packed.update(due)
                self._version = version  # what was committed since then shows the next time
            if self._catching_up:
                self._catching_up = self._summarize_some() or self._fill_some()
            return self._catching_up
        except sqlite3.Error as error:
            raise store_error(error) from error

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

    def _due(self, packed: Collection[int]) -> list[int]:
        """The runs that are due; ``packed``: those that have just been."""
        due, now, idle_at = [], self._clock(), math.inf
        rows = self._connection.execute(_UNPACKED).fetchall()
        self._names = {run_id: self._names.get(run_id, 1) for run_id, *_ in rows}
        for run_id, points, size_bytes, logged, status in rows:
            idle_s = IDLE_S if status == "RUNNING" else ENDED_S
            # A clock that was set back counts as idle: nobody knows since when.
            is_idle = not logged - IDLE_S < now < logged + idle_s
            if is_idle or size_bytes >= PASS_BYTES:
                due.append(run_id)
            elif not self._has_enough(run_id, points):
                idle_at = min(idle_at, logged + idle_s)
            elif run_id not in packed or size_bytes >= ENOUGH_BYTES:
                due.append(run_id)
            else:
                idle_at = now  # at the next look, though nothing may have been committed since
        self._idle_at = idle_at
        return due

    def _has_enough(self, run_id: int, points: int) -> bool:
        if points < POINTS_A_NAME * self._names[run_id]:
            return False
        found = self._connection.execute("SELECT max(names) FROM log WHERE run = ?", (run_id,)).fetchone()
        self._names[run_id] = max(1, found[0] or 0)
        return points >= POINTS_A_NAME * self._names[run_id]

    def _on_sealed(self, run_id: int, records: int, error: str) -> None:
        if run_id not in self._told:
            self._told.add(run_id)
            (uuid,) = self._connection.execute("SELECT uuid FROM runs WHERE id = ?", (run_id,)).fetchone()
            self._say(
                f"{records} records of run {uuid} cannot be read ({error}); they are kept as they are, and counted; "
                "this is said once a run"
            )


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
