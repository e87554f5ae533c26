"""The engines that the tests of this folder run with; another one is a line of ``ENGINES``.

Each is there twice, since a read must not depend on what is packed: as its server has it before the packer comes, and
with some of it packed and some not.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg

import postgresql
from server import packed
from steplog.server.open_store import open_store
from steplog.server.postgresql.store import PostgresqlStore
from steplog.server.sql.packing import pack_run
from steplog.server.sql.store import SqlStore
from steplog.server.sqlite.store import SqliteStore
from steplog.server.store import Store
from steplog.server.store_types import RunRow

Opener = Callable[[], Store]


def _sqlite(directory: Path) -> Opener:
    return lambda: open_store(directory / "server.db")


def pack(store: Store, run: RunRow) -> None:
    """Pack all of a run now, as a packer does within a minute."""
    packed.pack(store, run)


def settle(store: Store) -> None:
    """Have every server know what this one has stored, as it does within a second."""
    if isinstance(store, PostgresqlStore):
        store.versions.tell()


def restore(store: Store) -> None:
    """Make the tables anew that a copy of the database would be read into; of a file it is another file."""
    if isinstance(store, PostgresqlStore):
        with psycopg.connect(store.database.conninfo) as connection:
            connection.execute("CREATE TABLE copied (LIKE changes INCLUDING ALL)")
            connection.execute("INSERT INTO copied SELECT * FROM changes")
            connection.execute("DROP TABLE changes")
            connection.execute("ALTER TABLE copied RENAME TO changes")


def _sqlite_packed(directory: Path) -> Opener:
    return lambda: _PackedSqliteStore(directory / "server.db")


class _Packed(SqlStore):
    """Has packed a run when two of three writes of its points are done."""

    def __init__(self, place: Any) -> None:
        super().__init__(place)
        self._opened = ExitStack()
        self._packer: Any = self._opened.enter_context(packed.beside(self))
        self._packing = threading.Lock()
        self._writes = itertools.count()

    def close(self) -> None:
        with self._packing:
            self._packer = None
            self._opened.close()
        super().close()

    def add_batch(self, run: RunRow, *args: Any) -> Future[Any]:
        return self._packed(run, super().add_batch(run, *args))

    def add_metric(self, run: RunRow, *args: Any, **kwargs: Any) -> Future[Any]:
        return self._packed(run, super().add_metric(run, *args, **kwargs))

    def _packed(self, run: RunRow, write: Future[Any]) -> Future[Any]:
        answer: Future[Any] = Future()

        def pack(done: Future[Any]) -> None:  # in the thread that writes, between two transactions
            try:
                result = done.result()
                with self._packing:
                    while self._packer is not None and next(self._writes) % 3 and pack_run(self._packer, run.id):
                        pass
            except Exception as error:  # noqa: BLE001 - for the test
                answer.set_exception(error)
            else:
                answer.set_result(result)

        write.add_done_callback(pack)
        return answer


class _PackedSqliteStore(_Packed, SqliteStore):
    pass


class _PackedPostgresqlStore(_Packed, PostgresqlStore):
    pass


def _postgresql_packed(directory: Path) -> Opener:
    url = postgresql.new_store()
    return lambda: _PackedPostgresqlStore(url)


def _postgresql(directory: Path) -> Opener:
    url = postgresql.new_store()
    return lambda: open_store(url)


ENGINES: Mapping[str, Callable[[Path], Opener]] = {  # an opener of one store, for an empty directory
    "sqlite": _sqlite,
    "sqlite-packed": _sqlite_packed,
    "postgresql": _postgresql,
    "postgresql-packed": _postgresql_packed,
}
