"""What a run goes through while its server refuses: when it begins, when its key changes, among many others.

Each in a process of its own, against a server in memory behind a socket.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

import steplog
from apart import apart
from end_to_end.fake import FakeServer
from polling import wait_until
from steplog.network import keys
from steplog.secret import Secret
from steplog.testing.memory_server import Fault

DEADLINE_S = 30.0
INGRESS = b"<html>default backend - 404</html>"
DATE = "Thu, 01 Jan 2026 00:00:00 GMT"
PORTAL = b"<html>Please log in to this network</html>"


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize(
    "fault",
    [
        *(Fault(408), Fault(429, headers={"retry-after": "1"}), Fault(500), Fault(503)),
        *(Fault(200, PORTAL), Fault(404, INGRESS), Fault(410, INGRESS)),
    ],
    ids=str,
)
@apart
def test_a_server_that_is_in_trouble_when_a_run_begins_gets_it_a_little_later(
    monkeypatch: pytest.MonkeyPatch, fault: Fault, at: int
):
    """An answer of 503 or 429 ended the program: it counted as a refusal."""
    server = FakeServer()
    server.configure(monkeypatch)
    answers = [None] * at + [fault]
    server.memory.script = lambda request: answers.pop(0) if answers else None
    run = steplog.init("me", "demo")
    run.log("loss", 0.5)
    report = run.finish(timeout=DEADLINE_S)
    assert (report.delivered, report.pending) == (1, 0)
    (there,) = server.memory.runs.values()
    assert ([row.value for row in there.rows], there.status) == ([0.5], "COMPLETED")


STAY_AWAY = {
    "429 for thirty years": Fault(429, b"later", {"retry-after": "1000000000"}),
    "503 until 2199": Fault(503, b"", {"retry-after": "Tue, 31 Dec 2199 23:59:59 GMT", "date": DATE}),
    "a run that is gone": Fault(404, b'{"detail": "Not found."}'),
}


@pytest.mark.parametrize("said", STAY_AWAY)
@apart
def test_finish_asks_though_the_server_had_said_to_stay_away(monkeypatch: pytest.MonkeyPatch, said: str):
    """A proxy asked for thirty years, and finish() waited for its deadline without a request."""
    server = FakeServer()
    server.configure(monkeypatch)
    run = steplog.init("me", "demo")
    run.log("loss", 0.5)
    assert run.flush(DEADLINE_S)
    server.memory.script = lambda request: STAY_AWAY[said]
    asked = len(server.memory.requests)
    run.log("loss", 0.25)
    run.flush(0.5)
    wait_until(lambda: len(server.memory.requests) > asked)
    server.memory.script = lambda request: None
    report = run.finish(timeout=DEADLINE_S)
    assert (report.delivered, report.pending) == (2, 0)
    (there,) = server.memory.runs.values()
    assert there.status == "COMPLETED"


@apart
def test_so_does_the_finish_of_a_child_which_does_not_deliver(monkeypatch: pytest.MonkeyPatch):
    server = FakeServer()
    server.configure(monkeypatch)
    run = steplog.init("me", "demo")
    server.memory.script = lambda request: STAY_AWAY["429 for thirty years"]
    run.log("loss", 0.5)
    wait_until(lambda: run.stats().last_error is not None)
    server.memory.script = lambda request: None
    pid = os.fork()
    if pid == 0:
        run.log("child", 0.25)
        run.finish(timeout=DEADLINE_S)
        os._exit(0)
    os.waitpid(pid, 0)
    (there,) = server.memory.runs.values()
    assert {row.value for row in there.rows} == {0.5, 0.25}


@apart
def test_an_answer_to_the_making_of_a_run_that_is_none_makes_no_second_run(monkeypatch: pytest.MonkeyPatch):
    server = FakeServer()
    server.configure(monkeypatch)
    lost = [Fault(201, PORTAL, stored=True)]
    server.memory.script = lambda request: lost.pop() if lost and request.path.endswith("/runs/") else None
    run = steplog.init("me", "demo")
    run.log("loss", 0.5)
    assert run.finish(timeout=DEADLINE_S).pending == 0
    assert len(server.memory.runs) == 1


@pytest.mark.slow
@pytest.mark.parametrize("way", ["the environment", "the key file"])
@apart
def test_a_key_that_was_changed_is_found_by_the_agent_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, way: str):
    monkeypatch.setenv("STEPLOG_DIR", str(tmp_path))
    server = FakeServer()
    server.configure(monkeypatch)
    path = keys.key_path(tmp_path)
    if way == "the key file":
        monkeypatch.delenv("STEPLOG_API_KEY")
        keys.store_key(path, server.url, Secret("key"))
    run = steplog.init("me", "demo")
    run.log("loss", 0.5)
    assert run.flush(DEADLINE_S)
    server.accepts("new-key")
    run.log("loss", 1.5)
    wait_until(lambda: run.stats().last_error is not None)
    assert run.stats().pending == 1
    if way == "the key file":
        keys.store_key(path, server.url, Secret("new-key"))
    else:
        monkeypatch.setenv("STEPLOG_API_KEY", "new-key")
    assert run.finish(timeout=DEADLINE_S).delivered == 2


@pytest.mark.slow
@apart
def test_of_three_hundred_runs_of_one_agent_those_in_trouble_hold_back_no_other(
    monkeypatch: pytest.MonkeyPatch,
):
    server = FakeServer()
    server.configure(monkeypatch)
    runs = [steplog.init("me", "demo", name=f"r{number}", activate=False) for number in range(300)]
    refused, limited = runs[0].uuid or "", runs[1].uuid or ""
    faults = {refused: Fault(403), limited: Fault(429, headers={"retry-after": "3600"})}
    server.memory.script = lambda request: next((faults[uuid] for uuid in faults if uuid in request.path), None)
    for number, run in enumerate(runs):
        run.log("loss", float(number))
    threads = [thread.name for thread in threading.enumerate() if thread.name.startswith("steplog")]
    threads = [name for name in threads if name != "steplog-provenance"]  # gone when it has looked around
    assert sorted(threads) == ["steplog-maintenance", "steplog-sender", "steplog-system"]
    for run in runs[2:]:
        report = run.finish(timeout=DEADLINE_S)
        assert (report.delivered, report.pending) == (1, 0)
    for run in runs[:2]:
        assert run.stats().pending == 1
        assert sum((run.uuid or "?") in request.path for request, _ in server.memory.requests) <= 6
    values = [[row.value for row in there.rows if row.name == "loss"] for there in server.memory.runs.values()]
    assert sorted(values) == [[], [], *([float(number)] for number in range(2, 300))]
