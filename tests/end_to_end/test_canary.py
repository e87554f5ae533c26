"""The key is in nothing that a run writes: no file on disk, no shared memory, no line, no log at DEBUG, no exception.

A program does with a run what programs do, and the test looks at every byte there is of it, while it lives and after
it; a spool's frames and a range's slots also as they are when they are read. Only ``login`` keeps a key, in its file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from end_to_end.programs import Host, ended, line
from server.process import ServerProcess
from steplog.journal.range import decode
from steplog.testing import HostileServer, Peer, answer
from strategies import whole_frames

CANARY = "canary-key-0123456789"
QUICK = {"STEPLOG_FINISH_TIMEOUT_S": "0.5", "STEPLOG_SPOOL_INTERVAL_S": "0.2", "STEPLOG_BATCH_AGE_S": "0.1"}
LIFE = """
import logging, multiprocessing, pickle, traceback
import steplog
from polling import wait_until
from steplog.settings import resolve

logging.basicConfig(level=logging.DEBUG)

def shown(error):
    while error is not None:
        print(repr(error), *traceback.TracebackException.from_exception(error, capture_locals=True).format())
        error = error.__cause__ or error.__context__

def client_of(way):
    if way == "code":
        return steplog.TellurioClient(settings=resolve(api_key=sys.stdin.readline().strip()))
    return steplog.TellurioClient()

def work(run, number):
    for step in range(200):
        run.log("worker", number, step)

if __name__ == "__main__":
    way, mode = sys.argv[1:]
    client = client_of(way)
    for on_failure in ("raise", "warn"):
        try:
            run = begin(client=client, on_failure=on_failure, mode=mode, config={"lr": 0.5})
        except Exception as error:
            shown(error)
            run = begin(client=client, mode="offline")
    for step in range(2000):
        run.log("loss", step / 7, step)
    pid = os.fork()
    if pid == 0:
        work(run, 1)
        os._exit(0)
    os.waitpid(pid, 0)
    spawned = multiprocessing.get_context("spawn").Process(target=work, args=(run, 2))
    spawned.start()
    spawned.join()
    assert spawned.exitcode == 0
    run.flush(0.5)
    for thing in (run, run.stats(), run.config, client, client.settings, client.transport, vars(client)):
        print(repr(thing), thing)
    print(pickle.dumps(run), sys.argv)
    for thing in (client, client.settings, client.transport):
        try:
            pickle.dumps(thing)
        except Exception as error:
            shown(error)
    wait_until(lambda: not run.stats().pending or run.stats().spool_bytes)
    print("looked at", flush=True)
    while sys.stdin.readline() != "end\\n":
        pass
    sys.excepthook = lambda *error: None  # it would print the program's own words
    token = os.environ.get("STEPLOG_API_KEY", "none")
    raise ConnectionError(f"cannot log in with {token}")
"""


class Place:
    """Where a host's programs write."""

    def __init__(self, host: Host) -> None:
        self.roots = (host.state, Path(os.environ["STEPLOG_MEMORY_DIR"]))

    def files(self) -> dict[Path, bytes]:
        """Every file, with what is in it."""
        found: dict[Path, bytes] = {}
        for path in (path for root in self.roots for path in root.rglob("*") if path.is_file()):
            found[path] = path.read_bytes()
        return found

    def shows(self, key: str = CANARY) -> list[Path]:
        """The files with the key in them or in their name."""
        return [path for path, data in self.files().items() if key in str(path) or key.encode() in _plain(path, data)]


def _plain(path: Path, data: bytes) -> bytes:
    """Also what a spool's frames hold, which is deflated."""
    ranges = [decode(data[start + 8 : end - 4]) for start, end in whole_frames(data)] if path.suffix == ".spool" else []
    return b"\n".join([data, *(f"{r.names}".encode() + r.slots + r.payloads for r in ranges)])


