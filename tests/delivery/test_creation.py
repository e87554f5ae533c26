"""A run that was begun without its server is made there, once."""

from __future__ import annotations

import random

import pytest
from msgspec import structs

from delivery.parts import Book, Line
from steplog.delivery.creation import Creation
from steplog.delivery.options import DeliveryOptions
from steplog.delivery.outbox import Outbox
from steplog.delivery.sender import InFlight, Sender
from steplog.delivery.tickets import RunAddress
from steplog.delivery.wire import ACCOUNT_PATH, LIST_BYTES_MAX
from steplog.journal.manifest import Plan
from steplog.testing.memory_server import Fault

HOUR = 3600.0


class Unmade(Line):
    """A run with three records that its server does not know yet."""

    def __init__(self, batch: bool = True, namespace: str = "me", name: str | None = None) -> None:
        self.plan = Plan(local_id="ab" * 16, namespace=namespace, project="new", project_name="new", name=name)
        super().__init__(Book().write(3), batch=batch, knows=False)
        del self.server.runs[self.run.uuid]
        self.server.requests.clear()

    def opened(self, **more) -> Outbox:
        made = Outbox(
            RunAddress(self.plan.namespace, "new", ""),
            self.quarantine.positions,
            DeliveryOptions(0.5, 1),
            random.Random(2),
            creation=Creation(self.plan),
        )
        for book in self.books:
            made.add(book.journal)
        self.sender = Sender(random.Random(1))
        self.sender.add(self.now, made, self.server)
        return made

    def next(self, lane: int = 0) -> InFlight | float | None:
        stored = self.stored
        found = super().next(lane)
        if self.stored > stored:
            self.plan = structs.replace(self.plan, creating=True)
        return found

    def arrived(self) -> list[list[float]]:
        """The records of each run that there is."""
        return [[row.value for row in run.rows] for run in self.server.runs.values()]


def following(line: Line) -> InFlight:
    """The exchange that comes next."""
    for _ in range(100):
        if isinstance(due := line.next(), InFlight):
            return due
        line.now += 0.5
    raise AssertionError("nothing is due")


@pytest.mark.parametrize("batch", [True, False])
@pytest.mark.parametrize("namespace", ["me", ""])
def test_the_project_and_the_run_are_made_before_the_records_are_sent(batch, namespace):
    line = Unmade(batch, namespace)
    line.deliver()
    assert line.arrived() == [[1.0, 2.0, 3.0]]
    assert ("me", "new") in line.server.projects
    assert line.outbox.address.namespace == "me"
    assert line.outbox.address.run in line.server.runs


def test_a_project_that_somebody_else_has_made_meanwhile_is_no_refusal():
    line = Unmade()
    taken = Fault(400, b'{"display_name": ["A project with this name already exists."]}')
    line.server.script = lambda request: (
        taken if (request.method, request.path[-10:]) == ("POST", "/projects/") else None
    )
    due = following(line)
    line.answer(due, line.exchange(due))  # it is not there
    due = following(line)
    line.server.projects["me", "new"] = "new"
    line.answer(due, line.exchange(due))
    assert line.outbox.trouble is None
    line.deliver()
    assert line.arrived() == [[1.0, 2.0, 3.0]]


@pytest.mark.parametrize("batch", [True, False])
def test_whichever_answer_is_lost_there_is_one_run(batch):
    for lost in range(7):
        line = Unmade(batch)
        answers = [None] * lost + [Fault.lost(), Fault.lost()]
        line.server.script = lambda request, answers=answers: answers.pop(0) if answers else None
        line.deliver()
        assert len(line.server.runs) == 1


@pytest.mark.parametrize("batch", [True, False])
@pytest.mark.parametrize("namespace", ["me", ""])
def test_a_death_between_a_request_and_its_answer_makes_no_second_run(batch, namespace):
    """On a stock server it did: the next agent began with another POST."""
    for dies_at in range(4):
        line = Unmade(batch, namespace)
        for _ in range(dies_at):
            due = following(line)
            line.answer(due, line.exchange(due))
        line.exchange(following(line))
        line.again()
        line.deliver()
        assert len(line.server.runs) == 1
        assert {value for values in line.arrived() for value in values} == {1.0, 2.0, 3.0}


def test_that_a_run_is_about_to_be_made_is_written_down_before_the_request_leaves():
    line = Unmade()
    while not (due := following(line)).request.path.endswith("/runs/"):
        assert not line.plan.creating
        line.answer(due, line.exchange(due))
    assert line.plan.creating


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 413, 415, 422, 429, 500, 503, 302, 200])
@pytest.mark.parametrize("namespace", ["me", ""])
def test_a_server_that_refuses_for_an_hour_is_asked_seldom_and_then_has_the_run(status, namespace):
    line = Unmade(namespace=namespace)
    line.server.script = lambda request: Fault(status, b'"no"') if line.now < 1000 + HOUR else None
    line.deliver(2 * HOUR)
    assert line.arrived() == [[1.0, 2.0, 3.0]]
    assert len(line.sent) < 300


STEPS = {
    "account": lambda request: request.path == ACCOUNT_PATH,
    "project": lambda request: request.method == "GET" and request.path.endswith("/projects/new/"),
    "make project": lambda request: request.method == "POST" and request.path.endswith("/projects/"),
    "run": lambda request: request.method == "POST" and request.path.endswith("/runs/"),
    "list": lambda request: request.method == "GET" and request.path.endswith("/runs/"),
}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 413, 415, 422, 429, 500, 503, 302, 200])
@pytest.mark.parametrize("step", STEPS)
def test_whichever_step_a_server_refuses_it_is_said_what_keeps_the_run(step, status):
    """Of a 413, a 415, and a refusal of the account or the list, nothing was: ``steplog sync`` waited for ever."""
    line = Unmade(batch=step != "list", namespace="" if step == "account" else "me")
    is_servers = status >= 400 and step != "project"  # whose 404 is that there is no project yet
    body = b'{"detail": "no"}' if is_servers else b"no"
    lost = [Fault.lost()] if step == "list" else []

    def script(request):
        if request.path.endswith("/runs/") and request.method == "POST" and lost:
            return lost.pop()
        return Fault(status, body) if STEPS[step](request) else None

    line.server.script = script
    line.deliver(60)
    assert line.sender.trouble(line.outbox) is not None
    line.server.script = lambda request: None
    line.deliver(2 * HOUR)
    assert line.arrived() == [[1.0, 2.0, 3.0]]
    assert line.sender.trouble(line.outbox) is None


def test_a_list_of_runs_without_end_makes_no_second_run_on_a_stock_server():
    line = Unmade(batch=False)
    lost = [Fault.lost()]

    def script(request):
        if not request.path.endswith("/runs/"):
            return None
        if request.method == "POST":
            return lost.pop() if lost else None
        return Fault(200, b"[" * LIST_BYTES_MAX)

    line.server.script = script
    line.deliver(HOUR)
    assert len(line.server.runs) == 1
    assert line.outbox.trouble == "the server's list of runs is longer than 16 MiB"
    assert len(line.sent) < 300
