"""Rows of ``steplog ls`` with columns that were asked for: for a terminal, as CSV, as JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from rich.text import Text

from steplog.cli import printing, run_times
from steplog.cli.table import Table
from steplog.filters import DATE_FIELDS, Field
from steplog.reading.table_query import UUID, Row

__all__ = ["Listed", "csv_lines", "is_number", "json_row", "rows_table", "shown"]

_NAME = Field("run", ("name",))


class Listed(NamedTuple):
    """A run that is listed: where it is, what was asked for of it, and its JSON where that is printed."""

    namespace: str
    project: str
    row: Row
    data: dict[str, Any] | None = None


def rows_table(columns: Sequence[Field], listed: Sequence[Listed], *, with_project: bool) -> Table:
    """A row a run, which its name begins. A narrow terminal shows the first columns."""
    named = _NAME in columns
    heads = [printing.printable(field, None) for field in columns]
    right = [head for head, field in zip(heads, columns, strict=True) if _is_numeric(field, listed)]

    def with_own(cells: Sequence[Any], name: str, project: str) -> list[Any]:
        all_cells = [*cells] if named else [name, *cells]
        return [all_cells[0], *([project] if with_project else []), *all_cells[1:]]

    every: list[str] = with_own(heads, "run", "project")
    cut = "name" if named else "run"
    drop = [head for head in every[::-1] if head != cut]
    table = printing.table(*every, right=right, drop=drop, cut=cut, wrap=heads)
    for each in listed:
        cells = [shown(field, each.row.get(str(field))) for field in columns]
        printing.add_row(table, *with_own(cells, each.row.get("name") or each.row[UUID], each.project))
    return table


def shown(field: Field, value: Any) -> str | Text:
    """A cell for people; "" for what is missing."""
    if value is None or field.kind != "run":
        return printing.value(value)
    name = field.path[0]
    if name == "status":
        return printing.status(str(value))
    if name in DATE_FIELDS:
        return printing.local_time(value)
    if name == "duration" and is_number(value):
        return run_times.span(value)
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def csv_lines(columns: Sequence[Field], listed: Sequence[Listed], *, with_project: bool) -> Iterator[str]:
    """RFC 4180, a header and a line a run; texts are bare, what is missing or null is empty, a list is JSON."""
    yield _csv_line([UUID, *(["project"] if with_project else []), *map(str, columns)])
    for each in listed:
        values = [each.row.get(str(field)) for field in columns]
        yield _csv_line([each.row[UUID], *([each.project] if with_project else []), *map(_bare, values)])


def json_row(each: Listed, columns: Sequence[Field]) -> dict[str, Any]:
    """An object; it has no entry for what is missing."""
    asked = {str(field): each.row[str(field)] for field in columns if str(field) in each.row}
    return {"namespace": each.namespace, "project": each.project, UUID: each.row[UUID], **asked}


def is_number(value: Any) -> bool:
    """Whether it stands at the right of its column."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_numeric(field: Field, listed: Sequence[Listed]) -> bool:
    values = [each.row.get(str(field)) for each in listed]
    there = [value for value in values if value is not None]
    return field != Field("run", ("duration",)) and bool(there) and all(map(is_number, there))


def _bare(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _csv_line(cells: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    return line.getvalue()
