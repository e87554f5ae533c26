"""The fields of a table of runs as parts of statements: what a run's value is, packed or not.

What is packed is in ``lasts`` and ``configs`` (see table). Of what is compared, the newest runs that have points in the
log are read themselves, ``_LIVE_RUNS_MAX`` of them within ``_LIVE_BYTES_MAX``, and of others what is packed counts.
"""

# ruff: noqa: S608 - statements are made of the names in this module; what a request says is bound

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import msgspec

from steplog.filters import SEARCHED, Field
from steplog.records.cells import LAST_BYTES_MAX, Cell, cell_of, entry_name
from steplog.server.sql.connection import Connection
from steplog.server.sql.dialect import Dialect
from steplog.server.sql.reading import RunReader, SeriesReader
from steplog.server.sql.table import LAST_OF_SERIES, Unfilled, unfilled
from steplog.server.sql.table_columns import unpacked
from steplog.server.store_types import ID_PREFIX, TableQuery

__all__ = [
    "TOTALS",
    "Scope",
    "Sql",
    "bound",
    "is_count",
    "live_value",
    "metrics_of",
    "parts_of",
    "run_field",
    "scope_of",
    "source_of",
]

_LIVE_RUNS_MAX = 64  # about a millisecond each
_LIVE_BYTES_MAX = 8 * 1024 * 1024
TOTALS = {"last": "last", "min": "low", "max": "high", "count": "count"}  # all but the count are cells
_STARTED = "coalesce(r.started, r.date_created)"
_ENDED = "CASE r.status WHEN 'RUNNING' THEN ? ELSE r.ended END"
_RUN_FIELDS = {
    "status": "r.status",
    "name": "r.name",
    "id": (
        f"CASE WHEN substr(r.idempotency_key, 1, {len(ID_PREFIX)}) = '{ID_PREFIX}'"
        f" THEN substr(r.idempotency_key, {len(ID_PREFIX) + 1}) END"
    ),
    "tag": "r.tags",
    "group": 'r."group"',
    "job_type": "r.job_type",
    "user": '(SELECT username FROM users WHERE id = r."user")',
    "started": _STARTED,
    "ended": "r.ended",
    "seen": "(SELECT seen FROM progress WHERE run = r.id)",
    "last_point": "(SELECT last_point FROM progress WHERE run = r.id)",
    "generation": "r.generation",
    "description": "r.description",
    "notes": "r.notes",
}
_SEARCHED_FIELDS = [_RUN_FIELDS[name] for name in ("name", "id", "group", "job_type", "description", "notes", "user")]
_SEARCHED_LINES = " || ".join(f"coalesce({text} || '\n', '')" for text in _SEARCHED_FIELDS)


class Sql(NamedTuple):
    """A part of a statement, and the values of its question marks."""

    text: str
    values: tuple[object, ...] = ()


class Scope(NamedTuple):
    """The runs that a query is about.

    Attributes:
        readers: of runs that have points in the log, by number.
        live: their series that have, of what is compared, by name and number.
        among: the uuids that are meant; None: all of the project.
        only: numbers of the runs that are meant; None: all but those of ``but``.
    """

    connection: Connection
    project: int
    now: str
    unfilled: Unfilled | None
    readers: Mapping[int, RunReader]
    live: Mapping[str, Mapping[int, SeriesReader]]
    among: Sequence[str] | None
    only: Sequence[int] | None = None
    but: Sequence[int] = ()


def scope_of(connection: Connection, project_id: int, query: TableQuery) -> Scope:
    """The runs of a project that a query is about."""
    shown, compared = metrics_of(query.columns), metrics_of(query.compared)
    left = unfilled(connection)
    live: dict[str, dict[int, SeriesReader]] = {name: {} for name in compared}
    readers: dict[int, RunReader] = {}
    if live:
        for run, _ in unpacked(connection, project_id, _LIVE_RUNS_MAX, _LIVE_BYTES_MAX):
            readers[run] = RunReader(connection, run, {*compared, *shown})
            for name, runs in live.items():
                series = readers[run].series(name)
                if series is not None and series.tail.kinds:
                    runs[run] = series
    return Scope(connection, project_id, query.now, left, readers, live, query.among)


def parts_of(scope: Scope) -> Sequence[Scope]:
    """The scope, in parts where an index has the values in order of the runs whose points are all packed."""
    live = sorted(set().union(*scope.live.values()))
    if not live or scope.connection.dialect.kind is not None:
        return (scope,)
    return scope._replace(live={}, but=live), scope._replace(only=live)


def metrics_of(fields: Iterable[Field]) -> set[str]:
    """The names of the metrics among these."""
    return {field.path[0] for field in fields if field.kind == "metric"}


