"""Programs configured for nothing, and the server of their machine: ended, started again, hung, impersonated."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from end_to_end.oracle import Oracle
from end_to_end.programs import Done, Host, ended, go_on, line
from server.process import KEY, ServerProcess, lasting_port
from steplog.journal.range import decode
from steplog.testing import answer

STRANGER = 54321  # no user of this machine
AWAY = "its server on this machine does not run: steplog serve"


class Machine(Host):
    """A machine whose programs find the server of ``STEPLOG_DIR``."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, None)
        self.environment |= {
            "STEPLOG_URL": "",
            "STEPLOG_API_KEY": "",
            "STEPLOG_MEMORY_DIR": str(self.state / "memory"),  # the server's own, which takes in what waits here
            "STEPLOG_EXCHANGE_TIMEOUT_S": "5",
        }
        self.oracle = Oracle(self.state / "server.db", self.project)

    def serve(self, *arguments: str) -> ServerProcess:
        server = ServerProcess(self.state, "--user", "team", *arguments)
        if "--db" not in arguments:
            self.oracle = Oracle(server.place, self.project)
        return server

    def type(self, *arguments: str, **variables: str) -> Done:
        """Type a command of steplog."""
        return ended(self.start("-msteplog", *arguments, **variables))

    def waiting(self) -> list[dict[str, object]]:
        found = json.loads(self.type("ls", "--here", "--json").out)["waiting"]
        return list(found)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.state.mkdir(mode=0o700)  # the shared memory of a test's server is in it
    return made


LEAVES = """
    run = begin()
    run.log("loss", 0.5)
    assert run.flush(20)
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(100):
        run.log("loss", number)
    print(run.finish(timeout=0.5).pending)
"""


def leave_a_run(machine: Machine, server: ServerProcess) -> None:
    """A run that the server has, and of which 100 records wait since it was killed."""
    program = machine.start(LEAVES)
    assert line(program) == "ready"
    server.end(signal.SIGKILL)
    go_on(program)
    done = ended(program)
    assert (done.code, done.out) == (0, "100\n"), done.errors


@pytest.mark.slow
def test_a_second_server_that_was_started_and_stopped_does_not_hide_the_first(machine):
    with machine.serve(), machine.serve("--db", str(machine.directory / "other.db")) as second:
        second.end()
        done = machine.run("run = begin()\nrun.log('loss', 1.0)\nprint(run.finish().delivered)")
        assert (done.code, done.out, done.errors) == (0, "1\n", "")
    assert machine.server.run("run").status == "COMPLETED"


@pytest.mark.slow
def test_a_run_that_waits_for_one_of_two_servers_is_sent_to_no_other(machine):
    other = machine.directory / "other.db"
    own = Oracle(other, machine.project)
    with machine.serve() as first, machine.serve("--db", str(other)) as second:
        first.end()
        leave_a_run(machine, second)
        first.start()
        done = machine.type("sync")
        assert (done.code, done.out) == (1, f"run: 0 delivered, 100 kept here: {AWAY}\n")
        second.start()
        own.wait_for("run", "COMPLETED")
    assert own.values("run", "loss") == [0.5, *range(100)]
    assert not machine.server.runs()


@pytest.mark.slow
def test_a_run_arrives_after_its_server_was_started_again_on_another_port(machine):
    """It waited for ever: its manifest named the port."""
    with machine.serve() as server:
        leave_a_run(machine, server)
        server.start()
        machine.server.wait_for("run", "COMPLETED")
        assert machine.server.values("run", "loss") == [0.5, *range(100)]


@pytest.mark.slow
def test_a_program_that_lives_on_follows_its_server_to_another_port(machine):
    with machine.serve() as server:
        program = machine.start("""
            run = begin()
            run.log("loss", 0.5)
            assert run.flush(20)
            print("ready", flush=True)
            sys.stdin.readline()
            run.log("loss", 1.5)
            print(run.finish(timeout=30).delivered)
        """)
        assert line(program) == "ready"
        server.end(signal.SIGKILL)
        server.start()
        go_on(program)
        done = ended(program)
        assert (done.code, done.out) == (0, "2\n"), done.errors
        assert machine.server.values("run", "loss") == [0.5, 1.5]


