"""Programs that join a run by ``attach`` while the server of their machine is away or hangs, or has not been there."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from end_to_end.programs import Host, ended, go_on, line
from end_to_end.test_local_server import Machine, stopped

OWNER = """
    run = begin()
    print(run.uuid, flush=True)
    run.log("loss", 0.5)
    sys.stdin.readline()
    run.flush(20)
    sys.stdin.readline()
    print(run.finish(timeout=30).pending)
"""
WORKER = """
    import steplog
    run = steplog.attach(sys.argv[1])
    for number in range(100):
        run.log("worker", number)
    print("logged", flush=True)
"""
UNSEEN = """
    import steplog
    run = steplog.attach(sys.argv[1], namespace_slug="team", project_slug=os.environ["PROJECT"])
    run.log("worker", 1.0)
    print("logged", flush=True)
    sys.stdin.readline()
    print(run.finish(timeout=30).delivered)
"""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.state.mkdir(mode=0o700)
    return made


def test_a_worker_joins_a_run_of_its_machine_while_the_server_is_down(machine):
    """It said that no server is configured, and none runs on this machine."""
    with machine.serve() as server:
        owner = machine.start(OWNER)
        uuid = line(owner)
        go_on(owner)
        machine.server.wait_for_points("run", 1)
        server.end(signal.SIGKILL)
        done = machine.run(WORKER, uuid)
        assert (done.code, done.out, done.errors) == (0, "logged\n", "")
        server.start()
        go_on(owner)
        assert ended(owner).out == "0\n"
    assert machine.server.values("run", "worker") == list(range(100))


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["online", "offline"])
def test_a_worker_joins_a_run_that_no_server_has_made_yet_by_what_its_owner_calls_it(machine, mode):
    """It said that nothing on this host knows the run."""
    owner = machine.start(OWNER, STEPLOG_MODE=mode)
    local_id = line(owner)
    done = machine.run(WORKER, local_id)
    assert (done.code, done.out, done.errors) == (0, "logged\n", "")
    owner.kill()
    ended(owner)
    with machine.serve():
        assert machine.type("sync").code == 0
    assert machine.server.values("run", "worker") == list(range(100))
    assert machine.server.values("run", "loss") == [0.5]


@pytest.mark.slow
def test_a_uuid_with_both_slugs_is_joined_while_the_server_is_down_and_arrives(machine):
    """As a rank on another machine than the owner's, that begins while the server is started again."""
    with machine.serve() as server:
        uuid = server.new_run(project=machine.project).rstrip("/").rpartition("/")[2]
        address = server.url
        server.end()
        program = machine.start(UNSEEN, uuid, STEPLOG_URL=address, STEPLOG_API_KEY="a-key-of-the-tests")
        assert line(program) == "logged"
        server._arguments = ("--user", "team", "--port", address.rpartition(":")[2])
        server.start()
        go_on(program)
        done = ended(program)
        assert (done.code, done.out) == (0, "1\n"), done.errors


def test_while_the_server_is_away_a_name_that_nothing_here_knows_is_an_error(machine):
    source = "import steplog\nsteplog.attach('trial-05')"
    done = machine.run(source, STEPLOG_URL="http://127.0.0.1:9", STEPLOG_API_KEY="x")
    assert done.code == 1
    words = "no journal on this machine knows the run 'trial-05', and the server cannot be asked: http://127.0.0.1:9: "
    assert f"steplog.errors.ServerUnavailableError: {words}" in done.errors
    assert "During handling" not in done.errors
    done = machine.run(source)
    assert "the server cannot be asked: no server is configured, and none runs on this machine" in done.errors


@pytest.mark.slow
def test_a_server_of_this_machine_that_hangs_keeps_attach_for_three_seconds_alone(machine):
    with machine.serve() as server, stopped(server):
        done = machine.run("import steplog\nsteplog.attach('trial-05')", STEPLOG_EXCHANGE_TIMEOUT_S="20")
        assert done.code == 1
        assert f"it runs (process {server.process.pid}) and has not answered for 3 s" in done.errors