def run_field(scope: Scope, field: Field) -> Sql:
    """The value of a field of the run ``r``."""
    dialect, name = scope.connection.dialect, field.path[0]
    if name == "duration":
        text = dialect.seconds.format(_STARTED, _ENDED)
        return Sql(text, (scope.now,) * text.count("?"))
    if name == "lost":
        return Sql(dialect.lost.format("r.report"))
    return Sql(_searched(dialect) if name == SEARCHED else _RUN_FIELDS[name])


def _searched(dialect: Dialect) -> str:
    tags = f"SELECT {dialect.joined.format('value')} FROM {dialect.texts.format('r.tags')}"
    return f"folded({_SEARCHED_LINES} || coalesce(({tags}), ''))"


def source_of(scope: Scope, field: Field) -> Sql:
    """``run`` and value ``v`` of a metric or a config entry, of all runs of the project that have one."""
    left, live, others = scope.unfilled, Sql(""), Sql("")
    if field.kind == "metric":
        name, total = field.path[0], TOTALS[field.path[1]]
        filled = Sql(f"SELECT run, {total} AS v FROM lasts s WHERE project = ? AND name = ?", (scope.project, name))
        value = Sql(f"cell_of({LAST_OF_SERIES})" if total == "last" else f"s.{total}")
        origin = Sql("series s ON s.run = q.id AND s.name = ? AND s.count > 0", (name,))
        if scope.live.get(name):
            live, others = _live(scope, field, scope.live[name])
    else:
        entry = entry_name(field.path)
        filled = Sql("SELECT run, value AS v FROM configs s WHERE project = ? AND key = ?", (scope.project, entry))
        value = Sql("entry_of(s.key, s.value, ?)", (entry,))
        origin = Sql("config s ON s.run = q.id AND s.key = ? AND s.value IS NOT NULL", (field.path[0],))
    if scope.only is not None:
        are_meant, numbers = scope.connection.among(scope.only)
        filled = Sql(f"{filled.text} AND s.run {are_meant}", (*filled.values, *numbers))
    parts = [Sql(filled.text + others.text, (*filled.values, *others.values))]
    if left is not None:
        text = f"{parts[0].text} AND NOT (s.run >= ? AND s.run < ?)"
        parts = [Sql(text, (*parts[0].values, *left))]
        text = (
            f"SELECT s.run, {value.text} FROM runs q CROSS JOIN {origin.text}"
            f" WHERE q.project = ? AND q.id >= ? AND q.id < ?{others.text}"
        )
        parts.append(Sql(text, (*value.values, *origin.values, scope.project, *left, *others.values)))
    parts += [live] if live.text else []
    return Sql(" UNION ALL ".join(text for text, _ in parts), tuple(chain.from_iterable(each for _, each in parts)))


def _live(scope: Scope, field: Field, series: Mapping[int, SeriesReader]) -> tuple[Sql, Sql]:
    """The rows of runs that have points in the log, and the condition that a row is of another run."""
    are_live, numbers = scope.connection.among(list(series))
    cells = {run: live_value(field, each) for run, each in series.items()}
    values = [(run, bound(scope, field, cell)) for run, cell in cells.items() if cell is not None]
    rows = ", ".join(["(?, ?)"] * len(values))
    text = f"SELECT column1 AS run, column2 AS v FROM (VALUES {rows}) AS live" if values else ""
    return Sql(text, tuple(chain.from_iterable(values))), Sql(f" AND NOT s.run {are_live}", numbers)


def bound(scope: Scope, field: Field, value: Cell | None) -> Any:
    """A value that ``v`` is compared with."""
    return value if field.kind == "run" or is_count(field) else scope.connection.cell(value)


def is_count(field: Field) -> bool:
    """Whether its values are numbers of SQL's, where all other metrics' are cells."""
    return field.kind == "metric" and field.path[1] == "count"


def live_value(field: Field, series: SeriesReader) -> Cell | None:
    """A total of a metric, what is in the log included."""
    return _LIVE[field.path[1]](series)


def _live_last(series: SeriesReader) -> Cell:
    last = series.last
    if isinstance(last, msgspec.Raw):
        text = bytes(last)
        return cell_of(text.decode() if len(text) <= LAST_BYTES_MAX else None)
    return msgspec.json.encode(last) if isinstance(last, bool) else cell_of(last)


_LIVE: Mapping[str, Callable[[SeriesReader], Cell | None]] = {
    "last": _live_last,
    "min": lambda series: series.totals.low,
    "max": lambda series: series.totals.high,
    "count": lambda series: series.totals.count,
}
