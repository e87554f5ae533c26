"""Deadlines hold, to within half a second, whatever the server does; and what is left arrives later, once.

``--junit-xml FILE`` writes down by how many seconds each was overshot.
"""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from end_to_end.gate import Gate
from end_to_end.programs import Host, ended, go_on, line
from polling import wait_until
from server.process import ServerProcess

SPARE_S = 0.5
LIMIT_S = 1.0
# What the interpreter takes to end after our exit hook is its own affair, and long on a busy machine.
BEGIN = """
    import atexit
    atexit.register(print, "left", flush=True)  # after ours, which comes later
    run = begin()
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(1000):
        run.log("loss", float(number))
    began = time.monotonic()
"""
COMES_LATE = """\
    def second(*arguments):
        raise KeyboardInterrupt
    run._opened._let_go = second
"""
TWO_RUNS = BEGIN.replace("    print", '    other = begin("other", activate=False)\n    print', 1)
CALLS = {
    "finish": "report = run.finish(timeout=1.0)",
    "flush": "assert run.flush(timeout=1.0) is False",
}
WAYS = ["hold", "drip", "lost", "busy"]
Record = Callable[[str, object], None]


@pytest.fixture
def gate(server: ServerProcess) -> Iterator[Gate]:
    with Gate(int(server.url.rpartition(":")[2])) as made:
        yield made


@pytest.fixture
def behind(host: Host, gate: Gate) -> Host:
    """The machine, which reaches the server through the gate."""
    host.environment |= {"STEPLOG_URL": gate.url, "STEPLOG_QUIET": ""}
    return host


def worsen(gate: Gate, way: str) -> None:
    if way == "lost":
        gate.lose()
    else:
        gate.mode = way


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("call", CALLS)
def test_finish_and_flush_return_at_their_deadline(
    behind: Host, gate: Gate, way: str, call: str, record_property: Record
):
    program = behind.start(f"""{BEGIN}    {CALLS[call]}
    print(time.monotonic() - began, run.stats().pending, flush=True)
    os._exit(0)
    """)
    assert line(program) == "ready"
    worsen(gate, way)
    go_on(program)
    took, pending = line(program).split()
    record_property("overshoot_s", round(float(took) - LIMIT_S, 3))
    assert ended(program).code == 0
    assert LIMIT_S - 0.1 < float(took) < LIMIT_S + SPARE_S
    assert pending == "1000"


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_the_interpreter_leaves_at_the_deadline_and_all_runs_share_it(
    behind: Host, gate: Gate, way: str, record_property: Record
):
    program = behind.start(
        TWO_RUNS + '    other.log("loss", 1.0)\n    print("leaves", flush=True)', STEPLOG_FINISH_TIMEOUT_S="1"
    )
    assert line(program) == "ready"
    worsen(gate, way)
    go_on(program)
    assert line(program) == "leaves"
    began = time.monotonic()
    done = ended(program)
    took = time.monotonic() - began
    record_property("overshoot_s", round(took - LIMIT_S, 3))
    assert took < LIMIT_S + SPARE_S
    assert done.code == 0
    assert "1,000 records are kept" in done.errors
    assert "1 record is kept" in done.errors


def test_what_is_left_at_a_deadline_arrives_later_with_its_status(behind: Host, gate: Gate):
    """Once each, though the server had stored what it could not say that it had."""
    program = behind.start(
        BEGIN + "    report = run.finish(status='FAILED', timeout=0.3)\n    assert report.pending == 1000"
    )
    assert line(program) == "ready"
    gate.mode = "hold"
    go_on(program)
    done = ended(program)
    assert done.code == 0, done.errors
    gate.mode = "pass"
    behind.deliver("run", "FAILED")
    assert behind.server.values("run", "loss") == [float(number) for number in range(1000)]


def test_ctrl_c_ends_the_waiting_of_finish_and_says_what_is_left(behind: Host, gate: Gate):
    program = behind.start(
        BEGIN + "    report = run.finish()\n    print(report.pending, run.status.value, flush=True)\n    sys.exit(4)"
    )
    assert line(program) == "ready"
    gate.mode = "hold"
    go_on(program)
    wait_until(lambda: "COMPLETED" in behind.manifests()[0])
    began = time.monotonic()
    program.send_signal(signal.SIGINT)
    assert line(program) == "1000 COMPLETED"
    assert time.monotonic() - began < SPARE_S
    done = ended(program)
    assert done.code == 4
    assert "1,000 records are kept" in done.errors
    assert "the next run on this machine sends it; or type: steplog sync" in done.errors
    gate.mode = "pass"
    behind.deliver("run", "COMPLETED")
    assert len(behind.server.values("run", "loss")) == 1000


