"""Faults that the tests of this folder must notice; a plugin of pytest that plants the one named in ``PLANTED``."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import msgspec

from server.store import engines
from steplog.server.sqlite.store import SqliteStore
from steplog.server.store import History
from steplog.server.store_types import HistoryQuery, KeyRow, MetricPoint, RefusedError, RunRow, SeriesSummary

PLANTED = "STEPLOG_PLANTED_FAULT"


def _then(future: Future[Any], change: Callable[[Any], Any]) -> Future[Any]:
    """A future of what ``change`` makes of the result."""
    changed: Future[Any] = Future()

    def finish(done: Future[Any]) -> None:
        if done.exception() is not None:
            changed.set_exception(done.exception())
        else:
            changed.set_result(change(done.result()))

    future.add_done_callback(finish)
    return changed


def _done(value: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(value)
    return future


class MarksForgotten(SqliteStore):
    """Each request is that of a new writer."""

    def add_batch(self, run: RunRow, batch: Any, *args: Any) -> Future[Any]:
        if batch.source.first == 0 and batch.records:
            batch = msgspec.structs.replace(
                batch, source=msgspec.structs.replace(batch.source, writer=os.urandom(8).hex())
            )
        return super().add_batch(run, batch, *args)


class GapsTaken(SqliteStore):
    """A range beyond the mark is answered as stored."""

    def add_batch(self, *args: Any) -> Future[Any]:
        future: Future[Any] = super().add_batch(*args)
        return future if not isinstance(future.exception(), RefusedError) else _done(None)


class Unordered(SqliteStore):
    """Points come name by name."""

    def metrics(self, *args: Any) -> list[MetricPoint]:
        return sorted(super().metrics(*args), key=lambda point: point.name)


class StepsFromZero(SqliteStore):
    """Steps are numbered anew in each slice."""

    def metrics(self, run: RunRow, first: int, end: int) -> list[MetricPoint]:
        numbers: dict[str, int] = {}
        points = super().metrics(run, first, end)
        return [msgspec.structs.replace(p, step=numbers.setdefault(p.name, -1) + 1) for p in points]


class SuffixLost(SqliteStore):
    """A run is answered with the name that was asked for."""

    def create_run(self, project: Any, user: Any, asked: Any) -> Future[Any]:
        future = super().create_run(project, user, asked)
        return _then(future, lambda made: (msgspec.structs.replace(made[0], name=asked.name or made[0].name), made[1]))


class TrashListed(SqliteStore):
    """What is in the trash is listed with the others."""

    def runs(self, project: Any, offset: int = 0, limit: int | None = None) -> list[RunRow]:
        return [*super().runs(project, offset, limit), *super().trash(project)]


class LateOwner(SqliteStore):
    """A status counts whosever it is."""

    def edit_run(self, run: RunRow, values: Any, status: Any = None, generation: Any = None) -> Future[RunRow]:
        return super().edit_run(run, values, status, generation and 99)


class Unrevoked(SqliteStore):
    """A revoked key is answered as a valid one."""

    def keys_of_hashes(self, hashes: Sequence[bytes]) -> list[KeyRow]:
        return [msgspec.structs.replace(key, revoked=None) for key in super().keys_of_hashes(hashes)]


class HalfDeleted(SqliteStore):
    """A deleted project leaves its runs."""

    def delete_project(self, project: Any) -> Future[None]:
        return self.database.write(lambda c: c.execute("DELETE FROM projects WHERE id = ?", (project.id,)) and None)


class StaleTotals(SqliteStore):
    """The totals of a series lack its last point."""

    def series(self, run: RunRow) -> list[SeriesSummary]:
        return [msgspec.structs.replace(each, count=each.count - 1) for each in super().series(run)]


class LastAnew(SqliteStore):
    """A history that goes on has the last points of now, not of when it began."""

    def history(self, run: RunRow, query: HistoryQuery) -> History:
        found = super().history(run, msgspec.structs.replace(query, arrivals=None))
        return History(query.arrivals or found.arrivals, found)


FAULTS: Mapping[str, tuple[type[SqliteStore], str]] = {  # and the test that notices
    "marks forgotten": (
        MarksForgotten,
        "test_batches.py::test_the_same_batch_again_is_answered_as_duplicates_and_stored_once",
    ),
    "gaps taken": (
        GapsTaken,
        "test_batches.py::test_a_range_beyond_the_mark_is_refused_with_the_mark_and_nothing_is_stored",
    ),
    "unordered": (Unordered, "test_batches.py::test_many_runs_names_and_writers_do_not_mix"),
    "steps from zero": (StepsFromZero, "test_numbering.py::test_steps_go_on_above_the_largest_so_far"),
    "suffix lost": (SuffixLost, "test_runs.py::test_a_taken_name_gets_the_first_free_number"),
    "trash listed": (TrashListed, "test_trash.py::test_a_run_in_the_trash_is_there_and_nowhere_else"),
    "late owner": (LateOwner, "test_runs.py::test_only_a_status_of_the_present_generation_counts"),
    "unrevoked": (Unrevoked, "test_users.py::test_a_revoked_key_keeps_the_date_of_its_first_revocation"),
    "half deleted": (
        HalfDeleted,
        "test_projects.py::test_a_new_project_of_the_slug_of_a_deleted_one_sees_nothing_of_it",
    ),
    "last anew": (LastAnew, "test_history.py::test_a_history_goes_on_after_what_has_come_of_each_metric[faulty-never]"),
    "stale totals": (StaleTotals, "test_reading.py::test_series_have_the_totals_of_all_their_points"),
}


def _opener(made: type[SqliteStore]) -> Callable[[Path], engines.Opener]:
    return lambda directory: lambda: made(directory / "server.db")


if PLANTED in os.environ:
    engines.ENGINES = {"faulty": _opener(FAULTS[os.environ[PLANTED]][0])}
