"""Every read has each point to the bit, wherever it is kept, and whatever is packed while it goes on."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import accumulate
from pathlib import Path
from typing import Any

import msgspec
import pytest

from server.batches import BEGAN_NS, NONE, range_of, shown
from server.logged import ENGINES, LoggedRun, Point, expected, points_of
from steplog.journal import slot
from steplog.journal.range import Range
from steplog.records.points import concatenate
from steplog.server.sql import history as histories
from steplog.server.sql import packing, reading, slices
from steplog.server.sql.history import Limits, history
from steplog.server.sql.packing import pack_run
from steplog.server.store_types import HistoryQuery, MissingError, UnknownMetricError

SMALL = Limits(tail_bytes=20 * slot.SLOT_BYTES, pending_points=5, slice_points=7, slice_text_bytes=40, slice_chunks=2)
Model = dict[str, list[Point]]


class Reading:
    """A run that grows and is packed, and a connection that reads it."""

    def __init__(self, run: LoggedRun) -> None:
        self.run = run
        self.connection = run.connect()
        self.batches: list[Range] = []

    def snapshot(self) -> Any:
        return reading.snapshot_of(self.connection)

    def append(self, records: Sequence[Any]) -> None:
        self.batches.append(range_of(records, sum(batch.end - batch.first for batch in self.batches)))
        self.run.append(self.batches[-1])

    def pack(self) -> None:
        pack_run(self.run.connection, self.run.id)

    def history(
        self, query: HistoryQuery, limits: Limits | None = None, meanwhile: Callable[[], None] = lambda: None
    ) -> Model:
        found: Model = {}
        for name, points in history(self.snapshot, self.run.id, query, limits):
            found.setdefault(name, []).extend(points_of(points))
            meanwhile()
        return found

    def close(self) -> None:
        self.connection.close()


@pytest.fixture(params=ENGINES)
def read(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Reading]:
    with LoggedRun.of_engine(request.param, tmp_path) as run, closing(Reading(run)) as made:
        yield made


def wanted(model: Model, query: HistoryQuery) -> Model:
    """What a history must have of these points."""
    found = {}
    for name in model if query.names is None else dict.fromkeys(query.names):
        bounds = ((query.low, query.high), (query.from_ns, query.to_ns))
        points = [
            point
            for point in model[name]
            if (query.arrivals is None or point.arrival < query.arrivals)
            and all(
                (low is None or number >= low) and (high is None or number <= high)
                for number, (low, high) in zip((point.step, point.time_ns), bounds, strict=True)
            )
        ]
        points = points[-query.last :] if query.last else points
        found[name] = points[query.skips.get(name, query.skip) :][: query.limit]
    return found


def with_points(model: Model) -> Model:
    return {name: points for name, points in model.items() if points}


def listed(model: Model) -> list[tuple[str, int]]:
    entries = [(point.arrival, name, point.step) for name, points in model.items() for point in points]
    return [(name, step) for _, name, step in sorted(entries)]


def number_of(point: Point) -> float | None:
    """A point's value, if that is a number to compare."""
    if point.kind == slot.KIND_JSON:
        return None
    (value,) = struct.unpack("<d" if point.kind == slot.KIND_FLOAT else "<q", point.value)
    return None if value != value else value


def as_json(value: Any) -> bytes:
    """Text that tells 1, 1.0 and true apart; a value may be kept as such."""
    return bytes(value) if isinstance(value, msgspec.Raw) else msgspec.json.encode(shown(value))


