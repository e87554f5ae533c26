"""A run's history comes whole, in the format that is asked for, or says in words why not (docs/api.md)."""

from __future__ import annotations

import csv
import io
import json
import math
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from server.batches import BEGAN_NS, NONE, range_of
from server.process import KEY, ServerProcess
from steplog import column_format
from steplog.delivery.wire import API
from steplog.server.records.history_formats import FORMATS

RECORDS = [("loss", 0.5), NONE, ("acc", 1, 7), ("loss", math.nan), ("note", b'"a, b"'), ("acc", True), ("loss", 2.5, 9)]
ROWS = [
    {"name": "loss", "step": 0, "time": "2023-11-14T22:13:20.000000000Z", "value": 0.5},
    {"name": "loss", "step": 1, "time": "2023-11-14T22:13:20.000000003Z", "value": "NaN"},
    {"name": "loss", "step": 9, "time": "2023-11-14T22:13:20.000000006Z", "value": 2.5},
    {"name": "acc", "step": 7, "time": "2023-11-14T22:13:20.000000002Z", "value": 1},
    {"name": "acc", "step": 8, "time": "2023-11-14T22:13:20.000000005Z", "value": True},
    {"name": "note", "step": 0, "time": "2023-11-14T22:13:20.000000004Z", "value": "a, b"},
]


@pytest.fixture
def filled(server: ServerProcess, run: str) -> str:
    assert server.send(run, range_of(RECORDS)).status_code == 200
    return f"{run}history/"


def test_json_has_an_object_a_point_metric_after_metric(server, filled):
    answer = server.ask("GET", filled)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert "Accept" in answer.headers["vary"].split(", ")
    assert answer.json() == ROWS
    assert type(answer.json()[4]["value"]) is bool


def test_lines_and_csv_have_the_same_points(server, filled):
    lines = server.ask("GET", filled, headers={"Accept": "application/x-ndjson"})
    assert lines.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line) for line in lines.text.splitlines()] == ROWS
    text = server.ask("GET", filled, headers={"Accept": "text/csv"})
    assert text.headers["content-type"] == "text/csv; charset=utf-8"
    header, *rows = csv.reader(io.StringIO(text.text, newline=""))
    assert header == ["name", "step", "time", "value"]
    assert [row[:3] for row in rows] == [[row["name"], str(row["step"]), row["time"]] for row in ROWS]
    assert [row[3] for row in rows] == ["0.5", "NaN", "2.5", "1", "true", '"a, b"']


