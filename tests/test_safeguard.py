"""The safeguard's parts: when it is armed, and what counts as a failure. Real endings are in ``end_to_end``."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import threading
from typing import Any

import pytest

import steplog
from apart import apart
from end_to_end.fake import FakeServer
from steplog import safeguard
from steplog.lifecycle import exit_code

SIGNALS = [signal.SIGTERM, signal.SIGHUP]


def handlers() -> list[Any]:
    return [signal.getsignal(number) for number in SIGNALS]


def watched() -> bool:
    """Whether somebody looks out for exit codes."""
    if sys.version_info >= (3, 12) and any(sys.monitoring.get_tool(number) == "steplog" for number in range(6)):
        return True
    return sys.exit.__module__.startswith("steplog")


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        (None, False),
        (0, False),
        (False, False),
        (256, False),
        (3, True),
        (True, True),
        (-1, True),
        ("", True),
        (0.0, True),
    ],
)
def test_a_code_is_a_failure_when_the_interpreter_makes_one_of_it(code: Any, failure: bool):
    program = f"raise SystemExit({code!r})"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], stderr=subprocess.DEVNULL, check=False)
    assert bool(done.returncode) is exit_code.is_failure(code) is failure


@apart
def test_the_hooks_are_there_while_a_run_is_open_and_no_longer(monkeypatch: pytest.MonkeyPatch):
    FakeServer().configure(monkeypatch)
    before = handlers()
    assert not watched()
    first = steplog.init("team", "mnist")
    second = steplog.init("team", "mnist", activate=False)
    assert watched()
    assert all(handler is not signal.SIG_DFL for handler in handlers())
    first.finish()
    assert watched()
    second.finish()
    assert handlers() == before == [signal.SIG_DFL] * 2
    assert not watched()
    with steplog.init("team", "mnist"):
        assert watched()
    assert handlers() == before


@apart
def test_arming_again_and_again_registers_one_hook(monkeypatch: pytest.MonkeyPatch):
    FakeServer().configure(monkeypatch)
    for _ in range(3):
        steplog.init("team", "mnist").finish()
    before = atexit._ncallbacks()  # type: ignore[attr-defined]
    steplog.init("team", "mnist").finish()
    assert atexit._ncallbacks() == before  # type: ignore[attr-defined]


@apart
def test_a_handler_of_the_programs_is_never_replaced(monkeypatch: pytest.MonkeyPatch):
    FakeServer().configure(monkeypatch)

    def mine(number: int, frame: Any) -> None:
        """The program's."""

    signal.signal(signal.SIGTERM, mine)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    run = steplog.init("team", "mnist")
    assert handlers() == [mine, signal.SIG_IGN]
    run.finish()
    assert handlers() == [mine, signal.SIG_IGN]


@apart
def test_a_handler_that_the_program_sets_during_a_run_stays_after_it(monkeypatch: pytest.MonkeyPatch):
    FakeServer().configure(monkeypatch)
    run = steplog.init("team", "mnist")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    run.finish()
    assert handlers() == [signal.SIG_IGN, signal.SIG_DFL]


@apart
def test_a_forked_child_is_disarmed(monkeypatch: pytest.MonkeyPatch):
    FakeServer().configure(monkeypatch)
    steplog.init("team", "mnist")
    pid = os.fork()
    if pid == 0:
        os._exit(0 if handlers() == [signal.SIG_DFL] * 2 and not watched() else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert watched()


@apart
def test_what_comes_before_the_end_is_called_once_and_a_forked_child_gives_it_anew(monkeypatch: pytest.MonkeyPatch):
    FakeServer().configure(monkeypatch)
    calls: list[int] = []

    def call() -> None:
        calls.append(os.getpid())

    for _ in range(3):
        safeguard.before_end(call)
    pid = os.fork()
    if pid == 0:
        safeguard._at_exit(os.getpid())
        safeguard.before_end(call)
        safeguard._at_exit(os.getpid())
        os._exit(0 if calls == [os.getpid()] else 1)
    assert os.waitpid(pid, 0)[1] == 0
    safeguard._at_exit(os.getpid())
    assert calls == [os.getpid()]


@apart
def test_an_exit_hook_that_a_child_inherits_does_nothing_there(monkeypatch: pytest.MonkeyPatch):
    FakeServer().configure(monkeypatch)
    run = steplog.init("team", "mnist")
    pid = os.fork()
    if pid == 0:
        safeguard._at_exit(os.getppid())
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    run.log("loss", 0.5)
    assert run.finish().delivered == 1


@apart
def test_a_run_of_another_thread_is_watched_though_signals_are_not_its_business(monkeypatch: pytest.MonkeyPatch):
    FakeServer().configure(monkeypatch)
    made: list[steplog.Run] = []
    thread = threading.Thread(target=lambda: made.append(steplog.init("team", "mnist")))
    thread.start()
    thread.join()
    assert watched()
    assert handlers() == [signal.SIG_DFL] * 2
    made[0].finish()
    assert not watched()
