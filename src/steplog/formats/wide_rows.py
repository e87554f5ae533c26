"""Rows with a column a metric, as records: row after row, in each the columns from left to right. Pure.

Which columns are steps and times is decided by their names, so it does not change where a source grows. A cell with
None is no value. Rows without a step have their number, from 0 on; those without a time the time of the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, compress, repeat
from typing import Any, NamedTuple

from steplog.formats.imported import BATCH_RECORDS, RecordBatch

__all__ = ["STEP_COLUMNS", "TIME_COLUMNS", "Layout", "layout_of", "records", "rows_a_batch", "there", "whole_step"]

STEP_COLUMNS = ("step", "global_step", "epoch", "iteration")
TIME_COLUMNS = ("time", "timestamp", "wall_time", "date", "datetime")


class Layout(NamedTuple):
    """Which columns are which, by their numbers."""

    step: int | None
    time: int | None
    metrics: tuple[int, ...]


def layout_of(columns: Sequence[str], step_columns: Sequence[str] = ()) -> Layout:
    """The layout of these columns. ``step_columns``: the names of what may be steps, before ``STEP_COLUMNS``.

    "_step", "Step", "train/step" are no others than "step", but the first is, then the second.
    """
    step = next((at for name in step_columns for at, column in enumerate(columns) if column == name), None)
    if step is None:
        step = _first(columns, STEP_COLUMNS)
    time = _first(columns, TIME_COLUMNS)
    metrics = tuple(at for at, name in enumerate(columns) if at not in (step, time) and name)
    return Layout(step, time, metrics)


def _first(columns: Sequence[str], names: Sequence[str]) -> int | None:
    plain = [column.strip().lstrip("_").lower().replace(" ", "_") for column in columns]
    return next((plain.index(name) for name in names if name in plain), None)


def rows_a_batch(metrics: int) -> int:
    """How many rows make a batch."""
    return max(1, BATCH_RECORDS // max(1, metrics))


def records(
    names: Sequence[str], steps: Sequence[int | None], times: Sequence[int], values: Sequence[Sequence[Any]]
) -> Iterator[RecordBatch]:
    """The records of some rows: ``values`` has a column of each of ``names``."""
    width = len(names)
    cells = list(chain.from_iterable(zip(*values, strict=True)))
    batch = there(RecordBatch(list(names) * len(steps), _repeated(steps, width), _repeated(times, width), cells))
    for first in range(0, len(batch.names), BATCH_RECORDS):
        yield batch.part(first, first + BATCH_RECORDS)


def whole_step(value: Any) -> int | None:
    """A step, also of a whole float; else None."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def there(batch: RecordBatch) -> RecordBatch:
    """Without the records whose value is None."""
    if None not in batch.values:
        return batch
    kept = [value is not None for value in batch.values]
    names, steps, times, values = (list(compress(column, kept)) for column in batch)
    return RecordBatch(names, steps, times, values)


def _repeated(column: Sequence[Any], count: int) -> list[Any]:
    return list(chain.from_iterable(map(repeat, column, repeat(count))))
