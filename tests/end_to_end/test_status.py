"""Status tells the truth: what the server holds after each way of ending, which we leave as it was.

Each program runs twice, with a run and without steplog; exit code, output and traceback must be the same.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from end_to_end.gate import Gate
from end_to_end.programs import Done, Host, ended, go_on, line
from server.process import ServerProcess

NEW = sys.version_info >= (3, 12)  # the interpreter shows every SystemExit that ends it

WAYS = {
    "it comes to its end": ("", "COMPLETED"),
    "sys.exit()": ("sys.exit()", "COMPLETED"),
    "sys.exit(0)": ("sys.exit(0)", "COMPLETED"),
    "sys.exit(3)": ("sys.exit(3)", "CRASHED"),
    "sys.exit('text')": ("sys.exit('out of data')", "CRASHED"),
    "sys.exit(3), caught": ("try:\n    sys.exit(3)\nexcept SystemExit:\n    pass", "COMPLETED"),
    "sys.exit(3) through finally": ("try:\n    sys.exit(3)\nfinally:\n    print('cleaned')", "CRASHED"),
    "raise SystemExit(3)": ("raise SystemExit(3)", "CRASHED" if NEW else "COMPLETED"),
    "raise SystemExit('text')": ("raise SystemExit('text')", "CRASHED" if NEW else "COMPLETED"),
    "exit(4)": ("exit(4)", "CRASHED" if NEW else "COMPLETED"),
    "an exception": ("def train():\n    raise ValueError('a loss of nan')\ntrain()", "CRASHED"),
    "an exception in an excepthook's care": (
        "sys.excepthook = lambda *error: print('mourned', error[0].__name__)\n1 / 0",
        "CRASHED",
    ),
    "KeyboardInterrupt": ("os.kill(os.getpid(), signal.SIGINT)\nsignal.pause()", "CRASHED"),
    "an exception in a thread": (
        "threading.excepthook = lambda error: print(error.exc_type.__name__)\n"
        "thread = threading.Thread(target=lambda: 1 / 0)\nthread.start()\nthread.join()",
        "COMPLETED",
    ),
    "sys.exit(3) in a thread": (
        "thread = threading.Thread(target=lambda: sys.exit(3))\nthread.start()\nthread.join()",
        "COMPLETED",
    ),
    "raise SystemExit(3) in a thread without threading": (
        "import _thread\nbefore = _thread._count()\ndef leave():\n    raise SystemExit(3)\n"
        "_thread.start_new_thread(leave, ())\n"
        "for _ in range(200):\n    time.sleep(0.001)\n    if _thread._count() <= before:\n        break",
        "COMPLETED",
    ),
    "a program within: runpy": (
        "import runpy\nopen('inner.py', 'w').write('import sys; sys.exit(3)')\nrunpy.run_path('inner.py')",
        "CRASHED",
    ),
    "an exception inside with": ("with run or open(os.devnull):\n    1 / 0", "CRASHED"),
    "sys.exit(0) inside with": ("with run or open(os.devnull):\n    sys.exit(0)", "COMPLETED"),
    "raise SystemExit(3) inside with": ("with run or open(os.devnull):\n    raise SystemExit(3)", "CRASHED"),
    "finish, then an exception": ("if run:\n    run.finish()\n1 / 0", "COMPLETED"),
    "finish(status=FAILED), then the end": ("if run:\n    run.finish(status='FAILED')", "FAILED"),
    "an atexit function of the program's": ("import atexit\natexit.register(print, 'bye')", "COMPLETED"),
    "a daemon thread that logs on": (
        "def on():\n    while run:\n        run.log('more', 1.0)\n        time.sleep(0.0001)\n"
        "threading.Thread(target=on, daemon=True).start()\ntime.sleep(0.1)",
        "COMPLETED",
    ),
}


def with_and_without(host: Host, body: str, **variables: str) -> tuple[Done, Done]:
    path = host.write(f"run = begin()\nif run:\n    run.log('loss', 0.5)\n{body}\n")
    return host.run(path, **variables), host.run(path, WITHOUT_STEPLOG="1", **variables)


@pytest.mark.parametrize("way", WAYS)
def test_the_status_is_how_the_program_ended(host: Host, way: str):
    body, status = WAYS[way]
    done, without = with_and_without(host, body)
    assert (done.code, done.out, done.errors) == (without.code, without.out, without.errors)
    assert host.server.run("run").status == status
    assert host.server.values("run", "loss") == [0.5]


def test_what_an_excepthook_logs_is_kept(host: Host):
    done = host.run("""
        run = begin()
        sys.excepthook = lambda kind, *error: run.log("mourned", kind.__name__)
        1 / 0
    """)
    assert (done.code, done.errors) == (1, "")
    assert host.server.run("run").status == "CRASHED"
    assert host.server.values("run", "mourned") == ["ZeroDivisionError"]


def test_an_exception_after_a_sys_exit_counts_and_not_the_code(host: Host):
    done, without = with_and_without(host, "try:\n    sys.exit(0)\nfinally:\n    1 / 0")
    assert done.code == without.code == 1
    # Before 3.12 sys.exit is wrapped, which shows as one more frame in the traceback of what follows it.
    assert done.errors == without.errors or not NEW
    assert host.server.run("run").status == "CRASHED"


def test_sys_exit_is_wrapped_only_during_a_run_where_all_monitoring_tools_are_taken(host: Host):
    done = host.run("""
        original = sys.exit
        for number in range(6) if sys.version_info >= (3, 12) else ():
            sys.monitoring.use_tool_id(number, "another")
        run = begin()
        assert sys.exit is not original
        run.finish()
        assert sys.exit is original
        begin("second")
        sys.exit(3)
    """)
    assert (done.code, done.errors) == (3, "")
    assert (host.server.run("run").status, host.server.run("second").status) == ("COMPLETED", "CRASHED")


SESSIONS = {
    "a prompt": "sys.ps1 = '>>> '",
    "a notebook": "import types\nsys.modules['IPython'] = types.SimpleNamespace(get_ipython=lambda: 'a shell')",
}
IPYTHON_AS_A_LIBRARY = "import types\nsys.modules['IPython'] = types.SimpleNamespace(get_ipython=lambda: None)"
SHOWN = "\nrun = begin()\nsys.last_value = sys.last_exc = ValueError('shown')"


def test_a_keyboard_interrupt_shows_in_the_exit_code_whatever_runs_after_it(host: Host):
    """Each exec of a text makes the interpreter forget it, and the exit code was 1 where our threads imported late."""
    execs = "if run:\n    import atexit\n    atexit.register(lambda: exec('pass'))\n"
    done, without = with_and_without(host, execs + "os.kill(os.getpid(), signal.SIGINT)\nsignal.pause()")
    assert done.code == without.code == -signal.SIGINT


@pytest.mark.parametrize("session", SESSIONS)
def test_an_error_that_a_session_has_shown_is_no_crash(host: Host, session: str):
    assert host.run(host.write(SESSIONS[session] + SHOWN)).code == 0
    assert host.server.run("run").status == "COMPLETED"


def test_ipython_that_is_only_imported_is_no_session(host: Host):
    assert host.run(host.write(IPYTHON_AS_A_LIBRARY + "\nrun = begin()\n1 / 0")).code == 1
    assert host.server.run("run").status == "CRASHED"


def test_what_atexit_functions_of_the_program_log_arrives(host: Host):
    done = host.run("""
        import atexit
        run = begin()
        atexit.register(lambda: run.log("late", 1.0))
        run.log("loss", 0.5)
    """)
    assert (done.code, done.errors) == (0, "")
    assert host.server.values("run", "late") == [1.0]


def test_what_is_logged_after_the_end_of_the_run_at_exit_is_counted_as_dropped(host: Host):
    done = host.run("""
        import atexit

        def late():  # registered before ours, and so called after it
            for value in (1.0, 2, "text"):
                run.log("loss", value)
            run.log("new", 1.0)
            print(run.stats().dropped, run.stats().delivered)

        atexit.register(late)
        run = begin()
        run.log("loss", 0.5)
    """)
    assert (done.code, done.out, done.errors) == (0, "{'finished': 4} 1\n", "")
    assert host.server.metrics("run") == [("loss", 0.5, 0)]


def test_as_pytest_does_it_a_failure_that_was_shown_and_an_exit_code(host: Host):
    """pytest leaves a failed test's exception in sys.last_value and ends by its exit code."""
    program = host.write(
        "run = begin()\nsys.last_value = sys.last_exc = ValueError('shown')\nsys.exit(int(sys.argv[1]))"
    )
    assert [host.run(program, code, name=f"code {code}").code for code in "01"] == [0, 1]
    assert host.server.run("code 0").status == "COMPLETED"
    assert host.server.run("code 1").status == "CRASHED"