@pytest.mark.slow
def test_a_run_of_0_1_arrives_at_the_server_that_has_it_whatever_its_port(machine):
    with machine.serve() as server:
        url = server.url
        leave_a_run(machine, server)
        for found in [*machine.state.glob("*/manifest"), *machine.state.glob("memory/*/manifest")]:
            text = found.read_text()
            found.write_text(re.sub("steplog-local:[0-9a-f]{32}", url, text))  # as 0.1 wrote it
        words = f"there is no API key for {url}: steplog login; or if that was steplog serve: steplog serve --port "
        (waiting,) = machine.waiting()
        assert waiting["why"] == words + url.rpartition(":")[2]
        server.start()
        assert server.url != url
        machine.server.wait_for("run", "COMPLETED")
        assert machine.server.values("run", "loss") == [0.5, *range(100)]


@pytest.mark.slow
def test_ls_and_sync_give_one_reason_why_a_run_waits_and_it_is_what_to_type(machine):
    """They said: the next init() or steplog sync; and: no API key, steplog login."""
    with machine.serve() as server:
        leave_a_run(machine, server)
    (waiting,) = machine.waiting()
    assert waiting["why"] == AWAY
    done = machine.type("sync")
    assert (done.code, done.out) == (1, f"run: 0 delivered, 100 kept here: {AWAY}\n")


def test_a_run_that_never_had_a_server_waits_for_one_say_ls_and_sync(machine):
    machine.run("run = begin()\nrun.log('loss', 1.0)\nrun.finish(timeout=1)")
    (waiting,) = machine.waiting()
    done = machine.type("sync")
    assert waiting["why"] == "there is no server: steplog serve, or steplog login"
    assert done.out == f"run: 0 delivered, 1 kept here: {waiting['why']}\n"
    assert machine.type("sync", "--follow").out == done.out  # there is nothing that could come back


@pytest.mark.slow
def test_sync_follow_waits_for_the_server_of_this_machine(machine):
    with machine.serve() as server:
        leave_a_run(machine, server)
        program = machine.start("-msteplog", "sync", "--follow")
        with pytest.raises(subprocess.TimeoutExpired):
            program.wait(2)
        server.start()
        done = ended(program)
    assert (done.code, done.errors) == (0, "")
    assert machine.server.values("run", "loss") == [0.5, *range(100)]


@pytest.mark.slow
def test_a_server_that_hangs_is_not_called_absent(machine):
    with machine.serve() as server:
        program = machine.start(LEAVES)
        assert line(program) == "ready"
        with stopped(server):
            go_on(program)
            ended(program)
            hangs = f"it runs (process {server.process.pid}) and has not answered for 2 s; if it hangs, stop it and"
            done = machine.type("sync", STEPLOG_EXCHANGE_TIMEOUT_S="2")
            assert hangs in done.out, done
            done = machine.type("doctor", "--json", STEPLOG_EXCHANGE_TIMEOUT_S="2")
            (server_line,) = [check for check in json.loads(done.out)["checks"] if check["name"] == "server"]
            assert hangs in server_line["words"]
            assert "steplog doctor" not in server_line["words"]
        machine.server.wait_for("run", "COMPLETED")


@pytest.mark.slow
def test_a_run_that_begins_while_its_server_hangs_is_kept_at_once_and_arrives_later(machine):
    """init waited for exchange_timeout_s."""
    with machine.serve() as server:
        with stopped(server):
            program = machine.start(
                """
                run = begin()
                run.log("loss", 0.5)
                print("begun", flush=True)
                sys.stdin.readline()
                print(run.finish(timeout=30).delivered)
                """,
                STEPLOG_EXCHANGE_TIMEOUT_S="20",
                STEPLOG_QUIET="",
            )
            assert line(program) == "begun"
        go_on(program)
        done = ended(program)
        assert (done.code, done.out) == (0, "1\n"), done.errors
        words = f"it runs (process {server.process.pid}) and has not answered for 3 s; if it hangs, stop it and"
        assert "steplog: run run is kept on this machine, and sent once the server answers: http://" in done.errors
        assert words in done.errors
    assert machine.server.values("run", "loss") == [0.5]