def test_a_run_that_is_passed_to_a_process_which_logs_after_its_end_keeps_its_status(host):
    """The late one took itself for the owner, and made a COMPLETED run CRASHED."""
    late = host.start("""
        import pickle
        run = pickle.load(open(sys.stdin.readline().strip(), "rb"))
        run.log("late", 1.0)
        assert run.flush(20)
        sys.exit(3)
    """)
    owner = host.run("""
        import pickle
        run = begin()
        run.log("loss", 0.5)
        pickle.dump(run, open("run.pickle", "wb"))
        print(run.finish().pending)
    """)
    assert (owner.code, owner.out) == (0, "0\n")
    assert late.stdin is not None
    late.stdin.write("run.pickle\n")
    late.stdin.flush()
    assert ended(late).code == 3
    assert host.server.values("run", "late") == [1.0]
    assert host.server.run("run").status == "COMPLETED"


ENDED = """
    import steplog
    joined = steplog.attach(sys.argv[1])
    joined.log("worker", 1.0)
    before = joined.status.value
    joined.finish()
    print(before, joined.status.value)
"""


@pytest.mark.slow
@pytest.mark.parametrize("end", ["CRASHED", "killed"])
def test_who_joins_a_run_that_has_ended_sees_and_leaves_its_status(host: Host, end: str):
    """The run said COMPLETED here, and that its owner was in another process."""
    ends = "os.kill(os.getpid(), signal.SIGKILL)" if end == "killed" else "run.finish(status='CRASHED')"
    host.run(f"run = begin(); run.log('loss', 1.0); run.flush(20); {ends}")
    if end == "killed":
        host.deliver("run", "CRASHED")
    done = host.run(ENDED, f"{host.project}/run", STEPLOG_QUIET="")
    assert done.out == "CRASHED CRASHED\n", done
    words = "has ended CRASHED, and stays so; attach(uuid, owner=True) resumes it"
    assert done.errors == f"steplog: run run {words}\n"
    assert host.server.run("run").status == "CRASHED"


def test_who_joins_a_run_that_goes_on_leaves_its_status_to_the_owner(host: Host):
    owner = host.start("run = begin(); print(run.uuid, flush=True); sys.stdin.readline(); run.finish()")
    done = host.run(ENDED, line(owner), STEPLOG_QUIET="")
    assert done.out == "RUNNING RUNNING\n", done
    assert done.errors == "steplog: run run has its owner in another process; its status is not changed.\n"
    go_on(owner)
    assert ended(owner).code == 0
    assert host.server.run("run").status == "COMPLETED"


def test_who_joins_a_run_and_exits_without_finish_says_what_was_delivered(host: Host):
    """It said that the run is kept here, and that the next run on this machine sends it."""
    host.run("run = begin(); run.log('loss', 1.0); run.finish()")
    done = host.run(f"import steplog; steplog.attach('{host.project}/run').log('worker', 1.0)", STEPLOG_QUIET="")
    assert done.errors == "steplog: run run: 1 delivered\n"
    assert host.server.run("run").status == "COMPLETED"
    assert not list(host.state.glob("*/manifest"))


def test_an_owner_that_leaves_records_to_a_worker_says_so(host: Host):
    """It named the next run, or steplog sync."""
    owner = host.start(
        "run = begin(); print(run.uuid, flush=True); sys.stdin.readline()\n"
        "run.log('loss', 1.0); run.finish(timeout=0.2)",
        STEPLOG_QUIET="",
    )
    worker = host.start(
        "import steplog; run = steplog.attach(sys.argv[1]); run.log('worker', 1.0); print(run.flush(), flush=True);"
        " sys.stdin.readline(); print(run.flush()); run.finish(); print(run.status.value)",
        line(owner),
        STEPLOG_QUIET="",
    )
    assert line(worker) == "True"
    with host.silence():
        go_on(owner)
        assert ended(owner).errors.splitlines()[-1].endswith("; another process of the run sends it")
    host.server.wait_for("run", "COMPLETED")
    assert host.server.values("run", "loss") == [1.0]
    go_on(worker)
    left = ended(worker)
    assert left.out == "True\nCOMPLETED\n"
    assert left.errors.startswith("steplog: run run has ended COMPLETED, and stays so; ")


def test_a_run_that_is_resumed_by_attach_is_running(host: Host):
    """Its status was the one that it had ended with."""
    host.run("begin().finish(status='CRASHED')")
    done = host.run(f"""
        import steplog
        run = steplog.attach("{host.project}/run", owner=True)
        print(run.status.value)
        run.delete(now=True)
        try:
            run.restore()
        except steplog.RunNotFoundError as error:
            print(error)
    """)
    words = "run run is not restored: 404 Not found; the server has no such run in its trash"
    assert done.out == f"RUNNING\n{words}\n", done
