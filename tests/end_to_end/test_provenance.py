"""Where and from what a run was started: on the server, without secrets, and only once ``init`` has returned."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from typing import Any

import pytest

from end_to_end.programs import Host, ended, go_on, line
from server.process import ServerProcess

GIT = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
SETTLE = """
def settle():
    for thread in threading.enumerate():
        if thread.name == "steplog-provenance":
            thread.join()
"""


def told(server: ServerProcess, host: Host, name: str = "run") -> dict[str, Any] | None:
    """The provenance in the run's JSON."""
    run = host.server.run(name)
    answer = server.session.get(f"{server.url}/api/v0/team/projects/{host.project}/runs/{run.uuid}/")
    assert answer.status_code == 200
    found: dict[str, Any] | None = answer.json()["provenance"]
    return found


def commit(host: Host) -> str:
    """Make the directory of the programs a repository; its commit."""
    git = ("git", "-c", "user.name=t", "-c", "user.email=t@t", "-C", str(host.directory))
    for arguments in (("init", "-q", "-b", "trunk"), ("commit", "-q", "--allow-empty", "-m", "x")):
        subprocess.run((*git, *arguments), check=True)
    done = subprocess.run((*git, "rev-parse", "HEAD"), check=True, capture_output=True, text=True)
    return done.stdout.strip()


@GIT
def test_a_run_shows_where_and_from_what_it_was_started(server: ServerProcess, host: Host):
    head = commit(host)
    done = host.run(
        "run = begin()\nrun.log('loss', 0.5)\nprint(os.getpid(), run.finish().logged)",
        "--lr=0.1",
        "--token=S3CRET",
        SLURM_JOB_ID="17",
    )
    pid, logged = map(int, done.out.split())
    found = told(server, host)
    assert found is not None
    command = found.pop("command")
    assert command.endswith("program1.py --lr=0.1 --token=***")
    assert found == {
        "host": os.uname().nodename,
        "user": found["user"],
        "pid": pid,
        "python": found["python"],
        "git": {"commit": head, "branch": "trunk", "dirty": False},
        "job": "Slurm 17",
    }
    assert found["user"]
    assert found["python"].startswith("CPython 3.")
    assert logged == 1  # of the program's values
    assert host.server.metrics("run") == [("loss", 0.5, 0)]


def test_a_run_that_was_killed_shows_it_too(server: ServerProcess, host: Host):
    program = host.start(SETTLE + "run = begin()\nsettle()\nos.kill(os.getpid(), signal.SIGKILL)")
    assert ended(program).code == -signal.SIGKILL
    host.deliver("run", "CRASHED")
    found = told(server, host)
    assert found is not None
    assert found["pid"] == program.pid


def test_a_run_that_was_offline_shows_it_once_it_is_sent(server: ServerProcess, host: Host):
    program = host.start("begin().finish()", STEPLOG_MODE="offline")
    assert ended(program).code == 0
    assert host.run("-msteplog", "sync").code == 0
    found = told(server, host)
    assert found is not None
    assert found["pid"] == program.pid


@pytest.mark.parametrize(
    ("call", "variables"), [("provenance=False", {}), ("", {"STEPLOG_PROVENANCE": "0"})], ids=["argument", "setting"]
)
def test_it_is_not_recorded_where_that_is_switched_off(server: ServerProcess, host: Host, call, variables):
    done = host.run(
        f"run = begin({call})\nprint([each.name for each in threading.enumerate()])\nrun.finish()", **variables
    )
    assert "steplog-maintenance" in done.out
    assert "steplog-provenance" not in done.out
    assert told(server, host) is None


def test_a_stock_server_is_told_nothing_of_it(tmp_path):
    directory = tmp_path / "server"
    directory.mkdir()
    with ServerProcess(directory, "--user", "team", "--stock") as stock:
        host = Host(tmp_path, stock)
        done = host.run("run = begin()\nrun.log('loss', 0.5)\nprint(run.finish())", "S3CRET-ARGUMENT")
        assert "pending=0" in done.out
        assert host.server.metrics("run") == [("loss", 0.5, 0)]
        stored = b"".join(path.read_bytes() for path in directory.glob("server.db*"))
        assert b"S3CRET-ARGUMENT" not in stored


