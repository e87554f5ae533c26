"""Reads CSV: what ``csv_file`` writes, a point a row, or a column a metric.

==============================  ======================================================================================
first row                       what a row is
==============================  ======================================================================================
``[run,]name,step,time,value``  a point, as steplog exports it: a value is a number, or JSON
``name`` and ``value``          a point; the name's column may be called ``metric``, ``tag`` or ``key``
anything else                   points of many metrics (``wide_rows``)
==============================  ======================================================================================

With a column ``run``, ``run_name`` or ``run_id`` there are several runs in it. In a wide export, which begins with
``step,time``, a column ``name`` that begins with a number, or nothing, is a metric.

An empty cell is no value; a cell that is a number, or true or false, is that, anything else text. Columns are separated
by comma, semicolon or tab, whichever the first row has most of. A last row that no line end follows is left out: it may
be half written.

Of the run nothing is known but a name. Its id is a guess, by the file's name and what its first row of values says: so
it stays where a column is added, as some loggers do by writing the file anew.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from steplog.errors import FormatError
from steplog.formats.files import ending_so, id_of, name_of
from steplog.formats.imported import BATCH_RECORDS, ImportedRun, RecordBatch, Stream
from steplog.formats.run_info import RunInfo
from steplog.formats.times import times_ns
from steplog.formats.wide_rows import Layout, layout_of, records, rows_a_batch, there

__all__ = ["recognizes", "runs"]

_SUFFIXES = (".csv", ".tsv")
_OWN = ["name", "step", "time", "value"]
_OWN_WIDE = ["step", "time"]
_NAMES = ("name", "metric", "tag", "key", "metric_name")
_RUNS = ("run", "run_name", "run_id")
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_CELL_BYTES_MAX = 4 * 1024 * 1024
_LINES = 4096  # that are read together
_CUT = "the last row, which no line end follows"
_END = "\ue000 the end \ue000"  # a line after the last: alone in its row, unless that is within quotes


def recognizes(path: Path) -> bool:
    """Whether this is such a file, or a directory with some."""
    return next(ending_so(path, _SUFFIXES), None) is not None


def runs(path: Path, *, step_columns: Sequence[str] = (), name: str = "") -> Iterator[ImportedRun]:
    """The runs of a file, or of the files below a directory. Raises FormatError, OSError.

    ``name``: of a file that is not called so, such as standard input.
    """
    csv.field_size_limit(max(csv.field_size_limit(), _CELL_BYTES_MAX))
    for file in [path] if path.is_file() else ending_so(path, _SUFFIXES):
        table = _Table.of(file, name or file.name)
        if table is not None:
            for run in _runs(table, name or name_of(file, path), step_columns):
                yield run._replace(table=file)


@dataclass
class _Table:
    """A file's first row, and where the next begins.

    Attributes:
        cut: not empty once a row at the end was half written.
        no_steps: the first step that is no whole number, once one was read.
    """

    file: Path
    name: str
    delimiter: str
    header: list[str]
    begin: int
    time_ns: int
    cut: list[str] = field(default_factory=list)
    no_steps: str = ""

    @staticmethod
    def of(file: Path, name: str) -> _Table | None:
        """None where it has no whole row."""
        table = _Table(file, name, ",", [], 0, file.stat().st_mtime_ns)
        with open(file, "rb") as opened:
            start = opened.readline()
        first = start.decode("utf-8-sig", "replace")
        table.delimiter = max(",;\t", key=first.count)
        found = next(table.rows(0), None)
        if found is None:
            return None
        table.header, table.begin = [cell.strip() for cell in found[0]], found[1]
        return table

    @property
    def is_own(self) -> bool:
        """Whether steplog has exported it: metric after metric."""
        return self.header in (_OWN, ["run", *_OWN])

    def rows(self, begin: int) -> Iterator[tuple[list[str], int]]:
        """The rows from a byte on, with the byte after each."""
        at, is_over = begin, False

        def lines() -> Iterator[str]:
            nonlocal at, is_over
            with open(self.file, "rb") as opened:
                opened.seek(begin)
                for line in opened:
                    if line[-1:] != b"\n":
                        self.cut.append(_CUT)
                        break
                    at += len(line)
                    yield line.decode("utf-8" if at > len(line) else "utf-8-sig")
            is_over = True

        try:
            for row in csv.reader(lines(), delimiter=self.delimiter):
                if is_over:  # within quotes
                    return
                if row:
                    yield row, at
        except (csv.Error, UnicodeDecodeError) as error:
            raise FormatError(f"{self.file}: beyond byte {at}: {error}") from None

    def chunks(self, begin: int, count: int) -> Iterator[list[list[str]]]:
        """The rows from a byte on, after the first row, so many at a time, each as long as the first."""
        width = len(self.header)
        try:
            reader = csv.reader(chain.from_iterable(self._lines(begin)), delimiter=self.delimiter)
            while rows := list(islice(reader, count)):
                if rows[-1] and rows[-1][-1].endswith(_END):
                    self.cut += [_CUT] if rows.pop() != [_END] else []
                if {len(row) for row in rows} != {width}:
                    rows = [self._fitted(row, width) for row in rows if row]
                if rows:
                    yield rows
        except (csv.Error, UnicodeDecodeError) as error:
            raise FormatError(f"{self.file}: beyond byte {begin}: {error}") from None

    def _lines(self, begin: int) -> Iterator[Iterable[str]]:
        """Many whole lines at a time; the last one is ``_END``."""
        with open(self.file, "rb") as opened:
            opened.seek(begin)
            while lines := list(islice(opened, _LINES)):
                if lines[-1][-1:] != b"\n":
                    lines.pop()
                    self.cut.append(_CUT)
                yield map(bytes.decode, lines)
        yield (_END,)

    def _fitted(self, row: list[str], width: int) -> list[str]:
        if any(row[width:]):
            raise FormatError(f"{self.file}: a row has {len(row)} cells, the first row {width}: {','.join(row)[:80]}")
        return row[:width] + [""] * (width - len(row))

    def remarks(self) -> list[str]:
        """What is left out."""
        steps = f"steps that are no whole numbers, such as {self.no_steps[:40]}: the next one of each metric was taken"
        return [*dict.fromkeys(self.cut), *([steps] if self.no_steps else [])]

    def steps(self, cells: Sequence[str]) -> list[int | None]:
        """Steps as they are written; None where there is none."""
        try:
            return list(map(int, cells))
        except ValueError:
            steps = [_step(cell) for cell in cells]
        if not self.no_steps:
            odd = (cell for cell, step in zip(cells, steps, strict=True) if step is None and cell.strip())
            self.no_steps = next(odd, "")
        return steps


class _Part(NamedTuple):
    """The rows of one run: from byte ``begin`` on, those with ``label`` in ``column``; None: all.

    ``is_whole``: no other row is between them.
    """

    begin: int
    first: list[str]
    column: int | None = None
    label: str = ""
    is_whole: bool = True

    def rows(self, table: _Table, count: int) -> Iterator[list[list[str]]]:
        """Some at a time."""
        for chunk in table.chunks(self.begin, count):
            column = self.column
            rows = chunk if column is None else [row for row in chunk if row[column] == self.label]
            if rows:
                yield rows
            if self.is_whole and len(rows) < len(chunk):
                return


def _runs(table: _Table, name: str, step_columns: Sequence[str]) -> Iterator[ImportedRun]:
    plain = [column.lower() for column in table.header]
    named = next((plain.index(each) for each in _NAMES if each in plain), None)
    by_run = next((plain.index(each) for each in _RUNS if each in plain), None)
    for part in _parts(table, by_run):
        if named is not None and "value" in plain and not _is_metric(table, part.first, named):
            layout = _layout(table.header, step_columns, ())._replace(metrics=(named, plain.index("value")))
            read = partial(_long, table, layout, part)
        else:
            layout = _layout(table.header, step_columns, part.first)
            kept = tuple(at for at in layout.metrics if at != by_run)
            read = partial(_wide, table, layout._replace(metrics=kept), part)
        label = (part.label,) if by_run is not None else ()
        yield _run(table, part.label or name, label, part.first, read)


def _is_metric(table: _Table, first: list[str], named: int) -> bool:
    """Whether the column of names is a metric of a wide export, by its first row."""
    is_wide = table.header[:2] == _OWN_WIDE or table.header[:3] == ["run", *_OWN_WIDE]
    cell = first[named] if named < len(first) else ""
    return is_wide and not table.is_own and (not cell or _numbers([cell]) is not None)


def _run(
    table: _Table, name: str, parts: tuple[str, ...], first: list[str], read: Callable[[], Iterator[RecordBatch]]
) -> ImportedRun:
    said = sorted([column, cell] for column, cell in zip(table.header, first, strict=False) if cell)
    run_id = id_of("csv", table.name, *parts, said)
    stream = Stream("rows", read, by_name=table.is_own)
    label = parts[0] if parts else None
    return ImportedRun(RunInfo(id=run_id, name=name), [stream], table.remarks, is_anonymous=True, label=label)


def _parts(table: _Table, by_run: int | None) -> list[_Part]:
    """The runs, in the order of their first rows."""
    if by_run is None:
        first = next(table.rows(table.begin), None)
        return [] if first is None else [_Part(table.begin, first[0])]
    found: dict[str, _Part] = {}
    last, begin = None, table.begin
    for row, end in table.rows(table.begin):
        label = row[by_run] if by_run < len(row) else ""
        if label not in found:
            found[label] = _Part(begin, row, by_run, label)
        elif label != last:
            found[label] = found[label]._replace(is_whole=False)
        last, begin = label, end
    return list(found.values())


def _layout(header: list[str], step_columns: Sequence[str], first: Sequence[str]) -> Layout:
    """As ``layout_of``; a column whose first step is not whole has none."""
    if missing := [name for name in step_columns if name not in header]:
        raise FormatError(f"there is no column {missing[0]!r} for the steps; there are {', '.join(header)}")
    layout = layout_of(header, step_columns)
    at = layout.step
    if at is None or step_columns or at >= len(first) or not first[at] or _step(first[at]) is not None:
        return layout
    metrics = tuple(sorted((*layout.metrics, at)))
    return layout._replace(step=None, metrics=metrics)


def _wide(table: _Table, layout: Layout, part: _Part) -> Iterator[RecordBatch]:
    names, number = [table.header[at] for at in layout.metrics], 0
    for rows in part.rows(table, rows_a_batch(len(names))):
        columns = list(zip(*rows, strict=True))
        without = list(range(number, number + len(rows)))
        steps = without if layout.step is None else table.steps(columns[layout.step])
        number += len(rows)
        values = [_plain_values(columns[at]) for at in layout.metrics]
        yield from records(names, steps, _times(columns, layout, table.time_ns), values)


def _long(table: _Table, layout: Layout, part: _Part) -> Iterator[RecordBatch]:
    named, value = layout.metrics
    for rows in part.rows(table, BATCH_RECORDS):
        columns = list(zip(*rows, strict=True))
        steps = [None] * len(rows) if layout.step is None else table.steps(columns[layout.step])
        values = (_own_values if table.is_own else _plain_values)(columns[value])
        yield there(RecordBatch(columns[named], steps, _times(columns, layout, table.time_ns), values))


def _step(cell: str) -> int | None:
    """A whole number, also as a float; else None."""
    try:
        number = float(cell)
        return int(cell) if cell.strip().lstrip("+-").isdecimal() else int(number) if number.is_integer() else None
    except ValueError:
        return None


def _times(columns: Sequence[Sequence[str]], layout: Layout, without: int) -> list[int]:
    if layout.time is None:
        return [without] * len(columns[0])
    return [without if time is None else time for time in times_ns(columns[layout.time])]


def _numbers(cells: Sequence[str]) -> list[Any] | None:
    """None unless each is a number."""
    together = "".join(cells)
    if "_" in together:  # which Python takes in numbers
        return None
    try:
        return list(map(int, cells))
    except ValueError:
        pass
    try:
        numbers: list[Any] = list(map(float, cells))
    except ValueError:
        return None
    if together.count(".") == len(cells):  # each has one
        return numbers
    return [int(cell) if _is_whole(cell) else number for cell, number in zip(cells, numbers, strict=True)]


def _plain_values(cells: Sequence[str]) -> list[Any]:
    """Numbers; of what is none bools, texts, and None for nothing."""
    numbers = _numbers(cells)
    return [_plain_value(cell) for cell in cells] if numbers is None else numbers


def _is_whole(cell: str) -> bool:
    return cell.isdecimal() or (cell[:1] in "+-" and cell[1:].isdecimal())


def _plain_value(cell: str) -> Any:
    if not cell:
        return None
    if "_" not in cell:
        try:
            return int(cell) if _is_whole(cell) else float(cell)
        except ValueError:
            pass
    return _BOOLS.get(cell, cell)


def _own_values(cells: Sequence[str]) -> list[Any]:
    """The values that ``csv_file`` has written."""
    numbers = _numbers(cells)
    return [_own_value(cell) for cell in cells] if numbers is None else numbers


def _own_value(cell: str) -> Any:
    if cell[:1] not in ('"', "{", "["):
        return msgspec.Raw(b"null") if cell == "null" else _plain_value(cell)
    try:
        return msgspec.json.decode(cell, type=msgspec.Raw)
    except (msgspec.MsgspecError, RecursionError):
        return cell
