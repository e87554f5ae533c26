"""Columns and rows of tables of pandas, polars and pyarrow, of steplog's own, and of any that gives Arrow data."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["columns_of", "is_data_frame", "rows_of"]


def is_data_frame(value: Any) -> bool:
    """Whether it is such a table."""
    return not isinstance(value, type) and (
        hasattr(value, "__arrow_c_stream__") or (hasattr(value, "itertuples") and hasattr(value, "columns"))
    )


def columns_of(frame: Any) -> list[str]:
    """The names of its columns. Raises ImportError as ``rows_of``."""
    names = getattr(frame, "column_names", None)  # of pyarrow, whose ``columns`` are the data
    if names is None:
        names = getattr(frame, "columns", None)
    if names is None or callable(names):
        names = [field.name for field in _stream(frame).schema.fields]
    return [str(name) for name in names]


def rows_of(frame: Any) -> list[list[Any]]:
    """Its rows, with values as Python has them. Raises ImportError without nanoarrow, where that is needed."""
    if hasattr(frame, "itertuples"):  # pandas
        return [list(row) for row in frame.itertuples(index=False, name=None)]
    if hasattr(frame, "iter_rows"):  # polars
        return [list(row) for row in frame.iter_rows()]
    if hasattr(frame, "column_names") and hasattr(frame, "itercolumns"):  # pyarrow
        return [list(row) for row in zip(*(column.to_pylist() for column in frame.itercolumns()), strict=True)]
    if hasattr(frame, "to_dict") and hasattr(frame, "batches"):  # steplog
        return [list(row.values()) for row in frame]
    return [list(row) for row in _stream(frame).iter_tuples()]


def _stream(frame: Any) -> Any:
    try:
        nanoarrow = importlib.import_module("nanoarrow")
    except ImportError as error:
        raise ImportError(
            "the Arrow data of this table need nanoarrow (pip install nanoarrow); Table(columns, rows) does without"
        ) from error
    return nanoarrow.ArrayStream(frame)
