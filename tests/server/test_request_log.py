"""The log: what it says of a request, what it never says, and that nobody waits for who reads it."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Callable, Iterator

import pytest

from polling import wait_until
from server.batches import range_of
from server.process import DEADLINE_S, KEY, ServerProcess
from steplog.delivery.wire import API
from steplog.server.log_format import configure_logging
from steplog.server.request_log import AccessLog
from steplog.server.seen_request import SeenRequest

ROUTE = f"{API}/{{namespace}}/projects/{{project}}/runs/{{run}}/metrics/batch/"
FIELDS = {
    *("time", "level", "message", "request_id", "client", "key"),
    *("method", "route", "status", "ms", "bytes_in", "bytes_out"),
}


def test_the_access_log_has_a_line_a_request_and_names_nobody(tmp_path):
    with ServerProcess(tmp_path, "--access-log", "--log-format", "json", "--user", "ann") as server:
        run = server.new_run("of-ann", "secret-project")
        sent = server.send(run, range_of([("loss", 1.0)] * 9), X_Request_Id="mine")
        server.ask("GET", f"{run}?brief=1", headers={"Authorization": "Api-Key wrong"})
        server.session.get(f"{server.url}/healthz")
        server.session.request("BREW", f"{server.url}/nowhere/secret-project")
        code, said = server.end()
    assert code == 0
    lines = [json.loads(line) for line in said.splitlines()]
    assert all(set(line) == FIELDS for line in lines)
    (batch,) = (line for line in lines if line["route"] == ROUTE)
    size = int(sent.request.headers["Content-Length"])
    told = {"request_id": "mine", "client": "127.0.0.1", "key": 1, "method": "POST", "status": 200, "level": "info"}
    assert told.items() <= batch.items()
    assert (batch["bytes_in"], batch["bytes_out"]) == (size, len(sent.content))
    assert 0 < batch["ms"] < DEADLINE_S * 1e3
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", batch["time"])
    assert [(line["status"], line["key"], line["route"], line["method"]) for line in lines[-2:]] == [
        (401, None, "none", "GET"),
        (404, None, "none", "other"),
    ]
    for secret in (KEY, "wrong", "of-ann", "secret-project", "brief", run.split("/")[-2], '"ann"', "healthz"):
        assert secret not in said


@pytest.mark.slow  # three servers
def test_as_text_it_is_a_line_a_request_too_and_without_the_option_nothing(tmp_path):
    for arguments, count in ((["--access-log"], 1), (["--log-format", "json"], 0), ([], 0)):
        with ServerProcess(tmp_path, *arguments) as server:
            server.ask("GET", "/verify-api-key/", headers={"X-Request-Id": "mine"})
            code, said = server.end()
        assert (code, said.count("\n")) == (0, count)
        line = rf"\S+Z 127\.0\.0\.1 key=1 GET {API}/verify-api-key/ 200 [\d.]+ms in=0 out=\d+ id=mine\n"
        assert re.fullmatch(line if count else "", said)


@pytest.fixture
def configured() -> Iterator[Callable[[str], None]]:
    """Configures logging for the test."""
    root = logging.getLogger()
    before, hook = list(root.handlers), threading.excepthook
    root.handlers.clear()  # also of those that another test has left
    yield configure_logging
    threading.excepthook = hook
    root.handlers[:] = before


def test_an_error_is_one_line_of_json_with_its_traceback_and_the_id(configured, capsys):
    configured("json")
    log = logging.getLogger("steplog.server")
    try:
        raise ValueError("line\nbreak")
    except ValueError as error:
        log.error("%s failed", "/x", exc_info=error, extra={"request_id": "mine"})
    log.warning("said")
    log.info("not said")
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (first["level"], first["message"], first["request_id"]) == ("error", "/x failed", "mine")
    assert first["traceback"].startswith("Traceback")
    assert first["traceback"].endswith("ValueError: line\nbreak")
    assert {name: second[name] for name in second if name != "time"} == {"level": "warning", "message": "said"}


def test_a_thread_that_fails_is_one_line_of_json_too(configured, capsys):
    configured("json")
    failing = threading.Thread(target=lambda: [].pop(), name="steplog-some")
    failing.start()
    failing.join()
    line = json.loads(capsys.readouterr().err)
    assert (line["level"], line["message"]) == ("error", "steplog-some has failed")
    assert line["traceback"].endswith("IndexError: pop from empty list")


def test_as_text_a_warning_is_a_line_of_the_command(configured, capsys):
    configured("text")
    logging.getLogger("steplog.server").warning("said\n\tin two lines")
    assert capsys.readouterr().err == "steplog serve: said in two lines\n"


SEEN = SeenRequest("id", "GET", "/x", 200, 0.001, 1, 2, {"client": ("10.0.0.7", 1), "state": {"key_id": 3}})


def test_requests_do_not_wait_for_who_reads_the_log(caplog, monkeypatch):
    monkeypatch.setattr("steplog.server.request_log._LINES_MAX", 5)
    reads, stuck = threading.Event(), threading.Event()
    written: list[str] = []

    def write(text: str) -> None:
        stuck.set()
        assert reads.wait(DEADLINE_S)
        written.append(text)

    log = AccessLog("text", write, lambda: 0.0)
    log(SEEN)
    assert stuck.wait(DEADLINE_S)
    for _ in range(12):
        log(SEEN)
    reads.set()
    wait_until(lambda: caplog.messages)
    log.close()
    assert "".join(written).count("\n") == 6
    assert caplog.messages == ["7 requests are not in the access log: it is slow"]


def test_a_reader_that_has_stopped_holds_up_no_end():
    reads = threading.Event()
    log = AccessLog("json", lambda text: reads.wait(DEADLINE_S), lambda: 0.0)
    log(SEEN)
    closing = threading.Thread(target=log.close)
    closing.start()
    closing.join(DEADLINE_S / 2)
    assert not closing.is_alive()
    reads.set()


def test_what_was_noted_before_the_end_is_written():
    for _ in range(20):
        written: list[str] = []
        log = AccessLog("text", written.append, lambda: 0.0)
        for _ in range(3):
            log(SEEN)
        log.close()
        assert "".join(written).count("\n") == 3