def check_all(read: Reading, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Compare the lists of points and of series with what was sent."""
    model = expected(read.batches)
    with read.snapshot() as connection:
        reader = reading.RunReader(connection, read.run.id)
        summaries = ((name, totals, as_json(last)) for name, totals, last in reader.summaries(points_max=10))
        for series in reader.all_series():
            parts = [*map(series.read, series.chunks), series.pending, series.tail]
            points = model[series.name]
            assert points_of(concatenate(parts)) == points
            totals = series.totals
            assert (totals.count, totals.first_step, totals.last_step) == (len(points), points[0].step, points[-1].step)
            assert (totals.max_step, totals.last_time_ns) == (max(p.step for p in points), points[-1].time_ns)
            numbers = [number for point in points if (number := number_of(point)) is not None]
            assert (totals.low, totals.high) == ((min(numbers), max(numbers)) if numbers else (None, None))
            assert as_json(series.last) == as_json(concatenate(parts).values()[-1])
            assert (series.name, series.totals, as_json(series.last)) == next(summaries)
        assert [series.name for series in reader.all_series()] == list(model)
        assert list(summaries) == []
        some = reading.RunReader(connection, read.run.id, [*list(model)[:3], "missing"])
        assert [series.name for series in some.all_series()] == list(model)[:3]
        for series in some.all_series():
            assert (
                points_of(concatenate([*map(series.read, series.chunks), series.pending, series.tail]))
                == model[series.name]
            )
    found = []
    for part in slices.metrics(read.snapshot, read.run.id, 0, reader.arrivals, 10):
        found += [(metric.name, metric.step) for metric in part]
        meanwhile()
    assert found == listed(model)


def test_what_arrives_meanwhile_is_not_read_and_packing_meanwhile_does_not_show(read):
    for at in range(40):
        read.append([(f"m{at % 3}", at + 0.5, at), ("slow", at)] if at % 9 == 0 else [(f"m{at % 3}", -at), NONE])
        if at % 4 == 3:
            read.pack()
    model = expected(read.batches)

    def meanwhile() -> None:
        read.append([("m0", 7), ("new", 1.0)])
        read.pack()

    assert read.history(HistoryQuery(), SMALL, meanwhile) == model
    assert expected(read.batches) != model
    check_all(read, meanwhile)


def test_metrics_come_in_order_of_first_arrival_or_as_they_are_asked_for(read):
    read.append([("b", 1), ("a", 2)])
    read.pack()
    read.append([("c", 3), ("a", 4)])
    assert list(read.history(HistoryQuery())) == ["b", "a", "c"]
    assert list(read.history(HistoryQuery(["c", "b", "c"]))) == ["c", "b"]


@pytest.mark.parametrize("where", ["in the log", "in blocks", "in both"])
def test_a_metric_that_the_run_has_not_is_named(read, where):
    read.append([("loss", 1)])
    if where != "in the log":
        read.pack()
    if where == "in both":
        read.append([("acc", 1)])
    with pytest.raises(UnknownMetricError, match="'lss'"):
        read.history(HistoryQuery(["loss", "lss"]))


def test_a_metric_of_which_nothing_matches_comes_without_points(read):
    read.append([("a", 1, 5), ("b", 1, 7)])
    assert {name: len(points) for name, points in read.history(HistoryQuery(low=6)).items()} == {"a": 0, "b": 1}


def test_chunks_of_which_all_is_skipped_are_not_read(read, monkeypatch):
    for first in range(0, 20_000, 2500):
        read.append([("a", at + 0.5, at) for at in range(first, first + 2500)])
        read.pack()
    ends = list(accumulate(count for (count,) in read.connection.execute("SELECT count FROM chunks ORDER BY id")))
    assert len(ends) > 3
    read_now: list[int] = []

    def counted(connection: Any, run_id: int, chunk: Any) -> Any:
        read_now.append(chunk.id)
        return reading.read_chunk(connection, run_id, chunk)

    monkeypatch.setattr(histories, "read_chunk", counted)
    for skip in (0, ends[0] - 1, ends[0], ends[2] + 1, ends[-1], 10**9):
        found = read.history(HistoryQuery(skip=skip))["a"]
        assert [point.step for point in found] == list(range(skip, 20_000))
        assert len(read_now) == sum(end > skip for end in ends)
        read_now.clear()


def test_a_page_reads_the_chunks_that_it_is_in_alone(read, monkeypatch):
    for first in range(0, 20_000, 2500):
        read.append([("a", at + 0.5, at) for at in range(first, first + 2500)])
        read.pack()
    ends = list(accumulate(count for (count,) in read.connection.execute("SELECT count FROM chunks ORDER BY id")))
    read_now: list[int] = []

    def counted(connection: Any, run_id: int, chunk: Any) -> Any:
        read_now.append(chunk.id)
        return reading.read_chunk(connection, run_id, chunk)

    monkeypatch.setattr(histories, "read_chunk", counted)
    for skip, limit in ((0, 1), (0, ends[0]), (ends[0], 1), (ends[0] - 1, 2), (ends[1] + 5, 100), (ends[-1] + 1, 9)):
        found = read.history(HistoryQuery(skip=skip, limit=limit))["a"]
        assert [point.step for point in found] == list(range(skip, min(20_000, skip + limit)))
        begins = [0, *ends[:-1]]
        assert len(read_now) == sum(
            begin < skip + limit and end > skip for begin, end in zip(begins, ends, strict=True)
        )
        read_now.clear()


def test_a_run_deleted_meanwhile_breaks_a_read_off(read):
    read.append([(f"m{at % 8}", at + 0.5, at) for at in range(400)])
    read.pack()
    for parts in (
        history(read.snapshot, read.run.id, HistoryQuery(), SMALL),
        slices.metrics(read.snapshot, read.run.id, 0, 400, 10),
    ):
        next(parts)
        read.run.connection.execute("UPDATE runs SET deleted = '2026-11-27T00:00:00.000000Z'")
        with pytest.raises(MissingError):
            list(parts)
        with pytest.raises(MissingError):
            read.history(HistoryQuery())
        read.run.connection.execute("UPDATE runs SET deleted = NULL")


def test_a_log_row_that_cannot_be_read_hides_nothing_else(read):
    for at in range(5):
        read.append([("a", at), ("b", at)])
    read.run.connection.execute("UPDATE log SET body = ? WHERE first_arrival = 2", (b"\0",))
    read.run.connection.execute("UPDATE log SET records = 1 WHERE first_arrival = 6")
    found = read.history(HistoryQuery())
    assert [[point.arrival for point in points] for points in found.values()] == [[0, 4, 8], [1, 5, 9]]
    assert [point.step for point in found["a"]] == [0, 1, 2]
    read.pack()
    read.pack()
    (values,) = slices.metrics(read.snapshot, read.run.id, 0, 10)
    assert [metric.value for metric in values] == [0, 0, 2, 2, 4, 4]


def test_steps_go_on_where_a_slice_begins_before_what_is_packed_and_ends_behind(read, monkeypatch):
    monkeypatch.setattr(packing, "PASS_BYTES", 10 * slot.SLOT_BYTES)
    for _ in range(4):
        read.append([("a", 0.5)] * 5)
    found = []
    for part in slices.metrics(read.snapshot, read.run.id, 0, 20, 7):
        found += [metric.step for metric in part]
        if len(found) == 7:
            read.pack()
            assert read.run.progress("packed") == 10
    assert found == list(range(20))


def test_no_read_writes(read):
    read.append([(f"m{at % 8}", at + 0.5, at) for at in range(40)])
    is_file = isinstance(read.run.place, Path)
    read.connection.execute("PRAGMA query_only = ON" if is_file else "SET default_transaction_read_only = on")
    check_all(read)
    read.history(HistoryQuery())
    read.history(HistoryQuery(last=2))


VALUES: list[Any] = [0.5, -0.0, math.nan, -math.inf, 7, -(2**63), True, b"null", b'"text"', b"[1, 2]"]
STEPS = [None, None, None, -4, 3, 8, 20, 2**63 - 1, -(2**63) + 1]
LIMITS = [None, SMALL, SMALL._replace(pending_points=1000), SMALL._replace(tail_bytes=10**6)]


def round_of(source: random.Random) -> list[Any]:
    """Some records: of a loop, or of any names in any order."""
    names = source.sample("abcdef", source.randint(1, 6))
    if source.random() < 0.6:
        return [(name, source.random(), None) for _ in range(source.randint(1, 9)) for name in names]
    some = ((source.choice(names), source.choice(VALUES), source.choice(STEPS)) for _ in range(source.randint(1, 20)))
    return [NONE if source.random() < 0.1 else record for record in some]


def query_of(source: random.Random, names: Sequence[str], arrivals: int) -> HistoryQuery:
    began, records = BEGAN_NS, 30
    skips = {name: source.choice([0, 2, 40, 10**9]) for name in source.sample(names, source.randint(0, len(names)))}
    return HistoryQuery(
        source.choice([None, source.sample(names, source.randint(1, len(names)))]),
        source.choice([None, None, -3, 5]),
        source.choice([None, None, 9, 60]),
        source.choice([None, None, None, began + source.randrange(records)]),
        source.choice([None, None, None, began + source.randrange(records)]),
        source.choice([None, 1, 5, 30, 90]),
        source.choice([0, 0, 1, 13, 70]),
        source.choice([{}, skips]),
        source.choice([None, None, 1, 7, 40]),
        source.choice([None, source.randint(0, arrivals)]),
    )


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 30))])
def test_a_history_is_the_same_to_the_bit_whatever_packs_meanwhile(read, seed, monkeypatch):
    for name, value in (("CHUNK_POINTS", 12), ("FANOUT", 3), ("_FULL_RECORDS", 40), ("_CHUNKED_POINTS", 60)):
        monkeypatch.setattr(packing, name, value)
    monkeypatch.setattr(packing, "PASS_BYTES", 50 * slot.SLOT_BYTES)
    source = random.Random(seed)

    def meanwhile() -> None:
        if source.random() < 0.3:
            read.append([(name, 0.5) for name in source.sample("abcdefxyz", 3) * source.randint(1, 13)])
        for _ in range(source.choice([0, 0, 1, 9])):
            read.pack()

    for _ in range(30):
        read.append(round_of(source))
        for _ in range(source.choice([0, 1, 1, 2])):
            read.pack()
    for _ in range(8):
        model = expected(read.batches)
        query, limits = query_of(source, list(model), sum(map(len, model.values()))), source.choice(LIMITS)
        found = read.history(query, limits, meanwhile)
        if query.arrivals is None:
            assert found == wanted(model, query), (query, limits)
        else:  # a metric that began later may come without points
            assert with_points(found) == with_points(wanted(model, query)), (query, limits)
        if limits is None:
            assert list(found) == list(query.names or model)
        for _ in range(4):
            read.append(round_of(source))
    check_all(read, meanwhile)
