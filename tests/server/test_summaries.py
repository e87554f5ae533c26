"""Summaries cover every chunk of a series once, and what is read with their help is what its points say."""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Iterator, Sequence

import pytest

from server.logged import ENGINES, LoggedRun
from server.test_grid import END, exact, shown, steps_of
from server.test_summary import points_of
from steplog.records.points import NO_POINTS, Points
from steplog.server.records.chunk import Chunk, encode
from steplog.server.records.grid import Axis, Curve, width_for
from steplog.server.records.summary import decode, summarize
from steplog.server.sql.chunk_ids import SERIES_SHIFT
from steplog.server.sql.connection import Connection
from steplog.server.sql.layout import Grid, Layout
from steplog.server.sql.reading import SeriesReader, SeriesRow
from steplog.server.sql.summaries import ROW_ENTRIES, Addition, Missing, add, add_missing, find_missing

RUN, SERIES = 1, 7
SUMMARY = Chunk.__struct_fields__[:-1]
INSERT_CHUNK = f"INSERT INTO chunks ([run, ]id, {', '.join(SUMMARY)}) VALUES ([:run, ]:id, :{', :'.join(SUMMARY)})"
INSERT_POINTS = "INSERT INTO points ([run, ]id, data) VALUES ([:run, ]:id, :data)"
OF_LEVEL = "FROM summaries WHERE series = ? AND level = ? ORDER BY number"


@pytest.fixture(params=ENGINES)
def connection(request, tmp_path) -> Iterator[Connection]:
    with LoggedRun.of_engine(request.param, tmp_path) as run:
        if request.param == "sqlite":
            run.connection.execute("PRAGMA synchronous = OFF")
        columns = "run, id, name, count, next_step, first_step, last_step"
        run.connection.execute(f"INSERT INTO series ({columns}) VALUES (?, ?, 'loss', 0, 0, 0, 0)", (RUN, SERIES))
        yield run.connection


def noisy(steps: Sequence[int], seed: int = 1) -> Points:
    source = random.Random(seed)
    return points_of([source.random() + step % 97 for step in steps], array("q", steps))


def store(connection: Connection, points: Points, sizes: Sequence[int], summarized: bool = True) -> None:
    """Store a series in chunks of these sizes in turn."""
    first, number = 0, 0
    while first < len(points.kinds):
        size = sizes[number % len(sizes)]
        part = points.part(first, first + size)
        chunk = encode(part)
        row = {name: getattr(chunk, name) for name in SUMMARY} | {"run": RUN, "id": SERIES << SERIES_SHIFT | number}
        for name in ("low", "high", "last"):
            row[name] = connection.cell(row[name])
        connection.execute(INSERT_CHUNK, row)
        connection.execute(INSERT_POINTS, row | {"data": chunk.data})
        if summarized:
            add(connection, RUN, SERIES, number, [summarize(part)])
        first, number = first + size, number + 1


def rows(connection: Connection, level: int) -> list[tuple[int, ...]]:
    return connection.execute(f"SELECT number, chunks, entries, points {OF_LEVEL}", (SERIES, level)).fetchall()


def level_1(connection: Connection) -> list[list[object]]:
    found = connection.execute(f"SELECT data {OF_LEVEL}", (SERIES, 1))
    return [list(column) for column in decode(data for (data,) in found).columns()]


def reader_of(connection: Connection) -> SeriesReader:
    row = SeriesRow("loss", SERIES, 1, 0, 0, 0, 0, None, None, None, None, 0, 0)
    return SeriesReader(connection, RUN, "loss", row, NO_POINTS, lambda _: NO_POINTS)


def read(connection: Connection, width: int, low: int = -END, high: int = END, points_max: int = 10**9):
    curve, axis = Curve(width, Axis(), low, high), Axis()
    Layout(connection, reader_of(connection)).place(curve, Grid(axis, width, low, high, points_max))
    return curve.buckets()


@pytest.mark.parametrize("sizes", [(1024,), (4096,), (10,), (1, 700, 4096, 33), (1100,)])
def test_the_rows_of_each_level_cover_all_chunks_once(connection, sizes):
    points = noisy(range(70_000) if sizes != (10,) else range(8_000))
    store(connection, points, sizes)
    level, end = 1, math.inf
    while found := rows(connection, level):
        assert [number for number, *_ in found] == [0, *(number + chunks for number, chunks, *_ in found[:-1])]
        covered = found[-1][0] + found[-1][1]
        assert covered <= end
        small = [entries for _, _, entries, _ in found if entries < ROW_ENTRIES]
        assert len(small) <= 9
        assert [entries for _, _, entries, _ in found[-len(small) :]] == small or not small
        if level == 1:
            assert sum(row[3] for row in found) == len(points.kinds)
        full = [row for row in found if row[2] >= ROW_ENTRIES]
        assert sum(row[3] for row in rows(connection, level + 1)) == sum(row[3] for row in full)
        level, end = level + 1, covered
    assert level > 2 or sizes == (10,)