def test_columns_have_a_table_of_each_metric(server, filled):
    answer = server.ask("GET", f"{filled}?name=acc&name=loss", headers={"Accept": column_format.MEDIA_TYPE})
    assert answer.headers["content-type"] == column_format.MEDIA_TYPE
    acc, loss = column_format.decode(answer.content)
    assert [acc.about["name"], loss.about["name"]] == ["acc", "loss"]
    assert [column.type for column in acc.columns.values()] == ["i8", "i8", "json"]
    assert list(loss.columns["step"].values()) == [0, 1, 9]
    assert list(loss.columns["time"].values()) == [BEGAN_NS, BEGAN_NS + 3, BEGAN_NS + 6]
    assert str(list(loss.columns["value"].values())) == "[0.5, nan, 2.5]"


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("name=acc", [3, 4]),
        ("name=note&name=loss", [5, 0, 1, 2]),
        ("from=1&to=8", [1, 3, 4]),
        ("from=-5&to=0", [0, 5]),
        ("from_time=2023-11-14T22:13:20.000000003Z", [1, 2, 4, 5]),
        (f"from_time={BEGAN_NS + 3}&to_time={BEGAN_NS + 5}", [1, 4, 5]),
        ("to_time=2023-11-14T23:13:20%2B01:00", [0]),
        ("to_time=2023-11-14T22:13:20.0000000020-00:00", None),
        ("last=1", [2, 4, 5]),
        ("last=2&to=8&name=loss", [0, 1]),
        ("last=99&name=note", [5]),
        ("from=9&to=8", []),
        ("skip=0", range(6)),
        ("skip=1", [1, 2, 4]),
        ("name=acc&name=loss&skip=1&skip=2", [4, 2]),
        ("name=loss&last=2&skip=1", [2]),
        ("from=1&to=8&skip=1", [4]),
        ("limit=1", [0, 3, 5]),
        ("limit=99", range(6)),
        ("name=loss&skip=1&limit=1", [1]),
        ("name=acc&name=loss&skip=1&skip=0&limit=2", [4, 0, 1]),
        ("last=2&limit=1", [1, 3, 5]),
        ("from=1&to=8&limit=1", [1, 3]),
        ("arrivals=3", [0, 1, 3]),
        ("arrivals=3&last=1", [1, 3]),
        ("arrivals=99", range(6)),
        ("contains=", range(6)),
        ("contains=NAN", [1]),
        ("contains=nan&name=note", []),
        ("arrivals=0", []),
    ],
)
def test_only_what_is_asked_for_comes(server, filled, query, rows):
    answer = server.ask("GET", f"{filled}?{query}")
    if rows is None:
        assert (answer.status_code, list(answer.json())) == (400, ["to_time"])
    else:
        assert answer.json() == [ROWS[at] for at in rows]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=x", "from"),
        ("to=9223372036854775808", "to"),
        ("last=0", "last"),
        ("last=-1", "last"),
        ("skip=-1", "skip"),
        ("name=loss&skip=x", "skip"),
        ("name=loss&skip=1&skip=2", "skip"),
        ("skip=1&skip=2", "skip"),
        ("limit=0", "limit"),
        ("cut=0", "cut"),
        ("cut=1048577", "cut"),
        ("format=xml", "format"),
        (f"contains={'a' * 1025}", "contains"),
        ("arrivals=-1", "arrivals"),
        ("from_time=yesterday", "from_time"),
        ("from_time=2026-01-01T00:00:00", "from_time"),
        ("from_time=2026-01-01T00:00:00+01:00", "from_time"),  # a space once decoded
        ("to_time=2026-13-01T00:00:00Z", "to_time"),
        ("to_time=9223372036854775808", "to_time"),
        ("to_time=0001-01-01T00:00:00%2B23:00", "to_time"),
    ],
)
def test_a_bad_parameter_is_named(server, filled, query, field):
    answer = server.ask("GET", f"{filled}?{query}")
    assert (answer.status_code, list(answer.json())) == (400, [field])
    assert len(answer.json()[field][0]) > 20


def test_a_link_names_its_format_since_it_has_no_headers(server, filled):
    browser = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    for name, media_type in zip(("json", "columns", "csv", "ndjson"), FORMATS, strict=True):
        answer = server.ask("GET", f"{filled}?format={name}", headers=browser)
        assert answer.headers["content-type"].partition(";")[0] == media_type
        assert answer.content == server.ask("GET", filled, headers={"Accept": media_type}).content


def test_a_value_that_is_too_long_is_cut_and_says_how_long_it_is(server, run):
    texts = ["é" * 30_000, "short", [1] * 10_000, {"a": "x" * 100}, 'q"' * 60, 1.5]
    records = [("text", value if isinstance(value, float) else json.dumps(value).encode()) for value in texts]
    assert server.send(run, range_of(records)).status_code == 200
    asked = f"{run}history/?name=text&cut=100"
    rows = server.ask("GET", asked).json()
    assert [row["value"] for row in rows] == [
        "é" * 100, "short", json.dumps(texts[2])[:100], json.dumps(texts[3])[:100], 'q"' * 50, 1.5,
    ]  # fmt: skip
    lines = server.ask("GET", asked, headers={"Accept": "application/x-ndjson"}).content.splitlines()
    assert [json.loads(line) for line in lines] == rows
    whole = server.ask("GET", asked.replace("&cut=100", "")).json()
    assert [row["value"] for row in whole] == texts
    assert all("bytes" not in row for row in whole)
    lengths = [len(json.dumps(text)) for text in texts]
    assert [row.get("bytes") for row in rows] == [length if length > 100 else None for length in lengths]


