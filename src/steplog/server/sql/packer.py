"""What the packers of all engines share: which runs are due for packing, and what they say of rows that are sealed.

A run is due with ``POINTS_A_NAME`` unpacked points a name on average, with ``PASS_BYTES`` of them, or when nothing has
arrived for ``IDLE_S``, or for ``ENDED_S`` of a run that has ended. Others wait, since a pass costs as much for few
points as for many. For the same reason a run that has just been packed waits for the next look, unless it has
``ENOUGH_BYTES`` again: one that is logged as fast as it is packed goes to few large chunks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from steplog.server.sql.connection import Connection
from steplog.server.sql.packing import ENOUGH_BYTES, PASS_BYTES, POINTS_A_NAME

__all__ = ["BACKLOG_BYTES", "ENDED_S", "IDLE_S", "DueRuns", "SealedRows", "Unpacked"]

IDLE_S = 60.0
ENDED_S = 2.0
BACKLOG_BYTES = 8 * PASS_BYTES  # in the log of a run
_NAMES = "SELECT max(names) FROM log WHERE run = ?"


class Unpacked(NamedTuple):
    """What waits in a run's log; ``logged``: since when nothing has arrived, in seconds since the epoch."""

    run: int
    points: int
    size_bytes: int
    logged: int
    status: str


class DueRuns:
    """Says which runs are due.

    Attributes:
        idle_at: when the next run will be, if nothing arrives.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.idle_at = -math.inf
        self._clock = clock
        self._names: dict[int, int] = {}  # of a run, when they were counted last

    def among(self, connection: Connection, unpacked: Iterable[Unpacked], packed: Collection[int]) -> list[int]:
        """Those that are due of all that wait; ``packed``: those that have just been."""
        due, now, idle_at, names = [], self._clock(), math.inf, {}
        for run in unpacked:
            known = names[run.run] = self._names.get(run.run, 1)
            idle_s = IDLE_S if run.status == "RUNNING" else ENDED_S
            # A clock that was set back counts as idle: nobody knows since when.
            is_idle = not run.logged - IDLE_S < now < run.logged + idle_s
            if is_idle or run.size_bytes >= PASS_BYTES:
                due.append(run.run)
                continue
            if run.points >= POINTS_A_NAME * known:
                (most,) = connection.execute(_NAMES, (run.run,)).fetchone()
                known = names[run.run] = max(1, most or 0)
            if run.points < POINTS_A_NAME * known:
                idle_at = min(idle_at, run.logged + idle_s)
            elif run.run not in packed or run.size_bytes >= ENOUGH_BYTES:
                due.append(run.run)
            else:
                idle_at = now  # at the next look, though nothing may have been committed since
        self.idle_at, self._names = idle_at, names
        return due


class SealedRows:
    """Says of rows that cannot be packed what a person should know, once a run."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._told: set[int] = set()  # runs

    def tell(self, connection: Connection, run_id: int, records: int, error: str) -> None:
        """Say it of one that was sealed."""
        if run_id not in self._told:
            self._told.add(run_id)
            (uuid,) = connection.execute("SELECT uuid FROM runs WHERE id = ?", (run_id,)).fetchone()
            self._say(
                f"{records} records of run {uuid} cannot be read ({error}); they are kept as they are, and counted; "
                "this is said once a run"
            )
