"""Queries for tables of runs: which runs meet the conditions, in which order, and what is shown of them.

What is packed is in ``lasts`` and ``configs`` (see table). Runs with points in the log are read themselves: for what is
shown of a page all of its runs, within ``_TAIL_BYTES_MAX``; for filter and order the newest, ``_LIVE_RUNS_MAX`` of them
within ``_LIVE_BYTES_MAX``, and of others what is packed counts.

Order: numbers, then texts, then other values (true, NaN, lists), each of them up or down; then the runs without a
value; among equals the newest first. A page begins after the value and the number of the last run before it
(``TableCursor``), so that it neither repeats nor leaves out a run because others came or went.
"""

# ruff: noqa: S608 - statements are made of the names in this module; what a request says is bound

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import msgspec

from steplog.filters import SEARCHED, Condition, Field, Value
from steplog.filters.fields import NUMBER_FIELDS
from steplog.records.cells import (
    FIELD_CHARACTERS_MAX,
    LAST_BYTES_MAX,
    Cell,
    cell_of,
    entry_name,
    field_cell,
    json_value,
)
from steplog.server.sql.connection import Connection
from steplog.server.sql.dialect import Dialect
from steplog.server.sql.reading import RunReader, SeriesReader
from steplog.server.sql.table import LAST_OF_SERIES, Unfilled, unfilled
from steplog.server.sql.table_columns import unpacked
from steplog.server.store_types import ID_PREFIX, TableCursor, TablePage, TableQuery, TableRow

__all__ = ["page"]

_RUNS_A_QUERY = 500
_TAIL_BYTES_MAX = 64 * 1024 * 1024  # of the log
_LIVE_RUNS_MAX = 64  # about a millisecond each
_LIVE_BYTES_MAX = 8 * 1024 * 1024
_NUMBER, _TEXT, _OTHER, _NO_VALUE = range(4)  # kinds of values, in order
_BOUNDS: Mapping[int, Sequence[tuple[str, Cell]]] = {
    _NUMBER: (("<", ""),),
    _TEXT: ((">=", ""), ("<", b"")),
    _OTHER: ((">=", b""),),
}
_ALL = 2**63 - 1
_IS_THERE = "r.project = ? AND r.deleted IS NULL"
_TOTALS = {"last": "last", "min": "low", "max": "high", "count": "count"}  # all but the count are cells
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
_LONG = {name: f"substr(r.{name}, 1, {FIELD_CHARACTERS_MAX})" for name in ("description", "notes")}  # to sort by
_SEARCHED_FIELDS = [_RUN_FIELDS[name] for name in ("name", "id", "group", "job_type", "description", "notes", "user")]
_SEARCHED_LINES = " || ".join(f"coalesce({text} || '\n', '')" for text in _SEARCHED_FIELDS)
_INDEXED = (Field("run", ("started",)), Field("run", ("name",)))  # texts that every run has, by (project, text)
_NOT_FINITE = ("NaN", "Infinity", "-Infinity")


class _Sql(NamedTuple):
    """A part of a statement, and the values of its question marks."""

    text: str
    values: tuple[object, ...] = ()


class _Scope(NamedTuple):
    """The runs that a query is about.

    Attributes:
        readers: of runs that have points in the log, by number.
        live: their series that have, of what is compared, by name and number.
        among: the uuids that are meant; None: all of the project.
    """

    connection: Connection
    project: int
    now: str
    unfilled: Unfilled | None
    readers: Mapping[int, RunReader]
    live: Mapping[str, Mapping[int, SeriesReader]]
    among: Sequence[str] | None


def page(connection: Connection, project_id: int, query: TableQuery) -> TablePage:
    """The runs that come next in the order asked for."""
    compared = [each.field for each in query.conditions] + ([] if query.sort is None else [query.sort])
    scope = _scope(connection, project_id, query.now, _metrics(compared), _metrics(query.columns), query.among)
    found = _places(scope, query, query.limit + 1)
    shown = found[: query.limit]
    rows = _rows(scope, [place.run for place in shown], query.columns)
    count = _count(scope, query.conditions) if query.counted else None
    return TablePage(rows, shown[-1] if len(found) > query.limit else None, count)


