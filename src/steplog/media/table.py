"""``Table``: columns and rows, whose cells are any values of ``log``, media among them.

At most ``INLINE_BYTES_MAX`` of JSON are kept in the record, more in a file of type application/json::

    {"_type": "table", "columns": ["input", "output"], "data": [["a", 0.5], …]}             the record, or the file
    {"_type": "table", "file": "<32 hex digits>", "type": "application/json", "columns": ["input", …], "rows": 9000}

A cell with media is the record of that, which names its file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from steplog.media.data_frames import columns_of, held, is_data_frame, rows_of
from steplog.media.files import check_size
from steplog.media_value import LOGGED_BYTES_MAX, Content, MediaValue

__all__ = ["COLUMNS_MAX", "INLINE_BYTES_MAX", "Table"]

INLINE_BYTES_MAX = 64 * 1024
COLUMNS_MAX = 10_000
_PLAIN = frozenset((float, int, bool, type(None)))
_TAKEN = "a table is of columns and rows, of rows that are dicts, or of a dataframe"


class Table(MediaValue):
    """A table, for ``run.log``.

        run.log("predictions", steplog.Table(["image", "label"], [[steplog.Image(a), "seven"]]), step=3)
        run.log("scores", steplog.Table(rows=[{"name": "a", "score": 0.5}]), step=3)
        run.log("frame", steplog.Table(dataframe=frame), step=3)

    Args:
        columns: names. Of rows that are dicts: which keys, all where it is None.
        rows: each a sequence with a cell for each column, or each a dict. A cell is any value that ``log`` takes.
        dataframe: of pandas, polars or pyarrow, or anything that gives Arrow data (``__arrow_c_stream__``); its index
            is not kept.

    Raises TypeError or ValueError.
    """

    def __init__(
        self, columns: Iterable[Any] | None = None, rows: Iterable[Any] | None = None, *, dataframe: Any = None
    ) -> None:
        self._frame: Any = None
        self._rows: list[Any] = []
        self._keys: list[Any] = []
        if dataframe is not None:
            if columns is not None or rows is not None:
                raise ValueError(f"{_TAKEN}, one of these")
            if not is_data_frame(dataframe):
                given = type(dataframe).__name__
                raise TypeError(f"dataframe is of pandas, polars or pyarrow, or gives Arrow data; {given} does not")
            self._frame = held(dataframe)
            self.columns = _checked_columns(columns_of(self._frame))
            return
        if is_data_frame(columns) or is_data_frame(rows):
            raise TypeError("pass the table of another library by name: Table(dataframe=frame)")
        if rows is None and columns is None:
            raise ValueError(_TAKEN)
        self._rows = _listed(() if rows is None else rows, "rows")
        if columns is None:
            if not all(isinstance(row, Mapping) for row in self._rows):
                raise ValueError(f"{_TAKEN}; rows that are not all dicts need columns")
            columns = dict.fromkeys(key for row in self._rows for key in row)
        self._keys = _listed(columns, "columns")
        self.columns = _checked_columns([str(name) for name in self._keys])
        for number, row in enumerate(self._rows):
            _check_row(row, len(self.columns), number)

    def __repr__(self) -> str:
        return f"<steplog.Table of {len(self.columns)} columns>"

    def logged(self, keep: Callable[[Content], str], convert: Callable[[object, int], Any]) -> Any:
        """Internal: as MediaValue says."""
        rows = self._cells()
        check_size(2 * len(rows) * len(self.columns), LOGGED_BYTES_MAX)  # a cell takes two bytes, itself and a comma
        whole = {"_type": "table", "columns": self.columns, "data": rows}
        text = _text_of_plain(whole)
        if text is None:
            whole = convert(whole, LOGGED_BYTES_MAX)
            text = _json(whole)
        if len(text) <= INLINE_BYTES_MAX:
            return whole
        check_size(len(text), LOGGED_BYTES_MAX)
        fields = {"columns": self.columns, "rows": len(rows)}
        content = Content("table", "application/json", ".json", [text], fields)
        return {"_type": content.kind, "file": keep(content), "type": content.type, **fields}

    def _cells(self) -> list[Any]:
        if self._frame is not None:
            return rows_of(self._frame)
        width = len(self.columns)
        made = []
        for number, row in enumerate(self._rows):
            _check_row(row, width, number)  # it may have changed
            is_list = row.__class__ is list  # asked first, it is the cheaper question
            made.append(row if is_list or not isinstance(row, Mapping) else [row.get(key) for key in self._keys])
        return made


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")


def _text_of_plain(table: dict[str, Any]) -> bytes | None:
    """The JSON of a table whose cells are texts, numbers, bools and None alone; else None. A tenth of the time."""
    size = 0
    for row in table["data"]:
        if row.__class__ is not list and row.__class__ is not tuple:
            return None
        for cell in row:
            if cell.__class__ is str:
                size += len(cell)
            elif cell.__class__ not in _PLAIN:
                return None
    check_size(size, LOGGED_BYTES_MAX)
    try:
        return _json(table)
    except ValueError:  # NaN and infinities, which are texts there
        return None


def _listed(given: Iterable[Any], name: str) -> list[Any]:
    if isinstance(given, (str, bytes, Mapping)) and name == "rows":
        raise TypeError(f"rows are lists or dicts in a list, not a {type(given).__name__}")
    if isinstance(given, (str, bytes)) or not hasattr(given, "__iter__"):
        raise TypeError(f"{name} are in a list, not a {type(given).__name__}")
    return list(given)


def _checked_columns(names: list[str]) -> list[str]:
    if len(names) > COLUMNS_MAX:
        raise ValueError(f"a table has {COLUMNS_MAX:,} columns at most, not {len(names):,}")
    return names


def _check_row(row: Any, width: int, number: int) -> None:
    if (row.__class__ is list and len(row) == width) or isinstance(row, Mapping):
        return
    if isinstance(row, (str, bytes)) or not (isinstance(row, Sequence) or hasattr(row, "tolist")):
        raise TypeError(f"a row is a list or a dict; row {number} is a {type(row).__name__}")
    if len(row) != width:
        raise ValueError(f"a row has a cell for each of the {width} columns; row {number} has {len(row)}")
