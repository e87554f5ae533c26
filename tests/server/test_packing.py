"""Packing a run changes nothing that is read from it, whoever packs, and whatever is in its log."""

from __future__ import annotations

import random
import struct
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.batches import BEGAN_NS, NONE, range_of
from server.logged import ENGINES, LoggedRun, expected, read_points
from steplog.journal.range import Range
from steplog.server.records.block import read_directory
from steplog.server.sql import packing
from steplog.server.sql.packing import CHUNK_POINTS, FANOUT, FULL, pack_run

NAN = struct.unpack("<d", struct.pack("<Q", 0x7FF8_0000_DEAD_BEEF))[0]


@pytest.fixture(params=ENGINES)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LoggedRun]:
    with LoggedRun.of_engine(request.param, tmp_path) as made:
        yield made


def pack_all(run: LoggedRun) -> int:
    """Pack all of a run's log; the number of passes."""
    passes = 1
    while pack_run(run.connection, run.id):
        passes += 1
    return passes


def steps(names: int, first: int, count: int, writer: str = "w") -> Range:
    """``count`` steps of a loop that logs these names."""
    records = [(f"m{name}", step + name / 128, step) for step in range(first, first + count) for name in range(names)]
    return range_of(records, first * names, writer, BEGAN_NS + first * 10**9)


def test_what_is_packed_reads_as_what_was_logged(run):
    batches = [
        range_of([("loss", 0.5, 3), NONE, ("text", b'"a"'), ("steplog/run", b"{}"), ("loss", NAN)]),
        range_of([("text", b"[1]", 7), ("n", 7), ("n", True), ("loss", -0.0), ("text", b'"b"')], 5),
    ]
    run.append(*batches)
    assert run.points() == read_points(run) == expected(batches)
    assert pack_run(run.connection, run.id) is False
    assert run.points() == read_points(run) == expected(batches)
    assert (run.count("log"), run.count("blocks"), run.count("chunks")) == (0, 1, 0)
    assert (run.progress("packed"), run.progress("arrivals"), run.progress("log_bytes")) == (8, 8, 0)
    assert pack_run(run.connection, run.id) is False


def test_points_without_a_step_go_on_where_the_packed_ones_end(run):
    batches = [range_of([("a", at) for at in range(3)], 3 * turn) for turn in range(4)]
    batches.append(range_of([("a", 1, 2**63 - 1), ("a", 2), ("a", 3)], 12))
    for batch in batches:
        run.append(batch)
        pack_all(run)
    assert [point.step for point in run.points()["a"]] == [*range(12), *[2**63 - 1] * 3]
    assert run.points() == expected(batches)


def test_a_series_goes_to_chunks_once_it_has_enough_points(run):
    batches = [steps(3, first, 64) for first in range(0, CHUNK_POINTS, 64)]
    for batch in batches[:-1]:
        run.append(batch)
        pack_all(run)
    assert (run.count("blocks"), run.count("chunks")) == (FANOUT - 1, 0)
    run.append(batches[-1])
    pack_all(run)
    assert (run.count("blocks"), run.count("chunks"), run.count("points")) == (0, 3, 3)
    assert run.points() == expected(batches)


def test_the_range_of_integers_beside_floats_is_exact(run):
    values = [2**53 + 1, 0.5, *range(CHUNK_POINTS)]
    run.append(range_of([("a", value, step) for step, value in enumerate(values)]))
    pack_all(run)
    assert run.connection.execute("SELECT low, high FROM chunks").fetchall() == [(0, 2**53 + 1)]
    assert run.connection.execute("SELECT low, high FROM series").fetchall() == [(0, 2**53 + 1)]


def test_a_slow_series_stays_in_blocks_without_the_dead_of_the_others(run):
    batches = []
    for first in range(0, 2 * CHUNK_POINTS, 64):
        batches.append(steps(3, first, 64))
        batches.append(range_of([("validation", first)], first))
        run.append(*batches[-2:])
        pack_all(run)
        assert run.count("blocks") <= 2 * FANOUT
    assert run.count("chunks") == 6
    assert run.points() == expected(batches)
    (slow,) = run.connection.execute("SELECT id FROM series WHERE name = 'validation'").fetchone()
    merged = run.connection.execute("SELECT directory FROM blocks WHERE level > 0").fetchall()
    assert {tuple(read_directory(directory).series) for (directory,) in merged} == {(slow,)}


@pytest.mark.slow
def test_sixteen_blocks_of_a_level_become_one_of_the_next(run):
    batches = [range_of([("a", at)], at) for at in range(FANOUT * FANOUT)]
    for batch in batches:
        run.append(batch)
        pack_all(run)
    assert run.connection.execute("SELECT level, records FROM blocks").fetchall() == [(2, FANOUT * FANOUT)]
    assert run.points() == expected(batches)


