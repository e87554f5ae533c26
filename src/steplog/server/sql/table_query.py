"""Queries for tables of runs: which runs meet the conditions, and in which order.

Order: numbers, then texts, then other values (true, NaN, lists), each of them up or down; then the runs without a
value; among equals the newest first. A page begins after the value and the number of the last run before it
(``TableCursor``), so that it neither repeats nor leaves out a run because others came or went.
"""

# ruff: noqa: S608 - statements are made of the names in this module; what a request says is bound

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import msgspec

from steplog.filters import SEARCHED, Condition, Field, Value
from steplog.filters.fields import NUMBER_FIELDS
from steplog.records.cells import (
    FIELD_CHARACTERS_MAX,
    Cell,
    cell_of,
)
from steplog.server.sql.connection import Connection
from steplog.server.sql.table_fields import Scope, Sql, bound, is_count, parts_of, run_field, scope_of, source_of
from steplog.server.sql.table_rows import rows_of
from steplog.server.store_types import TableCursor, TablePage, TableQuery

__all__ = ["page"]

_NUMBER, _TEXT, _OTHER, _NO_VALUE = range(4)  # kinds of values, in order
_BOUNDS: Mapping[int, Sequence[tuple[str, Cell]]] = {
    _NUMBER: (("<", ""),),
    _TEXT: ((">=", ""), ("<", b"")),
    _OTHER: ((">=", b""),),
}
_ALL = 2**63 - 1
_IS_THERE = "r.project = ? AND r.deleted IS NULL"
_LONG = {name: f"substr(r.{name}, 1, {FIELD_CHARACTERS_MAX})" for name in ("description", "notes")}  # to sort by
_INDEXED = (Field("run", ("started",)), Field("run", ("name",)))  # texts that every run has, by (project, text)
_NOT_FINITE = ("NaN", "Infinity", "-Infinity")


def page(connection: Connection, project_id: int, query: TableQuery) -> TablePage:
    """The runs that come next in the order asked for."""
    scope = scope_of(connection, project_id, query)
    found = _places(scope, query, query.limit + 1)
    shown = found[: query.limit]
    rows = rows_of(scope, [place.run for place in shown], query.columns)
    count = sum(_count(part, query.conditions) for part in parts_of(scope)) if query.counted else None
    return TablePage(rows, shown[-1] if len(found) > query.limit else None, count)


def _places(scope: Scope, query: TableQuery, limit: int) -> list[TableCursor]:
    """The runs that come next, up to ``limit``."""
    found: list[TableCursor] = []
    parts = parts_of(scope)
    for kinds in _steps(scope, query.sort):
        if len(found) < limit and (query.after is None or query.after.kind <= kinds[-1]):
            after = query.after if query.after is not None and query.after.kind in kinds else None
            some: list[TableCursor] = []
            for part in parts:
                statement = _of_kinds(part, query, kinds, after, limit - len(found))
                some += [TableCursor(*row) for row in scope.connection.execute(*statement)]
            if len(parts) > 1:
                some.sort(key=lambda place: place.run, reverse=True)
                if kinds != (_NO_VALUE,):
                    some.sort(key=_value, reverse=query.descending)
            found += some[: limit - len(found)]
    return found


def _value(place: TableCursor) -> Any:
    return place.value


def _steps(scope: Scope, sort: Field | None) -> Sequence[Sequence[int]]:
    """The kinds that a value to sort by may be of, those together that one statement looks for."""
    if sort is None:
        return ((_NO_VALUE,),)
    if sort.kind == "run":
        only = (_NUMBER if sort.path[0] in NUMBER_FIELDS else _TEXT,)
        return (only,) if sort in _INDEXED else (only, (_NO_VALUE,))
    if sort.kind == "metric" and sort.path[1] != "last":
        return ((_NUMBER,), (_NO_VALUE,))
    apart = scope.connection.dialect.kind is None
    return ((_NUMBER,), (_TEXT,), (_OTHER,), (_NO_VALUE,)) if apart else ((_NUMBER, _TEXT, _OTHER), (_NO_VALUE,))


