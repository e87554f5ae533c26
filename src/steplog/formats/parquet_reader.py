"""Reads Parquet, by pyarrow: what ``parquet_file`` writes, or a table.

A table has a row a point, in the columns ``name`` and ``value``, or a column a metric (``wide_rows``); steps and times
are found as in CSV. A null is no value. Of the run nothing is known but a name: its id is a guess, by the file's name
and what its first row says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from steplog.column_format import json_value
from steplog.errors import FormatError
from steplog.formats.files import ending_so, id_of, name_of
from steplog.formats.imported import BATCH_RECORDS, ImportedRun, RecordBatch, Stream, exported
from steplog.formats.parquet_file import METADATA, require_pyarrow
from steplog.formats.run_info import RunInfo
from steplog.formats.times import time_ns, times_ns
from steplog.formats.wide_rows import Layout, layout_of, records, rows_a_batch, there, whole_step

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import parquet

__all__ = ["recognizes", "runs"]

_T = TypeVar("_T")
_SUFFIXES = (".parquet", ".pq")
_VERSION = 1
_COLUMNS = ("name", "step", "time", "value", "json", "integer")
_INT64_END = 2**63


class _Run(msgspec.Struct):
    info: RunInfo
    label: str | None = None


class _Metadata(msgspec.Struct):
    version: int
    runs: list[_Run]
    metrics: list[str] | None = None  # of the columns of a wide table


def recognizes(path: Path) -> bool:
    """Whether this is such a file, or a directory with some."""
    return next(ending_so(path, _SUFFIXES), None) is not None


def runs(path: Path, *, step_columns: Sequence[str] = ()) -> Iterator[ImportedRun]:
    """The runs of a file, or of the files below a directory.

    Raises FormatError, OSError, ConfigurationError where pyarrow is missing.
    """
    require_pyarrow()
    for file in [path] if path.is_file() else ending_so(path, _SUFFIXES):
        for run in _whole(file, _runs(file, name_of(file, path), step_columns)):
            yield run._replace(table=file)


def _runs(file: Path, name: str, step_columns: Sequence[str]) -> Iterator[ImportedRun]:
    opened = _open(file)
    told = (opened.metadata.metadata or {}).get(METADATA)
    found = _exported(file, opened, told) if told is not None else _guessed(file, opened, name, step_columns)
    for run in found:
        streams = [stream._replace(read=partial(_read, file, stream.read)) for stream in run.streams]
        yield run._replace(streams=streams)


def _read(file: Path, read: Callable[[], Iterator[RecordBatch]]) -> Iterator[RecordBatch]:
    return _whole(file, read())


def _whole(file: Path, items: Iterator[_T]) -> Iterator[_T]:
    """The items; what of pyarrow's exceptions says that the file is damaged as FormatError."""
    import pyarrow as pa

    try:
        yield from items
    except (pa.ArrowException, ValueError, LookupError, TypeError, OSError) as error:
        if isinstance(error, FormatError) or getattr(error, "errno", None) is not None:
            raise
        raise FormatError(f"{file}: {error or 'it is damaged'}") from None


def _open(file: Path) -> parquet.ParquetFile:
    from pyarrow import parquet

    return parquet.ParquetFile(file)


def _batches(file: Path, count: int, columns: Sequence[str] | None = None, first: int = 0) -> Iterator[pa.RecordBatch]:
    """The rows from row ``first`` on, so many at a time."""
    opened, skipped = _open(file), 0
    groups: list[int] = []
    for group in range(opened.num_row_groups):
        rows = opened.metadata.row_group(group).num_rows
        if skipped + rows <= first and not groups:
            skipped += rows
        else:
            groups.append(group)
    if not groups:  # which not every pyarrow takes
        return
    left = first - skipped
    for batch in opened.iter_batches(count, row_groups=groups, columns=columns):
        if left < len(batch):
            yield batch.slice(left)
        left = max(0, left - len(batch))


