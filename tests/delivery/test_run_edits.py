"""Edits of a run, records of steplog's own, on their way to servers that take them and to servers that do not."""

from __future__ import annotations

import logging
import random
from typing import Any

import msgspec
import pytest

from delivery.parts import Book, Line
from steplog.delivery.deferred_log import deferred_log
from steplog.delivery.exchange import Request
from steplog.journal import range as ranges
from steplog.testing.memory_server import Fault


def book(*entries: tuple[str, Any]) -> Book:
    made = Book()
    for name, value in entries:
        made.writer.append.log(name, value)
    return made


def takes_names(line: Line) -> list[dict[str, Any]]:
    """Have the server rename its run by PATCH, which it answers as Django REST framework does; the requests."""
    asked: list[dict[str, Any]] = []

    def patched(request: Request) -> Fault | None:
        fields = msgspec.json.decode(request.body) if request.method == "PATCH" else {}
        if not {"name", "description"} & fields.keys():
            return None
        asked.append(fields)
        line.run.name = fields.get("name", line.run.name)
        told = {"uuid": line.run.uuid, "name": line.run.name, "status": "RUNNING", **fields}
        return Fault(200, msgspec.json.encode(told), {"content-type": "application/json"})

    line.server.script = patched
    return asked


def counted(line: Line) -> tuple[int, int, int]:
    """Delivered, pending and abandoned values."""
    cursors = [each.journal.cursor for each in line.books]
    abandoned = sum(cursor.abandoned for cursor in cursors)
    return sum(cursor.records for cursor in cursors), line.outbox.pending(), abandoned


EDITS = (
    ("loss", 1.0),
    ("steplog/run", {"tags": ["a"], "started": "2026-01-01T00:00:00Z"}),
    ("loss", 2.0),
    ("steplog/run", {"name": "better", "notes": "n"}),
    ("steplog/status", {"status": "COMPLETED"}),
    ("loss", 3.0),
    ("steplog/run", {"description": "text"}),
)


def test_with_the_feature_edits_go_as_records_and_no_count_has_them():
    line = Line(book(*EDITS))
    line.outbox.probe.features = frozenset({"run"})
    assert counted(line) == (0, 3, 0)
    line.deliver()
    run = line.server.runs[line.run.uuid]
    assert [row.value for row in run.rows] == [1.0, 2.0, 3.0]
    assert {name: run.fields[name] for name in ("tags", "name", "notes", "description")} == {
        "tags": ["a"],
        "name": "better",
        "notes": "n",
        "description": "text",
    }
    assert line.outbox.edits.name == "better"
    assert [request.method for request, _ in line.server.requests] == ["POST"]
    assert counted(line) == (3, 0, 0)


@pytest.mark.parametrize("batch", [True, False], ids=["batches", "stock"])
def test_without_the_feature_only_name_and_description_are_sent_by_patch(batch: bool):
    line = Line(book(*EDITS), batch=batch)
    asked = takes_names(line)
    line.deliver()
    assert [(row.name, row.value) for row in line.server.runs[line.run.uuid].rows] == [
        ("loss", 1.0),
        ("loss", 2.0),
        ("loss", 3.0),
    ]
    assert asked == [{"name": "better"}, {"description": "text"}]
    assert counted(line) == (3, 0, 0)
    assert line.outbox.idle()
    assert line.outbox.edits.name == "better"
    assert line.set_aside() == []


def test_a_name_goes_when_its_turn_comes_and_after_what_was_logged_before():
    line = Line(book(*EDITS))
    takes_names(line)
    line.deliver()
    kinds = [(request.method, _span(request)) for request, _ in line.server.requests]
    assert kinds == [("POST", (0, 3)), ("PATCH", None), ("POST", (3, 6)), ("PATCH", None), ("POST", (6, 7))]


def _span(request: Request) -> tuple[int, int] | None:
    if request.method == "PATCH":
        return None
    batch = ranges.decode(request.body)
    return batch.first, batch.end


@pytest.mark.parametrize("batch", [True, False], ids=["batches", "stock"])
def test_a_refused_name_holds_nothing_back_and_is_said_once(batch: bool, caplog: pytest.LogCaptureFixture):
    line = Line(book(("steplog/run", {"name": "a"}), ("loss", 1.0), ("steplog/run", {"name": "b"})), batch=batch)
    line.server.script = lambda request: Fault(400, b'{"detail": "no"}') if request.method == "PATCH" else None
    line.deliver()
    with caplog.at_level(logging.WARNING, "steplog"):
        deferred_log.tell()
    assert line.values() == [1.0]
    assert counted(line) == (1, 0, 0)
    assert line.set_aside() == []
    assert [r.getMessage() for r in caplog.records if "name or description" in r.getMessage()] == [
        'steplog: the server does not take a name or description of the run: 400 {"detail": "no"}'
    ]