def _of_kinds(scope: Scope, query: TableQuery, kinds: Sequence[int], after: TableCursor | None, limit: int) -> Sql:
    """Kind, value and number of the runs whose value to sort by is of these kinds."""
    sort = query.sort
    if sort is None or kinds == (_NO_VALUE,):
        return _without_value(scope, query, after, limit)
    direction, beyond = ("DESC", "<") if query.descending else ("ASC", ">")
    if sort in _INDEXED:
        return _in_order_of_an_index(scope, query, run_field(scope, sort).text, direction, beyond, after, limit)
    kind, are = str(kinds[0]), Sql(" AND NOT v IS NULL")
    if sort.kind == "run":
        where, value = _conditions(scope, query.conditions, "r.id"), run_field(scope, sort)
        value = value._replace(text=_LONG.get(sort.path[0], value.text))
        # The value is computed once a run: a query with a limit is not taken apart.
        inner = f"SELECT r.id AS run, {value.text} AS v FROM runs r WHERE {_IS_THERE}{where.text} LIMIT {_ALL}"
        rows = Sql(inner, (*value.values, scope.project, *where.values))
    else:
        rows = _values(scope, sort, query.conditions)
        if len(kinds) > 1:
            kind = str(scope.connection.dialect.kind).format("v")
        else:
            are = _all([_compared(scope, sort, operator, end) for operator, end in _BOUNDS[kinds[0]]])
    beyond_after = Sql("")
    if after is not None:
        last = bound(scope, sort, after.value)
        text = f" AND ({kind} > {after.kind} OR ({kind} = {after.kind} AND (v {beyond} ? OR (v = ? AND run < ?))))"
        beyond_after = Sql(text, (last, last, after.run))
    return Sql(
        f"SELECT {kind} AS kind, v, run FROM ({rows.text}) AS found WHERE TRUE{are.text}{beyond_after.text}"
        f" ORDER BY kind, v {direction}, run DESC LIMIT ?",
        (*rows.values, *are.values, *beyond_after.values, limit),
    )


def _in_order_of_an_index(
    scope: Scope, query: TableQuery, value: str, direction: str, beyond: str, after: TableCursor | None, limit: int
) -> Sql:
    """As ``_of_kinds``, of ``_INDEXED``: no more rows are read than come."""
    where, beyond_after = _conditions(scope, query.conditions, "r.id"), Sql("")
    if after is not None:
        text = f" AND {value} {beyond}= ? AND ({value} {beyond} ? OR r.id < ?)"
        beyond_after = Sql(text, (after.value, after.value, after.run))
    return Sql(
        f"SELECT {_TEXT}, {value} AS v, r.id AS run FROM runs r WHERE {_IS_THERE}{where.text}{beyond_after.text}"
        f" ORDER BY v {direction}, run DESC LIMIT ?",
        (scope.project, *where.values, *beyond_after.values, limit),
    )


def _values(scope: Scope, field: Field, conditions: Sequence[Condition]) -> Sql:
    """``run`` and ``v`` of the runs that have a value of a metric or an entry and meet all conditions.

    Of most runs nothing else is read, not even their rows in ``runs``: what is deleted is a short list.
    """
    of_value = [each for each in conditions if each.field == field and each.operator != "!="]
    meets = _all([_comparison(scope, *each) for each in of_value])
    where = _conditions(scope, [each for each in conditions if each not in of_value], "s.run")
    source = source_of(scope, field)
    joined, are = "", Sql("s.run NOT IN (SELECT id FROM runs WHERE project = ? AND deleted >= '')", (scope.project,))
    if any(each.field.kind == "run" for each in conditions):
        joined, are = " CROSS JOIN runs r", Sql(f"r.id = s.run AND {_IS_THERE}", (scope.project,))
    return Sql(
        f"SELECT s.run, s.v FROM ({source.text}) AS s{joined} WHERE {are.text}{meets.text}{where.text}",
        (*source.values, *are.values, *meets.values, *where.values),
    )


def _without_value(scope: Scope, query: TableQuery, after: TableCursor | None, limit: int) -> Sql:
    """The runs without a value to sort by, which are all where no order is asked for."""
    conditions = _conditions(scope, query.conditions, "r.id")
    none = Sql("")
    if query.sort is not None and query.sort.kind == "run":
        value = run_field(scope, query.sort)
        none = Sql(f" AND {value.text} IS NULL", value.values)
    elif query.sort is not None:
        source = source_of(scope, query.sort)
        text = f" AND r.id NOT IN (SELECT run FROM ({source.text}) AS of_field WHERE NOT v IS NULL)"
        none = Sql(text, source.values)
    beyond = Sql("") if after is None else Sql(" AND r.id < ?", (after.run,))
    return Sql(
        f"SELECT {_NO_VALUE}, NULL, r.id FROM runs r WHERE {_IS_THERE}{conditions.text}{none.text}{beyond.text}"
        " ORDER BY r.id DESC LIMIT ?",
        (scope.project, *conditions.values, *none.values, *beyond.values, limit),
    )