def _exported(file: Path, opened: parquet.ParquetFile, told: bytes) -> Iterator[ImportedRun]:
    try:
        about = msgspec.json.decode(told, type=_Metadata)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise FormatError(f"{file}: not the metadata of an export: {error}") from None
    if about.version != _VERSION:
        raise FormatError(f"{file}: an export of version {about.version}; version {_VERSION} is known here")
    if about.metrics is None:
        _check_types(file, opened)
    has_labels = opened.schema_arrow.names[:1] == ["run"]  # else it is a metric
    places: dict[str | None, tuple[int, int]] = {None: (0, opened.metadata.num_rows)}
    if has_labels:
        places = _places(file)
    without = file.stat().st_mtime_ns
    for run in about.runs:
        first, end = places.get(run.label if has_labels else None, (0, 0))
        if about.metrics is None:
            yield exported(run.info, partial(_points, file, first, end, without))
        else:  # of several values at a step it has one, so that places say nothing of those in another export
            read = partial(_exported_rows, file, first, end, without, about.metrics)
            yield exported(run.info, read)._replace(origin="wide-export")


def _check_types(file: Path, opened: parquet.ParquetFile) -> None:
    import pyarrow as pa

    schema = opened.schema_arrow
    texts = {pa.string(), pa.dictionary(pa.int32(), pa.string())}
    numbers = {pa.int64()}, {pa.timestamp("ns", "UTC")}, {pa.float64()}, texts, {pa.bool_()}
    wanted = dict(zip(_COLUMNS, (texts, *numbers), strict=True))
    if any(name not in schema.names or schema.field(name).type not in kinds for name, kinds in wanted.items()):
        raise FormatError(f"{file}: the columns are not those of an export")


def _places(file: Path) -> dict[str | None, tuple[int, int]]:
    """Of each label the rows ``[first, end)``, which follow one another. Raises FormatError if they do not."""
    from pyarrow import compute

    found: dict[str | None, tuple[int, int]] = {}
    position = 0
    for batch in _batches(file, 1 << 20, ["run"]):
        labels, indices = _encoded(batch.column(0))
        stretches, begin = compute.run_end_encode(indices), position
        for end, index in zip(stretches.run_ends.to_pylist(), stretches.values.to_pylist(), strict=True):
            first, last = found.get(labels[index], (begin, begin))
            if last != begin:
                raise FormatError(f"{file}: the rows of the run {labels[index]!r} do not follow one another")
            begin = position + end
            found[labels[index]] = first, begin
        position += len(batch)
    return found


def _encoded(column: pa.Array) -> tuple[list[str], pa.Array]:
    """The texts of a column, and of each row which."""
    import pyarrow as pa

    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices


def _numbers(column: pa.Array, code: str) -> memoryview:
    """The buffer of a column of 64 bits without nulls."""
    buffer = column.buffers()[1]
    return memoryview(buffer).cast("B")[8 * column.offset : 8 * (column.offset + len(column))].cast(code)  # type: ignore[call-overload, no-any-return]


def _points(file: Path, first: int, end: int, without_ns: int) -> Iterator[RecordBatch]:
    """The rows ``[first, end)`` of an export."""
    left = end - first
    for batch in _batches(file, BATCH_RECORDS, _COLUMNS, first):
        if left <= 0:
            return
        rows = batch.slice(0, left)
        left -= len(rows)
        names, indices = _encoded(rows.column("name"))
        times = rows.column("time")
        yield RecordBatch(
            list(map(names.__getitem__, indices.to_pylist())),
            _numbers(rows.column("step"), "q"),
            [without_ns if time is None else time for time in _integers(times)]
            if times.null_count
            else _numbers(times, "q"),
            _values(rows),
        )


def _integers(column: pa.Array) -> list[int | None]:
    import pyarrow as pa

    found: list[int | None] = column.view(pa.int64()).to_pylist()
    return found


def _exported_rows(file: Path, first: int, end: int, without_ns: int, metrics: Sequence[str]) -> Iterator[RecordBatch]:
    """The rows ``[first, end)`` of a wide export."""
    left = end - first
    for batch in _batches(file, rows_a_batch(len(metrics)), first=first):
        if left <= 0:
            return
        rows = batch.slice(0, left)
        left -= len(rows)
        times = [without_ns if time is None else time for time in _integers(rows.column("time"))]
        values = [_exported_cells(rows, at) for at in range(rows.num_columns - len(metrics), rows.num_columns)]
        yield from records(metrics, rows.column("step").to_pylist(), times, values)


def _exported_cells(rows: pa.RecordBatch, at: int) -> list[Any]:
    cells: list[Any] = rows.column(at).to_pylist()
    if (rows.schema.field(at).metadata or {}).get(b"steplog:type") != b"json":
        return cells
    return [None if text is None else _exported_cell(text.encode()) for text in cells]