def test_a_second_init_of_the_same_thread_fails_the_first_run_and_nothing_else(host: Host):
    done = host.run("""
        import steplog
        first = begin("first")
        first.log("loss", 1.0)
        second = begin("second")
        assert steplog.get_active_run() is second
        first.log("loss", 2.0)
        assert first.stats().dropped == {"finished": 1}
        assert first.status is steplog.RunStatus.FAILED
    """)
    assert (done.code, done.out) == (0, "")
    assert (host.server.run("first").status, host.server.run("second").status) == ("FAILED", "COMPLETED")
    assert host.server.values("first", "loss") == [1.0]


def test_a_second_init_returns_once_the_first_run_has_failed_on_the_server(host: Host):
    done = host.run("""
        import steplog
        def status(run):
            path = f"/api/v0/team/projects/{os.environ['PROJECT']}/runs/{run.uuid}/"
            return steplog.get_default_client().get(path).json()["status"]
        first = begin("first")
        first.log("loss", 1.0)
        begin("second")
        print(status(first))
    """)
    assert (done.code, done.out, done.errors) == (0, "FAILED\n", "")
    assert host.manifests() == []


@pytest.mark.slow
@pytest.mark.parametrize("why", ["a server that hangs", "an event loop"])
def test_a_second_init_waits_a_second_at_most_and_in_an_event_loop_not_at_all(host: Host, why: str):
    loop = why == "an event loop"
    with host.start(
        f"""
        import asyncio, steplog
        from steplog.lifecycle.open_run import OpenRun
        waits = []
        flush = OpenRun.flush
        OpenRun.flush = lambda run, *given: waits.append(run) or flush(run, *given)
        first = begin("first")
        second = begin("second", activate=False)
        first.log("loss", 1.0)
        print("ready", flush=True)
        sys.stdin.readline()
        began = time.monotonic()
        async def inside():
            first.supersede()
        asyncio.run(inside()) if {loop} else first.supersede()
        print(time.monotonic() - began < 2.0, len(waits), flush=True)
        sys.stdin.readline()
        """
    ) as program:
        assert line(program) == "ready"
        if loop:
            go_on(program)
            assert line(program) == "True 0"
        else:
            with host.silence():
                go_on(program)
                assert line(program) == "True 1"
        go_on(program)
        assert ended(program).code == 0
    assert host.server.run("first").status == "FAILED"
    assert host.server.values("first", "loss") == [1.0]