def _count(scope: Scope, conditions: Sequence[Condition]) -> int:
    first = next((each.field for each in conditions if each.field.kind != "run" and each.operator != "!="), None)
    if first is not None:
        rows = _values(scope, first, conditions)
    else:
        where = _conditions(scope, conditions, "r.id")
        rows = Sql(f"SELECT r.id FROM runs r WHERE {_IS_THERE}{where.text}", (scope.project, *where.values))
    return int(scope.connection.execute(f"SELECT count(*) FROM ({rows.text}) AS found", rows.values).fetchone()[0])


def _conditions(scope: Scope, conditions: Sequence[Condition], run: str) -> Sql:
    """``AND …`` for each condition, and for the runs that are meant; ``run`` is what has a run's number."""
    parts = [_condition(scope, condition, run) for condition in conditions]
    if scope.among is not None:
        are_meant, uuids = scope.connection.among(scope.among)
        parts.append(Sql(f"{run} IN (SELECT id FROM runs WHERE uuid {are_meant})", uuids))
    if scope.only is not None:
        are_meant, numbers = scope.connection.among(scope.only)
        parts.append(Sql(f"{run} {are_meant}", numbers))
    if scope.but:
        are_not_meant, numbers = scope.connection.among(scope.but)
        parts.append(Sql(f"NOT {run} {are_not_meant}", numbers))
    return _all(parts)


def _all(parts: Sequence[Sql]) -> Sql:
    return Sql("".join(f" AND {text}" for text, _ in parts), tuple(chain.from_iterable(each for _, each in parts)))


def _condition(scope: Scope, condition: Condition, run: str) -> Sql:
    field, operator, value = condition
    if field.kind == "run":
        return _on_run(scope, field.path[0], operator, value)
    source = source_of(scope, field)
    negated, operator = ("NOT ", "=") if operator == "!=" else ("", operator)
    meets = _comparison(scope, field, operator, value)
    text = f"{run} {negated}IN (SELECT run FROM ({source.text}) AS of_field WHERE {meets.text})"
    return Sql(text, (*source.values, *meets.values))


def _on_run(scope: Scope, name: str, operator: str, value: Value) -> Sql:
    dialect = scope.connection.dialect
    if name == "tag":
        negated = "NOT " if operator == "!=" else ""
        meets = dialect.contains.format("value") if operator == "~" else "value = ?"
        return Sql(f"{negated}EXISTS (SELECT 1 FROM {dialect.texts.format('r.tags')} WHERE {meets})", (value,))
    found = run_field(scope, Field("run", (name,)))
    if value is None:
        text = {"=": f"{found.text} IS NULL", "!=": f"{found.text} IS NOT NULL"}.get(operator)
        return Sql("FALSE") if text is None else Sql(text, found.values)
    if operator == "~" and name in NUMBER_FIELDS:
        return Sql("FALSE")
    if operator == "~":
        value = str(value).casefold() if name == SEARCHED else value
        return Sql(dialect.contains.format(found.text), (*found.values, value))
    value = math.inf if name == "lost" and isinstance(value, str) else value
    if operator == "!=":
        return Sql(f"coalesce({found.text} <> ?, TRUE)", (*found.values, value))
    return Sql(f"{found.text} {operator} ?", (*found.values, value))


def _comparison(scope: Scope, field: Field, operator: str, value: Value) -> Sql:
    """How ``v`` compares with a value of the same type."""
    wanted = _wanted(field, operator, value)
    if operator == "=":
        return _compared(scope, field, "=", wanted)
    if isinstance(wanted, bytes):
        return Sql("FALSE")
    if operator == "~":
        if is_count(field):
            return Sql("FALSE")
        return Sql(scope.connection.dialect.cell_contains.format("v"), (scope.connection.cell(wanted),))
    compared = _compared(scope, field, operator, wanted)
    kind = _TEXT if isinstance(wanted, str) else _NUMBER
    of_kind = _all([_compared(scope, field, *bound) for bound in _BOUNDS[kind] if bound[0][0] != operator[0]])
    return Sql(compared.text + of_kind.text, (*compared.values, *of_kind.values))


def _compared(scope: Scope, field: Field, operator: str, wanted: Cell) -> Sql:
    """How ``v`` compares with a cell, in the order of kinds."""
    if is_count(field) and not isinstance(wanted, (int, float)):
        return Sql("TRUE" if operator[0] == "<" else "FALSE")
    return Sql(f"v {operator} ?", (bound(scope, field, wanted),))


def _wanted(field: Field, operator: str, value: Value) -> Cell:
    if isinstance(value, str):
        is_number = field.kind == "metric" and operator != "~" and value in _NOT_FINITE
        return cell_of(f'"{value}"') if is_number else value
    if value is None or isinstance(value, bool):
        return msgspec.json.encode(value)
    return value