def test_ctrl_c_ends_the_waiting_at_exit_for_all_runs(behind: Host, gate: Gate):
    program = behind.start(TWO_RUNS)
    assert line(program) == "ready"
    gate.mode = "hold"
    go_on(program)
    wait_until(lambda: all("COMPLETED" in text for text in behind.manifests()))
    began = time.monotonic()
    program.send_signal(signal.SIGINT)
    assert line(program) == "left"
    assert time.monotonic() - began < SPARE_S
    done = ended(program)
    assert done.code == 0
    assert "Traceback" not in done.errors
    assert "1,000 records are kept" in done.errors


@pytest.mark.slow
@pytest.mark.parametrize("late", [False, True], ids=["at once", "when finish waits no more"])
def test_a_second_ctrl_c_leaves_at_once_and_loses_nothing(behind: Host, gate: Gate, late: bool):
    """One that came when ``finish`` had ended its waiting, and was not over, made the interpreter wait once more."""
    program = behind.start(BEGIN + (COMES_LATE if late else "") + "    run.finish()")
    assert line(program) == "ready"
    gate.mode = "hold"
    go_on(program)
    wait_until(lambda: "COMPLETED" in behind.manifests()[0])
    began = time.monotonic()
    for _ in range(1 if late else 2):
        program.send_signal(signal.SIGINT)
    assert line(program) == "left"
    assert time.monotonic() - began < SPARE_S
    ended(program)
    gate.mode = "pass"
    behind.deliver("run", "COMPLETED")
    assert len(behind.server.values("run", "loss")) == 1000


@pytest.mark.slow
def test_log_costs_the_same_while_the_server_is_away(behind: Host, gate: Gate):
    """And once it is back, everything arrives, once and in order."""
    program = behind.start("""
        run = begin()
        print("ready", flush=True)
        sys.stdin.readline()
        slowest = 0
        for number in range(200):
            began = time.perf_counter()
            for _ in range(100):
                run.log("loss", float(number))
            slowest = max(slowest, time.perf_counter() - began)
            time.sleep(0.01)
        print("away", slowest, run.stats().pending, flush=True)
        sys.stdin.readline()
        assert run.finish().pending == 0
    """)
    assert line(program) == "ready"
    gate.lose()
    go_on(program)
    _, slowest, pending = line(program).split()
    assert (float(slowest) < 0.5, int(pending)) == (True, 20_000)
    gate.find()
    go_on(program)
    done = ended(program)
    assert done.code == 0, done.errors
    assert behind.server.values("run", "loss") == [float(number) for number in range(200) for _ in range(100)]


BAD = ["late", "garbage", "headers", "cut", "deaf", "reset", "hold", "lost"]


@pytest.mark.slow
def test_each_record_arrives_once_and_in_order_through_a_network_with_every_fault(behind: Host, gate: Gate):
    program = behind.start(
        """
        run = begin()
        print("ready", flush=True)
        number = 0
        for word in sys.stdin:
            for _ in range(500):
                run.log("loss", float(number))
                number += 1
            if word == "on\\n":
                assert run.flush(60)
            print(number, flush=True)
        assert run.finish().pending == 0
        """,
        STEPLOG_EXCHANGE_TIMEOUT_S="1",
    )
    assert line(program) == "ready"
    assert program.stdin is not None
    for _ in range(2):
        for way in BAD:
            worsen(gate, way)
            program.stdin.write("bad\n")
            program.stdin.flush()
            line(program)
            began = time.monotonic()
            wait_until(lambda began=began: time.monotonic() - began > 1.2)  # type: ignore[misc]
            gate.find()
            program.stdin.write("on\n")
            program.stdin.flush()
            line(program)
    program.stdin.close()
    program.stdin = None
    done = ended(program)
    assert done.code == 0, done.errors
    assert behind.server.values("run", "loss") == [float(number) for number in range(len(BAD) * 2000)]