def _places(scope: _Scope, query: TableQuery, limit: int) -> list[TableCursor]:
    """The runs that come next, up to ``limit``."""
    found: list[TableCursor] = []
    for kind in _kinds(query.sort):
        if len(found) < limit and (query.after is None or query.after.kind <= kind):
            after = query.after if query.after is not None and query.after.kind == kind else None
            statement = _of_kind(scope, query, kind, after, limit - len(found))
            found += [TableCursor(kind, *row) for row in scope.connection.execute(*statement)]
    return found


def _kinds(sort: Field | None) -> Sequence[int]:
    """What a value to sort by may be."""
    if sort is None:
        return (_NO_VALUE,)
    if sort.kind == "run":
        only = _NUMBER if sort.path[0] in NUMBER_FIELDS else _TEXT
        return (only,) if sort in _INDEXED else (only, _NO_VALUE)
    if sort.kind == "metric" and sort.path[1] != "last":
        return (_NUMBER, _NO_VALUE)
    return (_NUMBER, _TEXT, _OTHER, _NO_VALUE)


def _metrics(fields: Iterable[Field]) -> set[str]:
    return {field.path[0] for field in fields if field.kind == "metric"}


def _scope(
    connection: Connection,
    project_id: int,
    now: str = "",
    compared: Collection[str] = (),
    shown: Collection[str] = (),
    among: Sequence[str] | None = None,
) -> _Scope:
    """``compared`` are the metrics that decide which runs come, and in which order."""
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
    return _Scope(connection, project_id, now, left, readers, live, among)


def _of_kind(scope: _Scope, query: TableQuery, kind: int, after: TableCursor | None, limit: int) -> _Sql:
    """Value and number of the runs whose value to sort by is of a kind."""
    sort = query.sort
    if sort is None or kind == _NO_VALUE:
        return _without_value(scope, query, after, limit)
    direction, beyond = ("DESC", "<") if query.descending else ("ASC", ">")
    if sort in _INDEXED:
        return _in_order_of_an_index(scope, query, _run_field(scope, sort).text, direction, beyond, after, limit)
    if sort.kind == "run":
        where, value = _conditions(scope, query.conditions, "r.id"), _run_field(scope, sort)
        value = value._replace(text=_LONG.get(sort.path[0], value.text))
        # The value is computed once a run: a query with a limit is not taken apart.
        inner = f"SELECT r.id AS run, {value.text} AS v FROM runs r WHERE {_IS_THERE}{where.text} LIMIT {_ALL}"
        rows, of_kind = _Sql(inner, (*value.values, scope.project, *where.values)), _Sql(" AND v IS NOT NULL")
    else:
        rows = _values(scope, sort, query.conditions)
        of_kind = _all([_compared(scope, sort, operator, bound) for operator, bound in _BOUNDS[kind]])
    beyond_after = _Sql("")
    if after is not None:
        last = _bound(scope, sort, after.value)
        text = f" AND (v {beyond} ? OR (v = ? AND run < ?))"
        beyond_after = _Sql(text, (last, last, after.run))
    return _Sql(
        f"SELECT v, run FROM ({rows.text}) AS found WHERE TRUE{of_kind.text}{beyond_after.text}"
        f" ORDER BY v {direction}, run DESC LIMIT ?",
        (*rows.values, *of_kind.values, *beyond_after.values, limit),
    )


def _in_order_of_an_index(
    scope: _Scope, query: TableQuery, value: str, direction: str, beyond: str, after: TableCursor | None, limit: int
) -> _Sql:
    """As ``_of_kind``, of ``_INDEXED``: no more rows are read than come."""
    where, beyond_after = _conditions(scope, query.conditions, "r.id"), _Sql("")
    if after is not None:
        text = f" AND {value} {beyond}= ? AND ({value} {beyond} ? OR r.id < ?)"
        beyond_after = _Sql(text, (after.value, after.value, after.run))
    return _Sql(
        f"SELECT {value} AS v, r.id AS run FROM runs r WHERE {_IS_THERE}{where.text}{beyond_after.text}"
        f" ORDER BY v {direction}, run DESC LIMIT ?",
        (scope.project, *where.values, *beyond_after.values, limit),
    )


