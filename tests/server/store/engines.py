"""The engines that the tests of this folder run with; another one is a line of ``ENGINES``.

Each is there twice, since a read must not depend on what is packed: as its server has it before the packer comes, and
with everything packed once it is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from steplog.server.open_store import open_store
from steplog.server.sqlite.store import SqliteStore
from steplog.server.sqlite.unpacked import pack_log
from steplog.server.store import Store
from steplog.server.store_types import RunRow

Opener = Callable[[], Store]


def _sqlite(directory: Path) -> Opener:
    return lambda: open_store(directory / "server.db")


def _sqlite_packed(directory: Path) -> Opener:
    return lambda: _PackedStore(directory / "server.db")


class _PackedStore(SqliteStore):
    """Has packed a run when a write of its points is done."""

    def add_batch(self, run: RunRow, *args: Any) -> Future[Any]:
        return self._packed(run, super().add_batch(run, *args))

    def add_metric(self, run: RunRow, *args: Any) -> Future[Any]:
        return self._packed(run, super().add_metric(run, *args))

    def _packed(self, run: RunRow, write: Future[Any]) -> Future[Any]:
        answer: Future[Any] = Future()

        def pack(done: Future[Any]) -> None:
            if done.exception() is not None:
                answer.set_exception(done.exception())
                return
            packed = self.database.write(pack_log, run.id)
            packed.add_done_callback(lambda _: answer.set_result(done.result()))

        write.add_done_callback(pack)
        return answer


ENGINES: Mapping[str, Callable[[Path], Opener]] = {  # an opener of one store, for an empty directory
    "sqlite": _sqlite,
    "sqlite-packed": _sqlite_packed,
}
