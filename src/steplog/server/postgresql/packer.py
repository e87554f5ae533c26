"""Packing the runs of a database that are due (``sql.packer``), beside its servers and their packers.

1. Each server has a packer, and they share the work: one holds an advisory lock of the run that it packs, others pass
   that one by. PostgreSQL releases it with the connection, so that of one that is killed nothing is left.
2. What another packer has packed since the runs were looked at is not due any more.
3. Runs that wait are found in the log, which has a row of each: its index is searched once a run. An index of
   ``progress`` would cost each batch an entry of its own, since what is indexed changes with each.
4. Looking takes ``_SHARE`` of the time at most.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from functools import partial

import psycopg

from steplog.server.postgresql.connection import PostgresqlConnection
from steplog.server.postgresql.lanes import AGAIN
from steplog.server.postgresql.links import Link, conninfo_of, store_error
from steplog.server.sql.connection import Connection
from steplog.server.sql.packer import BACKLOG_BYTES, ENDED_S, DueRuns, SealedRows, Unpacked
from steplog.server.sql.packing import PASS_BYTES, POINTS_A_NAME, pack_run
from steplog.server.sql.runs import IS_THERE

__all__ = ["Packer", "lock_of", "pack", "pack_backlog"]

_SHARE = 0.02
_LOCK = 0x7061_0000_0000_0000  # of pg_advisory_lock, and the run's number
# A distinct that reads the index once for each value (https://wiki.postgresql.org/wiki/Loose_indexscan).
_WAITING = """
WITH RECURSIVE waiting (run) AS (
    (SELECT run FROM log ORDER BY run LIMIT 1)
    UNION ALL
    SELECT (SELECT log.run FROM log WHERE log.run > waiting.run ORDER BY log.run LIMIT 1) FROM waiting
    WHERE waiting.run IS NOT NULL
)
SELECT run FROM waiting WHERE run IS NOT NULL
"""
_PROGRESS = (
    "SELECT run, packed, arrivals - packed, log_bytes, logged FROM progress WHERE run = ANY(?) AND packed < arrivals"
)
_LONG = "SELECT run, packed FROM progress WHERE log_bytes > ? AND packed < arrivals"
_PACKED = "SELECT packed FROM progress WHERE run = ?"
_THERE = f"SELECT id, status FROM runs WHERE id = ANY(?) AND {IS_THERE}"  # noqa: S608 - a constant

_OnSealed = Callable[[int, int, str], None]


class Packer:
    """Packs what is due in a database."""

    def __init__(
        self,
        url: str,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        """``say`` takes a line for a person. Raises ConfigurationError."""
        self._link = Link(conninfo_of(url))
        self._clock = clock
        self._timer = timer
        self._look_at = timer()
        self._due_runs = DueRuns(clock)
        self._sealed = SealedRows(say)

    def work(self) -> bool:
        """Pack what is due; False: a look at a time is enough. Raises StoreError."""
        if self._timer() < self._look_at:
            return False
        try:
            connection = PostgresqlConnection(self._link.get())
            on_sealed = partial(self._sealed.tell, connection)
            done: set[int] = set()
            some_left = True
            while some_left:  # until the others are at all that are due
                due = self._due(connection, done)
                some_left = sum(pack(connection, run_id, packed, on_sealed) for run_id, packed in due.items()) > 0
                done.update(due)
        except psycopg.Error as error:
            self._link.close()
            raise store_error(error) from error
        return False

    def close(self) -> None:
        """Close its connection."""
        self._link.close()

    def _due(self, connection: Connection, done: Collection[int]) -> dict[int, int]:
        """The runs that are due, and as far as each is packed."""
        began = self._timer()
        waiting = [run for (run,) in connection.execute(_WAITING)]
        progress = connection.execute(_PROGRESS, (waiting,)).fetchall()
        now = self._clock()
        # The others are not due, whatever their status.
        likely = [
            run
            for run, _, points, size_bytes, logged in progress
            if points >= POINTS_A_NAME or size_bytes >= PASS_BYTES or not logged < now < logged + ENDED_S
        ]
        status = dict(connection.execute(_THERE, (likely,)).fetchall())
        unpacked = [Unpacked._make((run, *of_run, status[run])) for run, _, *of_run in progress if run in status]
        due = set(self._due_runs.among(connection, unpacked, done))
        self._look_at = began + (self._timer() - began) / _SHARE
        return {run: packed for run, packed, *_ in progress if run in due}


def pack(connection: Connection, run_id: int, packed: int, on_sealed: _OnSealed = lambda *_: None) -> bool:
    """Pack some of a run, unless another packer does, or has since it was packed up to here; whether it was."""
    key = (lock_of(run_id),)
    if not connection.execute("SELECT pg_try_advisory_lock(?)", key).fetchone()[0]:
        return False
    try:
        found = connection.execute(_PACKED, (run_id,)).fetchone()
        if found is None or found[0] != packed:
            return False
        pack_run(connection, run_id, on_sealed=on_sealed)
    except AGAIN:  # what removes the run was first
        return False
    finally:
        connection.execute("SELECT pg_advisory_unlock(?)", key)
    return True


def lock_of(run_id: int) -> int:
    """The advisory lock of who packs a run."""
    return _LOCK | run_id


def pack_backlog(connection: Connection) -> None:
    """In the server itself, pack runs with more than ``BACKLOG_BYTES`` in their log, as far as no packer is at them."""
    long = dict(connection.execute(_LONG, (BACKLOG_BYTES,)).fetchall())
    while long:
        there = {run for run, _ in connection.execute(_THERE, (list(long),))}
        again = [run for run, packed in long.items() if run in there and pack(connection, run, packed)]
        long = dict(connection.execute(f"{_LONG} AND run = ANY(?)", (BACKLOG_BYTES, again)).fetchall())
