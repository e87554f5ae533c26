"""Group commit: one thread commits all jobs submitted since its last commit together.

An fsync takes milliseconds for one batch or for fifty. Each job runs in a savepoint, so a refused one leaves no trace.
Futures are done after the commit, a refused job's too, since an earlier job of the transaction may be the cause. When a
transaction has begun and after its commit, ``check`` must pass (``database_file``). Without jobs it is called once a
second.

A transaction of jobs that may be lost in a power cut, as any later job may find them undone, does not wait for the
disk. The next one that does makes them durable, too.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty
from typing import Any, NamedTuple, TypeVar

from steplog.server.sql.commit_times import CommitTimes
from steplog.server.sql.write_queue import WriteQueue
from steplog.server.sqlite.connection import SqliteConnection
from steplog.server.sqlite.schema import store_error
from steplog.server.store_types import RefusedError, StoreBusyError, StoreError

__all__ = ["Committer"]

_GROUP_MAX = 256
_CHECK_INTERVAL_S = 1.0  # without jobs

_T = TypeVar("_T")


class _Job(NamedTuple):
    future: Future[Any]
    work: Callable[[SqliteConnection], Any]
    durable: bool


class Committer:
    """Runs jobs on one connection, in one thread, in order."""

    def __init__(
        self, connection: SqliteConnection, forget: Callable[[], None], check: Callable[[], None] = lambda: None
    ) -> None:
        """``forget`` is called after a rollback, to drop cached state; ``check`` raises StoreError."""
        self._connection = connection
        self._check = check
        self._forget = forget
        self._jobs: WriteQueue[_Job] = WriteQueue()
        self._waits_for_disk = True
        self._times = CommitTimes()
        self._thread = threading.Thread(target=self._work, name="steplog-store", daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[SqliteConnection], _T], *, durable: bool = True) -> Future[_T]:
        """Queue a job; the future is done once it is durable, or only committed."""
        future: Future[_T] = Future()
        self._jobs.submit(_Job(future, job, durable))
        return future

    def figures(self) -> dict[str, float]:
        """How much waits, and how long commits have taken, jobs and waiting for the disk."""
        return {"writes_waiting": self._jobs.qsize(), **self._times.figures()}

    def close(self) -> None:
        """Finish the queue, then stop."""
        self._jobs.close()
        self._thread.join()

    def _work(self) -> None:
        going = True
        while going:
            try:
                items = [self._jobs.get(timeout=_CHECK_INTERVAL_S)]
            except Empty:
                with suppress(StoreError):  # it keeps what it finds
                    self._check()
                continue
            while len(items) < _GROUP_MAX and not self._jobs.empty():  # the only consumer: get() returns at once
                items.append(self._jobs.get())
            going = items[-1] is not None  # the last of all
            group = [job for job in items if job is not None and job.future.set_running_or_notify_cancel()]
            if group:
                self._commit(group)

    def _commit(self, group: list[_Job]) -> None:
        outcomes: list[tuple[Future[Any], Any, Exception | None]] = []
        try:
            self._set_waiting(any(job.durable for job in group))
            with self._times.timed():
                self._connection.execute("BEGIN IMMEDIATE")
                # With the lock: it keeps what a checkpoint has left before this commit begins the log anew.
                self._check()
                outcomes = [(job.future, *self._run(job.work)) for job in group]
                self._connection.execute("COMMIT")
            self._check()
        except Exception as error:  # noqa: BLE001 - the thread must survive; every job gets the error
            self._forget()
            with suppress(sqlite3.Error):  # SQLite may have rolled back already
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
            outcomes = [(job.future, None, _reason(error)) for job in group]
        for future, result, refusal in outcomes:
            if refusal is None:
                future.set_result(result)
            else:
                future.set_exception(refusal)

    def _set_waiting(self, waits_for_disk: bool) -> None:
        if waits_for_disk != self._waits_for_disk:
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if waits_for_disk else 'NORMAL'}")
            self._waits_for_disk = waits_for_disk

    def _run(self, job: Callable[[SqliteConnection], Any]) -> tuple[Any, Exception | None]:
        result, refusal = None, None
        self._connection.execute("SAVEPOINT job")
        try:
            result = job(self._connection)
        except Exception as error:
            if isinstance(error, sqlite3.OperationalError) or type(error) is sqlite3.DatabaseError:
                raise  # a full or failing disk: SQLite may have rolled back the whole transaction
            self._connection.execute("ROLLBACK TO job")
            if not isinstance(error, RefusedError):
                self._forget()
            refusal = error
        self._connection.execute("RELEASE job")
        return result, refusal


def _reason(error: Exception) -> StoreError:
    if isinstance(error, StoreError):
        return error
    return store_error(error) if isinstance(error, sqlite3.Error) else StoreBusyError(repr(error))
