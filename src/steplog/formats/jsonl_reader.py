"""Reads JSON lines: what ``jsonl_file`` writes, or an object a line.

========================  ============================================================================================
line                      what it is
========================  ============================================================================================
``{"run": {…}}``          what a run is; the points behind it are its own
``name`` and ``value``    a point; with ``step`` and ``time``, if they are there
anything else             points of many metrics at one step: each key is a metric (``wide_rows``), but null is no value
========================  ============================================================================================

In a file of the first kind a run is as it was exported. In others nothing is known of it but a name: its id is a guess,
by the file's name and its first line. A last line that no line end follows and that is no JSON is left out: it is half
written.
"""

from __future__ import annotations

import math
import mmap
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from steplog.errors import FormatError
from steplog.formats.files import ending_so, id_of, name_of
from steplog.formats.imported import BATCH_RECORDS, ImportedRun, RecordBatch, Stream, exported
from steplog.formats.run_info import RunInfo
from steplog.formats.times import time_ns, time_ns_of_text, times_ns
from steplog.formats.wide_rows import layout_of, whole_step

__all__ = ["recognizes", "runs"]

_SUFFIXES = (".jsonl", ".ndjson")
_RUN_LINE = re.compile(rb"^\{\s*\"run\"\s*:\s*\{", re.MULTILINE)
_JOURNAL_KEYS = {"writer", "position", "state"}  # of export --here
_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_RAW_NON_FINITE = {f'"{text}"'.encode(): number for text, number in _NON_FINITE.items()}


class _RunLine(msgspec.Struct):
    run: RunInfo


class _Place(msgspec.Struct, kw_only=True):
    name: str
    step: int | float | None = None
    time: str | float | int | None = None


class _Point(_Place):
    value: float | int | bool | str | list[Any] | dict[str, Any] | None


class _RawPoint(_Place):
    value: msgspec.Raw


_points_in = msgspec.json.Decoder(_Point).decode_lines
_raw_value = msgspec.json.Decoder(_RawPoint).decode
_objects_in = msgspec.json.Decoder(dict[str, Any]).decode_lines


def recognizes(path: Path) -> bool:
    """Whether this is such a file, or a directory with some."""
    return next(ending_so(path, _SUFFIXES), None) is not None


def runs(path: Path, *, step_columns: Sequence[str] = (), name: str = "") -> Iterator[ImportedRun]:
    """The runs of a file, or of the files below a directory. Raises FormatError, OSError.

    ``name``: of a file that is not called so, such as standard input.
    """
    files = [path] if path.is_file() else ending_so(path, _SUFFIXES)
    for file in files:
        lines = _Lines(file)
        starts = lines.runs()
        if starts:
            for begin, end in starts:
                yield _exported(lines, begin, end)._replace(table=file)
        elif (first := next(lines.batches(0, None, 1), None)) is not None:
            yield _guessed(lines, first, name or name_of(file, path), name or file.name, step_columns)


@dataclass
class _Lines:
    """A file of lines; ``cut`` once a line at the end was half written."""

    file: Path
    cut: list[str] = field(default_factory=list)

    def runs(self) -> list[tuple[int, int | None]]:
        """Where the lines that begin a run are, each with where the next is."""
        with open(self.file, "rb") as opened:
            try:
                mapped = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
            except ValueError:  # it is empty
                return []
            with mapped:
                starts = [found.start() for found in _RUN_LINE.finditer(mapped)]
                if starts and mapped[: starts[0]].strip():
                    raise FormatError(f'{self.file}: there are lines before the first {{"run": …}}')
        if not starts:
            return []
        return list(zip(starts, [*starts[1:], None], strict=True))

    def batches(self, begin: int, end: int | None, count: int) -> Iterator[list[bytes]]:
        """The lines from byte ``begin`` on that have something, so many at a time; the last may be cut."""
        left = math.inf if end is None else end - begin
        with open(self.file, "rb") as opened:
            opened.seek(begin)
            while left > 0 and (lines := list(islice(opened, count))):
                if (size := sum(map(len, lines))) > left:
                    while size > left:
                        size -= len(lines.pop())
                left -= size
                if lines[-1][-1:] != b"\n" and not _is_json(lines[-1]):
                    lines.pop()
                    self.cut.append("the last line, which is half written")
                if there := [line for line in lines if not line.isspace()]:
                    yield there
                elif not lines:
                    return

    def remarks(self) -> list[str]:
        """What is left out."""
        return list(dict.fromkeys(self.cut))

    def error(self, lines: Sequence[bytes], kind: type[Any]) -> FormatError:
        """Which of these lines is none of this kind."""
        for line in lines:
            try:
                msgspec.json.decode(line, type=kind)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                return FormatError(f"{self.file}: {error}: {line[:80].decode('utf-8', 'replace')}")
        return FormatError(f"{self.file}: a line is no JSON")


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _exported(lines: _Lines, begin: int, end: int | None) -> ImportedRun:
    found = next(lines.batches(begin, end, 1), None)
    if found is None:
        raise FormatError(f"{lines.file}: the line of its last run is half written")
    first = found[0]
    try:
        info = msgspec.json.decode(first, type=_RunLine).run
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise FormatError(f"{lines.file}: {error}: {first[:80].decode('utf-8', 'replace')}") from None
    read = partial(_points, lines, begin + len(first), end, lines.file.stat().st_mtime_ns)
    return exported(info, read, lines.remarks)