def test_a_broken_answer_goes_on_where_it_was_whatever_has_come_since(server, filled, run):
    """By what its header says it is of, and what has come of each metric."""
    answer = server.ask("GET", f"{filled}?last=2")
    begun, rest = answer.json()[:3], answer.json()[3:]
    assert [row["name"] for row in begun] == ["loss", "loss", "acc"]
    assert server.send(run, range_of([("loss", 0.1), ("new", 1)], len(RECORDS))).status_code == 200
    arrivals = answer.headers["Steplog-Arrivals"]
    assert arrivals == "6"
    query = f"last=2&arrivals={arrivals}&name=loss&skip=2&name=acc&skip=1&name=note&skip=0"
    again = server.ask("GET", f"{filled}?{query}")
    assert (again.json(), again.headers["Steplog-Arrivals"]) == (rest, "6")
    assert [row["value"] for row in server.ask("GET", f"{filled}?name=loss&skip=3").json()] == [0.1]


def test_a_metric_that_the_run_has_not_is_named(server, filled):
    answer = server.ask("GET", f"{filled}?name=loss&name=lss")
    assert (answer.status_code, answer.json()) == (404, {"detail": "The run has no metric 'lss'."})


def test_a_type_that_is_not_offered_answers_406_with_those_that_are(server, filled):
    answer = server.ask("GET", filled, headers={"Accept": "text/html"})
    assert answer.status_code == 406
    for media_type in FORMATS:
        assert media_type in answer.json()["detail"]


def test_head_has_the_headers_alone_and_the_errors(server, filled, run):
    answer = server.ask("HEAD", filled, headers={"Accept": "text/csv"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"].startswith("text/csv")
    assert server.ask("HEAD", f"{filled}?name=lss").status_code == 404
    assert server.ask("GET", filled, headers={"Authorization": "Api-Key wrong"}).status_code == 401
    assert server.ask("POST", filled, json={}).status_code == 405
    assert server.ask("GET", filled.rstrip("/"), allow_redirects=False).status_code == 301
    missing = run[:-2] + ("0" if run[-2] != "0" else "1")
    assert server.ask("GET", f"{missing}/history/").json() == {"detail": "Not found."}


def test_a_run_without_points_has_an_empty_history(server, run):
    assert server.ask("GET", f"{run}history/").json() == []
    assert server.ask("GET", f"{run}history/", headers={"Accept": column_format.MEDIA_TYPE}).content == b""


@pytest.mark.slow
@pytest.mark.parametrize("path", ["history/", "metrics/"])
def test_an_answer_is_broken_off_when_its_run_is_deleted(tmp_path: Path, path: str):
    """What its client does not take is not read in advance, and what it has does not look like all."""
    with ServerProcess(tmp_path) as server:
        run = server.new_run()
        for first in range(0, 600_000, 20_000):  # more than a history reads at its start
            records = [("loss", step / 7, step) for step in range(first, first + 20_000)]
            assert server.send(run, range_of(records, first)).status_code == 200
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            client.connect((urlsplit(server.url).hostname, urlsplit(server.url).port))
            host = urlsplit(server.url).netloc
            client.sendall(
                f"GET {API}{run}{path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Api-Key {KEY}\r\n\r\n".encode()
            )
            assert client.recv(12) == b"HTTP/1.1 200"
            assert server.ask("DELETE", f"{run}?now=1").status_code == 204
            received = b""
            try:
                while piece := client.recv(1 << 20):
                    received = (received + piece)[-1000:]
            except ConnectionResetError:
                pass
        assert not received.endswith(b"0\r\n\r\n")
        assert server.ask("GET", "/verify-api-key/").status_code == 200
        code, errors = server.end()
    assert code == 0
    assert errors.count("\n") == 1
    assert f"{run}{path} was broken off: the run does not exist" in errors