@pytest.mark.slow
@pytest.mark.parametrize("silent_before", [True, False])
def test_the_interpreter_leaves_a_silent_server_after_five_seconds_more(behind: Host, gate: Gate, silent_before: bool):
    """Though it may wait for a minute: once nothing was heard for ten seconds, the data is as safe as it gets."""
    program = behind.start(f"""
        import atexit
        from polling import wait_until
        atexit.register(print, "left", flush=True)
        run = begin()
        print("ready", flush=True)
        sys.stdin.readline()
        run.log("loss", 0.5)
        silent_s = lambda: run._opened.process.agent.progress(run._opened.lease).silent_s
        wait_until(lambda: not {silent_before} or silent_s() >= 10)
        print("leaves", flush=True)
    """)
    assert line(program) == "ready"
    gate.mode = "hold"
    go_on(program)
    assert line(program) == "leaves"
    began = time.monotonic()
    assert line(program) == "left"
    assert 4.9 < time.monotonic() - began < (5.0 if silent_before else 15.0) + SPARE_S + 0.5  # the look is each 0.25 s
    assert ended(program).code == 0


@pytest.mark.slow
def test_a_terminal_shows_what_is_left_while_finish_waits(behind: Host, gate: Gate):
    shown, terminal = pty.openpty()
    try:
        with open(terminal, "wb", closefd=False) as screen:
            program = behind.start(BEGIN + "    run.finish(timeout=2)", errors=screen, STEPLOG_QUIET="")
        assert line(program) == "ready"
        gate.mode = "hold"
        go_on(program)
        assert ended(program).code == 0
        said = os.read(shown, 65536).decode()
    finally:
        os.close(shown)
        os.close(terminal)
    assert "\r\x1b[Ksteplog: run run: 1,000 records left, 0 a second" in said
    lines = said.rpartition("\x1b[K")[2].splitlines()  # the one that changes is gone
    assert [text for text in lines if "1,000 records are kept" in text]
    assert "records left" not in said.rpartition("\x1b[K")[2]


RESOLVER = """
    import atexit, requests, socket, steplog  # imports take what they take
    atexit.register(print, "left", flush=True)
    if HANGS:
        silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        silent.bind(("127.0.0.1", 53))
    began = time.monotonic()
    run = begin()
    for number in range(1000):
        run.log("loss", float(number))
    began_at = time.monotonic() - began
    took = []
    for call in (lambda: run.flush(timeout=1.0), lambda: run.finish(timeout=1.0)):
        began = time.monotonic()
        call()
        took.append(time.monotonic() - began)
    print(began_at, *took, run.stats().pending, flush=True)
    other = begin("other", activate=False)
    other.log("loss", 0.5)
    print("leaves", flush=True)
"""
NAMESPACE = [
    "unshare",
    "--net",
    "--mount",
    "sh",
    "-c",
    'ip link set lo up && mount --bind "$0" /etc/resolv.conf && exec "$@"',
]


@pytest.mark.parametrize(
    "hangs",
    [
        pytest.param(False, marks=pytest.mark.slow, id="a name that does not resolve"),
        pytest.param(True, id="a resolver that hangs"),
    ],
)
def test_deadlines_hold_without_a_name_service(host: Host, hangs: bool, record_property: Record):
    resolver = host.directory / "resolv.conf"
    resolver.write_text("nameserver 127.0.0.1\noptions timeout:30 attempts:5\n")
    under = [*NAMESPACE, str(resolver)]
    if subprocess.run([*under, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no network and mount namespaces may be made here")
    program = host.start(
        RESOLVER.replace("HANGS", str(hangs)),
        under=under,
        STEPLOG_URL="https://runs.steplog.test",
        STEPLOG_CONNECT_TIMEOUT_S="1",
        STEPLOG_FINISH_TIMEOUT_S="1",
    )
    began_at, flushed, finished, pending = line(program).split()
    assert float(began_at) < LIMIT_S + SPARE_S
    assert max(float(flushed), float(finished)) < LIMIT_S + SPARE_S
    assert pending == "1000"
    assert line(program) == "leaves"
    began = time.monotonic()
    assert line(program) == "left"
    left = time.monotonic() - began
    record_property("overshoot_s", round(max(float(flushed), float(finished), left) - LIMIT_S, 3))
    assert left < LIMIT_S + SPARE_S
    assert ended(program).code == 0
