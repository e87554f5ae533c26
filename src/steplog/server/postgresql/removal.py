"""Removing what is deleted (``sql.removal``), by one server at a time, while all others write.

A slice is not isolated: it waits for rows that others hold, and has none that they want but for those of the run that
it removes. Where a packer is at that run, one of the two gives way, and goes on later.
"""

from __future__ import annotations

from datetime import datetime

from steplog.server.postgresql.lanes import AGAIN
from steplog.server.sql import removal
from steplog.server.sql.connection import Connection, transaction

__all__ = ["reap"]

_LOCK = 0x7265_6170_0000_0000  # of pg_try_advisory_xact_lock


def reap(connection: Connection, now: datetime | None = None) -> bool:
    """See ``removal.reap``; False where another server does it."""
    try:
        with transaction(connection, writes=True, isolated=False):
            connection.execute("SET LOCAL synchronous_commit = off")
            if not connection.execute("SELECT pg_try_advisory_xact_lock(?)", (_LOCK,)).fetchone()[0]:
                return False
            return removal.reap(connection, now)
    except AGAIN:
        return True
