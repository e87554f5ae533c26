"""Who ends a run has the server asked once, at once, whatever was decided before; on a clock of its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from delivery.parts import Book, Line
from delivery.test_creation import Unmade, following
from steplog.delivery.sender import InFlight
from steplog.delivery.waiter import Waiter
from steplog.testing.memory_server import Fault

LATER = {"retry-after": "1000000000"}
DETAIL = b'{"detail": "Not found."}'
DECIDED: dict[str, Callable[[Line], Fault]] = {  # what the server answers until it is well again
    "no answer": lambda line: Fault.refused(),
    "503 for eleven days": lambda line: Fault(503, b"later", LATER),
    "429 for eleven days": lambda line: Fault(429, b"later", LATER),
    "500": lambda line: Fault(500, b"oops"),
    "400 to everything": lambda line: Fault(400, b"bad"),
    "401": lambda line: Fault(401, b"who"),
    "403": lambda line: Fault(403, b"no", LATER),
    "404 in HTML": lambda line: Fault(404, b"<html>default backend - 404</html>"),
    "404 as of a run that is gone": lambda line: Fault(404, DETAIL),
    "302": lambda line: Fault(302, b"", {"location": "/login", **LATER}),
    "200 with a page": lambda line: Fault(200, b"<html>please log in</html>", LATER),
}


def ends(line: Line, status: str = "COMPLETED") -> list[float]:
    """What ``finish`` does to the outbox; when it was let go."""
    let_go: list[float] = []
    line.outbox.end_with(status)
    line.outbox.wait(Waiter(lambda: let_go.append(line.now), status=True, afresh=True))
    line.outbox.release_waiters()
    return let_go


def stay(line: Line, seconds: float) -> None:
    """Let time pass up to this, and not beyond."""
    end = line.now + seconds
    while line.now < end:
        dues = [line.step(lane) or line.next(lane) for lane in range(line.lanes)]
        if True not in dues:
            line.now = min([end, *(max(due, line.now) for due in dues if isinstance(due, float))])


@pytest.mark.parametrize("batch", [True, False], ids=["batch", "stock"])
@pytest.mark.parametrize("decided", DECIDED)
def test_finish_asks_at_once_and_all_arrives_whatever_was_decided_before(batch, decided):
    """A 429 that asked for eleven days, or a 404 of an ingress, and finish() asked nothing."""
    line = Line(Book().write(3), batch=batch)
    line.deliver(1)
    line.books[0].write(3)
    line.server.script = lambda request: DECIDED[decided](line)
    stay(line, 1000)
    line.server.script = lambda request: None
    begun = line.now
    let_go = ends(line)
    stay(line, 0.2)
    assert line.values() == [1, 2, 3, 4, 5, 6]
    assert line.run.statuses == ["COMPLETED"]
    assert let_go
    assert let_go[0] < begun + 0.2


@pytest.mark.parametrize("decided", DECIDED)
def test_finish_asks_once_and_keeps_to_what_comes_of_that(decided):
    """A flush or finish in a loop is no way around what the server asks for."""
    line = Line(Book().write(3))
    line.server.script = lambda request: DECIDED[decided](line)
    stay(line, 1000)
    sent = len(line.sent)
    ends(line)
    line.step()
    asked = {flight.request.path for _, flight, _ in line.sent[sent:]}
    assert len(asked) == 1
    stay(line, 0.9)
    assert len(line.sent) - sent <= 3  # the questions of the probe, and that is all


def test_flush_keeps_to_what_was_decided():
    line = Line(Book().write(3))
    line.server.script = lambda request: Fault(429, b"later", LATER)
    stay(line, 10)
    sent = len(line.sent)
    line.outbox.wait(Waiter(lambda: None))
    stay(line, 1000)
    assert len(line.sent) == sent


def test_an_answer_to_what_was_asked_before_is_not_the_attempt():
    line = Line(Book().write(3))
    flight = following(line)
    let_go = ends(line)
    line.now += 1
    line.answer(flight, "timed out")
    assert let_go == []
    stay(line, 0.1)
    assert line.run.statuses == ["COMPLETED"]


def test_who_ends_a_run_that_is_gone_is_let_go_once_the_server_has_said_so_again():
    line = Line(Book().write(3))
    del line.server.runs[line.run.uuid]
    stay(line, 2000)
    assert line.outbox.gone
    sent = len(line.sent)
    let_go = ends(line)
    assert let_go == []
    stay(line, 0.2)
    assert (len(let_go), len(line.sent) - sent, line.outbox.gone) == (1, 2, True)


def test_while_another_request_tries_a_server_that_was_down_finish_comes_next():
    line = Line(Book().write(3))
    other = line.another(Book(1).write(1))
    line.server.script = lambda request: Fault.refused()
    stay(line, 100)
    while not isinstance(trial := line.next(), InFlight) or trial.outbox is not other:
        if isinstance(trial, InFlight):
            line.answer(trial, "connection refused")
        line.now += 1
    let_go = ends(line)
    assert line.next() is None
    line.answer(trial, "connection refused")
    assert let_go == []
    line.server.script = lambda request: None
    stay(line, 0.2)
    assert line.run.statuses == ["COMPLETED"]


@pytest.mark.parametrize("batch", [True, False], ids=["batch", "stock"])
@pytest.mark.parametrize("decided", DECIDED)
def test_finish_has_a_run_made_whose_making_was_put_off(batch, decided):
    line = Unmade(batch)
    line.server.script = lambda request: DECIDED[decided](line)
    stay(line, 1000)
    line.server.script = lambda request: None
    ends(line)
    stay(line, 0.3)
    assert line.arrived() == [[1.0, 2.0, 3.0]]
    assert [run.statuses for run in line.server.runs.values()] == [["COMPLETED"]]


@pytest.mark.parametrize("body", [b"<html>default backend - 404</html>", b"{}", b""], ids=ascii)
def test_a_404_of_a_proxy_makes_no_project(body):
    """To ask a proxy for a project made another one of that name once the server was there again."""
    line = Unmade()
    line.server.projects["me", "new"] = "new"
    line.server.script = lambda request: Fault(404, body) if line.now < 1003 else None
    line.deliver(60)
    assert line.arrived() == [[1.0, 2.0, 3.0]]
    assert not [
        1 for _, flight, _ in line.sent if (flight.request.method, flight.request.path[-10:]) == ("POST", "/projects/")
    ]
