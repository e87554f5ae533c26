"""Whatever a server, or a file of another host, calls things: nothing of it moves the cursor or forges a line.

Each text that the server sends ends in what a terminal obeys; what is printed and logged is scanned for that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import msgspec
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request as WebRequest
from werkzeug import Response

from end_to_end.programs import Host, ended, go_on, line
from steplog.delivery.exchange import Request
from steplog.journal import manifest as manifests
from steplog.testing.memory_server import MemoryServer

EVIL = "x\x1b]0;owned\x07\x1b[2J\x9b31m\r\nERROR:steplog:forged\u2028\u202e\u2066[bold red]y[/]"
UNTOUCHED = {"writer"}  # of an acknowledgement, which would be none


def spoilt(told: Any, untouched: set[str]) -> Any:
    """The same answer, each text in it with EVIL at its end."""
    if isinstance(told, dict):
        return {name: value if name in untouched else spoilt(value, untouched) for name, value in told.items()}
    if isinstance(told, list):
        return [spoilt(item, untouched) for item in told]
    return told + EVIL if isinstance(told, str) else told


class HostileWords:
    """A server in memory behind a socket, which calls everything by names of its own."""

    def __init__(self) -> None:
        self.memory = MemoryServer()
        self.says: Callable[[WebRequest], Response | None] = lambda request: None
        self.web = HTTPServer()
        self.web.expect_request(re.compile("")).respond_with_handler(self._answer)
        self.web.start()

    @property
    def url(self) -> str:
        return self.web.url_for("").rstrip("/")

    def _answer(self, asked: WebRequest) -> Response:
        said = self.says(asked)
        if said is not None:
            return said
        path = quote(unquote(asked.path).replace(EVIL, ""))
        answer = self.memory.exchange(Request(asked.method, path, asked.get_data(), dict(asked.headers)), 0.0)
        untouched = UNTOUCHED | ({"status"} if asked.method == "PATCH" else set())
        body = json.dumps(spoilt(json.loads(answer.body or b"null"), untouched))
        return Response(body, answer.status, content_type="application/json")


@pytest.fixture
def hostile() -> Iterator[HostileWords]:
    server = HostileWords()
    yield server
    server.web.stop()  # type: ignore[no-untyped-call]


@pytest.fixture
def host(tmp_path: Path, hostile: HostileWords) -> Host:
    made = Host(tmp_path, None, hostile.url)
    del made.environment["STEPLOG_QUIET"]
    made.environment |= {"STEPLOG_NAMESPACE": "me", "STEPLOG_FINISH_TIMEOUT_S": "2"}
    return made


def check(*texts: str, folded: bool = False) -> None:
    """Nothing in it that a terminal obeys, and no line that is not ours; a table folds a long cell at its spaces."""
    for text in texts:
        assert not [found for found in text.replace("\n", "") if not found.isprintable()], ascii(text)
        assert folded or not [found for found in text.splitlines() if found.startswith("ERROR:steplog:forged")], text


LOGS = """
import logging
if sys.argv[1:] == ["logged"]:
    logging.basicConfig(level=logging.DEBUG)
import steplog
print(steplog.login("k" * 20))
run = steplog.init(project="demo", name="mine")
print(run, run.project, run.user, steplog.get_default_client())
run.log("loss", 0.5)
print(run.flush(30), run.stats())
print("at work", flush=True)
sys.stdin.readline()
run.log("loss", 0.25)
run.flush(1.5)
print(run.stats(), run.finish(timeout=2))
for call in (steplog.get_project, steplog.create_project):
    try:
        print(call("me", "other"))
    except Exception as error:
        print(error)
"""


@pytest.mark.parametrize("how", ["printed", "logged"])
def test_what_a_server_calls_things_reaches_no_terminal(host: Host, how: str):
    """A run's name could set the title of the terminal, clear it, and forge a line of the log."""
    with host.start(LOGS, how) as program:
        said = []
        while "at work" not in (said or [""])[-1]:
            said.append(line(program))
        go_on(program)
        done = ended(program)
    assert done.code == 0, done
    assert "owned" in "".join(said) + done.errors
    check(*said, done.out, done.errors)


@pytest.mark.slow
@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 429, 500, 302, 200])
def test_neither_do_the_words_of_a_refusal(host: Host, hostile: HostileWords, status: int):
    words = json.dumps({"detail": EVIL, "name": [EVIL], EVIL: EVIL}).encode()
    headers = {"Retry-After": quote(EVIL), "Location": quote(EVIL)}
    with host.start(LOGS, "logged" if status % 2 else "printed") as program:
        said = []
        while "at work" not in (said or [""])[-1]:
            said.append(line(program))
        hostile.says = lambda request: Response(words, status, headers, content_type="application/json")
        go_on(program)
        done = ended(program)
    check(*said, done.out, done.errors)
    for command in ("ls", "doctor", "sync", "--debug show mine"):
        ran = host.run("-m", "steplog", *command.split())
        check(ran.out, ran.errors, folded=True)
    begun = host.run("import steplog\ntry: steplog.init(project='demo', name='other')\nexcept Exception as e: print(e)")
    check(begun.out, begun.errors)


