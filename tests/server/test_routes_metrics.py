"""Metrics go in singly or in batches and come back unchanged (docs/api.md)."""

from __future__ import annotations

import json
import math
import random
import zlib
from types import SimpleNamespace

import msgspec
import pytest

from server.batches import BEGAN_NS, NONE, held, range_of
from server.process import BATCH_HEADERS
from steplog.delivery import wire
from steplog.journal.range import encode
from steplog.server.protocol import _LingeringTransport

VALUES = [
    0.1,
    1e-320,
    -0.0,
    2**62,
    -(2**63),
    2**100,
    True,
    False,
    None,
    "text",
    "NaN",
    "Infinity",
    [1, [None]],
    {"a": {}},
]


def test_any_json_value_comes_back_as_it_was(server, run):
    for value in VALUES:
        answer = server.ask("POST", f"{run}metrics/", json={"name": "m", "value": value})
        assert answer.status_code == 201
        assert answer.json()["value"] == value
    listed = server.ask("GET", f"{run}metrics/").json()
    assert listed == [{"name": "m", "value": value, "step": step} for step, value in enumerate(VALUES)]
    assert [type(entry["value"]) for entry in listed] == [type(value) for value in VALUES]
    assert math.copysign(1, listed[2]["value"]) == -1


def test_a_range_of_many_names_comes_back_as_it_was_and_steps_continue(server, run):
    records = [(f"m{number}", number + 0.5, step) for step in range(3) for number in range(300)]
    body = encode(range_of(records))
    for accepted in (900, 0):
        answer = server.ask("POST", f"{run}metrics/batch/", data=body, headers=BATCH_HEADERS)
        assert (answer.status_code, answer.json()["accepted"]) == (200, accepted)
    assert server.ask("POST", f"{run}metrics/", json={"name": "m7", "value": 1}).json()["step"] == 3
    assert server.ask("GET", f"{run}metrics/").json() == [*held(records), {"name": "m7", "value": 1, "step": 3}]


def test_the_server_numbers_steps_by_name_from_zero(server, run):
    names = ["a", "b", "a", "a", "b"]
    for name in names:
        server.ask("POST", f"{run}metrics/", json={"name": name, "value": 1})
    server.ask("POST", f"{run}metrics/", json={"name": "a", "value": 1, "step": 10})
    assert server.ask("POST", f"{run}metrics/", json={"name": "a", "value": 1, "step": None}).json()["step"] == 11
    listed = server.ask("GET", f"{run}metrics/").json()
    assert [(entry["name"], entry["step"]) for entry in listed[:5]] == [
        ("a", 0),
        ("b", 0),
        ("a", 1),
        ("a", 2),
        ("b", 1),
    ]


def test_the_next_step_is_above_the_largest_and_not_above_the_last(server, run):
    for step in (100, 5):
        server.ask("POST", f"{run}metrics/", json={"name": "one by one", "value": 1, "step": step})
    assert server.ask("POST", f"{run}metrics/", json={"name": "one by one", "value": 1}).json()["step"] == 101
    server.send(run, range_of([("in a batch", 1.0, 100), ("in a batch", 2.0, 5), ("in a batch", 3.0)]))
    server.send(run, range_of([("in a batch", 4.0, 7)], first=3))
    server.send(run, range_of([("in a batch", 5.0)], first=4))
    listed = server.ask("GET", f"{run}metrics/").json()
    assert [row["step"] for row in listed if row["name"] == "in a batch"] == [100, 5, 101, 7, 102]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"name", "value"}),
        ({"name": "", "value": 1}, {"name"}),
        ({"name": None, "value": 1}, {"name"}),
        ({"name": "é" * 129, "value": 1}, {"name"}),
        ({"name": "a", "value": 1, "step": "x"}, {"step"}),
        ({"name": "a", "value": 1, "step": 1.5}, {"step"}),
        ({"name": "a", "value": 1, "step": True}, {"step"}),
        ({"name": "a", "value": 1, "step": 2**63}, {"step"}),
        ({"name": "a", "value": 1, "step": -(2**63)}, {"step"}),
    ],
)
def test_a_bad_metric_is_refused_field_by_field(server, run, body, fields):
    answer = server.ask("POST", f"{run}metrics/", json=body)
    assert (answer.status_code, set(answer.json())) == (400, fields)
    assert server.ask("GET", f"{run}metrics/").json() == []


