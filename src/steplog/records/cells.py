"""Cells of a table of runs: a JSON value as one value that is compared and sorted, here and by SQLite. Pure.

::

    a number, infinities too                       int64 or float64
    a text                                         text
    NaN, true, false, null, a list, an empty {}    bytes: its JSON text

Numbers sort before texts, texts before bytes. What is longer than ``CELL_BYTES_MAX`` is ``b""``: a
value that is equal to none.

A config is a cell an entry, nested ones by their path: ``{"optim": {"lr": 0.1}}`` has the entry ``optim.lr``, in the
words of ``filters``. Of one top-level key the first ``ENTRIES_MAX`` are taken.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import msgspec

from steplog.filters import Field

__all__ = [
    "CELL_BYTES_MAX",
    "ENTRIES_MAX",
    "FIELD_CHARACTERS_MAX",
    "LAST_BYTES_MAX",
    "Cell",
    "cell_of",
    "cell_of_json",
    "entries",
    "entry_name",
    "field_cell",
    "json_value",
]

CELL_BYTES_MAX = 1024
ENTRIES_MAX = 1000
FIELD_CHARACTERS_MAX = 256  # of a field of a run, of which only the description and the notes may have more
LAST_BYTES_MAX = 256  # of JSON text, the last value of a metric

Cell = int | float | str | bytes
_TOO_LONG = b""
_NOT_FINITE: Mapping[str, Cell] = {"NaN": b"NaN", "Infinity": math.inf, "-Infinity": -math.inf}
_INT64_END = 2**63
_CONFIG = len("config.")


def cell_of(last: int | float | str | None) -> Cell:
    """The cell of a metric's last value, as a chunk has it: a number, JSON text, or None if that is long."""
    if last is None:
        return _TOO_LONG
    if not isinstance(last, str):
        return b"NaN" if last != last else last  # only NaN differs from itself
    value = _decoded(last)
    # As everywhere in JSON, these texts are numbers.
    return _NOT_FINITE[value] if isinstance(value, str) and value in _NOT_FINITE else cell_of_json(value)


def field_cell(found: Any) -> Any:
    """What is shown of a field of a run, and what it is sorted by: the beginning of a long text."""
    return found[:FIELD_CHARACTERS_MAX] if isinstance(found, str) else found


def json_value(cell: Cell | None) -> Any:
    """What a cell is in JSON; None also of one that is too long."""
    if isinstance(cell, bytes):
        return None if cell in (_TOO_LONG, b"null") else "NaN" if cell == b"NaN" else msgspec.Raw(cell)
    if isinstance(cell, float) and math.isinf(cell):
        return "Infinity" if cell > 0 else "-Infinity"
    return cell


def entry_name(path: tuple[str, ...]) -> str:
    """The name of an entry of a config."""
    return str(Field("config", path))[_CONFIG:]


def entries(key: str, text: str) -> dict[str, Cell]:
    """The entries of a top-level key and its value, JSON text; without those whose name is too long."""
    found = islice(_walk((key,), _decoded(text)), ENTRIES_MAX)
    named = {entry_name(path): cell_of_json(value) for path, value in found}
    return {name: cell for name, cell in named.items() if len(name.encode()) <= CELL_BYTES_MAX}


def _walk(path: tuple[str, ...], value: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Depth first, in order, without recursion."""
    left = [iter([(path, value)])]
    while left:
        for inner, each in left[-1]:
            if isinstance(each, dict) and each:
                left.append(iter([((*inner, key), nested) for key, nested in each.items()]))
                break
            yield inner, each
        else:
            left.pop()


def _decoded(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return msgspec.Raw(text.encode())  # a number beyond all bounds


def cell_of_json(value: Any) -> Cell:
    """The cell of a JSON value, decoded, or ``msgspec.Raw`` where that cannot be; not of NaN."""
    if isinstance(value, str):
        return value if len(value.encode()) <= CELL_BYTES_MAX else _TOO_LONG
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value if isinstance(value, float) or -_INT64_END <= value < _INT64_END else _as_float(value)
    encoded = msgspec.json.encode(value)
    return encoded if len(encoded) <= CELL_BYTES_MAX else _TOO_LONG


def _as_float(number: int) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf
