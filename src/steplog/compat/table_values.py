"""A table of another logger as a value of steplog's: ``{"_type": "table", "columns": […], "data": [[…], …]}``.

It is logged as ``steplog.Table`` is: in the record, or a larger one as a file. Of one that is larger than a file of a
value may be (``LOGGED_BYTES_MAX``) the first rows are kept, the rest is counted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from steplog.compat.unsupported import unsupported
from steplog.journal.values import Values
from steplog.media_value import LOGGED_BYTES_MAX, Content, MediaValue, TooLargeToLogError

__all__ = ["KeptTable"]

_FRAME_BYTES = 64  # of the object around columns and rows
_FILE_BYTES = 256  # of a cell that names its file


class KeptTable(MediaValue):
    """Columns and rows, whose cells may be media; ``call`` is what is counted, as ``a wandb.Table``."""

    def __init__(self, columns: list[Any], rows: list[list[Any]], call: str) -> None:
        self.columns, self.rows = columns, rows
        self._call = call

    def logged(self, keep: Callable[[Content], str], convert: Callable[[object, int], Any]) -> Any:
        """See ``MediaValue``; what is too large raises nothing."""
        from steplog import Table  # late: it is imported where a table is logged

        try:
            return Table(self.columns, self.rows).logged(keep, convert)
        except TooLargeToLogError:
            fits = self._rows_that_fit(LOGGED_BYTES_MAX - LOGGED_BYTES_MAX // 16)
        unsupported.note(
            f"rows of {self._call} of more than {LOGGED_BYTES_MAX >> 20} MiB",
            f"the first {fits:,} of {len(self.rows):,} are kept; log several tables, or save a file of it",
        )
        return Table(self.columns, self.rows[:fits]).logged(keep, convert)

    def _rows_that_fit(self, bytes_max: int) -> int:
        """How many of the first rows take no more bytes as JSON."""
        values = Values(bytes_max)
        values.keep = lambda content: ""
        left = bytes_max - _FRAME_BYTES - _size(values, self.columns)
        for count, row in enumerate(self.rows):
            left -= _size(values, [None if isinstance(cell, MediaValue) else cell for cell in row]) + 1
            left -= _FILE_BYTES * sum(isinstance(cell, MediaValue) for cell in row)
            if left < 0:
                return count
        return len(self.rows)


def _size(values: Values, row: list[Any]) -> int:
    _, text = values.convert(row)
    return len(text) if isinstance(text, bytes) else 0