def _exported_cell(text: bytes) -> Any:
    value = json_value(text)
    is_number = isinstance(value, (bool, float)) or (isinstance(value, int) and abs(value) < _INT64_END)
    return value if is_number else msgspec.Raw(text)


def _values(rows: pa.RecordBatch) -> Sequence[Any]:
    from pyarrow import compute

    values, texts, integers = rows.column("value"), rows.column("json"), rows.column("integer")
    if not values.null_count and not compute.any(integers).as_py():
        return _numbers(values, "d")
    cells = zip(values.to_pylist(), texts.to_pylist(), integers.to_pylist(), strict=True)
    return [_value(value, text, is_integer) for value, text, is_integer in cells]


def _value(value: float | None, text: str | None, is_integer: bool) -> Any:
    if value is not None:
        return int(value) if is_integer else value
    if is_integer:
        return int(text or "0")
    return {"true": True, "false": False}[text] if text in ("true", "false") else msgspec.Raw((text or "null").encode())


def _guessed(file: Path, opened: parquet.ParquetFile, name: str, step_columns: Sequence[str]) -> Iterator[ImportedRun]:
    columns = opened.schema_arrow.names
    if missing := [column for column in step_columns if column not in columns]:
        raise FormatError(f"there is no column {missing[0]!r} for the steps; there are {', '.join(columns)}")
    start = next(_batches(file, 1), None)
    if start is None:
        return
    layout = layout_of(columns, step_columns)
    without = file.stat().st_mtime_ns
    read = partial(_wide, file, layout, columns, without)
    if {"name", "value"} <= set(columns):
        read = partial(_long, file, layout, without)
    elif layout.step is not None and not step_columns and whole_step(start.column(layout.step)[0].as_py()) is None:
        layout = layout._replace(step=None, metrics=tuple(sorted((*layout.metrics, layout.step))))
        read = partial(_wide, file, layout, columns, without)
    run_id = id_of("parquet", file.name, _said(start))
    yield ImportedRun(RunInfo(id=run_id, name=name), [Stream("rows", read)], is_anonymous=True)


def _said(row: pa.RecordBatch) -> list[list[str]]:
    """What a row says, whatever columns there are besides."""
    cells = zip(row.schema.names, map(_cells, row.columns), strict=True)
    return sorted([name, str(cell)] for name, (cell,) in cells if cell is not None)


def _cells(column: pa.Array) -> list[Any]:
    """As Python has them; dates as texts, since nanoseconds have no datetime."""
    import pyarrow as pa

    return list((column.cast(pa.string()) if pa.types.is_temporal(column.type) else column).to_pylist())


def _wide(file: Path, layout: Layout, columns: Sequence[str], without_ns: int) -> Iterator[RecordBatch]:
    names, number = [columns[at] for at in layout.metrics], 0
    for batch in _batches(file, rows_a_batch(len(names))):
        steps = range(number, number + len(batch)) if layout.step is None else _steps(batch.column(layout.step))
        number += len(batch)
        values = [_cells(batch.column(at)) for at in layout.metrics]
        yield from records(names, steps, _times(batch, layout, without_ns), values)


def _long(file: Path, layout: Layout, without_ns: int) -> Iterator[RecordBatch]:
    for batch in _batches(file, BATCH_RECORDS):
        named = [str(name) for name in batch.column("name").to_pylist()]
        steps = [None] * len(batch) if layout.step is None else _steps(batch.column(layout.step))
        yield there(RecordBatch(named, steps, _times(batch, layout, without_ns), _cells(batch.column("value"))))


def _steps(column: pa.Array) -> list[int | None]:
    return list(map(whole_step, column.to_pylist()))


def _times(batch: pa.RecordBatch, layout: Layout, without_ns: int) -> list[int]:
    import pyarrow as pa

    if layout.time is None:
        return [without_ns] * len(batch)
    column = batch.column(layout.time)
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        found = _integers(column.cast(pa.timestamp("ns"), safe=False))
    elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        found = list(times_ns([text or "" for text in column.to_pylist()]))
    else:
        found = [time_ns(time) if isinstance(time, (int, float)) else None for time in column.to_pylist()]
    return [without_ns if time is None else time for time in found]
