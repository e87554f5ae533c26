"""Rows of a table of runs, made from what a server or a journal says of each run. Pure.

A query has the answer here that ``table/`` of a server gives (``docs/api.md``, Tables):

- a row has a value a field, as JSON has it; no entry for what is missing
- order: numbers, then texts, then other values (true, NaN, lists), each up or down; then the runs without a value;
  among equals the newest first
- a text or list that is too long for a cell is null, and matches only ``!=``

A column of ``table_of`` is typed by its values: f8, i8, bool, text, else json; started and ended are times, ``tag`` is
a list of texts. What is null is missing there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from itertools import islice
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar, cast

import msgspec

from steplog.filters import DATE_FIELDS, MISSING, RUN_FIELDS, Condition, Field, holds, value_of
from steplog.reading.arrow_table import ArrowColumn, ArrowTable, column_of
from steplog.reading.table_query import UUID, Row, TableQuery
from steplog.records.cells import LAST_BYTES_MAX, Cell, cell_of_json, entries, field_cell, json_value

__all__ = [
    "Candidate",
    "chosen",
    "in_order",
    "names_of",
    "ordered",
    "row_of",
    "table_of",
]

_Metrics = Mapping[str, Mapping[str, Any]]
_Whole = tuple[Mapping[str, Any], _Metrics] | None
T = TypeVar("T")

_NUMBERS: Mapping[str, float] = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
_EXACT = 2**53  # the integers up to here are floats, too
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)
_NAN = b"NaN"
_TOO_LONG = b""
_INCOMPARABLE = object()  # equal to nothing, less than nothing
_RUN_KINDS = dict.fromkeys(RUN_FIELDS, "text") | dict.fromkeys(DATE_FIELDS, "time")
_RUN_KINDS |= {"tag": "texts", "duration": "f8", "lost": "f8", "generation": "i8"}
_LOST = Field("run", ("lost",))
_encode = msgspec.json.Encoder().encode


class Candidate(NamedTuple):
    """A run that may be asked for.

    Attributes:
        run: its JSON, maybe without config.
        whole: gives, of the kinds "config" and "metric" that are asked for, its JSON with the config, and its metrics
            by name, as a row of ``series/``; None if the run is gone. May be slow.
    """

    run: Mapping[str, Any]
    whole: Callable[[set[str]], _Whole]


_Map = Callable[[Callable[[Candidate], _Whole], Iterable[Candidate]], Iterator[_Whole]]


def chosen(candidates: Iterable[Candidate], query: TableQuery, now: datetime, each_of: _Map = map) -> list[Row]:
    """The rows that answer a query, each with its value to sort by; ``candidates`` have the newest run first.

    No more of them are read whole than the answer takes, one after the other, or as ``each_of`` does it, which is like
    ``map``.
    """
    of_run = [each for each in query.conditions if each.field.kind == "run"]
    others = [each for each in query.conditions if each.field.kind != "run"]
    found = [each for each in candidates if _meets(of_run, each.run, {}, now)]
    sort, early = query.sort, query.sort is None or query.sort.kind == "run"
    if sort is not None and early:
        run_field = sort
        found = ordered(found, lambda each: _cell(run_field, each.run, {}, now), query.descending)
    if not others and all(field.kind == "run" for field in query.fields):
        return [row_of(query.fields, each.run, {}, now) for each in found[: query.limit]]
    rows = _whole_rows(found, others, query, now, each_of)
    if early:
        return [row for row, _ in islice(rows, query.limit)]
    return [row for row, _ in ordered(rows, itemgetter(1), query.descending)[: query.limit]]


def in_order(rows: Iterable[Row], query: TableQuery) -> list[Row]:
    """The first rows in the order asked for; they come with the newest run first, or in that order already."""
    sort = query.sort
    if sort is None:
        return list(islice(rows, query.limit))
    name, by = str(sort), sort
    return ordered(rows, lambda row: _cell_of(by, row.get(name, MISSING)), query.descending)[: query.limit]


def ordered(items: Iterable[T], cell: Callable[[T], Cell | None], descending: bool) -> list[T]:
    """By their cells, those without one last; equal ones stay as they are."""
    kinds: tuple[list[tuple[Any, T]], ...] = ([], [], [], [])
    for item in items:
        value = cell(item)
        kinds[_rank(value)].append((value, item))
    for kind in kinds[:-1]:
        kind.sort(key=itemgetter(0), reverse=descending)
    return [item for kind in kinds for _, item in kind]


def row_of(fields: Iterable[Field], run: Mapping[str, Any], metrics: _Metrics, now: datetime) -> Row:
    """What is asked for of a run."""
    row: Row = {UUID: run[UUID]}
    for field in fields:
        value = _value(field, run, metrics, now)
        if value is not MISSING:
            row[str(field)] = value
    return row


def names_of(run: Mapping[str, Any], metrics: _Metrics) -> Iterator[str]:
    """The entries of a run's config, and its metrics, as fields call them."""
    config = run.get("config")
    for key, value in config.items() if isinstance(config, Mapping) else ():
        yield from (f"config.{entry}" for entry in entries(key, _encode(value).decode()))
    for name in metrics:
        if not name.startswith("steplog/"):
            yield str(Field("metric", (name, "last")))[: -len(".last")]