def test_the_blocks_of_a_run_that_has_ended_become_one(run):
    batches = [steps(2, first, 3) for first in range(0, 15, 3)]
    for batch in batches[:-1]:
        run.append(batch)
        pack_all(run)
    assert run.count("blocks") == 4
    run.append(batches[-1])
    run.connection.execute("UPDATE runs SET status = 'COMPLETED'")
    pack_all(run)
    assert run.count("blocks") == 1
    assert run.points() == expected(batches)


def test_a_pass_reads_a_bounded_part_of_the_log(run, monkeypatch):
    monkeypatch.setattr(packing, "PASS_BYTES", 64 * 32)
    batches = [steps(2, first, 16) for first in range(0, 160, 16)]
    run.append(*batches)
    assert pack_all(run) == 5
    assert run.points() == expected(batches)


def test_a_pass_ends_once_it_has_enough_of_each_name(run, monkeypatch):
    monkeypatch.setattr(packing, "ENOUGH_BYTES", 32)
    batches = [steps(3, first, 16) for first in range(0, 128, 16)]
    run.append(*batches)
    assert pack_run(run.connection, run.id)
    assert run.progress("packed") == 3 * packing.POINTS_A_NAME
    assert pack_all(run) == 1
    assert run.points() == expected(batches)


def test_a_pass_moves_a_bounded_number_of_series_to_chunks(run, monkeypatch):
    monkeypatch.setattr(packing, "_CHUNKED_POINTS", 3 * CHUNK_POINTS)
    batches = [steps(8, first, 512) for first in range(0, CHUNK_POINTS + 1024, 512)]
    moved = []
    for batch in batches:
        run.append(batch)
        pack_all(run)
        moved.append(run.count("chunks"))
    assert moved == [0, 3, 5, 6]
    assert run.points() == expected(batches)


def test_large_texts_go_to_chunks_at_once_and_large_blocks_are_not_merged(run):
    text = b'"' + b"x" * 300_000 + b'"'
    batches = [range_of([("text", text), ("other", 1)], 2 * at) for at in range(3)]
    for batch in batches:
        run.append(batch)
        pack_all(run)
    assert (run.count("chunks"), run.count("blocks")) == (3, 3)
    assert run.points() == expected(batches)
    batches.append(steps(64, 0, 512))
    run.append(batches[-1])
    pack_all(run)
    assert FULL in [level for (level,) in run.connection.execute("SELECT level FROM blocks")]
    assert run.points() == expected(batches)


def test_writers_with_numbers_of_their_own_for_the_same_names_are_packed_together(run):
    batches = []
    for turn in range(4):
        batches.append(range_of([("a", 1.0, turn), ("b", 2.0, turn)], 2 * turn, "one"))
        batches.append(range_of([("c", 0.5, turn), ("b", 3.0, turn), ("a", 4.0, turn)], 3 * turn, "two"))
    run.append(*batches)
    pack_all(run)
    assert run.points() == expected(batches)


BAD = {
    "not a range": b"anything",
    "another number of records": None,
    "deflated nonsense": struct.pack(">H", 0x789C) + b"\0" * 20,
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD)
def test_a_row_that_cannot_be_packed_is_sealed_and_holds_up_nothing(run, body):
    batches = [steps(2, first, 4) for first in range(0, 40, 4)]
    run.append(*batches[:5])
    run.append(batches[5], body=body)
    if body is None:
        run.connection.execute("UPDATE log SET records = 9 WHERE first_arrival = 40")
        run.connection.execute("UPDATE progress SET arrivals = arrivals + 1")
    told = []
    run.append(*batches[6:])
    while pack_run(run.connection, run.id, on_sealed=lambda *what: told.append(what)):
        pass
    lost = 8 if body else 9
    assert [what[:2] for what in told] == [(run.id, lost)]
    assert (run.count("log"), run.progress("sealed"), run.progress("log_bytes")) == (0, lost, 0)
    sealed = run.connection.execute("SELECT first_arrival, records, error, body FROM sealed").fetchone()
    assert sealed[:3] == (40, lost, told[0][2])
    assert body is None or sealed[3] == body
    values = [point.value for point in run.points()["m0"]]
    whole = [point.value for point in expected(batches)["m0"]]
    assert values == whole[:20] + whole[24:]
    arrivals = [point.arrival for point in run.points()["m1"]]
    assert arrivals == [*range(1, 41, 2), *range(41 + lost, 41 + lost + 32, 2)]


def test_a_block_that_cannot_be_read_is_left_and_what_comes_later_is_packed(run):
    batches = [steps(2, first, 600) for first in range(0, 2400, 600)]
    run.append(batches[0])
    pack_all(run)
    run.connection.execute("UPDATE blocks SET data = ?", (bytes(1000),))
    broken = run.connection.execute("SELECT * FROM blocks").fetchall()
    for batch in batches[1:]:
        run.append(batch)
        pack_all(run)
    assert run.count("log") == 0
    assert run.progress("sealed") == 0
    assert broken[0] in run.connection.execute("SELECT * FROM blocks").fetchall()
    assert run.count("blocks") == 4