def test_a_batch_is_acknowledged_with_its_range_and_stored(server, run):
    records = [("a", 0.5), ("b", math.nan, 7), NONE, ("c", b'{"k": [1]}'), ("a", math.inf), ("d", True), ("e", 2**62)]
    answer = server.send(run, range_of(records, writer="w-1"))
    assert answer.status_code == 200
    assert answer.json() == {"writer": "w-1", "first": 0, "end": 7, "accepted": 6, "duplicates": 0}
    assert wire.acknowledges(answer.content, "w-1", 0, 7)
    assert server.send(run, range_of(records, writer="w-1")).json()["duplicates"] == 6
    records[3] = ("c", {"k": [1]})
    assert server.ask("GET", f"{run}metrics/").json() == held(records)


def test_a_batch_split_merged_overlapping_or_early_is_stored_once(server, run):
    records = [(f"m{at % 3}", float(at)) for at in range(100)]
    for first, end in [(0, 10), (5, 20), (0, 20), (20, 21), (3, 60)]:
        assert server.send(run, range_of(records[first:end], first=first)).status_code == 200
    early = server.send(run, range_of(records[61:], first=61))
    assert (early.status_code, early.json()) == (409, {"mark": 60})
    assert server.send(run, range_of(records)).json()["accepted"] == 40
    assert server.ask("GET", f"{run}metrics/").json() == held(records)


def test_a_batch_with_one_bad_record_is_refused_whole_with_the_reason(server, run):
    answer = server.send(run, range_of([("a", 1.0), ("b", b"[1,"), ("c", 2.0)]))
    assert answer.status_code == 400
    assert "record 1" in answer.json()["detail"]
    assert server.ask("GET", f"{run}metrics/").json() == []
    assert server.send(run, range_of([("a", 1.0)])).json()["accepted"] == 1


def test_a_batch_in_a_small_body_that_inflates_to_much_is_stored_as_any_other(server, run):
    """A body of a few KiB is checked at once, unless that would hold up others."""
    zeros = range_of([("text", json.dumps("0" * 900_000).encode())])
    assert len(encode(zeros)) < 8 * 1024 < len(zeros.payloads)
    assert server.send(run, zeros).json()["accepted"] == 1
    assert server.ask("GET", f"{run}metrics/").json()[0]["value"] == "0" * 900_000
    damaged = server.ask("POST", f"{run}metrics/batch/", data=b"\0" * 100, headers=BATCH_HEADERS)
    assert (damaged.status_code, damaged.json()["detail"]) == (
        400,
        "not deflated: Error -3 while decompressing data: unknown compression method",
    )


def test_a_known_run_is_404_once_deleted_and_there_again_once_restored(server, run):
    assert server.send(run, range_of([("a", 1)])).status_code == 200
    assert server.send(run.replace("/mnist/", "/other/"), range_of([("a", 1)])).status_code == 404
    server.ask("DELETE", run)
    assert server.send(run, range_of([("a", 2)], first=1)).status_code == 404
    server.ask("POST", f"{run}restore/")
    assert server.send(run, range_of([("a", 2)], first=1)).json()["accepted"] == 1


def test_an_answer_is_written_at_once_head_and_body():
    written, connection = [], SimpleNamespace(lingering=False)
    transport = _LingeringTransport(SimpleNamespace(write=written.append), connection)
    transport.held = True
    transport.write(b"head ")
    assert written == []
    transport.held = False
    for part in (b"body ", b"more"):
        transport.write(part)
    assert written == [b"head body ", b"more"]


def test_an_unknown_version_or_encoding_answers_415_with_what_is_known(server, run):
    path, batch = f"{run}metrics/batch/", range_of([("a", 1.0)])
    body = encode(batch)
    newer = zlib.compress(msgspec.msgpack.encode({"v": 2, "new": True}))
    plain = {"Content-Type": BATCH_HEADERS["Content-Type"]}
    for data, headers in [
        (newer, BATCH_HEADERS),
        (body, plain | {"Content-Encoding": "gzip"}),
        (zlib.decompress(body), plain),
        (body, BATCH_HEADERS | {"Content-Type": "application/json"}),
    ]:
        answer = server.ask("POST", path, data=data, headers=headers)
        assert (answer.status_code, answer.json()) == (415, {"v": [1]})