def table_of(columns: Iterable[Field], rows: Sequence[Row]) -> ArrowTable:
    """The rows as a table, ``uuid`` first."""
    made = [ArrowColumn(UUID, "text", [row[UUID] for row in rows])]
    return ArrowTable([*made, *(_column(field, [row.get(str(field)) for row in rows]) for field in columns)])


def _whole_rows(
    found: Iterable[Candidate],
    conditions: Sequence[Condition],
    query: TableQuery,
    now: datetime,
    each_of: _Map,
) -> Iterator[tuple[Row, Cell | None]]:
    """The rows, and what they are sorted by."""
    kinds = {field.kind for field in (*query.fields, *(each.field for each in conditions))} - {"run"}
    for whole in each_of(lambda each: each.whole(kinds), found):
        if whole is None:
            continue
        run, metrics = whole
        if _meets(conditions, run, metrics, now):
            cell = None if query.sort is None else _cell(query.sort, run, metrics, now)
            yield row_of(query.fields, run, metrics, now), cell


def _meets(conditions: Iterable[Condition], run: Mapping[str, Any], metrics: _Metrics, now: datetime) -> bool:
    for condition in conditions:
        found = value_of(condition.field, run, metrics, now)
        if condition.field.kind != "run" and _json_cell(condition.field, found) == _TOO_LONG:
            found = _INCOMPARABLE
        if not holds(condition, found):
            return False
    return True


def _value(field: Field, run: Mapping[str, Any], metrics: _Metrics, now: datetime) -> Any:
    """As a server's table has it in JSON."""
    found = value_of(field, run, metrics, now)
    if field.kind == "run":
        return json_value(field_cell(found))
    cell = _json_cell(field, found)
    if cell is None:
        return MISSING
    shown = json_value(cell)
    return found if isinstance(shown, msgspec.Raw) else shown


def _cell(field: Field, run: Mapping[str, Any], metrics: _Metrics, now: datetime) -> Cell | None:
    """What a run is sorted by; None: it has no such value."""
    found = value_of(field, run, metrics, now)
    if field.kind == "run":
        return None if found is MISSING else cast(Cell | None, field_cell(found))
    return _json_cell(field, found)


def _cell_of(field: Field, value: Any) -> Cell | None:
    """The same of a value in a row, in which what is too long is null."""
    if value is MISSING or (value is None and field.kind == "run"):
        return None
    if (field.kind == "metric" or field == _LOST) and isinstance(value, str):
        value = _NUMBERS.get(value, value)
    return _NAN if value != value else cell_of_json(value)  # only NaN differs from itself


def _json_cell(field: Field, found: Any) -> Cell | None:
    """The cell of a config's entry or of a metric; None: there is none."""
    if found is MISSING or (field.kind == "config" and isinstance(found, dict) and found):
        return None  # what is above entries has no cell
    if isinstance(found, float) and found != found:
        return _NAN
    if field.kind == "metric" and not isinstance(found, (int, float)) and len(_encode(found)) > LAST_BYTES_MAX:
        return _TOO_LONG
    return cell_of_json(found)


def _rank(cell: Cell | None) -> int:
    """Which values come first."""
    if cell is None:
        return 3
    return 2 if isinstance(cell, bytes) else 1 if isinstance(cell, str) else 0


def _column(field: Field, values: Sequence[Any]) -> ArrowColumn:
    name = str(field)
    if field.kind == "run":
        kind = _RUN_KINDS[field.path[0]]
        return column_of(name, kind, [None if value is None else _OF_KIND[kind](value) for value in values])
    types = {type(value) for value in values} - {type(None)}
    if types in ({str}, {bool}) and not (field.kind == "metric" and _NUMBERS.keys() >= set(values) - {None}):
        return column_of(name, "text" if types == {str} else "bool", values)
    numbers = [_NUMBERS.get(value, value) if isinstance(value, str) else value for value in values]
    types = {type(number) for number in numbers} - {type(None)}
    if types == {int} or (not types and field.path[-1] == "count"):
        return column_of(name, "i8", numbers)
    if (types or field.kind == "metric") and all(number is None or _is_float(number) for number in numbers):
        return column_of(name, "f8", numbers)
    return column_of(name, "json", [None if value is None else _encode(value) for value in values])


def _is_float(number: Any) -> bool:
    return isinstance(number, float) or (type(number) is int and -_EXACT <= number <= _EXACT)


def _nanoseconds(date: object) -> int | None:
    """Of a date as a server has it; None of anything else."""
    text = str(date)
    try:
        moment = datetime.fromisoformat(f"{text[:-1]}+00:00" if text.endswith("Z") else text)
        return (moment - _EPOCH) // _MICROSECOND * 1000
    except (TypeError, ValueError):
        return None


def _number(value: object) -> float | None:
    number = _NUMBERS.get(value) if isinstance(value, str) else value
    return float(number) if isinstance(number, (int, float)) else None


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _texts(value: object) -> list[str] | None:
    return list(map(str, value)) if isinstance(value, list) else None


_OF_KIND: Mapping[str, Callable[[object], Any]] = {
    "text": str,
    "time": _nanoseconds,
    "f8": _number,
    "i8": _integer,
    "texts": _texts,
}
