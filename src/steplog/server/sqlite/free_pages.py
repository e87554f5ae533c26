"""Giving the room of what was removed back to the file system, in slices that hold nobody up.

Pages that are free are moved to the end of the file, and cut off with the next checkpoint, except ``_SPARE_PAGES``,
since SQLite looks through all that are free for each. Only a database that was made by version 4 can do it.
"""

from __future__ import annotations

import time

from steplog.server.sql.connection import Connection

__all__ = ["give_back"]

_SPARE_PAGES = 16_384  # 64 MiB
_SLICE_S = 0.003  # as of a slice of removal
_INCREMENTAL = 2  # of PRAGMA auto_vacuum


def give_back(connection: Connection) -> bool:
    """Cut a slice of free pages off the file; whether more than the spare ones are left."""
    if connection.execute("PRAGMA auto_vacuum").fetchone() != (_INCREMENTAL,):
        return False
    stop_at = time.monotonic() + _SLICE_S
    while connection.execute("PRAGMA freelist_count").fetchone()[0] > _SPARE_PAGES:
        connection.execute("PRAGMA incremental_vacuum(1)")  # sqlite3 makes one step, however many are asked for
        if time.monotonic() >= stop_at:
            return True
    return False
