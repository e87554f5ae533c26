"""The demo's counting: a ledger against a database, record by record, and no good news that is not true."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from server.packed import pack
from steplog.cli.demo.output import Output
from steplog.cli.demo.scenario import Scenario
from steplog.cli.demo.verify import NAMESPACE, PROJECT, Calls, Counts, Database, Ledger, count, fingerprint, latency
from steplog.cli.demo.worker import Model
from steplog.records.points import Points, concatenate
from steplog.server.records.batch import SinglePoint
from steplog.server.records.chunk import Chunk, decode, encode
from steplog.server.sqlite.store import SqliteStore
from steplog.server.store_types import Creation

STEPS = 60
CALLS = 3 * STEPS
DOCTOR = Callable[[Points], Points]


@pytest.fixture
def performed(tmp_path: Path) -> tuple[Ledger, Path, str]:
    """A ledger of calls that all arrived, the database that they arrived in, and the run's uuid."""
    ledger = Ledger(tmp_path / "ledger", CALLS)
    store = SqliteStore(tmp_path / "server.db")
    user = store.add_user("me", "me@localhost").result()
    project = store.add_project(store.put_namespace(NAMESPACE).result(), PROJECT, PROJECT, "TEAM").result()
    run = store.create_run(project, user, Creation("first")).result()[0]

    futures = []

    def arrive(name: str, value: object, step: int | None) -> None:
        futures.append(store.add_metric(run, SinglePoint(name, msgspec.json.encode(value), step, time.time_ns())))

    log = ledger.timed(arrive)
    for step in range(STEPS):
        log("loss", 1 / (step + 1), step)
        log("examples", step * 16)
        log("note", f"after {step} steps", step)
    assert all(future.result() is not None for future in futures)
    pack(store, run, chunk_points=1)
    store.close()
    return ledger, tmp_path / "server.db", run.uuid


def counted(ledger: Ledger | Calls, path: Path, uuid: str) -> Counts:
    database = Database(path)
    try:
        return count(ledger.calls() if isinstance(ledger, Ledger) else ledger, database.fingerprints(uuid))
    finally:
        database.close()


def doctor(path: Path, change: DOCTOR) -> None:
    """Rewrite one chunk of the database behind its back."""
    columns = ", ".join(name for name in Chunk.__struct_fields__ if name != "data")
    with sqlite3.connect(path) as database:
        number, *row = database.execute(
            f"SELECT c.id, {columns}, p.data FROM chunks c JOIN points p ON p.id = c.id WHERE count > 4 LIMIT 1"
        ).fetchone()
        chunk = encode(change(decode(Chunk(*row))))
        places = ", ".join(f"{name} = ?" for name in Chunk.__struct_fields__ if name != "data")
        values = [getattr(chunk, name) for name in Chunk.__struct_fields__ if name != "data"]
        database.execute(f"UPDATE chunks SET {places} WHERE id = ?", (*values, number))
        database.execute("UPDATE points SET data = ? WHERE id = ?", (chunk.data, number))
    database.close()


def size(points: Points) -> int:
    return len(points.kinds)


def without_the_second(points: Points) -> Points:
    return concatenate([points.part(0, 1), points.part(2, size(points))])


def with_the_fourth_twice(points: Points) -> Points:
    return concatenate([points.part(0, 4), points.part(3, size(points))])


def test_where_all_arrived_nothing_is_lost_twice_or_wrong(performed):
    found = counted(*performed)
    assert found == Counts(calls=CALLS, delivered=CALLS)
    assert found.good


def test_what_steplog_adds_to_a_run_is_not_a_record_that_nobody_logged(performed):
    ledger, path, uuid = performed  # the demo's runs last about as long as the interval of system/: some had it
    store = SqliteStore(path)
    run = store.run(NAMESPACE, PROJECT, uuid)
    for name in ("system/cpu", "steplog/provenance"):
        assert store.add_metric(run, SinglePoint(name, b"0.5", None, time.time_ns())).result() is not None
    store.close()
    assert counted(ledger, path, uuid) == Counts(CALLS, CALLS)


def test_one_row_removed_and_one_doubled_are_lost_1_and_twice_1(performed):
    ledger, path, uuid = performed
    doctor(path, lambda points: without_the_second(with_the_fourth_twice(points)))
    found = counted(ledger, path, uuid)
    assert found == Counts(calls=CALLS, delivered=CALLS - 1, lost=1, twice=1)
    assert not found.good


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (without_the_second, Counts(CALLS, CALLS - 1, lost=1)),
        (with_the_fourth_twice, Counts(CALLS, CALLS, twice=1)),
        (lambda points: concatenate([points.part(0, 1)] * 3 + [points]), Counts(CALLS, CALLS, twice=3)),
    ],
)
def test_each_fault_is_counted_alone(performed, change, expected):
    ledger, path, uuid = performed
    doctor(path, change)
    assert counted(ledger, path, uuid) == expected