@pytest.mark.slow
def test_no_command_prints_the_names_of_a_server_as_they_are(host: Host, hostile: HostileWords):
    made = hostile.memory.add_run("me", "demo", "first")
    for name in ("loss", "steplog/config", "steplog/exception"):
        made.add(name, {EVIL: EVIL, "traceback": EVIL, "type": EVIL}, 0)
    made.add(EVIL, EVIL, 0)
    made.add("loss", 0.5, 1)
    for command in ("ls", "ls me/demo", "ls --json", f"show {made.uuid[:13]}", f"show {made.uuid} --json", "doctor"):
        ran = host.run("-m", "steplog", *command.split())
        assert "owned" in ran.out, ran
        check(ran.out, ran.errors, folded=True)
    ran = host.run("-m", "steplog", "--debug", "show", "first")
    check(ran.out, ran.errors, folded=True)


FIELDS = ("id", "group", "job_type", "notes", "description", "started", "ended", "seen", "made_by", "deleted")


class RunOfManyWords:
    """Answers about one run, each of whose fields ends in EVIL."""

    def __init__(self, uuid: str) -> None:
        told: dict[str, Any] = {name: f"{name}{EVIL}" for name in FIELDS} | {"tags": [f"tag{EVIL}"]}
        told |= {"config": {f"key{EVIL}": EVIL}, "provenance": {f"host{EVIL}": {EVIL: EVIL}}}
        told |= {"report": {"dropped": {EVIL: 1}, "abandoned": 1, "lost": None, "rejected": 0}}
        self.told = told | {"uuid": uuid, "name": f"first{EVIL}", "status": f"CRASHED{EVIL}", "date_created": EVIL}
        self.status = 200

    def __call__(self, asked: WebRequest) -> Response | None:
        answer: Any = self.told | {"features": ["trash", "run"]}
        if asked.path.endswith("/runs/"):
            in_trash = self.told if asked.args.get("trash") else self.told | {"deleted": None}
            answer = [in_trash]
        elif "/runs/" not in asked.path or asked.path.endswith(("/series/", "/metrics/")):
            return None
        elif asked.method != "GET" and self.status >= 400:
            answer = {"detail": EVIL} if self.status == 400 else {EVIL: [EVIL]}
        elif asked.method == "DELETE":
            return Response(status=204)
        elif asked.method != "GET":
            answer |= {"name": f"other{EVIL}", "tags": [EVIL, EVIL], "id": None}
        code = self.status if asked.method != "GET" else 200
        return Response(json.dumps(answer), code, content_type="application/json")


CHANGES = ("rm first --yes", "rm first --now --yes", "restore first", "mv first second", "tag first good", "tag first")


@pytest.mark.parametrize("status", [200, *(pytest.param(refused, marks=pytest.mark.slow) for refused in (400, 409))])
def test_no_command_prints_a_field_of_a_run_as_it_is(host: Host, hostile: HostileWords, status: int):
    uuid = hostile.memory.add_run("me", "demo", "first").uuid
    hostile.says = answers = RunOfManyWords(uuid)
    for command in ("ls", "ls --trash", "ls --json", f"show {uuid}", f"show {uuid} --json"):
        ran = host.run("-m", "steplog", *command.split())
        assert (ran.code, "owned" in ran.out) == (0, True), ran
        check(ran.out, ran.errors)
    answers.status = status
    for command in CHANGES:
        name, _, *rest = command.split()
        ran = host.run("-m", "steplog", name, uuid, *rest)
        assert "owned" in ran.out + ran.errors, ran
        assert ran.code == (0 if status == 200 or command == "tag first" else 1), (command, ran)
        check(ran.out, ran.errors)


@pytest.mark.slow
@pytest.mark.parametrize("damaged", [False, True])
def test_nor_what_another_host_has_written_on_a_shared_disk(host: Host, damaged: bool):
    here = "import steplog\nrun = steplog.init(project='demo', name='mine', mode='offline')\nrun.log('loss', 1.0)\n"
    assert host.run(here + "run.finish(timeout=2)").code == 0
    (path,) = host.state.glob("*/manifest")
    manifest = manifests.load(path.parent)
    assert manifest is not None
    names = dict.fromkeys(("account", "namespace", "project", "run", "name", "base_url"), EVIL)
    other = path.parent.with_name("ab" * 16 + ".0123456789abcdef")
    other.mkdir(mode=0o700)
    evil = manifest.but(**names, plan=None, local_id="ab" * 16, status=EVIL)
    encoded = msgspec.json.encode(evil)
    spoiled = encoded.replace(b'"version":1', b'"version":"\\u001b[2J"')
    (other / "manifest").write_bytes(spoiled if damaged else encoded)
    lines = [{"writer": EVIL, "position": 0, "name": EVIL, "value": EVIL, "step": 0, "time_ns": 0, "server": EVIL}]
    (other / "quarantine").write_text("".join(json.dumps(one) + "\n" for one in lines))
    for command in ("ls --here", "ls", "sync", f"sync {'ab' * 16}", f"sync {'ab' * 16} --recreate", "export", "doctor"):
        ran = host.run("-m", "steplog", *command.split())
        check(ran.out, ran.errors, folded=True)
    ran = host.run("import steplog\nprint(steplog.journals())\nprint(list(steplog.read_journal()))")
    check(ran.out, ran.errors)
    assert host.run("-m", "steplog", "clean", "ab" * 16, "--yes").code in (0, 1)
