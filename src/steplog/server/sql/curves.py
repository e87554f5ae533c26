"""Reading curves: of many runs on one grid, whole or as far as they have changed; of one metric for a chart.

An answer to ``since`` has *whole* buckets, those in which a point has arrived since. A client that puts them in the
place of its own has what a full answer would have:

1. Each metric has a grid of its own, as wide as its curves need, so that one of a hundred epochs is not drawn on the
   grid of one of a million steps.
2. Points in the log and in blocks are placed one by one. So a bucket without a new one changes only where points go to
   chunks.
3. These have then a chunk whose last point arrived after the ones packed before, ``RunState.packed``. Such a series is
   answered *whole*.
4. So are all of a metric whose grid changes. With ``since`` one never becomes narrower.
5. Everything is answered anew (``is_reset``) where chunks of an older version were summarized, or one of all runs is
   gone.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, field
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import Any

from steplog.records.dates import date_of
from steplog.records.points import Points
from steplog.server.records.chunk import POINTS_MAX, Chunk, decode
from steplog.server.records.curve_query import (
    BUCKETS_MAX,
    Answered,
    CurveAnswer,
    CurveQuery,
    GridState,
    RunState,
    digest_of,
    known_of,
)
from steplog.server.records.grid import Axis, Bucket, Curve, width_for
from steplog.server.sql.chunk_ids import chunk_range, chunk_rows
from steplog.server.sql.connection import Connection, Snapshot
from steplog.server.sql.layout import Grid, Layout
from steplog.server.sql.reading import RunReader, SeriesReader
from steplog.server.sql.summaries import summarized
from steplog.server.store_types import SeriesBucket, TooManyBucketsError

__all__ = ["curve", "curves"]

_POINTS_MAX = 1 << 19  # decoded for all curves of a request, where summaries would do
_POINTS_MORE = 8  # times that many are decoded where runs have been added since a metric was first answered
_SERIES_A_SNAPSHOT = 2000
_AXIS_END = 2**64
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_RUNS = "SELECT uuid, id, coalesce(started, date_created) FROM runs WHERE project = ? AND deleted IS NULL AND uuid"
_PROGRESS = "SELECT run, arrivals, packed, sealed FROM progress WHERE run"
_COLUMNS = ("series", *Bucket.__struct_fields__)
_COUNTS_A_STEP = 64
_WITH_STEPS = (
    "WHERE [run = :run AND] id >= :low AND id < :high AND max_step >= :least AND min_step <= :most ORDER BY id"
)
_COUNTS = f"SELECT id, count FROM chunks {_WITH_STEPS} LIMIT :step"  # noqa: S608 - constants, here and below
_POINTS = (
    f"SELECT {', '.join(Chunk.__struct_fields__[:-1])}, data FROM chunks JOIN points USING ([run, ]id) {_WITH_STEPS}"  # noqa: S608
)


def curves(snapshot: Snapshot, project_id: int, query: CurveQuery) -> CurveAnswer:
    """Answer a query; with many series from several snapshots, each run from one. Raises TooManyBucketsError."""
    size = max(1, _SERIES_A_SNAPSHOT // len(query.names))
    groups = [query.runs[at : at + size] for at in range(0, len(query.runs), size)]
    answer = _Answer(project_id, query)
    if len(groups) == 1:
        with snapshot() as connection:
            while not answer.fix(found := answer.look(connection, groups[0])):
                pass
            answer.add(found)
        return answer.answer()
    while not answer.fix(_looked(snapshot, answer, groups)):
        pass
    answer.forget()
    for group in groups:
        with snapshot() as connection:
            answer.add(answer.look(connection, group))
    return answer.answer()


@dataclass(slots=True)
class _Series:
    extent: tuple[int, int] | None
    reader: SeriesReader
    layout: Layout


@dataclass(slots=True)
class _Run:
    """A run of which metrics are new or may have changed."""

    uuid: str
    id: int
    axis: Axis
    series: list[_Series] = field(default_factory=list)


@dataclass(slots=True)
class _Grid:
    """Of a metric; ``high < low``: there is nothing on it."""

    width: int
    points_max: int
    low: int
    high: int

    def reach(self, extent: tuple[int, int]) -> None:
        """Note where points are."""
        is_first = self.low > self.high
        self.low = extent[0] if is_first else min(self.low, extent[0])
        self.high = extent[1] if is_first else max(self.high, extent[1])


def _looked(snapshot: Snapshot, answer: _Answer, groups: Sequence[Sequence[str]]) -> list[_Run]:
    """Where the curves of all runs are; what they are read from is another snapshot's."""
    runs = []
    for group in groups:
        with snapshot() as connection:
            runs += answer.look(connection, group)
    return runs