def _values(scope: _Scope, field: Field, conditions: Sequence[Condition]) -> _Sql:
    """``run`` and ``v`` of the runs that have a value of a metric or an entry and meet all conditions.

    Of most runs nothing else is read, not even their rows in ``runs``: what is deleted is a short list.
    """
    of_value = [each for each in conditions if each.field == field and each.operator != "!="]
    meets = _all([_comparison(scope, *each) for each in of_value])
    where = _conditions(scope, [each for each in conditions if each not in of_value], "s.run")
    source = _source(scope, field)
    joined, are = "", _Sql("s.run NOT IN (SELECT id FROM runs WHERE project = ? AND deleted >= '')", (scope.project,))
    if any(each.field.kind == "run" for each in conditions):
        joined, are = " CROSS JOIN runs r", _Sql(f"r.id = s.run AND {_IS_THERE}", (scope.project,))
    return _Sql(
        f"SELECT s.run, s.v FROM ({source.text}) AS s{joined} WHERE {are.text}{meets.text}{where.text}",
        (*source.values, *are.values, *meets.values, *where.values),
    )


def _without_value(scope: _Scope, query: TableQuery, after: TableCursor | None, limit: int) -> _Sql:
    """The runs without a value to sort by, which are all where no order is asked for."""
    conditions = _conditions(scope, query.conditions, "r.id")
    none = _Sql("")
    if query.sort is not None and query.sort.kind == "run":
        value = _run_field(scope, query.sort)
        none = _Sql(f" AND {value.text} IS NULL", value.values)
    elif query.sort is not None:
        source = _source(scope, query.sort)
        text = f" AND r.id NOT IN (SELECT run FROM ({source.text}) AS of_field WHERE NOT v IS NULL)"
        none = _Sql(text, source.values)
    beyond = _Sql("") if after is None else _Sql(" AND r.id < ?", (after.run,))
    return _Sql(
        f"SELECT NULL, r.id FROM runs r WHERE {_IS_THERE}{conditions.text}{none.text}{beyond.text}"
        " ORDER BY r.id DESC LIMIT ?",
        (scope.project, *conditions.values, *none.values, *beyond.values, limit),
    )


def _count(scope: _Scope, conditions: Sequence[Condition]) -> int:
    first = next((each.field for each in conditions if each.field.kind != "run" and each.operator != "!="), None)
    if first is not None:
        rows = _values(scope, first, conditions)
    else:
        where = _conditions(scope, conditions, "r.id")
        rows = _Sql(f"SELECT r.id FROM runs r WHERE {_IS_THERE}{where.text}", (scope.project, *where.values))
    return int(scope.connection.execute(f"SELECT count(*) FROM ({rows.text}) AS found", rows.values).fetchone()[0])


def _conditions(scope: _Scope, conditions: Sequence[Condition], run: str) -> _Sql:
    """``AND …`` for each condition, and for the runs that are meant; ``run`` is what has a run's number."""
    parts = [_condition(scope, condition, run) for condition in conditions]
    if scope.among is not None:
        are_meant, uuids = scope.connection.among(scope.among)
        parts.append(_Sql(f"{run} IN (SELECT id FROM runs WHERE uuid {are_meant})", uuids))
    return _all(parts)


def _all(parts: Sequence[_Sql]) -> _Sql:
    return _Sql("".join(f" AND {text}" for text, _ in parts), tuple(chain.from_iterable(each for _, each in parts)))


def _condition(scope: _Scope, condition: Condition, run: str) -> _Sql:
    field, operator, value = condition
    if field.kind == "run":
        return _on_run(scope, field.path[0], operator, value)
    source = _source(scope, field)
    negated, operator = ("NOT ", "=") if operator == "!=" else ("", operator)
    meets = _comparison(scope, field, operator, value)
    text = f"{run} {negated}IN (SELECT run FROM ({source.text}) AS of_field WHERE {meets.text})"
    return _Sql(text, (*source.values, *meets.values))


def _on_run(scope: _Scope, name: str, operator: str, value: Value) -> _Sql:
    dialect = scope.connection.dialect
    if name == "tag":
        negated = "NOT " if operator == "!=" else ""
        meets = dialect.contains.format("value") if operator == "~" else "value = ?"
        return _Sql(f"{negated}EXISTS (SELECT 1 FROM {dialect.texts.format('r.tags')} WHERE {meets})", (value,))
    found = _run_field(scope, Field("run", (name,)))
    if value is None:
        text = {"=": f"{found.text} IS NULL", "!=": f"{found.text} IS NOT NULL"}.get(operator)
        return _Sql("FALSE") if text is None else _Sql(text, found.values)
    if operator == "~":
        value = str(value).casefold() if name == SEARCHED else value
        return _Sql(dialect.contains.format(found.text), (*found.values, value))
    value = math.inf if name == "lost" and isinstance(value, str) else value
    if operator == "!=":
        return _Sql(f"coalesce({found.text} <> ?, TRUE)", (*found.values, value))
    return _Sql(f"{found.text} {operator} ?", (*found.values, value))


