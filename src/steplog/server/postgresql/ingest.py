"""A batch that says something about its run, and a single point: writes like any other, in the lanes of runs.

Nothing about runs is kept but ``log.NextSteps``: another server may have moved them on.
"""

from __future__ import annotations

import time

from steplog.records.run_fields import TIME_MIN_NS, Changes
from steplog.server.postgresql.appender import APPEND, THERE, Moment, append_values
from steplog.server.records.batch import Batch, NumberedPoint, SinglePoint
from steplog.server.sql import log
from steplog.server.sql.connection import Connection
from steplog.server.sql.run_changes import apply_config, apply_fields, set_config, set_fields
from steplog.server.sql.runs import note_seen, now_text
from steplog.server.store_types import BatchResult, GapError, MissingError

__all__ = ["add_batch", "add_metric"]

_ADVANCE = (
    "UPDATE progress SET arrivals = arrivals + 1, log_bytes = log_bytes + ?, logged = ?, seen = ?,"
    " last_point = greatest(last_point, ?) WHERE run = ?"
)
_WRITER = "SELECT mark, generation, said FROM marks WHERE run = ? AND writer = ?"
_SET_SAID = "UPDATE marks SET said = ? WHERE run = ? AND writer = ?"


def add_batch(connection: Connection, run_id: int, batch: Batch, generation: int) -> BatchResult:
    """Append a batch that says something about its run, and apply that. Raises MissingError, GapError."""
    _check_there(connection, run_id)
    source, taken, stored = batch.source, batch.records + batch.applied, 0
    _lock(connection, run_id)
    row = connection.execute(_WRITER, (run_id, source.writer)).fetchone()
    mark, generation, said_ns = row or (0, generation, TIME_MIN_NS)
    if source.first > mark:
        raise GapError(mark)
    if source.end > mark:
        new = batch if source.first == mark else batch.above(mark)
        connection.execute(APPEND, append_values(run_id, new, generation, Moment.of(time.time_ns()))).fetchone()
        if new.changes is not None:
            _apply(connection, run_id, new.changes, source.writer, generation, said_ns)
            said_ns = max(said_ns, new.changes.latest_ns)
            connection.execute(_SET_SAID, (said_ns, run_id, source.writer))
        stored = new.records + new.applied
    else:
        note_seen(connection, run_id, now_text())
    if batch.changes is None or not batch.changes.fields:
        return BatchResult(stored, taken - stored)
    (name,) = connection.execute("SELECT name FROM runs WHERE id = ?", (run_id,)).fetchone()
    return BatchResult(stored, taken - stored, name)


def add_metric(
    connection: Connection,
    next_steps: log.NextSteps,
    run_id: int,
    point: SinglePoint | None,
    numbered: NumberedPoint | None,
    changes: Changes | None,
) -> int | None:
    """See ``Store.add_metric``. What ``next_steps`` keeps of the run is read anew where this is rolled back."""
    _check_there(connection, run_id)
    _lock(connection, run_id)
    step = None
    if point is not None:
        step = point.step
        if step is None:
            step = next_steps.next_step(connection, run_id, point.name)
        if numbered is None or numbered.step != step:
            numbered = point.numbered(step)
        arrived = connection.execute("SELECT arrivals FROM progress WHERE run = ?", (run_id,)).fetchone()[0]
        log.append(connection, run_id, arrived, numbered.batch)
        now = Moment.of(time.time_ns())
        values = numbered.batch.size_bytes, now.seconds, now.text, now.last_point(numbered.batch), run_id
        connection.execute(_ADVANCE, values)
    else:
        note_seen(connection, run_id, now_text())
    if changes is not None:
        (generation,) = connection.execute("SELECT generation FROM runs WHERE id = ?", (run_id,)).fetchone()
        said = changes.fields, changes.config
        fields, config = ({key: change.value for key, change in each.items()} for each in said)
        set_fields(connection, run_id, fields, generation)
        set_config(connection, run_id, config, generation, None)
    return step


def _check_there(connection: Connection, run_id: int) -> None:
    if connection.execute(THERE, ([run_id],)).fetchone() is None:
        raise MissingError("the run does not exist")


def _lock(connection: Connection, run_id: int) -> None:
    """Let no other server add to the run until this transaction ends. Raises MissingError."""
    if connection.execute("SELECT 1 FROM progress WHERE run = ? FOR NO KEY UPDATE", (run_id,)).fetchone() is None:
        raise MissingError("the run does not exist")


def _apply(connection: Connection, run_id: int, changes: Changes, writer: str, generation: int, said_ns: int) -> None:
    fields, config = (
        [(key, change.order(generation, writer, said_ns), change.value) for key, change in each.items()]
        for each in (changes.fields, changes.config)
    )
    if fields:
        apply_fields(connection, run_id, fields)
    if config:
        apply_config(connection, run_id, config, None)
