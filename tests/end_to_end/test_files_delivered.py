"""Files of real programs on their way to a real server, whatever ends the programs."""

from __future__ import annotations

import hashlib
import json
import signal
from typing import Any

import pytest

from end_to_end.programs import PRELUDE, Host, ended, go_on, line
from server.process import ServerProcess

FILES = (
    PRELUDE
    + """
from pathlib import Path
from steplog.media_value import LOGGED_BYTES_MAX, Content, MediaValue

class Blob(MediaValue):
    def __init__(self, data):
        self.data = data

    def content(self, bytes_max=LOGGED_BYTES_MAX):
        return Content("file", "application/octet-stream", ".bin", [self.data])

def made(name, size):
    path = Path("made") / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bytes([size % 251]) * size)
    return path

"""
)
SYNC = ("-m", "steplog", "sync", "--json")


def content(size: int) -> str:
    return hashlib.sha256(bytes([size % 251]) * size).hexdigest()


def files(host: Host, server: ServerProcess, run: str = "run") -> list[dict[str, Any]]:
    """What the server has of a run's files."""
    uuid = host.server.run(run).uuid
    found: list[dict[str, Any]] = server.ask("GET", f"/team/projects/{host.project}/runs/{uuid}/files/").json()
    return found


def present(host: Host, server: ServerProcess, run: str = "run") -> dict[str, str]:
    """The hashes of the contents that are there, by path."""
    return {row["path"]: row["sha256"] for row in files(host, server, run) if row["present"]}


def left(host: Host) -> list[str]:
    """The runs that this machine still has."""
    return [path.name for path in host.state.iterdir() if "." in path.name and path.is_dir()]


def synced(host: Host, *arguments: str, **variables: str) -> tuple[int, list[dict[str, Any]]]:
    done = host.run(" ".join(SYNC[:1]), *SYNC[1:], *arguments, **variables)
    return done.code, json.loads(done.out)


def test_files_arrive_with_their_run_and_nothing_stays_here(host: Host, server: ServerProcess):
    program = host.write(
        """
        run = begin()
        run.log("image", Blob(b"x" * 1000), 0)
        print(run.save(made("a.bin", 3_000_000), base_path="made"))
        run.log_artifact({"weights": made("w.bin", 500_000)}, "model", "model")
        report = run.finish()
        print(report.files, report.files_pending, report.pending)
        """,
        FILES,
    )
    done = host.run(program)
    assert (done.out, done.errors) == ("['a.bin']\n3 0 0\n", "")
    there = files(host, server)
    assert {(row["path"], row["present"]) for row in there} == {("a.bin", True), ("", True)}
    assert present(host, server)["a.bin"] == content(3_000_000)
    (artifact,) = server.ask("GET", f"/team/projects/{host.project}/artifacts/?name=model").json()
    assert (artifact["count"], artifact["present"]) == (1, 1)
    assert left(host) == []


def test_an_offline_run_brings_its_files_when_it_is_synced(host: Host, server: ServerProcess):
    program = host.write(
        """
        run = begin(mode="offline")
        run.log("image", Blob(b"y" * 70_000), 0)
        run.save(made("a.bin", 2_000_000), base_path="made")
        print(run.finish().files_pending)
        """,
        FILES,
    )
    assert host.run(program).out == "2\n"
    code, (run,) = synced(host)
    assert (code, run["files_delivered"], run["files"], run["why"]) == (0, 2, 0, "")
    assert present(host, server)["a.bin"] == content(2_000_000)
    uuid = host.server.run("run").uuid
    told = server.ask("GET", f"/team/projects/{host.project}/runs/{uuid}/").json()
    assert (told["status"], told["files_pending"]) == ("COMPLETED", 0)
    assert left(host) == []


