"""What records say about a run is applied with them: its fields, its config, and when something of it was logged."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from server.batches import BEGAN_NS, NONE, held, range_of
from server.process import ServerProcess
from server.stores import new_run, says
from steplog.journal.range import Range
from steplog.records.run_fields import CONFIG_KEYS_MAX, Order
from steplog.server.records.batch import from_range
from steplog.server.sql import run_changes
from steplog.server.sql.run_changes import CONFIG_BYTES_MAX
from steplog.server.sqlite.schema import connect
from steplog.server.sqlite.store import SqliteStore
from steplog.server.store_types import BatchResult, RunRow


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "a.db")
    yield opened
    opened.close()


def add(store: SqliteStore, run: RunRow, records: Range, generation: int = 1, body: bytes = b"") -> BatchResult:
    return store.add_batch(run, from_range(records, body), generation).result()


def test_a_record_of_fields_is_applied_and_answered_and_is_no_metric(server, run):
    sent = {
        "name": "resnet / ü",
        "tags": ["b", "a"],
        "group": "g",
        "job_type": None,
        "notes": "n",
        "description": "d",
        "started": "2023-11-14T22:13:20Z",
        "ended": "2023-11-15T00:00:00+01:00",
        "provenance": {"host": "h", "git": {"dirty": None}},
        "report": {"dropped": {}, "abandoned": 0, "lost": None, "rejected": 1},
        "of a later version": [1],
    }
    records = range_of([says(sent), ("loss", 0.5), says({}, "status"), NONE, says([], "files"), ("loss", 0.25)])
    answer = server.send(run, records)
    acknowledged = {"writer": "w", "first": 0, "end": 6}
    named = {"run": {"name": "resnet / ü", "slug": "resnet-u"}}
    assert (answer.status_code, answer.json()) == (200, acknowledged | {"accepted": 5, "duplicates": 0} | named)
    again = server.send(run, records)
    assert again.json() == acknowledged | {"accepted": 0, "duplicates": 5} | named
    told = server.ask("GET", run).json()
    expected = sent | {"started": "2023-11-14T22:13:20.000000Z", "ended": "2023-11-14T23:00:00.000000Z"}
    del expected["of a later version"]
    assert {field: told[field] for field in expected} == expected
    assert server.ask("GET", f"{run}metrics/").json() == held([("loss", 0.5), ("loss", 0.25)])
    assert [row["name"] for row in server.ask("GET", f"{run}series/").json()] == ["loss"]


def test_a_name_that_is_taken_gets_its_suffix_and_the_answer_says_so(server, run):
    other = server.new_run()
    server.send(other, range_of([says({"name": "taken"})]))
    first = range_of([says({"name": "taken"}), says({"group": "g"})])
    for _ in range(2):  # the second time as one whose answer was lost
        assert server.send(run, first).json()["run"] == {"name": "taken_1", "slug": "taken-1"}
    later = range_of([says({"name": "taken"})], first=2, began_ns=BEGAN_NS + 9)
    assert server.send(run, later).json()["run"]["name"] == "taken_1", "its own name is not taken"
    assert "run" not in server.send(run, range_of([says({"lr": 1}, "config"), ("a", 1)], first=3)).json()


def test_the_later_generation_counts_though_its_clock_is_behind(server, run):
    def send(writer: str, value: int, began_ns: int, generation: str) -> None:
        records = range_of([says({"lr": value}, "config"), says({"group": str(value)})], 0, writer, began_ns)
        assert server.send(run, records, Steplog_Generation=generation).status_code == 200

    send("resumer", 2, BEGAN_NS, "2")
    send("killed", 1, BEGAN_NS + 10**12, "1")
    told = server.ask("GET", run).json()
    assert (told["config"], told["group"]) == ({"lr": 2}, "2")


@pytest.mark.parametrize("header", ["0", "-1", "1.5", "x", "", "1000000000", "²"])
def test_a_generation_that_is_no_number_is_refused_before_anything_is_stored(server, run, header):
    answer = server.send(run, range_of([("a", 1)]), Steplog_Generation=header.encode().decode("latin-1"))
    assert (answer.status_code, list(answer.json())) == (400, ["detail"])
    assert server.ask("GET", f"{run}metrics/").json() == []


def test_a_single_metric_changes_the_run_in_its_present_generation(server, run):
    """As a client posts it that was told to send one by one."""
    ahead = range_of([says({"lr": 1, "seed": 1}, "config"), says({"group": "w"})], 0, "w", time.time_ns() + 10**15)
    server.send(run, ahead)
    for name, value in (("steplog/config", {"lr": 2}), ("steplog/run", {"group": "g"}), ("steplog/status", {})):
        answer = server.ask("POST", f"{run}metrics/", json={"name": name, "value": value})
        assert (answer.status_code, set(answer.json())) == (201, {"name", "value", "step"})
    told = server.ask("GET", run).json()
    assert (told["config"], told["group"]) == ({"lr": 2, "seed": 1}, "g")
    assert {entry["name"] for entry in server.ask("GET", f"{run}metrics/").json()} == {"steplog/config"}
    other = server.new_run()
    server.ask("POST", f"{other}metrics/", json={"name": "steplog/config", "value": {"lr": 2}})
    assert server.ask("GET", other).json()["config"] == {"lr": 2}


@pytest.mark.parametrize("generation", ["1", "7"])
def test_a_patch_counts_though_the_clock_of_the_records_is_ahead(server, run, generation):
    for began_ns in (time.time_ns() + 10**15, 2**63 - 2):
        before = range_of([says({"notes": "by a record"})], 0, f"w{began_ns}", began_ns)
        assert server.send(run, before, Steplog_Generation=generation).status_code == 200
        for notes in ("by hand", "again"):
            assert server.ask("PATCH", run, json={"notes": notes}).json()["notes"] == notes
    after = range_of([says({"notes": "later"})], 0, "z", 2**63 - 1)
    server.send(run, after, Steplog_Generation=generation)
    assert server.ask("GET", run).json()["notes"] == "later"


def test_a_stock_server_applies_no_record_about_the_run(tmp_path):
    with ServerProcess(tmp_path, "--stock") as server:
        run = server.new_run()
        for name in ("steplog/run", "steplog/config", "steplog/files"):
            assert server.ask("POST", f"{run}metrics/", json={"name": name, "value": {"name": "x"}}).status_code == 201
        assert [each["name"] for each in server.ask("GET", f"{run}metrics/").json()] == ["steplog/config"]
        (told,) = server.ask("GET", run.rsplit("/", 2)[0] + "/").json()
        assert told["name"] != "x"


def test_a_batch_says_when_the_run_was_last_heard_of_and_when_it_last_logged(server, run):
    before = server.ask("GET", run).json()
    assert before["last_point"] is None
    server.send(run, range_of([("system/cpu", 1.0), says({"lr": 1}, "config")], began_ns=BEGAN_NS + 5_000))
    heard = server.ask("GET", run).json()
    assert (heard["last_point"], heard["date_updated"]) == (None, before["date_updated"])
    assert heard["seen"] > before["seen"]
    logged = range_of([("loss", 0.5), *[("system/cpu", 1.0)] * 50], first=2)
    for _ in range(2):
        assert server.send(run, logged).status_code == 200
        told = server.ask("GET", run).json()
        assert told["last_point"] == "2023-11-14T22:13:20.000000Z"
        assert told["seen"] > heard["seen"]
        heard = told
    server.send(run, range_of([("loss", 0.5)], first=0, writer="behind", began_ns=5))
    assert server.ask("GET", run).json()["last_point"] == "2023-11-14T22:13:20.000000Z"
    server.send(run, range_of([("loss", 0.5)], first=0, writer="ahead", began_ns=2**63 - 1))
    told = server.ask("GET", run).json()
    assert heard["seen"] < told["last_point"] <= told["seen"], "a clock that is ahead does not count"


def test_a_config_has_so_many_keys_and_bytes_and_the_others_are_counted(store):
    run = new_run(store)
    keys = [f"k{number:05}" for number in range(CONFIG_KEYS_MAX + 7)]
    random.Random(5).shuffle(keys)
    for first in range(0, len(keys), 1001):
        add(store, run, range_of([says(dict.fromkeys(keys[first : first + 1001], 1), "config")], first // 1001))
    (found,) = store.configs([run]).values()
    assert (list(found.values), found.omitted) == (sorted(keys)[:CONFIG_KEYS_MAX], 7)
    large = new_run(store)
    text = "x" * (CONFIG_BYTES_MAX // 4)
    for at, key in enumerate("debca"):
        add(store, large, range_of([says({key: text}, "config")], at, "w", BEGAN_NS + at))
    found = store.configs([run, large])[large.id]
    assert (list(found.values), found.omitted) == (["a", "b", "c"], 2)


def test_the_newest_runs_of_a_list_have_their_configs(store):
    half = "x" * (CONFIG_BYTES_MAX // 2)
    listed_runs = [new_run(store) for _ in range(18)]
    for run in listed_runs:
        add(store, run, range_of([says({"a": half, "b": 1}, "config")]))
    found = store.configs(listed_runs)
    lacking = [run.id for run in listed_runs if found[run.id].omitted]
    assert lacking == [run.id for run in listed_runs[:3]]
    assert {len(found[run.id].values) for run in listed_runs[3:]} == {2}


@pytest.mark.slow
def test_the_config_that_is_shown_beyond_the_bounds_does_not_depend_on_arrival(store):
    keys = [f"k{number:06}" for number in range(4 * CONFIG_KEYS_MAX)]
    parts = [keys[first::13] for first in range(13)]
    shown = []
    for seed in range(2):
        run = new_run(store)
        random.Random(seed).shuffle(parts)
        for part in parts:
            add(store, run, range_of([says(dict.fromkeys(part, 1), "config")], writer=f"w{part[0]}"))
        (found,) = store.configs([run]).values()
        shown.append(found)
    assert list(shown[0].values) == list(shown[1].values) == sorted(keys)[:CONFIG_KEYS_MAX]
    assert all(CONFIG_KEYS_MAX <= each.omitted <= 3 * CONFIG_KEYS_MAX for each in shown)


def test_a_change_of_one_key_of_many_writes_one_row_and_its_cell(store, tmp_path):
    run = new_run(store)
    add(store, run, range_of([says({f"k{number}": 1 for number in range(CONFIG_KEYS_MAX)}, "config")]))
    with closing(connect(tmp_path / "a.db")) as connection:
        before = connection.total_changes
        order = Order(1, BEGAN_NS + 1, "w", 1)
        kept = run_changes.apply_config(connection, run.id, [("k7", order, "2")], CONFIG_KEYS_MAX)
        assert (connection.total_changes - before, kept) == (2, CONFIG_KEYS_MAX + 1)
        assert run_changes.apply_config(connection, run.id, [("k7", order, "3")], None) == CONFIG_KEYS_MAX
        assert connection.total_changes - before == 2, "an equal order changes nothing"