@pytest.fixture
def slow(tmp_path: Path, server: ServerProcess) -> Iterator[Host]:
    """A machine whose server takes a while for each answer."""
    with Gate(int(server.url.rpartition(":")[2])) as gate:
        gate.mode = "late"
        yield Host(tmp_path, server, gate.url)


@pytest.mark.slow
def test_an_exit_right_after_a_second_init_waits_for_the_first_run_too(slow: Host):
    done = slow.run("""
        begin("first").log("loss", 1.0)
        begin("second", mode="offline")
    """)
    assert (done.code, done.out, done.errors) == (0, "", "")
    assert slow.server.run("first").status == "FAILED"
    assert slow.server.values("first", "loss") == [1.0]
    (left,) = slow.manifests()
    assert '"second"' in left


@pytest.mark.slow
def test_a_child_forked_right_after_a_second_init_leaves_both_runs_to_its_parent(slow: Host):
    done = slow.run(
        """
        begin("first").log("loss", 1.0)
        second = begin("second")
        second.log("loss", 2.0)
        pid = os.fork()
        if pid == 0:
            sys.stderr = open("child", "w")
            begin("third").log("loss", 3.0)
            second.log("loss", 2.5)
            sys.exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        """,
        STEPLOG_QUIET="",
    )
    assert (done.code, done.out) == (0, "")
    began, _, over = (slow.directory / "child").read_text().splitlines()  # it says nothing of its parent's
    assert (began.split()[:3], over) == (["steplog:", "run", "third"], "steplog: run third: 1 delivered")
    statuses = {row.name: row.status for row in slow.server.runs()}
    assert statuses == {"first": "FAILED", "second": "COMPLETED", "third": "COMPLETED"}
    assert [slow.server.values(run, "loss") for run in ("first", "second", "third")] == [[1.0], [2.0, 2.5], [3.0]]
    assert slow.manifests() == []


