"""Appending batches that say nothing about their run: group commit, of several servers at once.

1. One transaction takes all batches that wait, at most ``_GROUP_MAX``. ``append`` (see schema) locks the run's
   progress, reads the writer's mark after that, and does nothing where the batch does not begin there.
2. A run that somebody else has locked makes nobody wait: its batches come again in a later group, until ``_BUSY_S``.
   So two servers never wait for each other.
3. A batch that fails for a reason of its own fails alone.
4. To append again what may have been committed is to find the mark moved. So a group whose connection was lost is
   appended again, also after COMMIT; where that fails, too, all that wait are refused, and their senders keep them.
5. Whether a run is there is asked before. One that is deleted meanwhile gets a batch that was answered as if it had
   come before.
6. Nothing about runs is kept: another server may have moved them on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty
from typing import Any, NamedTuple

import psycopg

from steplog.records.dates import date_of
from steplog.server.postgresql.connection import PostgresqlConnection
from steplog.server.postgresql.lanes import AGAIN
from steplog.server.postgresql.links import Link, Watch, is_lost, store_error
from steplog.server.records.batch import Batch
from steplog.server.sql.commit_times import CommitTimes
from steplog.server.sql.runs import IS_THERE
from steplog.server.sql.write_queue import WriteQueue
from steplog.server.store_types import BatchResult, GapError, MissingError, StoreBusyError, StoreError

__all__ = ["APPEND", "THERE", "Appender", "Moment", "append_values"]

APPEND = "SELECT append(CAST(? AS bigint), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
THERE = f"SELECT id FROM runs WHERE id = ANY(?) AND {IS_THERE}"  # noqa: S608 - a constant
_LOCKED = -1  # as ``append`` has it
_GROUP_MAX = 256
_GROUP_BYTES_MAX = 16 << 20
_GROUP_S = 20.0  # a transaction
_TRIES = 10
_BUSY_S = 10.0
_PAUSE_S, _PAUSE_MAX_S = 0.002, 0.05  # before a batch of a run that is locked comes again


class Moment(NamedTuple):
    """When a server takes batches."""

    ns: int
    seconds: int
    text: str

    @classmethod
    def of(cls, ns: int) -> Moment:
        """Of nanoseconds since 1970."""
        return cls(ns, ns // 10**9, date_of(ns))

    def last_point(self, batch: Batch) -> str | None:
        """When the batch's last point was logged, but not later than now: a clock that is ahead does not count."""
        point_ns = batch.last_time_ns
        return None if point_ns is None else self.text if point_ns >= self.ns else date_of(point_ns)


class _Waiting(NamedTuple):
    """A batch that waits; its records from its writer's mark on, once that is known."""

    future: Future[BatchResult]
    run: int
    batch: Batch
    generation: int
    taken: int  # the records of all of it
    came: float
    due: float = 0.0
    pause_s: float = _PAUSE_S