def test_a_changed_value_is_lost_and_wrong(performed):
    ledger, path, uuid = performed

    def change(points: Points) -> Points:
        points.words[2] ^= 1  # the last bit of a float
        return points

    doctor(path, change)
    assert counted(ledger, path, uuid) == Counts(CALLS, CALLS - 1, lost=1, wrong=1)


def test_a_run_that_the_database_does_not_have_is_lost_as_a_whole(performed):
    ledger, path, _ = performed
    assert counted(ledger, path, "no such run") == Counts(CALLS, 0, lost=CALLS)


def test_the_call_in_flight_at_a_kill_may_be_there_or_not_but_not_twice(performed):
    ledger, path, uuid = performed
    calls = ledger.calls()
    last = calls.fingerprints[-1]
    killed = Calls(calls.fingerprints[:-1], calls.starts[:-1], calls.durations[:-1], in_flight=last)
    assert counted(killed, path, uuid) == Counts(CALLS - 1, CALLS - 1)
    elsewhere = Calls(calls.fingerprints, calls.starts, calls.durations, in_flight=12345)
    assert counted(elsewhere, path, uuid) == Counts(CALLS, CALLS)
    first = calls.fingerprints[0]  # a "loss", of which the chunk has the first one twice in the end
    doctor(path, lambda points: concatenate([points.part(0, 1), points]))
    twice = Calls(calls.fingerprints[1:], calls.starts[1:], calls.durations[1:], in_flight=first)
    assert counted(twice, path, uuid) == Counts(CALLS - 1, CALLS - 1, twice=1)


def test_a_ledger_is_read_by_another_process_as_it_was_written(tmp_path):
    ledger = Ledger(tmp_path / "ledger", 10)
    other = Ledger(tmp_path / "ledger")
    assert (other.calls_max, other.returned) == (10, 0)
    log = ledger.timed(lambda name, value, step: None)
    log("loss", 0.5, 1)
    calls = other.calls()
    assert (list(calls.fingerprints), calls.in_flight) == ([fingerprint("loss", 1, 0.5)], 0)
    assert other.returned == 1


def test_a_ledger_has_room_for_as_many_calls_as_it_says(tmp_path):
    log = Ledger(tmp_path / "ledger", 10).timed(lambda name, value, step: None)
    for step in range(10):
        log("loss", 0.5, step)
    calls = Ledger(tmp_path / "ledger").calls()
    assert list(calls.fingerprints) == [fingerprint("loss", step, 0.5) for step in range(10)]
    assert all(start > 0 for start in calls.starts)


def test_a_call_that_did_not_return_is_in_flight(tmp_path):
    ledger = Ledger(tmp_path / "ledger", 10)

    def killed(name: str, value: object, step: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ledger.timed(killed)("loss", 0.5, 1)
    assert (ledger.returned, ledger.calls().in_flight) == (0, fingerprint("loss", 1, 0.5))


def test_a_fingerprint_tells_names_steps_values_and_their_types_apart():
    records = [
        ("a", 1, 1.0),
        ("a", 1, 1),
        ("a", 1, True),
        ("a", 2, 1.0),
        ("b", 1, 1.0),
        ("a", 1, "1.0"),
        ("a", 1, [1.0]),
    ]
    assert len({fingerprint(*record) for record in records}) == len(records)
    assert fingerprint("summary", None, {"x": 1, "y": 2}) == fingerprint("summary", 5, json.loads('{"y": 2, "x": 1}'))


def test_latencies_are_of_the_calls_that_began_in_the_interval(tmp_path):
    ledger = Ledger(tmp_path / "ledger", 200)
    log = ledger.timed(lambda name, value, step: None)
    for step in range(100):
        log("loss", 0.5, step)
    calls = ledger.calls()
    middle = calls.starts[50]
    first, second = latency([calls], 0, middle), latency([calls], middle, calls.starts[-1] + 1)
    assert (first["calls"], second["calls"]) == (50, 50)
    assert first["p50"] <= first["p99"] <= first["max"] == max(calls.durations[:50])
    assert latency([], 0, 1) == {"calls": 0, "p50": 0, "p99": 0, "max": 0}


def test_the_model_learns():
    model = Model(0.5)
    steps = [model.step() for _ in range(600)]
    first, last = steps[:50], steps[-50:]
    assert sum(step["loss"] for step in last) < sum(step["loss"] for step in first) / 2
    assert sum(step["accuracy"] for step in last) > sum(step["accuracy"] for step in first)


def test_the_directories_are_removed_except_for_a_database_that_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for shared, keep in ((tmp_path, False), (tmp_path / "none", False), (tmp_path, True)):
        with Scenario(2.0, keep, Output(as_json=True), shared) as scenario:
            made = {path for path in tmp_path.rglob("*") if path.is_dir()}
            assert len(made) == (3 if shared == tmp_path else 2)  # one in shared memory, where there is some
            for path in made - {scenario.database.parent}:
                (path / "file").touch()
            scenario.database.touch()
        assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == (["server.db"] if keep else [])
