"""What the rounds of the peers come to, and the server that stands in for one of theirs."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.peers import measure, report
from benchmarks.peers.adapters import PEERS
from benchmarks.peers.says_yes import Requests
from benchmarks.stage import Stage

ROOT = Path(__file__).parents[2]


def result(cost: float, kept: int = 100, **more) -> dict:
    costs = {f"p50_{values}": cost * values for values in (1, 8, 64)}
    return {"failed": {}, "calls": 100, "kept": kept, **costs, **more}


ROUNDS = {
    "steplog c": [result(0.2), result(0.1), result(0.2)],
    "tensorboardX": [result(6.0, 99), result(5.0, 98), result(7.0, 100)],
    "trackio": [result(4.0, 90), result(2.0, 100), result(4.0, 100)],
    "pluto-ml": [result(20.0), result(40.0), result(30.0)],
}


def test_each_round_begins_with_another_peer_and_has_them_all():
    names = list(PEERS)
    orders = [measure.order_of(names, number, 3) for number in range(3)]
    assert orders[0] == names
    assert len({order[0] for order in orders}) == 3
    assert all(sorted(order) == sorted(names) for order in orders)


def test_ours_is_held_against_the_fastest_and_those_that_keep_98_percent_and_all():
    found = {each.name: each for each in report.figures(ROUNDS)}
    fastest, most, everything = (found[f"log() of 1, {words}"] for words in report.AGAINST)
    assert (fastest.value, fastest.low, fastest.high, fastest.note) == (20, 20, 20, "trackio 4 µs, ours 0.2 µs")
    assert (most.value, most.low, most.high) == pytest.approx((35, 30, 50))
    assert most.note.startswith("tensorboardX 6 µs")
    assert (everything.value, everything.low, everything.high) == pytest.approx((150, 100, 400))
    assert (everything.must, everything.reach) == (50, 300)


def test_a_peer_whose_kill_failed_in_every_round_keeps_nothing():
    silent = [{**told, "failed": {"kill": "gone"}} for told in ROUNDS["pluto-ml"]]
    for told in silent:
        del told["kept"]
    names = [each.name for each in report.figures(ROUNDS | {"pluto-ml": silent})]
    assert not any("keeps all" in name for name in names)


def test_a_row_has_median_and_quartiles_of_the_rounds_that_measured_it():
    rounds = [result(3.0, finish_s=2.0), result(1.0, finish_s=None), {"failed": {"cost": "why"}, "kept": 7, "calls": 9}]
    row = report.rows({"mlflow": rounds})["mlflow"]
    assert row["p50_1"] == {"median": 1.0, "low": 1.0, "high": 3.0}
    assert row["finish_s"] == {"median": 2.0, "low": 2.0, "high": None}
    assert row["kept"] == {"median": 100, "low": 7, "high": 100}
    json.dumps(row, allow_nan=False)


def test_the_tables_say_what_failed_in_which_round():
    rounds = [result(3.0, stand_in_ms=0.5, stand_in_percent=0.25), {"failed": {"install": "no | network"}}]
    text = report.as_tables({"pluto-ml": rounds})
    assert "- pluto-ml 0.0.29, round 2, install: no / network" in text
    assert "which took 0.5 ms a request, 0.25 % of the time" in text
    tables = [part.splitlines() for part in text.split("\n\n") if part.startswith("|")]
    assert [len(table) for table in tables] == [3] * len(report.TABLES)
    assert all(len({line.count("|") for line in table}) == 1 for table in tables)


def test_an_environment_that_cannot_be_made_is_tried_once(monkeypatch, tmp_path):
    asked = []

    def python_of(_, name, *, install):
        asked.append((name, install))
        raise RuntimeError("does not install: no network")

    monkeypatch.setattr(measure, "python_of", python_of)
    monkeypatch.setattr(measure, "PEERS", {"aim": PEERS["aim"]})
    with Stage(quick=False, peers=tmp_path) as stage:
        monkeypatch.setattr(stage, "server", Stage(quick=True, peers=tmp_path).server)
        found = list(measure.rounds(stage, tmp_path))
    assert [told["failed"] for _, told in found] == [{"install": "does not install: no network"}] * measure.ROUNDS
    assert [install for _, install in asked] == [True, False, False]


CHUNKED = b"POST /in HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;x=1\r\n\r\n0\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
LONG = b"POST /long HTTP/1.1\r\ncontent-length: 6\r\n\r\n\r\n\r\n12"
BARE = b"GET /bare HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_a_request_ends_where_its_length_or_its_last_chunk_says(size):
    sent, found, requests = (CHUNKED + LONG + BARE) * 2, [], Requests()
    for begin in range(0, len(sent), size):
        found += [(head.split()[1], begin + size) for head in requests.fed(sent[begin : begin + size])]
    assert [path for path, _ in found] == [b"/in", b"/long", b"/bare"] * 2
    ends = [len(CHUNKED), len(CHUNKED + LONG), len(CHUNKED + LONG + BARE)]
    assert [read for _, read in found[:3]] == [-(-end // size) * size for end in ends]


def test_the_stand_in_answers_and_tells_how_long_it_could_be_waited_for():
    command = [sys.executable, "-m", "benchmarks.peers.says_yes"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        connection = http.client.HTTPConnection(process.stdout.readline().strip().removeprefix("http://"), timeout=30)
        for body in (b"{}", iter([b"{}", b"{}\n"])):
            connection.request("POST", "/ingest", body=body, encode_chunked=True)
            assert json.load(connection.getresponse())["runId"] == 1
        connection.request("GET", "/stand-in")
        told = json.load(connection.getresponse())
        connection.close()
        process.stdin.close()
        assert process.wait(30) == 0
    assert told["requests"] == 2
    assert 0 < told["slowest_ms"] / 1000 <= told["busy_s"] < 30


@pytest.mark.slow
def test_the_parts_of_the_contest_measure_every_column_of_the_tables(tmp_path):
    found: set[str] = {"kept", "bytes"}  # by whoever runs them
    for part in ("cost", "end"):
        command = [sys.executable, "-m", "benchmarks.peers.contest", part, "deque floor", str(tmp_path), "1"]
        subprocess.run([*command, str(tmp_path / part)], cwd=ROOT, check=True, timeout=120)
        found |= set(json.loads((tmp_path / part).read_text("utf-8")))
    assert {field for table in report.TABLES for field in table.columns.values()} <= found