def _comparison(scope: _Scope, field: Field, operator: str, value: Value) -> _Sql:
    """How ``v`` compares with a value of the same type."""
    wanted = _wanted(field, operator, value)
    if operator == "=":
        return _compared(scope, field, "=", wanted)
    if isinstance(wanted, bytes):
        return _Sql("FALSE")
    if operator == "~":
        if _is_count(field):
            return _Sql("FALSE")
        return _Sql(scope.connection.dialect.cell_contains.format("v"), (scope.connection.cell(wanted),))
    compared = _compared(scope, field, operator, wanted)
    kind = _TEXT if isinstance(wanted, str) else _NUMBER
    of_kind = _all([_compared(scope, field, *bound) for bound in _BOUNDS[kind] if bound[0][0] != operator[0]])
    return _Sql(compared.text + of_kind.text, (*compared.values, *of_kind.values))


def _compared(scope: _Scope, field: Field, operator: str, wanted: Cell) -> _Sql:
    """How ``v`` compares with a cell, in the order of kinds."""
    if _is_count(field) and not isinstance(wanted, (int, float)):
        return _Sql("TRUE" if operator[0] == "<" else "FALSE")
    return _Sql(f"v {operator} ?", (_bound(scope, field, wanted),))


def _bound(scope: _Scope, field: Field, value: Cell | None) -> Any:
    """A value that ``v`` is compared with."""
    return value if field.kind == "run" or _is_count(field) else scope.connection.cell(value)


def _is_count(field: Field) -> bool:
    return field.kind == "metric" and field.path[1] == "count"


def _wanted(field: Field, operator: str, value: Value) -> Cell:
    if isinstance(value, str):
        is_number = field.kind == "metric" and operator != "~" and value in _NOT_FINITE
        return cell_of(f'"{value}"') if is_number else value
    if value is None or isinstance(value, bool):
        return msgspec.json.encode(value)
    return value


def _run_field(scope: _Scope, field: Field) -> _Sql:
    dialect, name = scope.connection.dialect, field.path[0]
    if name == "duration":
        text = dialect.seconds.format(_STARTED, _ENDED)
        return _Sql(text, (scope.now,) * text.count("?"))
    if name == "lost":
        return _Sql(dialect.lost.format("r.report"))
    return _Sql(_searched(dialect) if name == SEARCHED else _RUN_FIELDS[name])


def _searched(dialect: Dialect) -> str:
    tags = f"SELECT {dialect.joined.format('value')} FROM {dialect.texts.format('r.tags')}"
    return f"folded({_SEARCHED_LINES} || coalesce(({tags}), ''))"


def _source(scope: _Scope, field: Field) -> _Sql:
    """``run`` and value ``v`` of a metric or a config entry, of all runs of the project that have one."""
    left, live, others = scope.unfilled, _Sql(""), _Sql("")
    if field.kind == "metric":
        name, total = field.path[0], _TOTALS[field.path[1]]
        filled = _Sql(f"SELECT run, {total} AS v FROM lasts s WHERE project = ? AND name = ?", (scope.project, name))
        value = _Sql(f"cell_of({LAST_OF_SERIES})" if total == "last" else f"s.{total}")
        origin = _Sql("series s ON s.run = q.id AND s.name = ? AND s.count > 0", (name,))
        if scope.live.get(name):
            live, others = _live(scope, field, scope.live[name])
    else:
        entry = entry_name(field.path)
        filled = _Sql("SELECT run, value AS v FROM configs s WHERE project = ? AND key = ?", (scope.project, entry))
        value = _Sql("entry_of(s.key, s.value, ?)", (entry,))
        origin = _Sql("config s ON s.run = q.id AND s.key = ? AND s.value IS NOT NULL", (field.path[0],))
    parts = [_Sql(filled.text + others.text, (*filled.values, *others.values))]
    if left is not None:
        text = f"{parts[0].text} AND NOT (s.run >= ? AND s.run < ?)"
        parts = [_Sql(text, (*parts[0].values, *left))]
        text = (
            f"SELECT s.run, {value.text} FROM runs q CROSS JOIN {origin.text}"
            f" WHERE q.project = ? AND q.id >= ? AND q.id < ?{others.text}"
        )
        parts.append(_Sql(text, (*value.values, *origin.values, scope.project, *left, *others.values)))
    parts += [live] if live.text else []
    return _Sql(" UNION ALL ".join(text for text, _ in parts), tuple(chain.from_iterable(each for _, each in parts)))