@contextmanager
def stopped(server: ServerProcess) -> Iterator[None]:
    server.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.process.send_signal(signal.SIGCONT)


class Thief:
    """Another user's program, where there can be one, that takes a port and acknowledges everything."""

    def __init__(self, port: str, directory: Path) -> None:
        self._seen = open(directory / "seen", "w+b", buffering=0)  # noqa: SIM115 - the child writes, the parent reads
        reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                if os.geteuid() == 0:
                    os.setuid(STRANGER)
                listener = socket.create_server(("127.0.0.1", int(port)), backlog=50)
                os.write(writing, b"!")
                while True:
                    threading.Thread(target=self._serve, args=listener.accept()[:1], daemon=True).start()
            finally:
                os._exit(1)
        os.close(writing)
        assert os.read(reading, 1) == b"!"
        os.close(reading)

    def _serve(self, connection: socket.socket) -> None:
        file = connection.makefile("rb")
        while line := file.readline():
            head = line
            while (field := file.readline()).strip():
                head += field
            self._seen.write(head)
            length = re.search(rb"^content-length: (\d+)", head, re.IGNORECASE | re.MULTILINE)
            body = file.read(int(length[1])) if length else b""
            told = {"instance": "x", "proof": "0" * 64, "username": "team", "email": "", "uuid": "u", "batch": 1}
            if b"/batch/" in line:
                sent = decode(body)
                told = {"writer": sent.writer, "first": sent.first, "end": sent.end}
                told |= {"accepted": sent.records, "duplicates": 0}
            connection.sendall(answer(200, json.dumps(told).encode()))

    def __enter__(self) -> Thief:
        return self

    def __exit__(self, *_: object) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    def seen(self) -> bytes:
        """The heads of the requests that it was sent; it has ended."""
        self._seen.seek(0)
        with self._seen:
            return self._seen.read().lower()


LOGS_ON = """
    run = begin()
    run.log("loss", 0.5)
    assert run.flush(20)
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(100):
        run.log("loss", number)
    print(run.flush(3), run.stats().delivered, flush=True)
    sys.stdin.readline()
    print(run.finish(timeout=30).delivered)
"""


@pytest.mark.slow
@pytest.mark.parametrize("version", ["0.1", "0.2"])
def test_who_takes_the_port_of_a_dead_server_sees_no_key_and_acknowledges_nothing(machine, version):
    """The program that ran on sent the key and its records to whoever listened there."""
    port = str(lasting_port())
    with machine.serve("--port", port, "--api-key", KEY) as server:
        if version == "0.1":
            as_of_0_1(server)
        program = machine.start(LOGS_ON)
        assert line(program) == "ready"
        server.end(signal.SIGKILL)
        with Thief(port, machine.directory) as thief:
            go_on(program)
            assert line(program) == "False 1"
            machine.type("sync")
            machine.type("ls")
            machine.type("doctor")
            machine.run("begin('another').finish(timeout=1)")
        seen = thief.seen()
        assert KEY.encode() not in seen
        assert b"authorization" not in seen
        assert b"/batch/" not in seen
        assert (b"/instance/" in seen) == (version == "0.1")  # it was asked for the proof, and had none
        server.start()
        go_on(program)
        done = ended(program)
        assert (done.code, done.out) == (0, "101\n"), done.errors
        machine.server.wait_for("run", "COMPLETED")
        assert machine.server.values("run", "loss") == [0.5, *range(100)]


def as_of_0_1(server: ServerProcess) -> None:
    """Leave a running server only the state file that 0.1 wrote: it is reached over TCP, and has no lock."""
    state = json.loads(server.state.read_text())
    for path in (server.directory / "servers").iterdir():
        path.unlink()
    written = {name: value for name, value in state.items() if name not in ("started_ns", "socket")}
    server.state.write_text(json.dumps(written))
