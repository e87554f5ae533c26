"""A table as a JSON value: ``{"_type": "table", "columns": […], "data": [[…], …]}``.

It is as large as a value may be (``value_bytes_max``); of a longer one the first rows are kept, the rest is counted.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from steplog.compat.unsupported import unsupported
from steplog.journal.values import Values
from steplog.settings import resolve

__all__ = ["table_value"]

_FRAME_BYTES = 64  # of the object around columns and rows


def table_value(
    columns: list[Any], rows: list[list[Any]], call: str, kind: str = "table", cell: Callable[[Any], Any] | None = None
) -> dict[str, Any]:
    """``call`` is what is counted, as ``a wandb.Table``; ``kind`` the value of ``_type``; ``cell`` makes a cell."""
    bytes_max = resolve().value_bytes_max
    first = rows[: bytes_max // (2 * len(columns) + 2)]  # a cell takes two bytes, itself and a comma
    if cell is not None:
        first = [[cell(value) for value in row] for row in first]
    whole = {"_type": kind, "columns": columns, "data": first}
    fits = _rows_that_fit(whole, bytes_max)
    if fits < len(rows):
        unsupported.note(
            f"rows of {call} of more than {bytes_max:,} bytes",
            f"the first {fits:,} of {len(rows):,} are kept; raise STEPLOG_VALUE_BYTES_MAX, or log several tables",
        )
    return {**whole, "data": first[:fits]}


def _rows_that_fit(table: dict[str, Any], bytes_max: int) -> int:
    """How many of the first rows may be in one value."""
    rows: list[list[Any]] = table["data"]
    try:
        if len(json.dumps(table)) <= bytes_max:  # texts take no more bytes as UTF-8
            return len(rows)
    except (TypeError, ValueError, RecursionError):  # cells that JSON does not have
        pass
    values = Values(bytes_max)
    left = bytes_max - _FRAME_BYTES - _size(values, table["columns"])
    for count, row in enumerate(rows):
        left -= _size(values, row) + 1
        if left < 0:
            return count
    return len(rows)


def _size(values: Values, row: list[Any]) -> int:
    _, text = values.convert(row)
    return len(text) if isinstance(text, bytes) else 0