def _live(scope: _Scope, field: Field, series: Mapping[int, SeriesReader]) -> tuple[_Sql, _Sql]:
    """The rows of runs that have points in the log, and the condition that a row is of another run."""
    are_live, numbers = scope.connection.among(list(series))
    cells = {run: _LIVE[field.path[1]](each) for run, each in series.items()}
    values = [(run, _bound(scope, field, cell)) for run, cell in cells.items() if cell is not None]
    rows = ", ".join(["(?, ?)"] * len(values))
    text = f"SELECT column1 AS run, column2 AS v FROM (VALUES {rows}) AS live" if values else ""
    return _Sql(text, tuple(chain.from_iterable(values))), _Sql(f" AND NOT s.run {are_live}", numbers)


def _rows(scope: _Scope, runs: Sequence[int], columns: Sequence[Field]) -> list[TableRow]:
    """What is shown of these runs, in this order."""
    found: dict[int, TableRow] = {}
    fields = [column for column in columns if column.kind == "run"]
    texts = [_run_field(scope, field) for field in fields]
    selected = "".join(f", {text}" for text, _ in texts)
    values = tuple(chain.from_iterable(each.values for each in texts))
    for some in _parts(runs):
        are_some, numbers = scope.connection.among(some)
        query = f"SELECT r.id, r.uuid{selected} FROM runs r WHERE r.id {are_some}"
        for number, uuid, *cells in scope.connection.execute(query, (*values, *numbers)):
            found[number] = TableRow(uuid, dict(zip(fields, map(_field_value, fields, cells), strict=True)))
    for column in columns:
        if column.kind != "run":
            source = _source(scope, column)
            for some in _parts(runs):
                are_some, numbers = scope.connection.among(some)
                query = f"SELECT run, v FROM ({source.text}) AS of_field WHERE run {are_some} AND NOT v IS NULL"
                for number, cell in scope.connection.execute(query, (*source.values, *numbers)):
                    found[number].cells[column] = json_value(cell)
    metrics = [column for column in columns if column.kind == "metric"]
    for number, reader in _tails(scope, runs, _metrics(metrics)):
        found[number].cells.update(_live_cells(reader, metrics))
    return [found[number] for number in runs]


def _parts(runs: Sequence[int]) -> Iterator[Sequence[int]]:
    return (runs[first : first + _RUNS_A_QUERY] for first in range(0, len(runs), _RUNS_A_QUERY))


def _field_value(field: Field, cell: Any) -> Any:
    if field.path == ("tag",):
        return msgspec.Raw(b"[]" if cell is None else cell.encode())
    return json_value(field_cell(cell))


def _tails(scope: _Scope, runs: Sequence[int], names: set[str]) -> Iterator[tuple[int, RunReader]]:
    """A reader of each of these runs that has points in the log."""
    left = _TAIL_BYTES_MAX
    for some in _parts(runs if names else ()):
        are_some, numbers = scope.connection.among(some)
        query = f"SELECT run, log_bytes FROM progress WHERE run {are_some} AND packed < arrivals"
        for number, size_bytes in scope.connection.execute(query, numbers).fetchall():
            left -= size_bytes
            if left >= 0:
                yield number, scope.readers.get(number) or RunReader(scope.connection, number, names)


def _live_cells(reader: RunReader, columns: Sequence[Field]) -> dict[Field, Any]:
    """The totals of a run's metrics, those of the log included."""
    cells: dict[Field, Any] = {}
    for column in columns:
        series = reader.series(column.path[0])
        cell = None if series is None or not series.tail.kinds else _LIVE[column.path[1]](series)
        if cell is not None:
            cells[column] = json_value(cell)
    return cells


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