def test_a_killed_run_brings_its_files_when_it_is_synced(host: Host, server: ServerProcess):
    program = host.write(
        """
        run = begin()
        with_server = run.flush(30)
        os.kill(int(sys.argv[1]), signal.SIGSTOP)
        for number in range(10):
            run.log("image", Blob(bytes([number]) * 200_000), number)
            run.save(made(f"{number}.bin", 300_000 + number), base_path="made")
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        FILES,
    )
    try:
        assert host.run(program, str(server.process.pid)).code == -signal.SIGKILL
    finally:
        server.process.send_signal(signal.SIGCONT)
    code, (run,) = synced(host)
    assert (code, run["files"], run["files_lost"]) == (0, 0, 0)
    assert len(files(host, server)) == 20
    assert {f"{number}.bin" for number in range(10)} <= present(host, server).keys()
    uuid = host.server.run("run").uuid
    told = server.ask("GET", f"/team/projects/{host.project}/runs/{uuid}/").json()
    assert (told["status"], told["files_pending"]) == ("CRASHED", 0)
    assert left(host) == []


def test_files_of_workers_are_delivered_by_the_agent_and_their_flush_waits(host: Host, server: ServerProcess):
    program = host.write(
        """
        run = begin()
        pid = os.fork()
        if pid == 0:
            run.log("image", Blob(b"w" * 100_000), 0)
            run.save(made("worker.bin", 1_500_000), base_path="made")
            print(run.flush(30), flush=True)
            os._exit(0)
        os.waitpid(pid, 0)
        print(run.finish().files_pending)
        """,
        FILES,
    )
    done = host.run(program)
    assert done.out == "True\n0\n", done.errors
    assert present(host, server)["worker.bin"] == content(1_500_000)
    assert left(host) == []


def test_a_process_that_joins_a_run_adds_files_to_it(host: Host, server: ServerProcess):
    owner = host.start(host.write("run = begin()\nprint(run.id, flush=True)\nsys.stdin.readline()\n", FILES))
    uuid = line(owner)
    joins = host.write(
        """
        import steplog
        run = steplog.attach(sys.argv[1])
        run.save(made("joined.bin", 1_200_000), base_path="made")
        print(run.flush(30))
        run.finish()
        """,
        FILES,
    )
    done = host.run(joins, uuid)
    assert done.out == "True\n", done.errors
    assert present(host, server) == {"joined.bin": content(1_200_000)}
    go_on(owner)
    assert ended(owner).code == 0
    assert left(host) == []


def test_a_run_that_is_resumed_brings_the_files_of_before(host: Host, server: ServerProcess):
    first = host.write(
        """
        run = begin(id="r1")
        os.kill(int(sys.argv[1]), signal.SIGSTOP)
        run.save(made("before.bin", 400_000), base_path="made")
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        FILES,
    )
    try:
        host.run(first, str(server.process.pid))
    finally:
        server.process.send_signal(signal.SIGCONT)
    second = host.write(
        """
        run = begin(id="r1", resume="allow")
        run.save(made("after.bin", 500_000), base_path="made")
        print(run.finish().files_pending)
        """,
        FILES,
    )
    done = host.run(second)
    assert done.out == "0\n", done.errors
    assert present(host, server) == {"before.bin": content(400_000), "after.bin": content(500_000)}
    assert left(host) == []


def test_a_run_that_is_deleted_takes_its_files_along(host: Host, server: ServerProcess):
    program = host.write(
        """
        run = begin()
        run.flush(30)
        for number in range(5):
            run.save(made(f"{number}.bin", 100_000 + number), base_path="made")
        run.delete(now=True)
        print("deleted")
        """,
        FILES,
    )
    done = host.run(program)
    assert done.out == "deleted\n", done.errors
    assert left(host) == []


@pytest.mark.slow
def test_sync_waits_for_files_that_another_process_delivers(host: Host, server: ServerProcess):
    program = host.write(
        """
        run = begin()
        run.flush(30)
        run.save(made("large.bin", 60_000_000), base_path="made")
        print("saved", flush=True)
        sys.stdin.readline()
        """,
        FILES,
    )
    owner = host.start(program)
    assert line(owner) == "saved"
    code, _ = synced(host)
    assert code == 0
    assert present(host, server) == {"large.bin": content(60_000_000)}
    go_on(owner)
    assert ended(owner).code == 0
