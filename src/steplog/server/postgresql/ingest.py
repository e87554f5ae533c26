"""Appending batches to runs, of several servers at once.

- Batches that say nothing about their run go together: one transaction for all that wait, in the order of their runs,
  so that two servers never wait for each other in a circle. ``append`` (see schema) locks the run's progress, reads the
  writer's mark after that, and does nothing where the batch does not begin there.
- Whether a run is there is asked before. One that is deleted meanwhile gets a batch that was answered as if it had come
  before.
- A batch that says something about its run, and a single point, are writes like any other.
- Nothing about runs is kept: another server may have moved them on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, NamedTuple

import psycopg

from steplog.records.dates import date_of
from steplog.records.run_fields import TIME_MIN_NS, Changes
from steplog.server.postgresql.connection import PostgresqlConnection
from steplog.server.postgresql.database import AGAIN, Link, store_error
from steplog.server.records.batch import Batch, NumberedPoint, SinglePoint
from steplog.server.sql import log
from steplog.server.sql.connection import Connection
from steplog.server.sql.run_changes import apply_config, apply_fields, set_config, set_fields
from steplog.server.sql.runs import IS_THERE, note_seen, now_text
from steplog.server.store_types import BatchResult, GapError, MissingError, StoreBusyError

__all__ = ["Appender", "add_batch", "add_metric"]

_GROUP_MAX = 256
_GROUP_BYTES_MAX = 16 << 20
_TRIES = 10
_THERE = f"SELECT id FROM runs WHERE id = ANY(?) AND {IS_THERE}"  # noqa: S608 - a constant
_APPEND = (
    "SELECT append(CAST(:run AS bigint), :writer, :first, :end, :records, :bytes, :names, :body, :logged, :seen,"
    " :point, :generation)"
)
_ADVANCE = (
    "UPDATE progress SET arrivals = arrivals + :records, log_bytes = log_bytes + :bytes, logged = :logged,"
    " seen = :seen, last_point = greatest(last_point, :point) WHERE run = :run"
)
_WRITER = "SELECT mark, generation, said FROM marks WHERE run = ? AND writer = ?"
_SET_SAID = "UPDATE marks SET said = ? WHERE run = ? AND writer = ?"


class _Waiting(NamedTuple):
    """A batch that waits; its records from its writer's mark on, once that is known."""

    future: Future[BatchResult]
    run: int
    batch: Batch
    generation: int
    taken: int  # the records of all of it


class Appender:
    """Appends batches, in one thread."""

    def __init__(self, conninfo: str) -> None:
        self._link = Link(conninfo)
        self._waiting: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._closed = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="steplog-append", daemon=True)
        self._thread.start()

    def submit(self, run: int, batch: Batch, generation: int) -> Future[BatchResult]:
        """Queue a batch; the future is done once it is durable."""
        future: Future[BatchResult] = Future()
        with self._lock:
            if self._closed:
                future.set_exception(StoreBusyError("the server is stopping"))
            else:
                self._waiting.put(_Waiting(future, run, batch, generation, batch.records + batch.applied))
        return future

    def close(self) -> None:
        """Finish the queue, then stop."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._waiting.put(None)
        self._thread.join()
        self._link.close()

    def _work(self) -> None:
        going = True
        while going:
            first = self._waiting.get()
            if first is None:
                return
            group, size_bytes = [first], len(first.batch.body)
            while len(group) < _GROUP_MAX and size_bytes < _GROUP_BYTES_MAX and not self._waiting.empty():
                item = self._waiting.get()
                if item is None:
                    going = False
                    break
                group.append(item)
                size_bytes += len(item.batch.body)
            group = [item for item in group if item.future.set_running_or_notify_cancel()]
            while group:
                group = self._append(group)

    def _append(self, group: Sequence[_Waiting]) -> list[_Waiting]:
        """Append these; those that are left, of which a part is stored already."""
        try:
            marks = self._commit(group)
        except Exception as error:  # noqa: BLE001 - the thread must survive; every batch gets the error
            reason = store_error(error) if isinstance(error, psycopg.Error) else StoreBusyError(repr(error))
            for item in group:
                item.future.set_exception(reason)
            return []
        left: list[_Waiting] = []
        for item, mark in zip(group, marks, strict=True):
            first, end = item.batch.source.first, item.batch.source.end
            if mark is None:
                item.future.set_exception(MissingError("the run does not exist"))
            elif first < mark < end:
                left.append(item._replace(batch=item.batch.above(mark)))
            elif first > mark:
                item.future.set_exception(GapError(mark))
            else:
                stored = item.batch.records + item.batch.applied if first == mark < end else 0
                item.future.set_result(BatchResult(stored, item.taken - stored))
        return left

    def _commit(self, group: Sequence[_Waiting]) -> list[int | None]:
        """The mark of each batch's writer before it; None without the run. Raises psycopg.Error."""
        for tried in range(1, _TRIES + 1):
            connection = self._link.get()
            try:
                return _commit(connection, group)
            except psycopg.Error as error:
                with suppress(psycopg.Error):
                    connection.rollback()
                is_dead = tried == 1 and isinstance(error, psycopg.OperationalError) and connection.broken
                if tried == _TRIES or not (is_dead or isinstance(error, AGAIN)):
                    raise
        raise AssertionError


def _commit(connection: psycopg.Connection[Any], group: Sequence[_Waiting]) -> list[int | None]:
    link = PostgresqlConnection(connection)
    there = {run for (run,) in link.execute(_THERE, (list({item.run for item in group}),))}
    order = sorted((at for at, item in enumerate(group) if item.run in there), key=lambda at: group[at].run)
    marks: list[int | None] = [None] * len(group)
    now_ns = time.time_ns()
    with connection.pipeline():
        connection.execute("BEGIN")
        answers = [(at, link.execute(_APPEND, _values(group[at], now_ns))) for at in order]
        connection.execute("COMMIT")
    for at, answer in answers:
        (marks[at],) = answer.fetchone()
    return marks


def _values(item: _Waiting, now_ns: int) -> dict[str, Any]:
    source = item.batch.source
    return {
        "run": item.run,
        "writer": source.writer,
        "first": source.first,
        "end": source.end,
        "generation": item.generation,
    } | _contents(item.batch, now_ns)


def _contents(batch: Batch, now_ns: int) -> dict[str, Any]:
    point_ns = batch.last_time_ns
    return {
        "records": batch.records,
        "bytes": batch.size_bytes if batch.records else 0,
        "names": len(batch.source.names),
        "body": batch.body,
        "logged": now_ns // 10**9,
        "seen": date_of(now_ns),
        "point": None if point_ns is None else date_of(min(point_ns, now_ns)),  # a clock that is ahead does not count
    }


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
        waiting = _Waiting(Future(), run_id, new, generation, 0)
        connection.execute(_APPEND, _values(waiting, time.time_ns())).fetchone()
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
        connection.execute(_ADVANCE, {"run": run_id} | _contents(numbered.batch, time.time_ns()))
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
    if connection.execute(_THERE, ([run_id],)).fetchone() is None:
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