def test_a_secret_of_the_command_line_is_in_no_file_and_on_no_server(server: ServerProcess, host: Host, tmp_path):
    secret = "c4nary" + "x" * 20
    host.run(SETTLE + "run = begin()\nsettle()\nrun.finish()", "--password", secret, f"https://me:{secret}@host/")
    host.run("begin('kept').finish()", f"API_KEY={secret}", STEPLOG_MODE="offline")
    assert told(server, host) is not None
    kept = [path for path in [*host.state.rglob("*"), *server.directory.rglob("*")] if path.is_file()]
    assert kept
    assert not [path for path in kept if secret.encode() in path.read_bytes()]


@GIT
def test_nothing_is_read_before_init_returns_and_nothing_imported_after(host: Host):
    commit(host)
    program = """
    import json
    events, inside = [], [True]

    def see(event, values):
        if event in ("open", "import", "subprocess.Popen", "os.fork", "os.posix_spawn", "os.exec", "socket.connect"):
            thread = threading.current_thread().name if not inside[0] or event == "open" else ""
            events.append((event, str(values[0]), inside[0], thread))

    import steplog
    sys.addaudithook(see)
    run = steplog.init("team", os.environ["PROJECT"], "run")
    inside[0] = False
    settle()
    seen = list(events)
    run.finish()
    reads = [each for each in seen if each[0] == "open" and (".git/" in each[1] or each[1] == "/etc/passwd")]
    ours = [each for each in seen if each[3] == "steplog-provenance"]
    print(json.dumps([reads, ours]))
    """
    done = ended(host.start(host.write(SETTLE + "import textwrap\nexec(textwrap.dedent('''" + program + "'''))")))
    assert done.code == 0, done.errors
    reads, ours = __import__("json").loads(done.out)
    assert {os.path.basename(each[1]) for each in reads} >= {"HEAD", "passwd"}
    assert not [each for each in reads if each[2]], "read while init had not returned"
    assert {each[0] for each in ours} == {"open"}, "a thread that imports hangs what is forked beside it"


@pytest.mark.slow
@GIT
def test_children_that_are_forked_while_it_is_collected_go_on(host: Host):
    commit(host)
    program = """
    for number in range(20):
        run = begin(f"run{number}")
        child = os.fork()
        if child == 0:
            import xml.dom.minidom
            run.log("of a child", 1.0)
            os._exit(0 if run.flush(30) else 1)
        assert os.waitpid(child, 0)[1] == 0
        run.finish()
    """
    done = host.run(program)
    assert done.code == 0, done.errors


def test_who_takes_a_run_over_shows_from_where(server: ServerProcess, host: Host):
    host.run("begin().finish()")
    uuid = host.server.run("run").uuid
    program = host.start(
        "import steplog\n"
        "run = steplog.attach(sys.argv[1], namespace_slug='team', project_slug=os.environ['PROJECT'], owner=True)\n"
        "run.finish()",
        uuid,
    )
    assert ended(program).code == 0
    found = told(server, host)
    assert found is not None
    assert found["pid"] == program.pid


def test_a_worker_does_not_say_where_it_was_started(server: ServerProcess, host: Host):
    first = host.start("run = begin()\nrun.flush()\nprint(run.uuid, flush=True)\nsys.stdin.readline()\nrun.finish()")
    uuid = line(first)
    worker = host.start("import steplog\nrun = steplog.attach(sys.argv[1])\nrun.log('x', 1.0)\nrun.finish()", uuid)
    assert ended(worker).code == 0
    go_on(first)
    assert ended(first).code == 0
    found = told(server, host)
    assert found is not None
    assert found["pid"] == first.pid
