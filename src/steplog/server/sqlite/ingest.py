"""Appending batches to runs, in the single writing thread.

- A batch is one log row, its writer's mark and the run's progress, in one transaction (``log``).
- What records say about the run is applied in that transaction, with the generation in which the server first heard of
  the writer.
- A run's marks and its arrivals are cached, since nothing else writes them, and change once each statement has
  succeeded; ``forget`` drops them after a rollback. A run that is cached is there: what deletes one forgets it.
- A single point without a step is given one (``log.NextSteps``), since its answer has it.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

from steplog.records.dates import date_of
from steplog.records.run_fields import TIME_MIN_NS, Changes
from steplog.server.records.batch import Batch, NumberedPoint, SinglePoint
from steplog.server.sql import log
from steplog.server.sql.connection import Connection
from steplog.server.sql.run_changes import apply_config, apply_fields, set_config, set_fields
from steplog.server.sql.runs import IS_THERE, note_seen, now_text
from steplog.server.store_types import BatchResult, GapError, MissingError

__all__ = ["Ingester"]

_WRITERS_CACHED_MAX = 100_000
_ADVANCE = (
    "UPDATE progress SET arrivals = :arrivals, log_bytes = log_bytes + :bytes, logged = :logged, seen = :seen,"
    " last_point = coalesce(max(last_point, :point), :point, last_point) WHERE run = :run"
)
_PUT_MARK = (
    "INSERT INTO marks (run, writer, mark, generation, said) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (run, writer) DO UPDATE SET mark = excluded.mark, said = excluded.said"
)


class _Writer(NamedTuple):
    mark: int
    generation: int
    said_ns: int = TIME_MIN_NS  # the latest time of its records about the run


@dataclass(slots=True)
class _RunState:
    id: int
    arrivals: int
    writers: dict[str, _Writer]
    config_rows: int | None = None  # see ``apply_config``

    @property
    def size(self) -> int:
        return 1 + len(self.writers)


class Ingester:
    """Appends to runs, in the caller's transaction and one thread."""

    def __init__(self) -> None:
        self._runs: OrderedDict[int, _RunState] = OrderedDict()
        self._size = 0  # of what is cached: a run and a writer each count one
        self.next_steps = log.NextSteps()

    def forget(self, run_id: int | None = None) -> None:
        """Drop the cached state, of one run or of all."""
        self.next_steps.forget(run_id)
        if run_id is None:
            self._runs.clear()
            self._size = 0
        elif (run := self._runs.pop(run_id, None)) is not None:
            self._size -= run.size

    def add_batch(self, connection: Connection, run_id: int, batch: Batch, generation: int = 1) -> BatchResult:
        """See ``SqliteStore.add_batch``."""
        run = self._run(connection, run_id)
        source, taken = batch.source, batch.records + batch.applied
        mark, generation, said_ns = writer = run.writers.get(source.writer, _Writer(0, generation))
        if source.first > mark:
            raise GapError(mark)
        stored = 0
        if source.end > mark:
            new = batch if source.first == mark else batch.above(mark)
            arrivals = _append(connection, run, new)
            if new.changes is not None:
                _apply(connection, run, new.changes, source.writer, writer)
                said_ns = max(said_ns, new.changes.latest_ns)
            writer = _Writer(source.end, generation, said_ns)
            connection.execute(_PUT_MARK, (run.id, source.writer, *writer))
            self._size -= run.size
            run.arrivals, run.writers[source.writer] = arrivals, writer
            self._size += run.size
            stored = new.records + new.applied
        else:
            note_seen(connection, run.id, now_text())
        if batch.changes is None or not batch.changes.fields:
            return BatchResult(stored, taken - stored)
        name = connection.execute("SELECT name FROM runs WHERE id = ?", (run_id,)).fetchone()[0]
        return BatchResult(stored, taken - stored, name)

    def add_metric(
        self,
        connection: Connection,
        run_id: int,
        point: SinglePoint | None,
        numbered: NumberedPoint | None,
        changes: Changes | None,
    ) -> int | None:
        """See ``SqliteStore.add_metric``."""
        run, step = self._run(connection, run_id), None
        arrivals = run.arrivals
        if point is not None:
            step = point.step
            if step is None:
                step = self.next_steps.next_step(connection, run_id, point.name)
            if numbered is None or numbered.step != step:
                numbered = point.numbered(step)
            arrivals = _append(connection, run, numbered.batch)
        if changes is not None:
            (generation,) = connection.execute("SELECT generation FROM runs WHERE id = ?", (run_id,)).fetchone()
            said = changes.fields, changes.config
            fields, config = ({key: change.value for key, change in each.items()} for each in said)
            set_fields(connection, run_id, fields, generation)
            run.config_rows = set_config(connection, run_id, config, generation, run.config_rows)
        run.arrivals = arrivals
        return step

    def _run(self, connection: Connection, run_id: int) -> _RunState:
        run = self._runs.get(run_id)
        if run is not None:
            self._runs.move_to_end(run_id)
            return run
        found = connection.execute(
            f"SELECT arrivals FROM runs JOIN progress ON run = id WHERE id = ? AND {IS_THERE}",  # noqa: S608 - constants
            (run_id,),
        ).fetchone()
        if found is None:
            raise MissingError("the run does not exist")
        marks = connection.execute("SELECT writer, mark, generation, said FROM marks WHERE run = ?", (run_id,))
        writers = {writer: _Writer(*values) for writer, *values in marks}
        run = self._runs[run_id] = _RunState(run_id, found[0], writers)
        self._size += run.size
        while len(self._runs) > 1 and self._size > _WRITERS_CACHED_MAX:
            self._size -= self._runs.popitem(last=False)[1].size
        return run


def _append(connection: Connection, run: _RunState, batch: Batch) -> int:
    """Add a log row and move the run's progress on; how many points have arrived then."""
    size_bytes, arrivals = 0, run.arrivals + batch.records
    if batch.records:
        log.append(connection, run.id, run.arrivals, batch)
        size_bytes = batch.size_bytes
    now_ns, point_ns = time.time_ns(), batch.last_time_ns
    last_point = None if point_ns is None else date_of(min(point_ns, now_ns))  # a clock that is ahead does not count
    logged, seen = now_ns // 10**9, date_of(now_ns)
    values = {"arrivals": arrivals, "bytes": size_bytes, "logged": logged, "seen": seen, "point": last_point}
    connection.execute(_ADVANCE, values | {"run": run.id})
    return arrivals


def _apply(connection: Connection, run: _RunState, changes: Changes, name: str, writer: _Writer) -> None:
    fields, config = (
        [(key, change.order(writer.generation, name, writer.said_ns), change.value) for key, change in each.items()]
        for each in (changes.fields, changes.config)
    )
    if fields:
        apply_fields(connection, run.id, fields)
    if config:
        run.config_rows = apply_config(connection, run.id, config, run.config_rows)