def test_every_open_run_gets_its_status_at_exit(host: Host):
    assert (
        host.run("""
        runs = [begin(f"run {number}", activate=False) for number in range(12)]
        for run in runs:
            run.log("loss", 1.0)
        sys.exit(3)
    """).code
        == 3
    )
    assert [row.status for row in host.server.runs()] == ["CRASHED"] * 12
    assert [host.server.values(f"run {number}", "loss") for number in range(12)] == [[1.0]] * 12


def test_finish_twice_and_from_two_threads_sends_one_status(host: Host):
    assert (
        host.run("""
        run = begin()
        run.log("loss", 1.0)
        reports = []
        threads = [threading.Thread(target=lambda: reports.append(run.finish(status="FAILED"))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {id(report) for report in reports} == {id(run.finish())}
        assert reports[0].delivered == 1 and reports[0].pending == 0
    """).errors
        == ""
    )
    assert host.server.run("run").status == "FAILED"


def test_the_exit_of_a_forked_child_does_not_end_what_it_logs(host: Host):
    """The child inherits our exit hook, which ended the run there: what its other exit functions logged was dropped."""
    done = host.run("""
        import atexit
        run = None
        atexit.register(lambda: run.log("late", float(os.getpid() != parent)))  # runs after ours, which came later
        parent = os.getpid()
        run = begin()
        run.log("loss", 0.5)
        pid = os.fork()
        if pid == 0:
            run.log("loss", 1.5)
            sys.exit(0)
        assert os.waitpid(pid, 0)[1] == 0
    """)
    assert (done.code, done.errors) == (0, "")
    assert host.server.run("run").status == "COMPLETED"
    assert sorted(host.server.values("run", "loss")) == [0.5, 1.5]
    assert host.server.values("run", "late") == [1.0]


TESTED = """
import steplog

def test_it_logs(request):
    with steplog.init("team", {project!r}, name="entered"):
        steplog.log("loss", 0.5)

def test_it_fails():
    run = steplog.init("team", {project!r}, name="left open")
    run.log("loss", 0.5)
    assert {passes}
"""


@pytest.mark.slow
@pytest.mark.parametrize(("passes", "status"), [(True, "COMPLETED"), (False, "CRASHED")])
def test_a_session_of_pytest_crashes_what_is_open_when_it_fails(host: Host, passes: bool, status: str):
    tested = host.write(TESTED.format(project=host.project, passes=passes), prelude="")
    tested = tested.rename(tested.with_name("test_training.py"))
    program = host.start("-mpytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(host.directory), str(tested))
    done = ended(program)
    assert done.code == (0 if passes else 1), done
    assert host.server.run("entered").status == "COMPLETED"
    assert host.server.run("left open").status == status
    assert host.server.values("left open", "loss") == [0.5]


CELLS = """
import steplog, os
run = steplog.init("team", os.environ["PROJECT"], name=os.environ["RUN_NAME"])
run.log("loss", 0.5)

1 / 0

run.log("loss", 1.5)
"""


@pytest.mark.slow
@pytest.mark.parametrize("last", ["", "\nraise ValueError('shown')\n"])
def test_in_a_session_of_ipython_an_error_that_was_shown_is_no_crash(host: Host, last: str):
    """Also where it was the last thing that was typed: whoever sits there saw it, and left by himself."""
    pytest.importorskip("IPython", reason="IPython is not installed")
    program = host.start("-mIPython", "--colors=NoColor", "--no-banner", "--simple-prompt", "--quick")
    out, _ = program.communicate(CELLS + last, timeout=60)
    assert program.returncode == 0
    assert "ZeroDivisionError" in out
    assert host.server.run("run").status == "COMPLETED"
    assert host.server.values("run", "loss") == [0.5, 1.5]
