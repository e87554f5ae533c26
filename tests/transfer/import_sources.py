"""Runs to import that no file holds, and the servers in memory that they go to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

from steplog.formats.imported import ImportedRun, RecordBatch, Stream
from steplog.formats.run_info import RunInfo
from steplog.settings import resolve
from steplog.testing.memory_server import MemoryServer
from steplog.transfer.importer import Importer

NOW_NS = 1_900_000_000 * 10**9
T0_NS = 1_700_000_000 * 10**9
Rows = Sequence[tuple[str, int | None, int, Any]]


def losses(count: int, first: int = 0) -> list[tuple[str, int | None, int, Any]]:
    """So many records of one metric."""
    return [("loss", step, T0_NS + step * 10**9, 1 / (1 + step)) for step in range(first, first + count)]


def batches_of(rows: Rows, size: int) -> Iterator[RecordBatch]:
    for first in range(0, len(rows), size):
        names, steps, times, values = map(list, zip(*rows[first : first + size], strict=True))
        yield RecordBatch(names, steps, times, values)


def run_of(rows: Rows, *, size: int = 4, anonymous: bool = False, **info: Any) -> ImportedRun:
    """A run of these records, in batches of ``size``."""
    fields = {"id": "run-1", "name": "first", "project": "mnist", "started": "2023-11-14T22:13:20.000000Z"} | info
    return ImportedRun(RunInfo(**fields), [Stream("main", lambda: batches_of(rows, size))], is_anonymous=anonymous)


def importer_to(
    memory: MemoryServer,
    *,
    sleep: Callable[[float], None] = lambda seconds: None,
    progress: Callable[[int], object] = lambda records: None,
    batch_records: int = 3,
) -> Importer:
    """An importer to a server in memory, at a time that stands still."""
    client: Any = SimpleNamespace(transport=memory, settings=resolve({}, namespace="me"))
    return Importer(client, now_ns=lambda: NOW_NS, sleep=sleep, progress=progress, batch_records=batch_records)
