"""``wandb.Table``, kept as one of steplog's: ``{"_type": "table", "columns": […], "data": [[…], …]}``.

1. A cell that holds media is what that is logged as, with a file of its own; what JSON does not have is converted as
   ``log`` does. A large table is a file (``compat.table_values``).
2. Of a table with ``log_mode="INCREMENTAL"`` each value has the rows that were added since the last one. Others are
   kept as they are each time they are logged, also where wandb keeps only the first.
3. A column may hold values of several types, where wandb raises a TypeError.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from steplog.compat.table_values import KeptTable
from steplog.compat.wandb.binning import binned
from steplog.compat.wandb.logged_values import logged
from steplog.compat.wandb.media import NOT_KEPT, Media, WBValue

__all__ = ["EvalTable", "Histogram", "JoinedTable", "PartitionedTable", "Table"]

_COLUMNS = ("Input", "Output", "Expected")
_LOG_MODES = ("IMMUTABLE", "MUTABLE", "INCREMENTAL", None)


class Table(Media):
    """Rows of values, with names for the columns."""

    MAX_ROWS = 10_000
    MAX_ARTIFACT_ROWS = 200_000
    _log_type = "table"

    def __init__(
        self,
        columns: Sequence[Any] | None = None,
        data: Any = None,
        rows: Any = None,
        dataframe: Any = None,
        dtype: Any = None,
        optional: bool | list[bool] = True,
        allow_mixed_types: bool = False,
        log_mode: str | None = "IMMUTABLE",
    ) -> None:
        if log_mode not in _LOG_MODES:
            raise AssertionError(f"Invalid log_mode: {log_mode}. Must be one of {_LOG_MODES}")
        self.log_mode = log_mode
        self._logged_rows = 0
        self.columns: list[Any] = list(_COLUMNS if columns is None else columns)
        self.data: list[list[Any]] = []
        frame = data if dataframe is None and hasattr(data, "itertuples") else dataframe
        if frame is not None:
            self.columns = list(frame.columns)
            given: Any = frame.itertuples(index=False, name=None)
        else:
            given = rows if data is None else data
        if not all(isinstance(name, (str, int)) for name in self.columns):
            raise AssertionError("columns argument expects a list of strings and integers")
        if isinstance(given, (str, bytes, dict)) or not (given is None or hasattr(given, "__iter__")):
            raise AssertionError("data argument expects a `list` object")
        for row in () if given is None else given:
            self.add_data(*row)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Table) and self.columns == other.columns and self.data == other.data

    __hash__ = None  # type: ignore[assignment]  # it changes

    def add_data(self, *data: Any) -> None:
        """Add a row. Raises ValueError for one of another length."""
        if len(data) != len(self.columns):
            words = f"This table expects {len(self.columns)} columns: {self.columns}, found {len(data)}"
            raise ValueError(words)
        self.data.append(list(data))

    def add_row(self, *row: Any) -> None:
        """The older name of ``add_data``."""
        self.add_data(*row)

    def add_column(self, name: Any, data: Sequence[Any], optional: bool = False) -> None:
        """Add a column, with a value for each row."""
        if not isinstance(name, str) or name in self.columns:
            raise AssertionError(f"a column has a name of its own, a text; {name!r} is none")
        if self.columns and len(data) != len(self.data):
            raise AssertionError(f"the table has {len(self.data)} rows, and the column {len(data)} values")
        if not self.columns:
            self.data = [[] for _ in data]
        for row, value in zip(self.data, data, strict=True):
            row.append(value)
        self.columns.append(name)

    def add_computed_columns(self, fn: Callable[[int, dict[Any, Any]], dict[str, Any]]) -> None:
        """Add columns of what a function makes of each row."""
        made = [fn(at, dict(zip(self.columns, row, strict=True))) for at, row in self.iterrows()]
        for name in dict.fromkeys(name for each in made for name in each):
            self.add_column(name, [each.get(name) for each in made])

    def get_column(self, name: Any, convert_to: str | None = None) -> Any:
        """The values of a column; with ``convert_to="numpy"`` as an array."""
        if name not in self.columns or convert_to not in (None, "numpy"):
            raise AssertionError(f"the table has the columns {self.columns}, not {name!r}, as a list or as numpy")
        at = self.columns.index(name)
        column = [row[at] for row in self.data]
        if convert_to is None:
            return column
        import numpy

        return numpy.array(column)

    def get_index(self) -> list[int]:
        """The numbers of the rows."""
        return list(range(len(self.data)))

    def index_ref(self, index: int) -> int:
        """The number of a row."""
        if index >= len(self.data):
            raise AssertionError(f"the table has {len(self.data)} rows")
        return index

    def get_dataframe(self) -> Any:
        """The table as pandas has one."""
        import pandas

        return pandas.DataFrame.from_records(self.data, columns=self.columns)

    def iterrows(self) -> Iterator[tuple[int, list[Any]]]:
        """Each row with its number."""
        yield from enumerate(self.data)

    def cast(self, col_name: Any, dtype: Any, optional: bool = False) -> Any:
        """Say of which type a column is; it is taken, and nothing is checked."""
        if col_name not in self.columns:
            raise AssertionError(f"the table has the columns {self.columns}, not {col_name!r}")
        return dtype

    def set_pk(self, col_name: Any) -> None:
        """Say which column is the key of the rows."""
        self.cast(col_name, str)

    def set_fk(self, col_name: Any, table: Table, table_col: str) -> None:
        """Say which column has keys of another table."""
        self.cast(col_name, str)

    def to_data_array(self) -> list[list[Any]]:
        """The rows."""
        return self.data

    def to_json(self, run_or_artifact: object = None) -> Any:
        """Its columns and rows."""
        return {"_type": self._log_type, "columns": self.columns, "data": self.data}

    def kept(self) -> Any:
        """As the module says."""
        start = self._logged_rows if self.log_mode == "INCREMENTAL" else 0
        rows, self._logged_rows = self.data[start:], len(self.data)
        return KeptTable(self.columns, [[_cell(value) for value in row] for row in rows], "a wandb.Table")


class EvalTable(Table):
    """A table of an evaluation: what was given, what came out, how good that is."""

    def __init__(
        self,
        columns: Sequence[Any] | None = None,
        data: Any = None,
        *args: Any,
        input_columns: Sequence[str] | None = None,
        output_columns: Sequence[str] | None = None,
        score_columns: Sequence[str] | None = None,
        backend: str | None = None,
        unsupported_media_mode: str = "stub",
        **kwargs: Any,
    ) -> None:
        named = [*(input_columns or ()), *(output_columns or ()), *(score_columns or ())]
        super().__init__(named if columns is None and named else columns, data, *args, **kwargs)


class JoinedTable(Media):
    """Two tables beside each other."""

    _log_type = "joined-table"

    def __init__(self, table1: Any, table2: Any, join_key: Any) -> None:
        if not isinstance(join_key, str) and not (isinstance(join_key, list) and len(join_key) == 2):
            raise ValueError("JoinedTable join_key should be a string or a list of two strings")
        self._table1, self._table2, self._join_key = table1, table2, join_key

    def tables(self) -> list[tuple[str, Any]]:
        """Both, with a name for each."""
        return [("table1", self._table1), ("table2", self._table2)]

    def kept(self) -> Any:
        """Both tables side by side, a JSON value."""
        tables = {name: logged(table) for name, table in self.tables()}
        return {**self.to_json(), **{name: None if each is NOT_KEPT else each for name, each in tables.items()}}

    def to_json(self, run_or_artifact: object = None) -> Any:
        """What joins them."""
        return {"_type": self._log_type, "join_key": self._join_key}


class PartitionedTable(Media):
    """A table in several files of an artifact."""

    _log_type = "partitioned-table"

    def __init__(self, parts_path: str) -> None:
        self.parts_path = parts_path

    def kept(self) -> Any:
        """Where its parts are, a JSON value."""
        return self.to_json()

    def to_json(self, run_or_artifact: object = None) -> Any:
        """The same."""
        return {"_type": self._log_type, "parts_path": self.parts_path}


class Histogram(WBValue):
    """How many values are in which bin; kept as ``{"_type": "histogram", "values": […], "bins": […]}``."""

    MAX_LENGTH = 512
    _log_type = "histogram"

    def __init__(self, sequence: Any = None, np_histogram: Any = None, num_bins: int = 64) -> None:
        if np_histogram is not None and len(np_histogram):
            if len(np_histogram) != 2:
                raise ValueError("Expected np_histogram to be a tuple of (values, bin_edges)")
            values, bins = np_histogram
        else:
            values, bins = binned(sequence, num_bins)
        self.histogram = values.tolist() if hasattr(values, "tolist") else list(values)
        self.bins = bins.tolist() if hasattr(bins, "tolist") else list(bins)
        if len(self.histogram) > self.MAX_LENGTH:
            raise ValueError(f"The maximum length of a histogram is {self.MAX_LENGTH}")
        if len(self.histogram) + 1 != len(self.bins):
            raise ValueError("len(bins) must be len(histogram) + 1")

    def kept(self) -> Any:
        """As the class says."""
        return {"_type": self._log_type, "values": self.histogram, "bins": self.bins}


def _cell(value: Any) -> Any:
    kept = logged(value)
    return None if kept is NOT_KEPT else kept
