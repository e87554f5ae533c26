"""Parquet: a row a point, by pyarrow, which ``steplog[parquet]`` installs. Pure.

========  =============================  ============================================================================
run       text, only with ``labels``     whose point it is
name      text                           the metric
step      int64
time      timestamp, ns, UTC, or null    null where the source keeps none
value     float64, or null               the number; null for what is no number, or is an integer that float64 lacks
json      text, or null                  the JSON text of what ``value`` does not say
integer   bool                           whether the value is an integer
========  =============================  ============================================================================

The metadata ``steplog`` of the file (``METADATA``) are JSON: ``{"version": 1, "runs": [{"label", "info"}, …]}``,
``info`` with the fields of ``RunInfo``. So nothing is lost.

Wide, a row is a step: ``run``, ``step``, ``time``, and a column a metric, float64, int64, or text with JSON, which the
metadata ``steplog:type: json`` of the column say. ``steplog`` has ``metrics``, too: whose columns they are, since one
of the name ``step`` or ``time`` has another name there.

A row group has ``ROW_GROUP_ROWS`` rows, fewer at the end and where their texts reach ``ROW_GROUP_TEXT_BYTES``; no more
is held. Wide, it has ``ROW_GROUP_CELLS`` cells at most, or one row.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from itertools import accumulate, repeat
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from steplog.column_format import json_text, json_value
from steplog.errors import ConfigurationError
from steplog.formats.run_info import RunInfo
from steplog.formats.run_writer import ByteSink
from steplog.reading.arrow_table import ArrowColumn
from steplog.reading.points import SeriesPoints

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "METADATA",
    "ROW_GROUP_CELLS",
    "ROW_GROUP_ROWS",
    "ROW_GROUP_TEXT_BYTES",
    "WideWriter",
    "Writer",
    "require_pyarrow",
]

METADATA = b"steplog"
ROW_GROUP_ROWS = 512 * 1024
ROW_GROUP_TEXT_BYTES = 16 * 1024**2
ROW_GROUP_CELLS = 4 * 1024**2
_VERSION = 1
_EXACT = 2**53


def require_pyarrow() -> None:
    """Raises ConfigurationError, which says what to type, where pyarrow is missing."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(f"Parquet needs pyarrow ({error}). Type: pip install 'steplog[parquet]'") from None


class _Sink:
    """A file as Arrow takes it; nothing is written once it is closed."""

    def __init__(self, file: ByteSink) -> None:
        self._file = file
        self._written = 0
        self.closed = False

    def write(self, data: bytes) -> int:
        if not self.closed:
            self._file.write(data)
            self._written += len(data)
        return len(data)

    def tell(self) -> int:
        return self._written

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


class _File:
    """A Parquet file of one schema; ``runs`` and ``more`` become its metadata."""

    def __init__(self, file: ByteSink, schema: pa.Schema) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        self.runs: list[dict[str, Any]] = []
        self.more: dict[str, Any] = {}
        self._sink = _Sink(file)
        texts = [field.name for field in schema if not pa.types.is_primitive(field.type)]
        self._out = parquet.ParquetWriter(
            self._sink,
            schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=texts,
            column_encoding=dict.fromkeys(("step", "time"), "DELTA_BINARY_PACKED"),
        )

    def write(self, table: pa.Table, row_group_rows: int) -> None:
        self._out.write_table(table, row_group_size=row_group_rows)

    def close(self) -> None:
        about = msgspec.json.encode({"version": _VERSION, "runs": self.runs, **self.more})
        self._out.add_key_value_metadata({METADATA.decode(): about.decode()})
        self._out.close()
        self._sink.closed = True

    def abandon(self) -> None:
        self._sink.closed = True


class _Rows(NamedTuple):
    """Rows of one run and one metric."""

    label: int
    name: int
    steps: pa.Array
    times: pa.Array
    values: pa.Array
    texts: pa.Array
    integers: pa.Array

    def part(self, first: int, count: int) -> _Rows:
        return _Rows(self.label, self.name, *(column.slice(first, count) for column in self[2:]))


