"""0.1.0 and this version at once: on one machine, in one run, and each with the other's server."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from polling import wait_until
from server.process import DEADLINE_S, SOURCES, ServerProcess, lasting_port
from upgrade.former import Side, read_line

pytestmark = pytest.mark.slow

LOGS_ON = """
import sys, threading, time
import steplog

run = steplog.init("team", "mnist", sys.argv[1], config={"lr": 0.1})
over = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), over.set()), daemon=True).start()
print("begun", flush=True)
step = 0
while not over.wait(0.001):
    run.log("loss", step / 7, step=step)
    run.log({"count": step, "text": f"é{step}"})
    step += 1
    if step == 300:
        run.flush(20)
        print(run.uuid, flush=True)
"""
FINISHES = LOGS_ON + "run.config['steps'] = step\nprint(step, run.finish().pending, flush=True)\n"
LEFT = LOGS_ON + "print(step, 0, flush=True)\ntime.sleep(600)\n"
SHORT = """
import steplog

with steplog.init("team", "mnist", "short") as run:
    for step in range(100):
        run.log("loss", step / 7, step=step)
"""
JOINS = """
import sys
import steplog

run = steplog.attach(sys.argv[1], namespace_slug="team", project_slug="mnist")
for step in range(200):
    run.log("of another", step, step=step)
run.finish()
"""
SAVES = """
import steplog

with steplog.init("team", "mnist", "long", tags=["of now"]) as run:
    run.log("loss", 0.5)
    run.save("weights.txt")
"""


@pytest.fixture
def versions(former: Path) -> dict[str, Path]:
    """The sources of each."""
    return {"0.1": former, "new": SOURCES}


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Starts a server of given sources in ``tmp_path/state``, and ends it after the test."""
    started: list[ServerProcess] = []

    def start(sources: Path) -> ServerProcess:
        directory = tmp_path / "state"
        (directory / "memory").mkdir(mode=0o700, parents=True)
        directory.chmod(0o700)
        port = str(lasting_port())
        started.append(ServerProcess(directory, "--user", "team", "--port", port, key=None, sources=sources))
        key = (directory / "server.db.key").read_text().strip()
        started[-1].session.headers["Authorization"] = f"Api-Key {key}"
        return started[-1]

    yield start
    for server in started:
        server.__exit__(None, None, None)


def runs(server: ServerProcess) -> dict[str, dict[str, Any]]:
    """What the server lists, by name."""
    listed = server.ask("GET", "/team/projects/mnist/runs/").json()
    assert len({run["name"] for run in listed}) == len(listed)
    return {run["name"]: run for run in listed}


def values(server: ServerProcess, name: str) -> dict[str, list[Any]]:
    """The values of a run, by metric in the order of arrival; checks the steps."""
    found: dict[str, list[Any]] = {}
    uuid = runs(server)[name]["uuid"]
    for point in server.ask("GET", f"/team/projects/mnist/runs/{uuid}/metrics/").json():
        made = found.setdefault(point["name"], [])
        assert point["step"] == len(made) or point["name"].startswith(("steplog/", "system/"))
        made.append(point["value"])
    return {metric: made for metric, made in found.items() if not metric.startswith(("steplog/", "system/"))}


def logged(steps: int) -> dict[str, list[Any]]:
    """The values of a run of ``LOGS_ON``."""
    counts = list(range(steps))
    return {"loss": [step / 7 for step in counts], "count": counts, "text": [f"é{step}" for step in counts]}


def end(program: subprocess.Popen[str]) -> int:
    """Tell a program of ``LOGS_ON`` to end; how many steps it has logged."""
    assert program.stdin is not None
    program.stdin.write("\n")
    program.stdin.flush()
    while len(line := read_line(program).split()) != 2:
        pass
    assert line[1] == "0"
    return int(line[0])


def killed(side: Side, server: ServerProcess) -> int:
    """Kill a run that has records which the server does not have; how many steps it has logged."""
    program = side.program(LEFT, "long")
    assert [read_line(program) for _ in range(2)]
    server.process.send_signal(signal.SIGSTOP)
    steps = end(program)
    program.kill()
    program.communicate()
    server.process.send_signal(signal.SIGCONT)
    assert steps >= 300
    return steps


def over(program: subprocess.Popen[str]) -> str:
    """Wait for the end of a program; what it said on standard error."""
    _, errors = program.communicate(timeout=2 * DEADLINE_S)
    assert program.returncode == 0, errors
    return errors


@pytest.mark.parametrize("served", ["0.1", "new"])
@pytest.mark.parametrize(("logs", "beside"), [("0.1", "new"), ("new", "0.1")])
def test_a_run_goes_on_beside_commands_and_runs_of_the_other_version(versions, serve, tmp_path, served, logs, beside):
    """All find the server by its state file, and share a state directory and memory."""
    server = serve(versions[served])
    one, other = (Side(versions[name], tmp_path / "state") for name in (logs, beside))
    program = one.program(FINISHES, "long")
    assert [read_line(program) for _ in range(2)]
    over(other.program(SHORT))
    for command in (["sync"], ["clean", "--yes"], ["ls"], ["show", "long"]):
        done = other.steplog(*command)
        assert "Traceback" not in done.stderr, done
        assert done.returncode == 0 or command == ["sync"], done
    steps = end(program)
    assert "lost" not in over(program)
    assert values(server, "long") == logged(steps)
    assert values(server, "short") == {"loss": [step / 7 for step in range(100)]}
    assert {run["name"]: run["status"] for run in runs(server).values()} == {"long": "COMPLETED", "short": "COMPLETED"}