class _Answer:
    """What is answered, as it is put together."""

    def __init__(self, project_id: int, query: CurveQuery) -> None:
        self._project = project_id
        self._query = query
        self._known = known_of(query.names, query.since)
        self._is_reset = not query.since
        self._summarized = 0
        curves = max(1, len(query.runs) * len(query.names))
        self._points_max = 1 << max(0, (_POINTS_MAX // curves).bit_length() - 1)
        self._grids: dict[str, _Grid] = {}
        self._runs: dict[str, int] = {}
        self._origins: list[int] = []
        self._names: dict[str, int] = {}
        self._series: list[tuple[int, int]] = []
        self._whole: list[int] = []
        self._columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
        self._states: dict[int, RunState] = {}
        self._missing: list[str] = []

    def forget(self) -> None:
        """Take back which runs there are."""
        self._states.clear()
        self._missing.clear()

    def look(self, connection: Connection, uuids: Sequence[str]) -> list[_Run]:
        """The runs of which metrics have changed, with their series and where these are on the axis."""
        self._summarized = summarized(connection)
        found = []
        there = self._there(connection, list(dict.fromkeys(uuids)))
        for uuid in dict.fromkeys(uuids):
            if uuid not in there:
                self._missing.append(uuid)
                continue
            run_id, began, *progress = there[uuid]
            axis = Axis(self._query.x != "step", _nanoseconds(began) if self._query.x == "relative" else 0)
            arrivals, packed, sealed = progress
            self._states[run_id] = state = RunState(arrivals, packed, sealed, axis.origin)
            names = [name for name in self._query.names if self._before(run_id, name) != state]
            if names:
                run = _Run(uuid, run_id, axis)
                run.series = list(self._series_of(connection, run, names))
                found.append(run)
        return found

    def _there(self, connection: Connection, uuids: Sequence[str]) -> dict[str, tuple[Any, ...]]:
        """Of each run that is there its number, when it began, and how far its points have come."""
        condition, values = connection.among(uuids)
        runs = connection.execute(f"{_RUNS} {condition}", (self._project, *values)).fetchall()
        condition, values = connection.among([run_id for _, run_id, _ in runs])
        progress = {run_id: row for run_id, *row in connection.execute(f"{_PROGRESS} {condition}", values)}
        return {uuid: (run_id, began, *progress[run_id]) for uuid, run_id, began in runs if run_id in progress}

    def _before(self, run_id: int, name: str) -> RunState | None:
        """The state of a run as of an answer that had its curve of a metric."""
        known = self._known.get(name)
        return known.runs.get(run_id) if known is not None else None

    def fix(self, looked: Sequence[_Run]) -> bool:
        """Fix the grids of what was looked at; False if what had not changed is to be looked at, too."""
        if self._has_gone():
            self._known.clear()
            self._is_reset = True
            self.forget()
            return False
        extents: dict[str, list[tuple[int, int]]] = {name: [] for name in self._query.names}
        for run in looked:
            for series in run.series:
                if series.extent is not None:
                    extents[series.reader.name].append(series.extent)
        count = sum(map(len, extents.values()))
        if count * self._query.buckets > BUCKETS_MAX:
            raise TooManyBucketsError(count, BUCKETS_MAX)
        is_known = True
        for name in self._query.names:
            known = self._known.get(name)
            points_max = self._points_max if known is None else known.points_max
            self._grids[name] = grid = _Grid(1, points_max, 0, -1)
            for extent in [*extents[name], *([known.extent] if known is not None and known.extent else [])]:
                grid.reach(extent)
            if grid.low <= grid.high:
                grid.width = width_for(grid.low, grid.high, self._query.buckets)
            if known is not None and (known.width != grid.width or points_max > self._points_max * _POINTS_MORE):
                del self._known[name]
                is_known = False
        if not is_known:
            self.forget()
        return is_known

    def _has_gone(self) -> bool:
        """Whether what was answered before cannot be patched."""
        since = self._query.since
        if self._is_reset:
            return False
        if any(answered.summarized != self._summarized for answered in since):
            return True
        return self._query.is_all and any(not answered.runs.keys() <= self._states.keys() for answered in since)

    def add(self, runs: Sequence[_Run]) -> None:
        """Add the curves of runs, which may have gone on since the grids were fixed."""
        for run in runs:
            for series in run.series:
                fixed = self._grids[series.reader.name]
                if series.extent is not None:
                    fixed.reach(series.extent)
                places = self._touched(run, series, fixed.width)
                if places is None or places:
                    self._add(run, series, self._grid(fixed)._replace(axis=run.axis), places)

    def answer(self) -> CurveAnswer:
        """The answer."""
        grids = [
            GridState(digest_of(name), width.bit_length() - 1, points_max, low // width, high // width)
            for name, (width, points_max, low, high) in ((name, astuple(grid)) for name, grid in self._grids.items())
        ]
        return CurveAnswer(
            self._is_reset,
            list(self._runs),
            self._origins,
            list(self._names),
            [self._grids[name].width for name in self._names],
            self._series,
            self._whole,
            self._missing,
            self._columns,
            Answered(self._summarized, grids, self._states),
        )

    def _series_of(self, connection: Connection, run: _Run, names: Sequence[str]) -> Iterator[_Series]:
        reader = RunReader(connection, run.id, names)
        for name in names:
            found = reader.series(name)
            if found is not None:
                layout = Layout(connection, found)
                yield _Series(self._clipped(layout.whole_extent(run.axis)), found, layout)

    def _clipped(self, extent: tuple[int, int] | None) -> tuple[int, int] | None:
        if extent is None:
            return None
        low = extent[0] if self._query.low is None else max(extent[0], self._query.low)
        high = extent[1] if self._query.high is None else min(extent[1], self._query.high)
        return (low, high) if low <= high else None

    def _grid(self, fixed: _Grid) -> Grid:
        """Whole buckets, from the one with the query's ``low`` to the one with its ``high``."""
        low, high, width = self._query.low, self._query.high, fixed.width
        low = -_AXIS_END if low is None else low // width * width
        high = _AXIS_END if high is None else (high // width + 1) * width - 1
        return Grid(Axis(), width, low, high, fixed.points_max)

    def _add(self, run: _Run, series: _Series, grid: Grid, places: set[int] | None) -> None:
        within = grid.low, grid.high
        if places is not None:
            within = min(places) * grid.width, (max(places) + 1) * grid.width - 1
        curve = Curve(grid.width, grid.axis, max(within[0], grid.low), min(within[1], grid.high))
        series.layout.place(curve, grid, within)
        columns = curve.columns()
        if not columns and (places is not None or self._is_reset):
            return
        if places is not None and columns:
            kept = [place in places for place in columns[0]]
            if not all(kept):
                columns = [tuple(value for value, keep in zip(column, kept, strict=True) if keep) for column in columns]
        number = len(self._series)
        name = self._names.setdefault(series.reader.name, len(self._names))
        if run.uuid not in self._runs:
            self._runs[run.uuid] = len(self._runs)
            self._origins.append(run.axis.origin)
        self._series.append((self._runs[run.uuid], name))
        if places is None and not self._is_reset:
            self._whole.append(number)
        if columns:
            for field_name, column in zip(_COLUMNS, [[number] * len(columns[0]), *columns], strict=True):
                self._columns[field_name].extend(column)

    def _touched(self, run: _Run, series: _Series, width: int) -> set[int] | None:
        """The buckets in which a point has arrived since; None: what else there is has changed, too."""
        before, now, axis = self._before(run.id, series.reader.name), self._states[run.id], run.axis
        if before is None or (before.sealed, before.origin) != (now.sealed, now.origin):
            return None
        if now.arrivals < before.arrivals or series.layout.last_arrival() >= before.packed:
            return None
        places: set[int] = set()
        for points in (series.reader.pending, series.reader.tail):
            xs = points.times if axis.is_time else points.steps
            origin = axis.origin if axis.is_time else 0
            new = islice(xs, bisect_left(points.arrivals, before.arrivals), None)
            places.update((x - origin) // width for x in new)
        return places


def curve(
    connection: Connection, run_id: int, name: str, points: int, low: int | None, high: int | None
) -> list[SeriesBucket] | None:
    """See ``Store.curve``."""
    reader = RunReader(connection, run_id, (name,)).series(name)
    if reader is None:
        return None
    bottom, top = -_AXIS_END if low is None else low, _AXIS_END if high is None else high
    few = _few(connection, reader, points, bottom, top)
    if few is not None:
        return [bucket for part in few for bucket in _each(part)]
    axis, layout = Axis(), Layout(connection, reader)
    least, most = layout.whole_extent(axis) or (0, 0)
    width = width_for(max(least, bottom), min(most, top), points)
    drawn = Curve(width, axis, bottom, top)
    layout.place(drawn, Grid(axis, width, bottom, top, _POINTS_MAX))
    return [_shown(bucket) for bucket in drawn.buckets()]


def _each(points: Points) -> Iterator[SeriesBucket]:
    """A bucket for each point."""
    numbers = [None if number is None or number != number else +number for number in points.numbers()]
    for number, value, step, time in zip(numbers, points.values(), points.steps, points.times, strict=True):
        yield SeriesBucket(step, number, number, value, 1, date_of(time))


def _shown(bucket: Bucket) -> SeriesBucket:
    known = [number for number in (bucket.low, bucket.high) if number == number]
    known += [math.inf] * (bucket.infs > 0) + [-math.inf] * (bucket.ninfs > 0)
    low, high = (min(known), max(known)) if known else (None, None)
    last = bucket.last if bucket.has_number else None
    return SeriesBucket(bucket.step, low, high, last, bucket.count, date_of(bucket.time), bucket.approximate)


def _few(connection: Connection, reader: SeriesReader, points: int, low: int, high: int) -> list[Points] | None:
    """The points with a step in [low, high]; None if they are more than ``points``."""
    found: list[Points] = []
    rest = [part for part in (reader.pending, reader.tail) if part.kinds]
    if reader.row is not None:
        wanted = chunk_range(reader.run_id, reader.row.id)
        wanted["least"], wanted["most"] = max(low, -(2**63)), min(high, 2**63 - 1)
        total = 0
        for _, count in chunk_rows(connection, _COUNTS, wanted, _COUNTS_A_STEP):
            total += count
            if total > points + 2 * POINTS_MAX:
                return None
        found = [decode(Chunk(*row)) for row in connection.execute(_POINTS, wanted)]
    inside = [_clip(part, low, high) for part in (*found, *rest)]
    return inside if sum(len(part.kinds) for part in inside) <= points else None


def _clip(points: Points, low: int, high: int) -> Points:
    if low <= min(points.steps) and max(points.steps) <= high:
        return points
    return points.select([low <= step <= high for step in points.steps])


def _nanoseconds(date: str) -> int:
    """A date as the store keeps it, in ns since the epoch."""
    return (datetime.fromisoformat(date.replace("Z", "+00:00")) - _EPOCH) // timedelta(microseconds=1) * 1000
