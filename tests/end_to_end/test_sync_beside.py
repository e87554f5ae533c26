"""``steplog sync`` beside another process that delivers: the run itself, or one that has adopted it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from end_to_end.programs import DEADLINE_S, Done, Host, ended, go_on, line
from polling import wait_until

SYNC = ("-m", "steplog", "sync", "--json")
LIVES = """
run = begin()
run.flush(60)
print("ready", flush=True)
sys.stdin.readline()
for number in range(1000):
    run.log("loss", number)
print("logged", flush=True)
sys.stdin.readline()
"""


def synced(done: Done) -> tuple[int, list[tuple[str, int, int, str]]]:
    """Exit code, and of each run name, delivered, left and why."""
    return done.code, [(run["name"], run["delivered"], run["pending"], run["why"]) for run in json.loads(done.out)]


def syncs(host: Host, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    """``steplog sync``, and its progress on a terminal's width of standard error."""
    command = [sys.executable, *SYNC, *arguments]
    environment = host.environment | variables
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_until_it_asks(host: Host) -> None:
    """Nobody else rings the bell of a run without children."""
    (run,) = [path.parent.name for path in host.state.glob("*/manifest")]
    bell = Path(os.environ["STEPLOG_MEMORY_DIR"]) / run / "bell"
    wait_until(bell.exists)


@pytest.mark.slow
def test_sync_waits_for_what_a_living_run_has_written_and_not_for_its_end(host: Host):
    """It said that another process delivers it, and its exit code was 1."""
    with host.start(LIVES) as other:
        assert line(other) == "ready"
        with host.silence():
            go_on(other)
            assert line(other) == "logged"
            waiting = syncs(host)
            wait_until_it_asks(host)
            assert waiting.poll() is None
        done = ended(waiting)
        code, (run,) = synced(done)
        assert (code, run[0], run[2:]) == (0, "run", (0, ""))
        assert run[1] > 0
        assert len(host.server.values("run", "loss")) == 1000
        assert host.server.run("run").status == "RUNNING"
        go_on(other)
        assert ended(other).code == 0
    assert host.server.run("run").status == "COMPLETED"


@pytest.mark.slow
def test_sync_gives_up_where_the_other_process_gets_nothing_through(host: Host):
    with host.start(LIVES) as other:
        assert line(other) == "ready"
        with host.silence():
            go_on(other)
            assert line(other) == "logged"
            following = syncs(host, "--follow", STEPLOG_EXCHANGE_TIMEOUT_S="0.5")
            wait_until_it_asks(host)
            code, (run,) = synced(ended(syncs(host, STEPLOG_EXCHANGE_TIMEOUT_S="0.5")))
            assert (code, run[3]) == (1, "another process delivers it; nothing of it has arrived for 0.5 s")
            assert following.poll() is None
        assert synced(ended(following))[0] == 0
        go_on(other)
        ended(other)


def test_sync_takes_over_from_a_process_that_dies_and_says_how_much_it_delivered(host: Host):
    with host.start(LIVES) as other:
        assert line(other) == "ready"
        with host.silence():
            go_on(other)
            assert line(other) == "logged"
            waiting = syncs(host)
            wait_until_it_asks(host)
            assert waiting.poll() is None
            other.kill()
            other.wait()
        code, (run,) = synced(ended(waiting))
    assert (code, run[0], run[2:]) == (0, "run", (0, ""))
    assert host.server.values("run", "loss") == list(range(1000))
    assert host.server.run("run").status == "CRASHED"
    assert not list(host.state.glob("*/manifest"))


def test_ctrl_c_ends_the_waiting_and_nothing_else(host: Host):
    with host.start(LIVES) as other:
        assert line(other) == "ready"
        with host.silence():
            go_on(other)
            assert line(other) == "logged"
            waiting = syncs(host)
            wait_until_it_asks(host)
            assert waiting.poll() is None
            waiting.send_signal(signal.SIGINT)
            done = ended(waiting)
        assert (done.code, done.errors) == (
            130,
            "steplog: interrupted; what is not delivered is kept. Type: steplog sync\n",
        )
        go_on(other)
        assert ended(other).code == 0
    assert len(host.server.values("run", "loss")) == 1000


@pytest.mark.slow
def test_beside_a_serve_that_delivers_what_a_killed_run_has_left_sync_ends_well(host: Host, tmp_path: Path):
    """Nothing is configured: serve adopts the run, and sync came second and failed."""
    away = {"STEPLOG_URL": "", "STEPLOG_API_KEY": ""}
    environment = {name: value for name, value in host.environment.items() if name not in away}
    killed = "run = begin()\nfor number in range(50_000): run.log('loss', number)\nos.kill(os.getpid(), signal.SIGKILL)"
    program = host.write(killed)
    done = subprocess.run([sys.executable, str(program)], env=environment | {"RUN_NAME": "killed"}, check=False)
    assert done.returncode == -signal.SIGKILL
    serve = [
        sys.executable,
        "-m",
        "steplog",
        "serve",
        "--port",
        "0",
        "--db",
        str(tmp_path / "here.db"),
        "--user",
        "team",
    ]
    with subprocess.Popen(serve, env=environment, stdout=subprocess.PIPE, text=True) as serving:
        try:
            assert line(serving).startswith("steplog serve: http://127.0.0.1:")
            for _ in range(20):
                sync = [sys.executable, *SYNC]
                done = subprocess.run(sync, env=environment, capture_output=True, check=False, timeout=DEADLINE_S)
                assert done.returncode == 0, done
                if not list(host.state.glob("*/manifest")):
                    break
            wait_until(lambda: not list(host.state.glob("*/manifest")))
        finally:
            serving.kill()


@pytest.mark.slow
def test_a_server_that_is_away_keeps_sync_of_many_runs_no_longer_than_of_one(host: Host):
    """While it was at one run, its own agent adopted the others, which it took for another process."""
    killed = "run = begin()\nrun.log('loss', 1.0)\nos.kill(os.getpid(), signal.SIGKILL)"
    nowhere = {"STEPLOG_URL": "http://127.0.0.1:9"}
    for number in range(4):
        host.run(killed, name=f"run{number}", **nowhere)
    code, runs = synced(ended(syncs(host, STEPLOG_EXCHANGE_TIMEOUT_S="600", **nowhere)))
    assert code == 1
    assert [run[1:3] for run in runs] == [(0, 1)] * 4
    assert all(run[3].endswith("refused") for run in runs), runs


@pytest.mark.slow
def test_of_several_runs_the_oldest_is_delivered_first(host: Host):
    names = [f"run{number}" for number in range(4)]
    logs = "import steplog\nfor name in sys.argv[1:]:\n"
    logs += "    run = steplog.init('team', os.environ['PROJECT'], name, mode='offline')\n"
    logs += "    run.log('loss', 1.0)\n    run.finish(timeout=0)\n"
    assert host.run(logs, *names).code == 0
    waiting = json.loads(host.run("-m", "steplog", "ls", "--here", "--json").out)["waiting"]
    for run in waiting:
        age = 10**9 + names.index(run["name"])
        os.utime(Path(run["path"]) / "lock", (age, age))
    code, runs = synced(host.run(*SYNC))
    assert (code, [run[0] for run in runs]) == (0, names)