def test_metrics_are_answered_in_pages_when_asked(server, run):
    records = [(f"m{random.randrange(5)}", float(at), at) for at in range(20_000)]
    for first in range(0, 20_000, 1700):
        server.send(run, range_of(records[first : first + 1700], first=first))
    listed = server.ask("GET", f"{run}metrics/").json()
    assert listed == held(records)
    pages: list[object] = []
    while page := server.ask("GET", f"{run}metrics/?limit=3333&after={len(pages)}").json():
        pages += page
    assert pages == listed
    assert server.ask("GET", f"{run}metrics/?after=19998").json() == listed[-2:]
    assert server.ask("GET", f"{run}metrics/?limit=0").status_code == 400


def test_series_sum_up_each_metric(server, run):
    long = b'"' + b"x" * 1000 + b'"'
    server.send(
        run, range_of([("a", 3.0, 5), ("a", math.nan, 6), ("b", b'"x"'), ("a", -1.5, 2), ("c", long), ("d", 7)])
    )
    rows = {row.pop("name"): row for row in server.ask("GET", f"{run}series/").json()}
    assert list(rows) == ["a", "b", "c", "d"]
    steps = {"first_step": 5, "last_step": 2, "max_step": 6}
    logged = "2023-11-14T22:13:20.000000Z"
    assert rows["a"] == steps | {"count": 3, "last": -1.5, "min": -1.5, "max": 3.0, "last_time": logged}
    steps = {"first_step": 0, "last_step": 0, "max_step": 0}
    assert rows["b"] == steps | {"count": 1, "last": "x", "min": None, "max": None, "last_time": logged}
    assert rows["c"]["last"] == "x" * 1000
    assert (rows["d"]["last"], rows["d"]["min"]) == (7, 7)


def test_the_largest_step_and_the_time_of_the_last_arrival_survive_compaction(server, run):
    """Also of steps below 0, and at the end of their range."""
    steps = [-9, -5, -7]
    for at in range(60):
        began_ns = BEGAN_NS + (60 - at) * 10**9  # arrives the later, the earlier it was logged
        server.send(run, range_of([("low", 1.0, steps[at % 3]), ("high", 1.0, 2**63 - 1 - at)], 2 * at, "w", began_ns))
    rows = {row["name"]: row for row in server.ask("GET", f"{run}series/").json()}
    assert {row["last_time"] for row in rows.values()} == {"2023-11-14T22:13:21.000000Z"}
    assert [rows["low"][field] for field in ("first_step", "last_step", "max_step")] == [-9, -7, -5]
    assert [rows["high"][field] for field in ("last_step", "max_step")] == [2**63 - 60, 2**63 - 1]


def test_a_curve_is_exact_where_it_fits_and_reduced_where_it_does_not(server, run):
    values = [random.gauss(0, 1) for _ in range(5000)]
    server.send(run, range_of([("loss/train é\n", value, step * 2) for step, value in enumerate(values)]))
    asked = {"name": "loss/train é\n", "points": 5000}
    exact = server.ask("GET", f"{run}series/", params=asked).json()
    times = [bucket.pop("time") for bucket in exact]
    assert exact == [{"step": s * 2, "min": v, "max": v, "last": v, "count": 1} for s, v in enumerate(values)]
    assert times == sorted(times)
    assert times[-1] == "2023-11-14T22:13:20.000004Z"
    asked["points"] = 100
    reduced = server.ask("GET", f"{run}series/", params=asked).json()
    assert len(reduced) <= 100
    assert sum(bucket["count"] for bucket in reduced) == 5000
    assert (min(b["min"] for b in reduced), max(b["max"] for b in reduced)) == (min(values), max(values))
    inside = server.ask("GET", f"{run}series/", params=asked | {"from": 100, "to": 120}).json()
    assert [bucket["step"] for bucket in inside] == list(range(100, 121, 2))
    assert server.ask("GET", f"{run}series/?name=nothing").status_code == 404
    assert server.ask("GET", f"{run}series/?name=x&points=0").status_code == 400