@pytest.mark.parametrize("kind", ["monotone", "sparse", "eight ranks", "late worker", "stray"])
def test_a_curve_of_summaries_is_that_of_the_points(connection, kind):
    steps = steps_of(kind, 48_000)
    points = noisy(steps)
    store(connection, points, (1024,))
    width = width_for(0, max(steps), 100)
    assert sum(bucket.count for bucket in read(connection, width, points_max=0)) == len(steps)
    if kind in ("monotone", "sparse"):
        assert repr(shown(read(connection, width, points_max=0))) == repr(exact(points, width))
    assert repr(shown(read(connection, 1))) == repr(exact(points, 1))
    middle = max(steps) // 2
    assert repr(shown(read(connection, 16, middle - 99, middle + 99))) == repr(
        exact(points, 16, middle - 99, middle + 99)
    )


def test_steps_in_no_order_are_read_as_far_as_allowed_and_else_approximate(connection):
    source = random.Random(5)
    steps = [source.randrange(10**6) for _ in range(40_000)]
    points = noisy(steps)
    store(connection, points, (1024,))
    width = width_for(0, 10**6, 100)
    buckets = read(connection, width)
    assert repr(shown(buckets)) == repr(exact(points, width))
    assert not any(bucket.approximate for bucket in buckets)
    buckets = read(connection, width, points_max=0)
    assert all(bucket.approximate for bucket in buckets)
    assert sum(bucket.count for bucket in buckets) == len(steps)
    for bucket, row in zip(buckets, exact(points, width), strict=True):
        assert bucket.low <= row[1] <= row[2] <= bucket.high


def test_chunks_of_an_older_version_are_summarized_a_slice_at_a_time(connection):
    points = noisy(range(70_000))
    store(connection, points, (1500,))
    wanted = level_1(connection)
    connection.execute("DELETE FROM summaries")
    before = read(connection, 1024, points_max=0)
    assert sum(bucket.count for bucket in before) == 70_000
    add(connection, RUN, SERIES, 47, [summarize(points.part(0, 9))])
    assert not rows(connection, 1), "a later chunk came before them"
    slices = 0
    while (found := find_missing(connection)) is not None:
        add_missing(connection, found)
        if slices == 1:
            add_missing(connection, found)  # of another packer, or after a kill
        slices += 1
    assert level_1(connection) == wanted
    assert slices >= 3
    assert find_missing(connection) is None


def test_what_was_found_missing_is_left_out_if_it_is_gone(connection):
    store(connection, noisy(range(5000)), (1500,), summarized=False)
    found = find_missing(connection)
    assert isinstance(found, Missing)
    connection.execute("DELETE FROM chunks")
    add_missing(connection, found)
    assert not rows(connection, 1)


@pytest.mark.parametrize("stored", [2, 0])
def test_what_was_worked_out_is_left_out_if_others_were_faster(connection, stored):
    points = noisy(range(5000))
    store(connection, points, (1000,), summarized=False)
    entries = [summarize(points.part(first, first + 1000)) for first in range(0, 5000, 1000)]
    add(connection, RUN, SERIES, 0, entries[:stored])
    late = Addition(connection, RUN, SERIES, 3, entries[3:4])  # waits for those before it
    add(connection, RUN, SERIES, stored, entries[stored:3])
    before = rows(connection, 1)
    assert not late.store(connection)
    assert rows(connection, 1) == before
    again = Addition(connection, RUN, SERIES, 3, entries[3:])
    assert again.store(connection)
    assert not again.store(connection)
    assert sum(points for *_, points in rows(connection, 1)) == 5000


def test_many_chunks_at_once_are_summarized_as_one_after_the_other(connection):
    points = noisy(range(70_000))
    store(connection, points, (1000,))
    one_by_one, full = level_1(connection), [row for row in rows(connection, 1) if row[2] >= ROW_ENTRIES]
    connection.execute("DELETE FROM summaries")
    add(connection, RUN, SERIES, 0, [summarize(points.part(first, first + 1000)) for first in range(0, 70_000, 1000)])
    assert level_1(connection) == one_by_one
    assert [row for row in rows(connection, 1) if row[2] >= ROW_ENTRIES] == full
