"""The one thread that writes: it takes what has been asked since its last commit, and commits it together.

A commit waits for the disk, some milliseconds, whether it holds one batch or fifty. While it waits the next
requests gather, so under load a commit serves many clients, and alone a client waits for no one.

Each job runs in a savepoint: one that is refused leaves no trace, and the others go on. A job is answered only
after the commit. When the commit fails, none of its jobs is stored and each is told so.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from steplog.server.schema import store_error
from steplog.server.store_types import RefusedError, StoreBusyError

__all__ = ["Committer"]

_GROUP_MAX = 256

_T = TypeVar("_T")
_Job = tuple["Future[Any]", Callable[[sqlite3.Connection], Any]]


class Committer:
    """Runs jobs on one connection, in one thread, in the order in which they were submitted."""

    def __init__(self, connection: sqlite3.Connection, forget: Callable[[], None]) -> None:
        """``forget`` is called when something was rolled back: what jobs remember of the database is void."""
        self._connection = connection
        self._forget = forget
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._closed = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="steplog-store", daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[sqlite3.Connection], _T]) -> Future[_T]:
        """The future of a job's result, done when the result is durable."""
        future: Future[_T] = Future()
        with self._lock:
            if self._closed:
                future.set_exception(StoreBusyError("the server is stopping"))
            else:
                self._jobs.put((future, job))
        return future

    def close(self) -> None:
        """Do what was submitted, then stop."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        going = True
        while going:
            group: list[_Job] = []
            item = self._jobs.get()
            while item is not None:
                group.append(item)
                if len(group) == _GROUP_MAX:
                    break
                try:
                    item = self._jobs.get_nowait()
                except Empty:
                    break
            going = item is not None
            group = [job for job in group if job[0].set_running_or_notify_cancel()]
            if group:
                self._commit(group)

    def _commit(self, group: list[_Job]) -> None:
        done: list[tuple[Future[Any], Any]] = []
        refused: list[tuple[Future[Any], Exception]] = []
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for future, job in group:
                self._run(future, job, done, refused)
            self._connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - the one place of this thread: each job hears of it, and it goes on
            self._roll_back()
            reason = store_error(error) if isinstance(error, sqlite3.Error) else StoreBusyError(repr(error))
            for future, _ in group:
                if not future.done():
                    future.set_exception(reason)
            return
        for future, result in done:
            future.set_result(result)
        for future, refusal in refused:
            future.set_exception(refusal)

    def _run(
        self,
        future: Future[Any],
        job: Callable[[sqlite3.Connection], Any],
        done: list[tuple[Future[Any], Any]],
        refused: list[tuple[Future[Any], Exception]],
    ) -> None:
        execute = self._connection.execute
        execute("SAVEPOINT job")
        try:
            done.append((future, job(self._connection)))
        except Exception as error:
            if isinstance(error, sqlite3.OperationalError) or type(error) is sqlite3.DatabaseError:
                raise  # a full or failing disk: the whole transaction may be gone already
            execute("ROLLBACK TO job")
            if not isinstance(error, RefusedError):
                self._forget()
            # Answered after the commit, too: what it was refused for may have been done in this very transaction.
            refused.append((future, error))
        execute("RELEASE job")

    def _roll_back(self) -> None:
        self._forget()
        with suppress(sqlite3.Error):  # SQLite may have rolled back by itself
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
