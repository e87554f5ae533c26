"""What was logged is what the server holds: once, in order, whoever is killed in between."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from end_to_end import workload
from end_to_end.programs import Host, ended, line
from end_to_end.workload import Ledger, check, check_steps
from polling import wait_until
from server.process import ServerProcess, lasting_port

WORKLOAD = Path(workload.__file__)


@pytest.mark.slow
def test_a_hundred_thousand_metrics_arrive_once_though_their_process_is_killed(host: Host):
    """Half of them by a process that SIGKILL ends; the next init on the machine adopts what it left."""
    first, second = Ledger(host.directory / "first"), Ledger(host.directory / "second")
    killed = host.start(WORKLOAD, str(host.directory / "first"), "4000000", name="killed")
    wait_until(lambda: sum(first.calls()) > 50_000)
    killed.kill()
    ended(killed)
    program = host.start(WORKLOAD, str(host.directory / "second"), "52000", "wait", name="second")
    host.server.wait_for("killed", "CRASHED")
    done = ended(program)
    assert (done.code, done.errors) == (0, "")
    assert done.out.split() == ["52000", "52000", "0", "0", "0", "0"]
    assert sum(first.calls()) + sum(second.calls()) > 100_000
    for name, ledger in (("killed", first), ("second", second)):
        stored = host.server.metrics(name)
        check(stored, ledger.calls())
        check_steps(stored)
    assert host.server.run("second").status == "COMPLETED"


def test_the_route_shows_what_the_database_holds(host: Host, server: ServerProcess):
    ledger = Ledger(host.directory / "ledger")
    assert host.run(WORKLOAD, str(host.directory / "ledger"), "2400").code == 0
    run = host.server.run("run").uuid
    shown = server.ask("GET", f"/team/projects/{host.project}/runs/{run}/metrics/").json()
    special = {"NaN": float("nan"), "-Infinity": float("-inf")}
    check(
        [
            (row["name"], special[row["value"]] if row["name"] == "nan with step" else row["value"], row["step"])
            for row in shown
        ],
        ledger.calls(),
    )


@pytest.mark.slow
def test_a_server_that_is_killed_and_started_again_holds_everything_once(tmp_path: Path):
    directory = tmp_path / "server"
    directory.mkdir()
    with ServerProcess(directory, "--user", "team", "--port", str(lasting_port())) as server:
        host = Host(tmp_path, server)
        program = host.start("""
            run = begin()
            print("ready", flush=True)
            for number in range(60_000):
                run.log("loss", number + 0.5, step=number)
                run.log(f"metric {number % 3}", str(number))
                if number % 200 == 0:
                    time.sleep(0.01)
            report = run.finish()
            print(report.delivered, report.pending, report.ambiguous, run.stats().last_error)
        """)
        assert line(program) == "ready"
        for points in (20_000, 60_000):
            wait_until(lambda points=points: host.server.run("run").points > points)
            server.end(signal.SIGKILL)
            server.start()
        done = ended(program)
        assert (done.code, done.out) == (0, "120000 0 0 None\n")
        assert host.server.run("run").status == "COMPLETED"
        assert host.server.values("run", "loss") == [number + 0.5 for number in range(60_000)]
        for name in range(3):
            assert host.server.values("run", f"metric {name}") == [str(n) for n in range(60_000) if n % 3 == name]


def test_two_runs_of_a_process_keep_apart(host: Host):
    done = host.run("""
        import steplog
        train, test = begin("train", activate=False), begin("test", activate=False)
        for number in range(1000):
            train.log("loss", number)
            test.log("loss", -number)
        with test:
            steplog.log("more", "text")
        train.log("loss", 1000)
        assert (train.finish().delivered, test.finish().delivered) == (1001, 1001)
    """)
    assert (done.code, done.errors) == (0, "")
    assert host.server.values("train", "loss") == list(range(1001))
    assert host.server.values("test", "loss") == [-number for number in range(1000)]
    assert host.server.values("test", "more") == ["text"]


def test_an_exception_leaves_a_with_block_and_its_run_is_crashed_with_all_records(host: Host):
    done = host.run("""
        import steplog
        try:
            with begin() as run:
                for number in range(1000):
                    steplog.log("loss", number)
                raise KeyError("the program's own")
        except KeyError as error:
            assert error.args == ("the program's own",) and error.__context__ is None
        assert run.status is steplog.RunStatus.CRASHED
    """)
    assert (done.code, done.errors) == (0, "")
    assert host.server.run("run").status == "CRASHED"
    assert host.server.values("run", "loss") == list(range(1000))


def test_a_run_arrives_once_though_those_who_adopt_it_are_killed_too(host: Host):
    assert host.run("run = begin()\nfor number in range(50_000):\n    run.log('loss', number)\nos._exit(1)").code == 1
    before = host.server.run("run").points
    for least in (before, before + 1):
        adopting = host.start("begin('adopts')\nprint('ready', flush=True)\nsys.stdin.read()")
        assert line(adopting) == "ready"
        wait_until(lambda least=least: host.server.run("run").points >= least)
        adopting.kill()
        ended(adopting)
    host.deliver("run", "CRASHED")
    assert host.server.values("run", "loss") == list(range(50_000))


def test_the_flush_of_a_worker_does_not_wait_for_the_next_look_of_the_agent(host: Host):
    """It took one to two seconds: nobody told the agent, in the other process, that somebody waits."""
    done = host.run("""
        run = begin()
        pid = os.fork()
        if pid == 0:
            took = []
            for number in range(9):
                run.log("loss", float(number))
                began = time.monotonic()
                assert run.flush(30)
                took.append(time.monotonic() - began)
            print(sorted(took)[4], flush=True)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
    """)
    assert (done.code, done.errors) == (0, "")
    assert float(done.out) < 0.5
    assert host.server.values("run", "loss") == [float(number) for number in range(9)]