def _guessed(lines: _Lines, first: list[bytes], name: str, file_name: str, step_columns: Sequence[str]) -> ImportedRun:
    try:
        keys = msgspec.json.decode(first[0], type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise lines.error(first, dict[str, Any]) from None
    if keys.keys() >= _JOURNAL_KEYS:
        raise FormatError(
            f"{lines.file}: records of this machine's journals, which are not imported. Type: steplog sync"
        )
    without = lines.file.stat().st_mtime_ns
    read: Callable[[], Iterator[RecordBatch]] = partial(_wide, lines, step_columns, without)
    if {"name", "value"} <= keys.keys():
        read = partial(_points, lines, 0, None, without)
    info = RunInfo(id=id_of("jsonl", file_name, first[0].strip().decode()), name=name)
    return ImportedRun(info, [Stream("lines", read)], lines.remarks, is_anonymous=True)


def _points(lines: _Lines, begin: int, end: int | None, without_ns: int) -> Iterator[RecordBatch]:
    for some in lines.batches(begin, end, BATCH_RECORDS):
        try:
            points = _points_in(b"".join(some))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            points = []
        if len(points) != len(some):  # one has no float64 for its number, or shares its line
            points = [_point(lines, line) for line in some]
        values = [point.value for point in points]
        for index, value in enumerate(values):
            if value.__class__ not in (float, int, bool):
                values[index] = _exact(some[index])
        times = [point.time for point in points]
        try:
            found = times_ns(times)  # type: ignore[arg-type]
            times_there = [without_ns if time is None else time for time in found]
        except TypeError:  # some are no texts
            times_there = [_time(time, without_ns) for time in times]
        steps = [point.step for point in points]
        if float in set(map(type, steps)):
            steps = list(map(whole_step, steps))
        yield RecordBatch([point.name for point in points], steps, times_there, values)  # type: ignore[arg-type]


def _point(lines: _Lines, line: bytes) -> _Point:
    """A point, also of a number that no float64 holds."""
    try:
        return msgspec.json.decode(line, type=_Point)
    except RecursionError:  # as raw JSON, Python 3.14 and later take it nested more deeply
        raise lines.error([line], _Point) from None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        pass
    try:
        place = _raw_value(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise lines.error([line], _Point) from None
    return _Point(name=place.name, step=place.step, time=place.time, value=None)


def _exact(line: bytes) -> Any:
    """The value as it is written: what is no number is JSON, but NaN and infinities are texts there."""
    text = bytes(_raw_value(line).value)
    return _RAW_NON_FINITE[text] if text in _RAW_NON_FINITE else msgspec.Raw(text)


def _time(time: Any, without_ns: int) -> int:
    if isinstance(time, str):
        found = time_ns_of_text(time)
    else:
        found = time_ns(time) if isinstance(time, (int, float)) else None
    return without_ns if found is None else found


def _wide(lines: _Lines, step_columns: Sequence[str], without_ns: int) -> Iterator[RecordBatch]:
    number, layouts = 0, {}
    has_steps: dict[str, bool] = {}  # a column whose first step is not whole, such as an epoch of 0.5, has none
    for some in lines.batches(0, None, 1024):
        try:
            objects = _objects_in(b"".join(some))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            objects = []
        if len(objects) != len(some):
            raise lines.error(some, dict[str, Any])
        names: list[str] = []
        steps: list[int | None] = []
        times: list[int] = []
        values: list[Any] = []
        for each in objects:
            keys = tuple(each)
            if keys not in layouts:
                layouts[keys] = layout_of(keys, [name for name in step_columns if name in keys])
            step_at, time_at, metrics = layouts[keys]
            step: int | None = number
            if step_at is not None:
                name, found = keys[step_at], each[keys[step_at]]
                step = whole_step(found)
                if name not in has_steps and found is not None:
                    has_steps[name] = step is not None or name in step_columns
                if not has_steps.get(name, True):
                    step, metrics = number, tuple(sorted((*metrics, step_at)))
            time = without_ns if time_at is None else _time(each[keys[time_at]], without_ns)
            number += 1
            for at in metrics:
                value = each[keys[at]]
                if value is not None:
                    names.append(keys[at])
                    steps.append(step)
                    times.append(time)
                    values.append(_NON_FINITE.get(value, value) if value.__class__ is str else value)
        for first in range(0, len(names), BATCH_RECORDS):
            end = first + BATCH_RECORDS
            yield RecordBatch(names[first:end], steps[first:end], times[first:end], values[first:end])
