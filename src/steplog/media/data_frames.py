"""Columns and rows of tables of pandas, polars and pyarrow, of steplog's own, and of any that gives Arrow data."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["columns_of", "held", "is_data_frame", "rows_of"]


def is_data_frame(value: Any) -> bool:
    """Whether it is such a table."""
    return not isinstance(value, type) and (
        hasattr(value, "__arrow_c_stream__") or (hasattr(value, "itertuples") and hasattr(value, "columns"))
    )


def held(frame: Any) -> Any:
    """The table as the other functions take it; Arrow data of any other library are read here, as a stream can be once.

    Raises ImportError without nanoarrow, where that is needed.
    """
    if hasattr(frame, "itertuples") or hasattr(frame, "iter_rows") or hasattr(frame, "itercolumns"):
        return frame
    if hasattr(frame, "to_dict") and hasattr(frame, "batches"):
        return frame
    try:
        nanoarrow = importlib.import_module("nanoarrow")
    except ImportError as error:
        raise ImportError(
            "the Arrow data of this table need nanoarrow (pip install nanoarrow); Table(columns, rows) does without"
        ) from error
    return nanoarrow.Array(frame)


def columns_of(frame: Any) -> list[str]:
    """The names of its columns."""
    if hasattr(frame, "iter_tuples"):
        return [str(field.name) for field in frame.schema.fields]
    schema = getattr(frame, "schema", None) if hasattr(frame, "itercolumns") else None
    return [str(name) for name in (frame.columns if schema is None else schema.names)]


def rows_of(frame: Any) -> list[list[Any]]:
    """Its rows, with values as Python has them."""
    if hasattr(frame, "itertuples"):  # pandas
        return [list(row) for row in zip(*(_values_of(column) for _, column in frame.items()), strict=True)]
    if hasattr(frame, "iter_rows"):  # polars
        return [list(row) for row in frame.iter_rows()]
    if hasattr(frame, "itercolumns"):  # pyarrow
        return [list(row) for row in zip(*(column.to_pylist() for column in frame.itercolumns()), strict=True)]
    if hasattr(frame, "iter_tuples"):  # nanoarrow
        return [list(row) for row in frame.iter_tuples()]
    return [list(row.values()) for row in frame]  # steplog


def _values_of(column: Any) -> list[Any]:
    """Of a column of pandas: None where a value is missing, but NaN of floats stays one."""
    values = list(column)
    if getattr(column.dtype, "kind", "") == "f" and not hasattr(column.dtype, "na_value"):
        return values
    return [None if missing else value for value, missing in zip(values, column.isna().tolist(), strict=True)]