class Writer:
    """``RunWriter`` of a file; ``labels``, by id, are what the column ``run`` calls the runs.

    Raises ConfigurationError where pyarrow is missing.
    """

    def __init__(self, file: ByteSink, labels: Mapping[str, str] | None = None) -> None:
        require_pyarrow()
        import pyarrow as pa

        self._labels = labels
        names = pa.dictionary(pa.int32(), pa.string())
        fields = [
            pa.field("name", names, nullable=False),
            pa.field("step", pa.int64(), nullable=False),
            pa.field("time", pa.timestamp("ns", "UTC")),
            pa.field("value", pa.float64()),
            pa.field("json", pa.string()),
            pa.field("integer", pa.bool_(), nullable=False),
        ]
        self._schema = pa.schema(fields if labels is None else [pa.field("run", names, nullable=False), *fields])
        self._file = _File(file, self._schema)
        self._held: list[_Rows] = []
        self._names: dict[str, int] = {}  # of what is held
        self._rows_left, self._text_left = ROW_GROUP_ROWS, ROW_GROUP_TEXT_BYTES

    def begin(self, info: RunInfo) -> None:
        """Of the run itself the metadata tells, which are written last."""
        label = {} if self._labels is None else {"label": self._labels[info.id]}
        self._file.runs.append({**label, "info": info})

    def points(self, points: SeriesPoints) -> None:
        """Write a row a point, as row groups are full."""
        if not points.steps:
            return
        rows, first, count = self._rows(points), 0, len(points.steps)
        lengths = None if rows.texts.null_count == count else _lengths(rows.texts)
        while first < count:
            taken = min(count - first, self._rows_left)
            if lengths is not None:
                ends = enumerate(accumulate(lengths[first : first + taken]), 1)
                taken = next((at for at, end in ends if end >= self._text_left), taken)
                self._text_left -= sum(lengths[first : first + taken])
            name = self._names.setdefault(points.name, len(self._names))
            self._held.append(rows.part(first, taken)._replace(name=name))
            self._rows_left -= taken
            first += taken
            if not self._rows_left or self._text_left <= 0:
                self._flush()

    def end(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Write what is held, and the metadata."""
        if self._held:
            self._flush()
        self._file.close()

    def abandon(self) -> None:
        """Arrow writes an end, which makes a file look whole, when it forgets the file."""
        self._file.abandon()

    def _rows(self, points: SeriesPoints) -> _Rows:
        import pyarrow as pa

        steps, dates = _array(pa.int64(), points.steps, "q"), pa.timestamp("ns", "UTC")
        times = pa.nulls(len(points.steps), dates) if points.times is None else _array(dates, points.times, "q")
        return _Rows(len(self._file.runs) - 1, 0, steps, times, *_values(points))

    def _flush(self) -> None:
        """Write a row group of what is held."""
        import pyarrow as pa

        held, names = self._held, list(self._names)
        columns = [_dictionary([(rows.name, len(rows.steps)) for rows in held], names)]
        if self._labels is not None:
            first = held[0].label
            labels = [run["label"] for run in self._file.runs[first:]]
            columns.insert(0, _dictionary([(rows.label - first, len(rows.steps)) for rows in held], labels))
        columns += [pa.concat_arrays(parts) for parts in zip(*(rows[2:] for rows in held), strict=True)]
        table = pa.Table.from_arrays(columns, schema=self._schema)
        self._file.write(table, len(table))
        self._held, self._names = [], {}
        self._rows_left, self._text_left = ROW_GROUP_ROWS, ROW_GROUP_TEXT_BYTES


class WideWriter:
    """``WideWriter`` of ``run_writer``: ``kinds`` are those of the columns, "f8", "i8" or "json", one a metric."""

    def __init__(
        self, file: ByteSink, kinds: Mapping[str, str], metrics: Sequence[str], labels: Mapping[str, str] | None = None
    ) -> None:
        require_pyarrow()
        import pyarrow as pa

        self._labels, self._kinds = labels, kinds
        run = [] if labels is None else [pa.field("run", pa.dictionary(pa.int32(), pa.string()), nullable=False)]
        join = [pa.field("step", pa.int64(), nullable=False), pa.field("time", pa.timestamp("ns", "UTC"))]
        types = {"f8": pa.float64(), "i8": pa.int64(), "json": pa.string()}
        json = {b"steplog:type": b"json"}
        own = [pa.field(name, types[kind], metadata=json if kind == "json" else None) for name, kind in kinds.items()]
        self._schema = pa.schema([*run, *join, *own])
        self._file = _File(file, self._schema)
        self._file.more["metrics"] = list(metrics)
        self._rows_max = max(1, ROW_GROUP_CELLS // len(self._schema))
        self._label: list[str] = []

    def begin(self, info: RunInfo) -> None:
        """Of the run itself the metadata tells, which are written last."""
        self._label = [] if self._labels is None else [self._labels[info.id]]
        self._file.runs.append({**({} if self._labels is None else {"label": self._label[0]}), "info": info})

    def rows(self, columns: Sequence[ArrowColumn]) -> None:
        """Write row groups of these rows."""
        import pyarrow as pa

        rows = len(columns[0].values)
        made = [_dictionary([(0, rows)], self._label)] if self._label else []
        kinds = ["i8", "time", *self._kinds.values()]
        made += [_column(column, kind) for column, kind in zip(columns, kinds, strict=True)]
        self._file.write(pa.Table.from_arrays(made, schema=self._schema), self._rows_max)

    def close(self) -> None:
        """Write the metadata."""
        self._file.close()

    def abandon(self) -> None:
        """As ``Writer``."""
        self._file.abandon()


def _column(column: ArrowColumn, kind: str) -> pa.Array:
    """A column of a wide table as one of this kind, which holds it."""
    import pyarrow as pa
    from pyarrow import compute

    valid, values, rows = column.valid, column.values, len(column.values)
    if kind == "json":
        texts = values if column.kind == "json" else map(json_text, values)
        there = repeat(True) if valid is None else valid
        return pa.array([bytes(text).decode() if ok else None for text, ok in zip(texts, there)], pa.string())  # noqa: B905
    types = {"f8": pa.float64(), "i8": pa.int64(), "time": pa.timestamp("ns", "UTC")}
    if column.kind != kind and (valid is None or any(valid)):
        return compute.cast(_column(column, column.kind), types[kind], safe=False)
    bits = None
    if valid is not None:
        flags = pa.Array.from_buffers(pa.uint8(), rows, [None, pa.py_buffer(valid)])
        bits = compute.cast(flags, pa.bool_()).buffers()[1]
    return pa.Array.from_buffers(types[kind], rows, [bits, pa.py_buffer(values)])


def _lengths(texts: pa.Array) -> list[int]:
    """The bytes of each."""
    from pyarrow import compute

    lengths: list[int] = compute.fill_null(compute.binary_length(texts), 0).to_pylist()
    return lengths


def _array(kind: pa.DataType, numbers: Sequence[Any], typecode: str) -> pa.Array:
    """Numbers as an array, without a copy where they are in a buffer."""
    import pyarrow as pa

    is_buffer = isinstance(numbers, (memoryview, array))
    buffer = numbers if is_buffer else array(typecode, numbers)
    return pa.Array.from_buffers(kind, len(numbers), [None, pa.py_buffer(buffer)])


def _values(points: SeriesPoints) -> tuple[pa.Array, pa.Array, pa.Array]:
    """The columns value, json and integer."""
    import pyarrow as pa
    from pyarrow import compute

    count = len(points.steps)
    if points.kind == "f8":
        numbers = _array(pa.float64(), points.values, "d")
        return numbers, pa.nulls(count, pa.string()), pa.repeat(pa.scalar(False), count)
    if points.kind == "i8":
        integers = _array(pa.int64(), points.values, "q")
        bounds = compute.min_max(integers).as_py()
        if bounds["min"] >= -_EXACT and bounds["max"] <= _EXACT:
            numbers = compute.cast(integers, pa.float64(), safe=False)
            return numbers, pa.nulls(count, pa.string()), pa.repeat(pa.scalar(True), count)
        values: Sequence[Any] = points.values
    else:
        values = [json_value(text) for text in points.values]  # type: ignore[arg-type]
    found = [_cells(value) for value in values]
    kinds = (pa.float64(), pa.string(), pa.bool_())
    floats, texts, flags = (pa.array(cells, kind) for cells, kind in zip(zip(*found, strict=True), kinds, strict=True))
    return floats, texts, flags


def _cells(value: Any) -> tuple[float | None, str | None, bool]:
    if isinstance(value, float):
        return value, None, False
    if isinstance(value, int) and not isinstance(value, bool):
        number = _exact(value)
        return number, None if number is not None else str(value), True
    return None, msgspec.json.encode(value).decode(), False


def _exact(value: int) -> float | None:
    """The integer as a float64 that holds it."""
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if int(number) == value else None


def _dictionary(runs: list[tuple[int, int]], values: list[str]) -> pa.Array:
    """A column of texts: of each (which, how often)."""
    import pyarrow as pa

    indices = pa.concat_arrays([pa.repeat(pa.scalar(index, pa.int32()), count) for index, count in runs])
    return pa.DictionaryArray.from_arrays(indices, pa.array(values, pa.string()))
