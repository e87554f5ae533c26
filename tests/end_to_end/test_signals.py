"""What a signal does to a run, and that the process dies, or lives on, as it would have without steplog."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from end_to_end.programs import Done, Host, ended, go_on, line
from polling import wait_until

READY = """
run = begin()
if run:
    run.log("loss", 0.5)
print("ready", flush=True)
"""
GO_ON = READY + "sys.stdin.readline()\nprint('went on', flush=True)\n"
HANDLER = """
def handle(number, frame):
    print("handled", number, flush=True)
    {}
signal.signal(signal.SIGTERM, handle)
"""


def signalled(host: Host, program: Path, number: int, **variables: str) -> Done:
    """Send a ready program a signal, and then have it go on, if it still can."""
    started = host.start(program, **variables)
    assert line(started) == "ready"
    started.send_signal(number)
    return ended(started)


def with_and_without(host: Host, program: Path, number: int) -> Done:
    done, without = signalled(host, program, number), signalled(host, program, number, WITHOUT_STEPLOG="1")
    assert (done.code, done.out, done.errors) == (without.code, without.out, without.errors)
    return done


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_with_the_default_handler_crashes_the_run_and_kills_the_process(host: Host, number: signal.Signals):
    assert with_and_without(host, host.write(GO_ON), number).code == -number
    row = host.server.run("run")
    assert (row.status, host.server.values("run", "loss")) == ("CRASHED", [0.5])


@pytest.mark.parametrize(
    ("way", "status"), [("sys.exit(0)", "COMPLETED"), ("sys.exit(5)", "CRASHED"), ("pass", "COMPLETED")]
)
@pytest.mark.parametrize("before", [True, False])
def test_a_handler_of_the_programs_stays_and_the_status_follows_how_it_ends(
    host: Host, way: str, status: str, before: bool
):
    handler = HANDLER.format(way)
    source = handler + GO_ON if before else GO_ON.replace('print("ready"', handler + 'print("ready"')
    assert with_and_without(host, host.write(source), signal.SIGTERM).out.startswith("handled 15\n")
    assert host.server.run("run").status == status


def test_a_handler_that_calls_the_one_before_it_goes_on_as_with_the_default(host: Host):
    source = """
        run = begin()
        before = signal.getsignal(signal.SIGTERM)
        def handle(number, frame):
            if callable(before):
                before(number, frame)
        signal.signal(signal.SIGTERM, handle)
        print("ready", flush=True)
        sys.stdin.readline()
        print("went on", flush=True)
    """
    assert with_and_without(host, host.write(source), signal.SIGTERM).out == "went on\n"
    assert host.server.run("run").status == "COMPLETED"


def test_an_ignored_signal_stays_ignored_as_under_nohup(host: Host):
    started = host.start(GO_ON, under=["nohup"])
    assert line(started) == "ready"
    started.send_signal(signal.SIGHUP)
    done = ended(started)
    assert (done.code, done.out) == (0, "went on\n")
    assert host.server.run("run").status == "COMPLETED"


def test_a_handler_set_by_c_code_is_left_alone(host: Host):
    source = "import faulthandler\nfaulthandler.register(signal.SIGTERM, all_threads=False)\n" + GO_ON
    done = signalled(host, host.write(source), signal.SIGTERM)
    assert (done.code, done.out) == (0, "went on\n")
    assert "most recent call first" in done.errors
    assert host.server.run("run").status == "COMPLETED"


def test_no_handler_of_ours_is_there_before_and_after_a_run(host: Host):
    done = host.run("""
        import steplog
        default = [signal.SIG_DFL] * 2
        def handlers():
            return [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
        assert handlers() == default
        first, second = begin("run"), begin("second", activate=False)
        assert handlers() != default
        first.finish()
        assert handlers() != default
        second.finish()
        assert handlers() == default
    """)
    assert (done.code, done.errors) == (0, "")


def test_a_run_that_another_thread_opens_leaves_the_signals_alone(host: Host):
    done = host.run("""
        thread = threading.Thread(target=begin)
        thread.start()
        thread.join()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    """)
    assert (done.code, done.errors) == (0, "")
    assert host.server.run("run").status == "COMPLETED"


def test_a_signal_that_reaches_a_forked_child_kills_the_child_alone(host: Host):
    done = host.run("""
        run = begin()
        pid = os.fork()
        if pid == 0:
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
            run.log("loss", 2.0)
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGTERM
        run.log("loss", 3.0)
    """)
    assert (done.code, done.errors) == (0, "")
    assert host.server.run("run").status == "COMPLETED"
    assert sorted(host.server.values("run", "loss")) == [2.0, 3.0]


def test_a_signal_while_finish_waits_does_not_change_its_status(host: Host):
    """The program had finished the run; what is left of it goes with the next run."""
    started = host.start(GO_ON + "run.finish()", STEPLOG_SIGNAL_FLUSH_S="0.2")
    assert line(started) == "ready"
    with host.silence():
        go_on(started)
        assert line(started) == "went on"
        wait_until(lambda: "COMPLETED" in host.manifests()[0])
        started.send_signal(signal.SIGTERM)
        assert ended(started).code == -signal.SIGTERM
    host.deliver("run", "COMPLETED")
    assert host.server.values("run", "loss") == [0.5]


@pytest.mark.slow
@pytest.mark.parametrize("signals", [1, 2])
def test_the_flush_after_a_signal_has_its_bound_and_a_second_signal_ends_it(host: Host, signals: int):
    started = host.start(GO_ON, STEPLOG_SIGNAL_FLUSH_S="1" if signals == 1 else "30")
    assert line(started) == "ready"
    with host.silence():
        began = time.monotonic()
        started.send_signal(signal.SIGTERM)
        if signals == 2:
            wait_until(lambda: "CRASHED" in host.manifests()[0])
            started.send_signal(signal.SIGTERM)
        assert ended(started, deadline_s=20).code == -signal.SIGTERM
        assert time.monotonic() - began < 1.5
    host.deliver("run", "CRASHED")
    assert host.server.values("run", "loss") == [0.5]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "code"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("os._exit(0)", 0),
        ("os.abort()", -signal.SIGABRT),
    ],
)
def test_a_process_that_could_say_nothing_has_crashed_says_the_next_one(host: Host, way: str, code: int):
    done = host.run("run = begin()\nfor number in range(1000):\n    run.log('loss', float(number))\n" + way)
    assert done.code == code
    host.deliver("run", "CRASHED")
    assert host.server.values("run", "loss") == [float(number) for number in range(1000)]