@pytest.mark.parametrize("batch", [True, False], ids=["batches", "stock"])
def test_what_a_server_does_not_keep_or_ignores_is_said_once(batch: bool, caplog: pytest.LogCaptureFixture):
    edits = [{"tags": ["a"], "job_type": "eval"}, {"name": "b"}, {"tags": ["c"]}, {"name": "c"}]
    line = Line(book(*(("steplog/run", edit) for edit in edits)), batch=batch)
    line.deliver()
    with caplog.at_level(logging.WARNING, "steplog"):
        deferred_log.tell()
    assert [record.getMessage() for record in caplog.records] == [
        "steplog: this server keeps no tags, job type of a run.",
        "steplog: this server does not change the name of a run.",
    ]
    assert line.outbox.edits.name == line.run.name


@pytest.mark.parametrize("batch", [True, False], ids=["batches", "stock"])
def test_a_name_whose_answer_was_lost_goes_again_also_from_another_agent(batch: bool):
    line = Line(book(("loss", 1.0), ("steplog/run", {"name": "a"}), ("loss", 2.0)), batch=batch)
    asked = takes_names(line)
    while not asked:
        line.step() or setattr(line, "now", line.now + 0.1)
    line.again()
    line.outbox.knows(batch)
    line.deliver()
    assert asked[-1] == {"name": "a"}
    assert line.values() == [1.0, 2.0]
    assert counted(line) == (2, 0, 0)


def test_the_answer_to_a_range_with_an_edit_tells_what_the_run_is_called_now():
    line = Line(book(("steplog/run", {"name": "a"})))
    line.outbox.probe.features = frozenset({"run"})
    carry_out = line.server.exchange

    def exchange(request: Request, timeout_s: float) -> Any:
        answer = carry_out(request, timeout_s)
        if request.path.endswith("/batch/"):
            told = msgspec.json.decode(answer.body) | {"run": {"name": "a_1", "slug": "a-1"}}
            return type(answer)(answer.status, msgspec.json.encode(told), answer.headers)
        return answer

    line.server.exchange = exchange  # type: ignore[method-assign]
    line.deliver()
    assert line.outbox.edits.name == "a_1"


@pytest.mark.parametrize("batch", [True, False], ids=["batches", "stock"])
@pytest.mark.parametrize("seed", range(60))
def test_whatever_goes_wrong_values_arrive_names_come_in_order_and_counts_are_exact(batch: bool, seed: int):
    source = random.Random(seed)
    entries = [_any_entry(source, number) for number in range(source.randrange(1, 60))]
    line = Line(book(*entries), batch=batch, lanes=source.randrange(1, 4))
    asked, patched = takes_names(line), line.server.script

    def goes_wrong(request: Request) -> Fault | None:
        if source.random() < 0.25:
            found = source.choice((Fault.refused(), Fault.lost(), Fault(503), Fault(500), Fault(429)))
            return patched(request) and Fault.refused() if found.stored else found
        return patched(request)

    line.server.script = goes_wrong
    for _ in range(400):
        line.step(source.randrange(line.lanes)) or setattr(line, "now", line.now + source.random())
        if source.random() < 0.05:
            line.again()
            line.outbox.knows(batch)
    line.server.script = patched
    line.deliver()
    values = [value for name, value in entries if name == "loss"]
    names = [value["name"] for name, value in entries if name == "steplog/run" and "name" in value]
    arrived = [row.value for row in line.server.runs[line.run.uuid].rows]
    assert list(dict.fromkeys(arrived)) == values
    assert list(dict.fromkeys(fields["name"] for fields in asked)) == names
    assert [fields["name"] for fields in asked][-1:] == names[-1:]
    assert counted(line) == (len(values), 0, 0)
    assert line.set_aside() == []


def _any_entry(source: random.Random, number: int) -> tuple[str, Any]:
    kind = source.randrange(6)
    if kind > 1:
        return "loss", float(number)
    fields = {"name": f"run {number}"} if kind else {"tags": [str(number)]}
    return ("steplog/run", fields) if source.random() < 0.9 else ("steplog/status", fields)
