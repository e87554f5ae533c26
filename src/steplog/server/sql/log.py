"""The log: batches as they came, in the table ``log``, until they are packed.

A run's log rows follow one another from ``progress.packed`` to ``progress.arrivals``, in order of arrival; only whole
rows are packed.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock

from steplog.records.by_name import points_by_name
from steplog.records.numbering import assign
from steplog.server.records.batch import Batch
from steplog.server.sql.connection import Connection
from steplog.server.sql.reading import log_rows

__all__ = ["NextSteps", "append", "waiting_bytes"]

_NAMES_CACHED_MAX = 100_000
_BEHIND_MAX = 4096  # points
_INSERT = "INSERT INTO log (run, first_arrival, records, bytes, names, body) VALUES (?, ?, ?, ?, ?, ?)"
_PROGRESS = "SELECT packed, arrivals FROM progress WHERE run = ?"
_NEXT_STEP = "SELECT next_step FROM series WHERE run = ? AND name = ?"


def waiting_bytes(connection: Connection) -> int:
    """How much of all runs is not packed."""
    query = "SELECT CAST(coalesce(sum(log_bytes), 0) AS bigint) FROM progress"
    return int(connection.execute(query).fetchone()[0])


def append(connection: Connection, run_id: int, first_arrival: int, batch: Batch) -> None:
    """Store a batch, whose first record arrives as ``first_arrival``."""
    names = len(batch.source.names)
    connection.execute(_INSERT, (run_id, first_arrival, batch.records, batch.size_bytes, names, batch.body))


@dataclass(slots=True)
class _Steps:
    """The next step of each metric of a run after the points below ``arrivals``, of those that have some in the log."""

    arrivals: int = 0
    known: dict[str, int] = field(default_factory=dict)

    def next_step(self, connection: Connection, run_id: int, name: str) -> int:
        step = self.known.get(name)
        if step is None:
            packed = connection.execute(_NEXT_STEP, (run_id, name)).fetchone()
            return int(packed[0]) if packed else 0
        return step

    def catch_up(self, connection: Connection, run_id: int, arrivals: int) -> None:
        for first_arrival, records in log_rows(connection, run_id, self.arrivals):
            for name, points in points_by_name(records, first_arrival).items():
                _, self.known[name] = assign(points.steps, self.next_step(connection, run_id, name))
        self.arrivals = arrivals


class NextSteps:
    """The next steps of the metrics of some runs, so that a point without one is numbered without reading the log.

    What the writer reads may be rolled back: ``forget`` is called then. Others only add what is committed.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._runs: OrderedDict[int, _Steps] = OrderedDict()

    def forget(self, run_id: int | None = None) -> None:
        """Drop what is known, of one run or of all."""
        with self._lock:
            if run_id is None:
                self._runs.clear()
            else:
                self._runs.pop(run_id, None)

    def likely_step(self, connection: Connection, run_id: int, name: str) -> int:
        """The step of a metric's next point if nothing of it arrives meanwhile; called on a snapshot.

        What it reads of the log, the transaction does not have to.
        """
        packed, arrivals = connection.execute(_PROGRESS, (run_id,)).fetchone() or (0, 0)
        with self._lock:
            steps = self._runs.get(run_id)
        if steps is None or steps.arrivals < packed or steps.arrivals + _BEHIND_MAX < arrivals:
            steps = _read_all(connection, run_id, packed, arrivals)
            self._put(run_id, steps)
        return steps.next_step(connection, run_id, name)

    def next_step(self, connection: Connection, run_id: int, name: str) -> int:
        """The step of a metric's next point; called in the writer's transaction."""
        packed, arrivals = connection.execute(_PROGRESS, (run_id,)).fetchone()
        with self._lock:
            steps = self._runs.get(run_id)
        if steps is None or steps.arrivals < packed:
            steps = _read_all(connection, run_id, packed, arrivals)
            self._put(run_id, steps)
        elif steps.arrivals < arrivals:
            steps.catch_up(connection, run_id, arrivals)
        return steps.next_step(connection, run_id, name)

    def _put(self, run_id: int, steps: _Steps) -> None:
        with self._lock:
            present = self._runs.get(run_id)
            if present is None or present.arrivals < steps.arrivals:
                self._runs[run_id] = steps
                self._runs.move_to_end(run_id)
            while len(self._runs) > 1 and sum(1 + len(kept.known) for kept in self._runs.values()) > _NAMES_CACHED_MAX:
                self._runs.popitem(last=False)


def _read_all(connection: Connection, run_id: int, packed: int, arrivals: int) -> _Steps:
    steps = _Steps(packed)
    steps.catch_up(connection, run_id, arrivals)
    return steps
