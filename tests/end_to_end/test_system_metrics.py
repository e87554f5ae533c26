"""System metrics of a run: on the server beside what was logged, and in no count of it."""

from __future__ import annotations

import os

import pytest

from end_to_end.programs import Host, ended, go_on, line
from polling import wait_until
from server.process import ServerProcess
from steplog.machine.system import is_known_here

pytestmark = pytest.mark.skipif(not is_known_here(), reason="there is no /proc here")
FAST = {"STEPLOG_SYSTEM_INTERVAL_S": "0.1"}
WAITS = "run = begin()\nrun.log('loss', 0.5, 3)\nprint('ready', flush=True)\nsys.stdin.readline()\n"


def names(host: Host, run: str = "run") -> set[str]:
    return {name for name, _, _ in host.server.metrics(run)}


def of_system(host: Host, run: str = "run") -> list[str]:
    return [name for name, _, _ in host.server.metrics(run) if name.startswith("system/")]


@pytest.mark.slow
def test_a_run_shows_load_and_memory_and_counts_what_was_logged_alone(host: Host):
    program = host.start(
        WAITS + "stats = run.stats()\nreport = run.finish()\nprint(stats.logged, report.logged, run.step)", **FAST
    )
    assert line(program) == "ready"
    wait_until(lambda: len([name for name in of_system(host) if name == "system/memory_percent"]) >= 3)
    go_on(program)
    assert ended(program).out.split() == ["1", "1", "3"]
    assert {"system/memory_bytes", "system/process.cpu_percent", "system/process.memory_bytes"} <= names(host)
    assert host.server.values("run", "loss") == [0.5]
    memory = host.server.values("run", "system/process.memory_bytes")
    assert all(10 * 1024 * 1024 < each < 10 * 1024**3 for each in memory)
    assert host.server.run("run").status == "COMPLETED"


@pytest.mark.slow
def test_nothing_of_it_comes_after_the_end(host: Host):
    program = host.start(WAITS + "run.finish()\nprint('ended', flush=True)\nsys.stdin.readline()", **FAST)
    assert line(program) == "ready"
    wait_until(lambda: of_system(host))
    go_on(program)
    assert line(program) == "ended"
    points = host.server.run("run").points
    wait_for_samples(host)
    assert host.server.run("run").points == points
    go_on(program)
    assert ended(program).code == 0


def wait_for_samples(host: Host) -> None:
    """Until another run of this machine was sampled many times."""
    other = host.start(WAITS, name="other", **FAST)
    assert line(other) == "ready"
    wait_until(lambda: len(of_system(host, "other")) > 20)
    go_on(other)
    assert ended(other).code == 0


@pytest.mark.slow
def test_it_is_off_by_its_setting(host: Host):
    program = host.start(WAITS + "run.finish()", STEPLOG_SYSTEM_INTERVAL_S="0")
    assert line(program) == "ready"
    wait_for_samples(host)
    assert names(host) == {"loss"}
    go_on(program)
    assert ended(program).code == 0


@pytest.mark.slow
def test_it_is_off_offline(host: Host):
    program = host.start(WAITS + "run.finish()", STEPLOG_MODE="offline", **FAST)
    assert line(program) == "ready"
    wait_for_samples(host)
    go_on(program)
    assert ended(program).code == 0
    assert host.run("-msteplog", "sync").code == 0
    assert names(host) == {"loss"}


@pytest.mark.slow
def test_a_stock_server_gets_none(host: Host, tmp_path):
    directory = tmp_path / "stock"
    directory.mkdir()
    with ServerProcess(directory, "--user", "team", "--stock") as stock:
        of_stock = Host(directory, stock)
        program = of_stock.start(WAITS + "run.finish()", **FAST)
        assert line(program) == "ready"
        wait_for_samples(host)
        go_on(program)
        assert ended(program).code == 0
        assert names(of_stock) == {"loss"}


@pytest.mark.slow
def test_a_host_that_does_not_own_the_run_has_its_name_in_the_metrics(host: Host, tmp_path):
    program = host.start(WAITS + "print(run.uuid, flush=True)\nsys.stdin.readline()", **FAST)
    assert line(program) == "ready"
    go_on(program)
    uuid = line(program)
    elsewhere = host.start(
        "import steplog\n"
        "run = steplog.attach(sys.argv[1], namespace_slug='team', project_slug=os.environ['PROJECT'])\n"
        "run.log('of another host', 1.0)\nprint('ready', flush=True)\nsys.stdin.readline()\nrun.finish()",
        uuid,
        STEPLOG_DIR=str(tmp_path / "elsewhere"),
        STEPLOG_MEMORY_DIR=str(tmp_path / "memory"),
        **FAST,
    )
    assert line(elsewhere) == "ready"
    wanted = {f"system/{os.uname().nodename}/memory_percent", "system/memory_percent"}
    wait_until(lambda: wanted <= names(host))
    for started in (elsewhere, program):
        go_on(started)
        assert ended(started).code == 0


@pytest.mark.slow
def test_of_two_processes_of_one_host_one_samples(host: Host):
    program = host.start(WAITS + "print(run.uuid, flush=True)\nsys.stdin.readline()\nrun.finish()", **FAST)
    assert line(program) == "ready"
    go_on(program)
    worker = host.start(
        "import steplog\n"
        "run = steplog.attach(sys.argv[1])\n"
        "run.log('of the worker', 1.0)\nprint('ready', flush=True)\nsys.stdin.readline()\nrun.finish()",
        line(program),
        **FAST,
    )
    assert line(worker) == "ready"
    wait_for_samples(host)
    assert len(host.server.samplers("run")) == 1
    for started in (worker, program):
        go_on(started)
        assert ended(started).code == 0


@pytest.mark.slow
def test_a_run_that_is_killed_is_crashed_and_has_what_was_sent(host: Host):
    program = host.start(WAITS, **FAST)
    assert line(program) == "ready"
    wait_until(lambda: of_system(host))
    program.kill()
    ended(program)
    host.deliver("run", "CRASHED")
    assert host.server.values("run", "loss") == [0.5]
