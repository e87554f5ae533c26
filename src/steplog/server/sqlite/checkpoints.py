"""Checkpoints: what was committed is copied from the log into the database, by a thread that no commit waits for.

1. ``PASSIVE``, which waits for nobody and nobody for it, once more than ``COPY_BYTES`` are to be copied; for less when
   nothing more is committed, or after ``_LOOKS_MAX`` looks.
   What is committed meanwhile is copied once more, if it is little: the database is only cut, and the log only begins
   anew, when nothing is left to copy.
2. The log begins anew with the first commit that finds all of it copied. The writing connection sees to that
   (``configure_writer``): beyond ``_FINISH_PAGES`` of log its commits copy what the thread has left. It then cuts the
   file to ``WAL_BYTES_MAX``.
3. It does not begin anew between a checkpoint and the look that notes what that has left (``database_file``): until
   then the thread reads a snapshot.
4. ``TRUNCATE`` may hold up commits for as long as there are readers. It is only asked for when nothing is committed
   and all is copied, on a connection that waits for nobody.

A log that cannot be copied, since somebody reads an old snapshot, grows until he ends.
"""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack, suppress
from pathlib import Path

from steplog.server.repeating import repeating
from steplog.server.sqlite.connection import SqliteConnection
from steplog.server.sqlite.database_file import DatabaseFile, LogState
from steplog.server.sqlite.schema import WAL_BYTES_MAX, connect
from steplog.server.store_types import StoreError

__all__ = ["COPY_BYTES", "Checkpoints", "configure_writer"]

COPY_BYTES = 16 << 20
_FINISH_PAGES = 12_000  # 48 MiB
_LITTLE_BYTES = 1 << 20
_TRIES = 3
_LOOK_INTERVAL_S = 0.2
_QUIET_LOOKS = 10  # without a commit
_LOOKS_MAX = 150  # 30 s


class Checkpoints:
    """Makes them until ``stop``, on connections of its own."""

    def __init__(self, path: Path, file: DatabaseFile) -> None:
        self.connections = self._connection, self._reader = connect(path, wait_s=0), connect(path)
        self._file = file
        self._last: LogState | None = None
        self._quiet_looks = self._looks = 0
        self._thread = ExitStack()
        self._thread.enter_context(repeating(self._work, "steplog-checkpoints", _LOOK_INTERVAL_S))

    def stop(self) -> None:
        """Wait for the one that is being made, and make no more; leave the connections open."""
        self._thread.close()

    def look(self) -> None:
        """Make one if it is due; raises StoreError where the database was replaced."""
        state = self._file.log_state()
        self._quiet_looks = self._quiet_looks + 1 if state == self._last else 0
        self._last = state
        self._looks += 1
        is_quiet = self._quiet_looks >= _QUIET_LOOKS
        if state.to_copy_bytes > (0 if is_quiet or self._looks >= _LOOKS_MAX else COPY_BYTES):
            self._looks = 0
            for _ in range(_TRIES):
                self._copy()
                if not 0 < self._file.log_state().to_copy_bytes <= _LITTLE_BYTES:
                    break
        elif is_quiet and state.to_copy_bytes == 0 and state.file_bytes > WAL_BYTES_MAX:
            self._file.check()
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._file.check()

    def _copy(self) -> None:
        self._reader.execute("BEGIN")
        try:
            self._reader.execute("SELECT count(*) FROM about").fetchone()
            self._file.check()
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
            self._file.check()
        finally:
            self._reader.execute("ROLLBACK")

    def _work(self) -> float:
        with suppress(StoreError, sqlite3.Error):  # a full disk, say: at the next look
            self.look()
        return _LOOK_INTERVAL_S


def configure_writer(connection: SqliteConnection) -> None:
    """Leave checkpoints to the thread for as long as it keeps up."""
    connection.execute(f"PRAGMA wal_autocheckpoint = {_FINISH_PAGES}")