def test_what_is_in_the_trash_is_not_packed(run):
    run.append(steps(2, 0, 4))
    run.connection.execute("UPDATE runs SET deleted = '2026'")
    assert pack_run(run.connection, run.id) is False
    assert run.count("log") == 1


def test_a_run_that_is_deleted_meanwhile_gets_nothing_more(run):
    run.append(steps(2, 0, 4))
    with pytest.raises(run.connection.Error):
        pack_run(run.connection, run.id, check=lambda: run.connection.execute("DELETE FROM nothing"))
    other = run.connect()
    checks = []

    def check() -> None:
        checks.append(1)
        if len(checks) == 1:
            other.execute("DELETE FROM runs")

    assert pack_run(run.connection, run.id, check)
    assert pack_run(run.connection, run.id) is False
    assert (run.count("blocks"), run.count("series"), run.count("log")) == (0, 0, 1)
    other.close()


class Stopped(Exception):
    """A packer ends here."""


class Halting:
    """A connection that raises before the statement with this number."""

    def __init__(self, connection: Any, last: int) -> None:
        self._connection, self._left = connection, last

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, statement: str, *arguments: Any) -> Any:
        if statement != "ROLLBACK":
            self._count()
        return self._connection.execute(statement, *arguments)

    def executemany(self, statement: str, *arguments: Any) -> Any:
        self._count()
        return self._connection.executemany(statement, *arguments)

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise Stopped


RECORD = st.tuples(
    st.sampled_from("abcdefgh"),
    st.one_of(st.floats(), st.integers(-(2**63), 2**63 - 1), st.booleans(), st.sampled_from([b"null", b'"text"'])),
    st.one_of(st.none(), st.integers(-4, 20), st.sampled_from([2**63 - 1, -(2**63) + 1])),
)
BATCH = st.lists(st.one_of(RECORD, RECORD, st.just(NONE)), min_size=1, max_size=30)
LOOPS = st.builds(
    lambda count, at: [(f"m{n % 3}", n + at, n // 3) for n in range(3 * count)], st.integers(1, 9), BATCH.map(len)
)
DEED = st.one_of(BATCH, LOOPS, st.just("pack"), st.just("both"), st.integers(0, 30))


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=200, deadline=None)
@given(st.lists(DEED, max_size=30), st.booleans())
def test_all_points_are_the_same_to_the_bit_whatever_packs_and_stops(engine, deeds, small):
    """A number: a packer that ends before this statement. Both: two whose passes overlap."""
    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryDirectory() as directory,
        LoggedRun.of_engine(engine, Path(directory)) as run,
    ):
        if small:
            patch.setattr(packing, "CHUNK_POINTS", 12)
            patch.setattr(packing, "FANOUT", 3)
            patch.setattr(packing, "_FULL_RECORDS", 40)
            patch.setattr(packing, "_CHUNKED_POINTS", 30)
            patch.setattr(packing, "PASS_BYTES", 50 * 32)
        batches: list[Range] = []
        for deed in deeds:
            if isinstance(deed, list):
                batches.append(range_of(deed, sum(b.end - b.first for b in batches)))
                run.append(batches[-1])
            elif deed == "pack":
                pack_run(run.connection, run.id)
            elif deed == "both":
                clash(run)
            else:
                with suppress(Stopped):
                    pack_run(Halting(run.connection, deed), run.id)
            assert run.points() == read_points(run) == expected(batches)
        run.connection.execute("UPDATE runs SET status = 'FAILED'")
        pack_all(run)
        assert (run.count("log"), run.count("sealed")) == (0, 0)
        assert run.points() == read_points(run) == expected(batches)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_packers_at_once_lose_nothing_and_store_nothing_twice(run, seed, monkeypatch):
    monkeypatch.setattr(packing, "CHUNK_POINTS", 100)
    monkeypatch.setattr(packing, "PASS_BYTES", 60 * 32)
    source = random.Random(seed)
    batches, first = [], 0
    ended = threading.Event()
    failures: list[Exception] = []

    def work() -> None:
        connection = run.connect()
        try:
            is_last = False
            while pack_run(connection, run.id) or not is_last:
                is_last = ended.is_set()  # then one more, as a batch may have come after the pass
        except Exception as error:  # noqa: BLE001 - shown below
            failures.append(error)
        connection.close()

    packers = [threading.Thread(target=work) for _ in range(3)]
    for packer in packers:
        packer.start()
    for _ in range(60):
        batches.append(steps(5, first, source.randrange(1, 20)))
        first += (batches[-1].end - batches[-1].first) // 5
        run.append(batches[-1])
    ended.set()
    for packer in packers:
        packer.join(60)
    assert failures == []
    assert run.count("log") == 0
    assert run.points() == expected(batches)


def clash(run: LoggedRun) -> None:
    """A packer stores what it has made of a log that another has packed meanwhile."""
    other = run.connect()
    pending = [True]

    def check() -> None:
        if pending:
            pending.clear()
            pack_run(other, run.id)

    pack_run(run.connection, run.id, check)
    other.close()