class Appender:
    """Appends batches, in one thread."""

    def __init__(
        self,
        conninfo: str,
        watch: Watch,
        clock: Callable[[], float] = time.monotonic,
        times: CommitTimes | None = None,
    ) -> None:
        """``times``: where commits are counted."""
        self._link = Link(conninfo, watch)
        self._watch = watch
        self._times = times or CommitTimes()
        self._clock = clock
        self._waiting: WriteQueue[_Waiting] = WriteQueue()
        self._locked: list[_Waiting] = []  # those whose run was locked
        self._thread = threading.Thread(target=self._work, name="steplog-append", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many batches wait."""
        return self._waiting.qsize() + len(self._locked)

    def submit(self, run: int, batch: Batch, generation: int) -> Future[BatchResult]:
        """Queue a batch; the future is done once it is durable."""
        future: Future[BatchResult] = Future()
        item = _Waiting(future, run, batch, generation, batch.records + batch.applied, self._clock())
        self._waiting.submit(item)
        return future

    def close(self) -> None:
        """Finish the queue, then stop."""
        self._waiting.close()
        self._thread.join()
        self._link.close()

    def _work(self) -> None:
        going = True
        while going or self._locked:
            group, going = self._group(going)
            while group:
                group = self._append(group)

    def _group(self, going: bool) -> tuple[list[_Waiting], bool]:
        """What is appended next, in the order of runs; whether more may come."""
        group: list[_Waiting] = []
        size_bytes = 0
        while len(group) < _GROUP_MAX and size_bytes < _GROUP_BYTES_MAX:
            try:
                item = self._waiting.get_nowait() if group else self._waiting.get(timeout=self._rest_s())
            except Empty:
                break
            if item is None:
                going = False
                break
            if item.future.set_running_or_notify_cancel():
                group.append(item)
                size_bytes += len(item.batch.body)
        now = self._clock()
        group += [item for item in self._locked if item.due <= now]
        self._locked = [item for item in self._locked if item.due > now]
        return sorted(group, key=lambda item: (item.run, item.came)), going

    def _rest_s(self) -> float | None:
        """How long until a batch comes again."""
        return max(0.0, min(item.due for item in self._locked) - self._clock()) if self._locked else None

    def _append(self, group: Sequence[_Waiting]) -> list[_Waiting]:
        """Append these; those that are left, of which a part is stored already."""
        try:
            marks = self._marks(group)
        except _LostError as error:
            self._refuse_all(group, _reason(error.error))
            return []
        left = [self._answered(item, mark) for item, mark in zip(group, marks, strict=True)]
        return [item for item in left if item is not None]

    def _marks(self, group: Sequence[_Waiting]) -> Sequence[int | Exception | None]:
        """The mark of each batch's writer before it was appended, or why it was not; None without the run.

        Raises _LostError.
        """
        try:
            return self._commit(group)
        except _LostError:
            raise
        except Exception as error:  # noqa: BLE001 - of one of them, which gets it
            if len(group) == 1:
                return [error]
            return [mark for item in group for mark in self._marks([item])]

    def _answered(self, item: _Waiting, mark: int | Exception | None) -> _Waiting | None:
        """Answer a batch; what is left of one that was stored in part."""
        first, end = item.batch.source.first, item.batch.source.end
        if isinstance(mark, Exception):
            item.future.set_exception(_reason(mark))
        elif mark is None:
            item.future.set_exception(MissingError("the run does not exist"))
        elif mark == _LOCKED:
            self._put_off(item)
        elif first < mark < end:
            return item._replace(batch=item.batch.above(mark))
        elif first > mark:
            item.future.set_exception(GapError(mark))
        else:
            stored = item.batch.records + item.batch.applied if first == mark < end else 0
            item.future.set_result(BatchResult(stored, item.taken - stored))
        return None

    def _put_off(self, item: _Waiting) -> None:
        now = self._clock()
        if now - item.came > _BUSY_S:
            item.future.set_exception(StoreBusyError("the run is being changed by somebody else"))
        else:
            pause_s = min(2 * item.pause_s, _PAUSE_MAX_S)
            self._locked.append(item._replace(due=now + item.pause_s, pause_s=pause_s))

    def _refuse_all(self, group: Sequence[_Waiting], reason: Exception) -> None:
        """Refuse these and all that wait: what comes next would wait for a connection again."""
        locked, self._locked = self._locked, []
        for item in (*group, *locked, *self._waiting.take_all()):
            item.future.set_exception(reason)

    def _commit(self, group: Sequence[_Waiting]) -> list[int | None]:
        """The mark of each batch's writer before it; None without the run. Raises psycopg.Error, _LostError."""
        was_lost = False
        for tried in range(1, _TRIES + 1):
            connection = None
            try:
                connection = self._link.get()
                with self._watch.over(connection, _GROUP_S), self._times.timed():
                    return _commit(connection, group)
            except Exception as error:
                if connection is None:
                    raise _LostError(error) from error
                if not is_lost(connection, error):
                    with suppress(psycopg.Error):
                        connection.rollback()
                    if tried < _TRIES and isinstance(error, AGAIN):
                        self._times.note_retry()
                        continue
                    raise
                self._link.close()
                if was_lost:
                    raise _LostError(error) from error
                was_lost = True
        raise AssertionError


class _LostError(Exception):
    """There is no connection, for this reason."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def _commit(connection: psycopg.Connection[Any], group: Sequence[_Waiting]) -> list[int | None]:
    link = PostgresqlConnection(connection)
    there = {run for (run,) in link.execute(THERE, (list({item.run for item in group}),))}
    order = [at for at, item in enumerate(group) if item.run in there]
    marks: list[int | None] = [None] * len(group)
    if not order:
        return marks
    now = Moment.of(time.time_ns())
    with connection.pipeline():
        connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
        answers = [(at, link.execute(APPEND, append_values(*group[at][1:4], now))) for at in order]
        connection.execute("COMMIT")
    for at, answer in answers:
        (marks[at],) = answer.fetchone()
    return marks


def append_values(run_id: int, batch: Batch, generation: int, now: Moment) -> tuple[Any, ...]:
    """The values of ``APPEND``."""
    source, size_bytes = batch.source, batch.size_bytes if batch.records else 0
    of_writer = run_id, source.writer, source.first, source.end, batch.records, size_bytes
    return *of_writer, len(source.names), batch.body, now.seconds, now.text, now.last_point(batch), generation


def _reason(error: Exception) -> StoreError:
    if isinstance(error, StoreError):
        return error
    return store_error(error) if isinstance(error, psycopg.Error) else StoreBusyError(repr(error))
