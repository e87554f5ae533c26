"""What a table shows of its runs: what is packed and, within ``_TAIL_BYTES_MAX``, what is in the log."""

# ruff: noqa: S608 - statements are made of the names in this module; what a request says is bound

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import msgspec

from steplog.filters import Field
from steplog.records.cells import entry_name, field_cell, json_value
from steplog.server.sql.reading import RunReader
from steplog.server.sql.table_fields import TOTALS, Scope, live_value, metrics_of, run_field, source_of
from steplog.server.store_types import TableRow

__all__ = ["rows_of"]

_RUNS_A_QUERY = 500
_TAIL_BYTES_MAX = 64 * 1024 * 1024  # of the log
_HEARD: Sequence[tuple[str, ...]] = (("seen",), ("last_point",))  # fields that are in ``progress``


def rows_of(scope: Scope, runs: Sequence[int], columns: Sequence[Field]) -> list[TableRow]:
    """The rows of these runs, in this order."""
    found: dict[int, TableRow] = {}
    metrics = [column for column in columns if column.kind == "metric"]
    left = _TAIL_BYTES_MAX
    for first in range(0, len(runs), _RUNS_A_QUERY):
        some = runs[first : first + _RUNS_A_QUERY]
        for number, uuid, cells in _fields(scope, some, columns):
            found[number] = TableRow(uuid, cells)
        _put_cells(scope, some, columns, found)
        for number, size_bytes, heard in _progress(scope, some, columns):
            found[number].cells.update(heard)
            left -= size_bytes or 0
            if size_bytes is not None and (left >= 0 or number in scope.readers):
                reader = scope.readers.get(number) or RunReader(scope.connection, number, metrics_of(metrics))
                found[number].cells.update(_live_cells(reader, metrics))
    return [found[number] for number in runs]


def _fields(scope: Scope, runs: Sequence[int], columns: Sequence[Field]) -> Iterator[tuple[int, str, dict[Field, Any]]]:
    """Number, uuid, and what is in ``runs`` of these."""
    fields = [column for column in columns if column.kind == "run" and column.path not in _HEARD]
    texts = [run_field(scope, field) for field in fields]
    are_these, numbers = scope.connection.among(runs)
    values = (*chain.from_iterable(each.values for each in texts), *numbers)
    selected = "".join(f", {text}" for text, _ in texts)
    query = f"SELECT r.id, r.uuid{selected} FROM runs r WHERE r.id {are_these}"
    for number, uuid, *cells in scope.connection.execute(query, values):
        yield number, uuid, dict(zip(fields, map(_field_value, fields, cells), strict=True))


def _field_value(field: Field, cell: Any) -> Any:
    if field.path == ("tag",):
        return msgspec.Raw(b"[]" if cell is None else cell.encode())
    return json_value(field_cell(cell))


def _put_cells(scope: Scope, runs: Sequence[int], columns: Sequence[Field], rows: Mapping[int, TableRow]) -> None:
    """Add to each row what is packed of its run."""
    if scope.unfilled is not None:
        _put_cells_by_column(scope, runs, columns, rows)
        return
    # A statement each for what is in one column of a table.
    asked: dict[tuple[str, str, str], dict[str, Field]] = {}
    for column in columns:
        if column.kind == "metric":
            asked.setdefault(("lasts", "name", TOTALS[column.path[1]]), {})[column.path[0]] = column
        elif column.kind == "config":
            asked.setdefault(("configs", "key", "value"), {})[entry_name(column.path)] = column
    are_these, numbers = scope.connection.among(runs)
    for (table, name, value), fields in asked.items():
        are_named, names = scope.connection.among(list(fields))
        where = f"project = ? AND {name} {are_named} AND run {are_these} AND NOT {value} IS NULL"
        query = f"SELECT run, {name}, {value} FROM {table} WHERE {where}"
        for number, found, cell in scope.connection.execute(query, (scope.project, *names, *numbers)):
            rows[number].cells[fields[found]] = json_value(cell)


def _put_cells_by_column(
    scope: Scope, runs: Sequence[int], columns: Sequence[Field], rows: Mapping[int, TableRow]
) -> None:
    """The same in an older database, of which not all is in ``lasts`` and ``configs``."""
    are_these, numbers = scope.connection.among(runs)
    for column in columns:
        if column.kind != "run":
            source = source_of(scope, column)
            query = f"SELECT run, v FROM ({source.text}) AS of_field WHERE run {are_these} AND NOT v IS NULL"
            for number, cell in scope.connection.execute(query, (*source.values, *numbers)):
                rows[number].cells[column] = json_value(cell)


def _progress(
    scope: Scope, runs: Sequence[int], columns: Sequence[Field]
) -> Iterator[tuple[int, int | None, dict[Field, Any]]]:
    """How many bytes of these runs are in the log, None where nothing is, and when they were heard of."""
    heard = [column for column in columns if column.kind == "run" and column.path in _HEARD]
    if not heard and not any(column.kind == "metric" for column in columns):
        return
    are_these, numbers = scope.connection.among(runs)
    query = f"SELECT run, log_bytes, packed < arrivals, seen, last_point FROM progress WHERE run {are_these}"
    query += "" if heard else " AND packed < arrivals"
    for number, size_bytes, is_unpacked, *dates in scope.connection.execute(query, numbers).fetchall():
        told = dict(zip(_HEARD, dates, strict=True))
        yield number, size_bytes if is_unpacked else None, {column: told[column.path] for column in heard}


def _live_cells(reader: RunReader, columns: Sequence[Field]) -> dict[Field, Any]:
    """The totals of a run's metrics, those of the log included."""
    cells: dict[Field, Any] = {}
    for column in columns:
        series = reader.series(column.path[0])
        cell = None if series is None or not series.tail.kinds else live_value(column, series)
        if cell is not None:
            cells[column] = json_value(cell)
    return cells