def repeats(status: int):
    """A server that answers everything so, with the head of the request in its words."""

    def script(peer: Peer) -> None:
        while True:
            asked = peer.request().decode("latin-1").partition("\r\n\r\n")[0]
            peer.send(answer(status, json.dumps({"detail": asked}).encode(), {"Location": f"/?{CANARY}"}))

    return script


def steplog(host: Host, *arguments: str) -> str:
    """What a command prints."""
    environment = host.environment | {"STEPLOG_API_KEY": CANARY}
    command = [sys.executable, "-m", "steplog", "--debug", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def knows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server whose key is the canary."""
    with ServerProcess(tmp_path_factory.mktemp("knows"), "--user", "team", key=CANARY) as started:
        yield started


def lived(host: Host, way: str, mode: str = "online", kill: bool = False) -> None:
    """A whole life, in which no byte shows the key."""
    paths = Place(host)
    key = CANARY if way == "environment" else ""
    program = host.start(LIFE, way, mode, STEPLOG_API_KEY=key, STEPLOG_QUIET="0", **QUICK)
    if way == "code":
        assert program.stdin is not None
        program.stdin.write(f"{CANARY}\n")
        program.stdin.flush()
    printed = ""
    while "looked at" not in printed:
        printed += line(program)
    assert paths.files()
    assert paths.shows() == []
    if kill:
        program.kill()
    else:
        assert program.stdin is not None
        program.stdin.write("end\n")
        program.stdin.flush()
    done = ended(program)
    assert done.code == (-9 if kill else 1), done.errors
    assert paths.shows() == []
    assert "steplog" in done.errors
    assert CANARY not in printed + done.out + done.errors


@pytest.mark.parametrize("way", ["environment", "code"])
def test_no_byte_shows_the_key_where_the_server_takes_everything(tmp_path: Path, knows: ServerProcess, way: str):
    host = Host(tmp_path, knows)
    lived(host, way)
    assert sorted(host.server.values("run_1", "worker")) == [1] * 200 + [2] * 200
    assert CANARY not in str(host.server.metrics("run_1"))


@pytest.mark.parametrize("status", [403, pytest.param(503, marks=pytest.mark.slow)])
def test_no_byte_shows_the_key_where_the_server_refuses_and_repeats_what_it_was_sent(tmp_path: Path, status: int):
    with HostileServer(repeats(status)) as server:
        lived(Host(tmp_path, None, server.url), "code", kill=True)
        assert CANARY.encode() in b"".join(server.requests)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["online", "offline"])
def test_no_byte_shows_the_key_while_a_run_waits_here_whose_crash_names_it(
    tmp_path: Path, knows: ServerProcess, mode: str
):
    with HostileServer(lambda peer: None) as away:
        pass
    host = Host(tmp_path, None, away.url)
    lived(host, "environment", mode)
    paths = Place(host)
    spooled = b"".join(_plain(path, data) for path, data in paths.files().items())
    assert b"cannot log in with ***" in spooled
    for command in (["ls", "--here", "--json"], ["doctor"], ["sync", "--all"]) if mode == "online" else ():
        said = steplog(host, *command)
        assert said
        assert CANARY not in said
    assert paths.shows() == []


def test_login_keeps_the_key_in_its_own_file_and_nowhere_else(tmp_path: Path, knows: ServerProcess):
    host = Host(tmp_path, knows)
    done = host.start(
        """
        import steplog
        account = steplog.login(sys.stdin.readline().strip())
        print(account, repr(steplog.login()))
        run = begin()
        run.log("loss", 0.5)
        assert run.flush(20)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        STEPLOG_API_KEY="",
        **QUICK,
    )
    assert done.stdin is not None
    done.stdin.write(f"{CANARY}\n")
    done.stdin.flush()
    said = ended(done)
    assert said.code == -9, said.errors
    assert CANARY not in said.out + said.errors
    assert Place(host).shows() == [host.state / "keys.json"]
    assert (host.state / "keys.json").stat().st_mode & 0o777 == 0o600