@pytest.mark.parametrize("served", ["0.1", "new"])
def test_a_run_of_0_1_that_was_killed_is_delivered_by_this_version(versions, serve, tmp_path, served):
    server = serve(versions[served])
    side = Side(versions["0.1"], tmp_path / "state")
    steps = killed(side, server)
    done = side.of(SOURCES).steplog("sync")
    assert done.returncode == 0, done
    wait_until(lambda: runs(server)["long"]["status"] == "CRASHED", DEADLINE_S)
    assert values(server, "long") == logged(steps)


def test_a_killed_run_of_this_version_is_left_alone_by_0_1_and_then_delivered(versions, serve, tmp_path):
    server = serve(versions["0.1"])
    side = Side(SOURCES, tmp_path / "state")
    steps = killed(side, server)
    former = side.of(versions["0.1"])
    assert "Traceback" not in former.steplog("sync").stderr
    over(former.program(SHORT))
    former.steplog("clean", "--yes")
    done = side.steplog("sync")
    assert done.returncode == 0, done
    assert values(server, "long") == logged(steps)
    assert runs(server)["long"]["status"] == "CRASHED"


@pytest.mark.parametrize("served", ["0.1", "new"])
def test_a_process_of_this_version_joins_a_run_of_0_1(versions, serve, tmp_path, served):
    server = serve(versions[served])
    side = Side(versions["0.1"], tmp_path / "state")
    program = side.program(FINISHES, "long")
    uuid = [read_line(program) for _ in range(2)][1]
    over(side.of(SOURCES).program(JOINS, uuid))
    steps = end(program)
    over(program)
    wait_until(lambda: len(values(server, "long").get("of another", ())) == 200, DEADLINE_S)
    assert values(server, "long") == logged(steps) | {"of another": list(range(200))}
    assert runs(server)["long"]["status"] == "COMPLETED"


def test_a_process_of_0_1_that_joins_a_run_of_this_version_is_refused_in_words(versions, serve, tmp_path):
    server = serve(SOURCES)
    side = Side(SOURCES, tmp_path / "state")
    program = side.program(FINISHES, "long")
    uuid = [read_line(program) for _ in range(2)][1]
    _, errors = side.of(versions["0.1"]).program(JOINS, uuid).communicate(timeout=DEADLINE_S)
    assert "is of version 2; version 1 is known here" in errors
    steps = end(program)
    over(program)
    assert values(server, "long") == logged(steps)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_server_is_upgraded_under_load_of_0_1_and_a_downgrade_is_refused(versions, serve, tmp_path, number):
    server = serve(versions["0.1"])
    side = Side(versions["0.1"], tmp_path / "state")
    programs = {name: side.program(FINISHES, name) for name in ("one", "two", "three")}
    for program in programs.values():
        assert [read_line(program) for _ in range(2)]
    before = {name: len(values(server, name)["loss"]) for name in programs}
    server.end(number)
    server.sources = SOURCES
    server.start()
    wait_until(lambda: all(len(values(server, name)["loss"]) > had for name, had in before.items()), DEADLINE_S)
    ended = {name: (end(program), over(program)) for name, program in programs.items()}
    for name, (steps, errors) in ended.items():
        assert "lost" not in errors
        assert values(server, name) == logged(steps)
        assert runs(server)[name]["status"] == "COMPLETED"
    server.end()
    kept = content(server.database)
    server.sources = versions["0.1"]
    with pytest.raises(AssertionError) as refused:
        server.start()
    assert "server.db is of schema version 8; this steplog knows 2" in str(refused.value)
    assert content(server.database) == kept
    server.sources = SOURCES
    server.start()
    assert values(server, "one") == logged(ended["one"][0])


def content(database: Path) -> list[str]:
    """All that is in a database."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        return list(connection.iterdump())
    finally:
        connection.close()


def test_files_of_a_run_with_a_server_of_0_1_stay_here_and_are_named(versions, serve, tmp_path):
    server = serve(versions["0.1"])
    side = Side(SOURCES, tmp_path / "state")
    (tmp_path / "weights.txt").write_text("of now")
    errors = over(side.program(SAVES))
    assert "steplog: this server keeps no tags of a run." in errors
    assert values(server, "long") == {"loss": [0.5]}
    assert runs(server)["long"]["status"] == "COMPLETED"
    (kept,) = (side.state / "kept-files" / "mnist").rglob("weights.txt")
    assert kept.read_text() == "of now"
    assert str(kept.parent) in errors
