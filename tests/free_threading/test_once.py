"""What there is once, however many threads want it at the same time; or is done once, by the first of them."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import steplog
from apart import apart
from end_to_end.fake import FakeServer
from free_threading.at_once import THREADS, at_once, in_step
from steplog import Run, safeguard
from steplog.blobs.file_place import FilePlace
from steplog.config import Config
from steplog.delivery.loop import Loop
from steplog.given_client import as_client
from steplog.identity import RunOrg, RunProject
from steplog.journal.files import Files
from steplog.journal.journal import Journal
from steplog.lifecycle import messages, run_stats
from steplog.lifecycle.open_run import open_runs
from steplog.lifecycle.process import current
from steplog.lifecycle.steps import Steps
from steplog.network.response import Response
from steplog.network.stream import Stream
from steplog.run import active_run, renaming

TIMES = 200
SHORT_S = 0.2  # in which a thread that is not held up is done


def found_at_once(find: Callable[[], Any]) -> set[int]:
    """The ids of what the threads find."""
    found: list[Any] = []
    at_once(lambda: found.append(find()))
    assert len(found) == THREADS
    return {id(each) for each in found}


def by_hand(uuid: str) -> Run:
    return Run(uuid, "run", None, "RUNNING", organization=RunOrg("me"), project=RunProject("", "demo", "demo"))


@apart
def test_threads_that_call_init_first_share_one_agent(monkeypatch: pytest.MonkeyPatch):
    FakeServer().configure(monkeypatch)
    assert len(found_at_once(current)) == 1


@apart
def test_a_run_that_threads_log_to_first_is_opened_once(monkeypatch: pytest.MonkeyPatch):
    server = FakeServer()
    server.configure(monkeypatch)
    made = steplog.init("me", "demo", name="run", activate=False)
    made.finish()
    run = by_hand(str(made.uuid))
    at_once(lambda: run.log("loss", 0.5))
    assert len(open_runs()) == 1
    assert run.finish().logged == THREADS


def test_the_config_of_a_run_is_one_object_for_all_threads():
    runs = [by_hand("a run") for _ in range(TIMES)]
    found: list[list[Config]] = [[] for _ in runs]
    in_step(lambda number: found[number].append(runs[number].config), TIMES)
    assert all(one is other for one, other in found)


@apart
def test_a_client_of_the_callers_own_is_taken_as_one_client(monkeypatch: pytest.MonkeyPatch):
    FakeServer().configure(monkeypatch)
    for _ in range(20):
        given = SimpleNamespace(post=lambda path, json: None)
        assert len(found_at_once(partial(as_client, given))) == 1


@apart
def test_a_loop_that_is_started_by_several_threads_has_one_thread():
    loop, started = Loop(), Loop()
    started.start(started.idle, "steplog-known", lambda name, error: None)  # type: ignore[arg-type]
    at_once(partial(loop.start, lambda: loop.idle(None), "steplog-only", lambda name, error: None))
    assert [thread.name for thread in threading.enumerate()].count("steplog-only") == 1


def test_what_is_said_once_is_said_by_one_of_the_threads(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    words = [f"a warning {number} of {caplog!r}" for number in range(TIMES)]
    monkeypatch.setattr(messages, "_ONCE_MAX", 100_000)
    monkeypatch.setattr(messages, "_once", {})  # other tests of this process find theirs unsaid
    in_step(lambda number: messages.say_once(False, words[number]), TIMES)
    assert sorted(record.message for record in caplog.records) == sorted(f"steplog: {text}" for text in words)


@apart
def test_threads_that_open_runs_register_one_hook(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(safeguard.exit_code, "watch", lambda: None)
    before = atexit._ncallbacks()  # type: ignore[attr-defined]
    made: dict[int, int] = {}
    monkeypatch.setattr(safeguard.os, "getpid", lambda: made[0])

    def arm(number: int) -> None:
        made[0] = number  # as if each time in another process
        safeguard.arm()

    in_step(arm, TIMES)
    assert atexit._ncallbacks() == before + TIMES  # type: ignore[attr-defined]


def test_a_stream_that_threads_close_lets_its_connection_go_once():
    ended: list[int] = []
    head = Response(None, "", 200, "", {}, b"", whole=False)  # type: ignore[arg-type]
    streams = [Stream(head, iter(()), partial(ended.append, number)) for number in range(10 * TIMES)]
    in_step(lambda number: streams[number].close(), 10 * TIMES)
    assert sorted(ended) == list(range(10 * TIMES))


@apart
def test_a_superseded_run_is_settled_by_one_of_two_threads_that_call_init():
    settled: list[str] = []

    class Superseded:
        def is_status_sent(self) -> bool:
            return True

        def settle(self, timeout_s: float) -> None:
            settled.append(threading.current_thread().name)
            other = threading.Thread(target=safeguard.supersede, args=(SimpleNamespace(supersede=lambda: None),))
            other.start()
            other.join()

    safeguard.settle_later(Superseded())  # type: ignore[arg-type]
    safeguard.supersede(SimpleNamespace(supersede=lambda: None))  # type: ignore[arg-type]
    assert settled == [threading.current_thread().name]


@apart
def test_a_run_that_begins_as_the_last_one_ends_keeps_its_hooks(monkeypatch: pytest.MonkeyPatch):
    begun: list[str] = []

    def begin() -> None:
        begun.append("a run")
        safeguard.arm()

    def open_runs_then() -> list[str]:
        seen = begun.copy()
        if not begun:
            beginning.start()
            beginning.join(SHORT_S)
        return seen

    beginning = threading.Thread(target=begin)
    watched: list[bool] = []
    monkeypatch.setattr(safeguard.exit_code, "watch", lambda: watched.append(True))
    monkeypatch.setattr(safeguard.exit_code, "unwatch", lambda: watched.append(False))
    monkeypatch.setattr(safeguard, "open_runs", open_runs_then)
    safeguard.disarm(SimpleNamespace(supersede=lambda: None))  # type: ignore[arg-type]
    beginning.join()
    assert watched[-1]


@apart
def test_a_name_that_is_set_stays_when_the_server_tells_the_one_before(monkeypatch: pytest.MonkeyPatch):
    FakeServer().configure(monkeypatch)
    run = steplog.init("me", "demo", name="first", activate=False)
    lock, uuid = current().agent.lock, str(run.uuid)

    def tell() -> None:
        with lock:
            run.told(uuid, "first")

    def end_of(opened: Any, end_of: Any = renaming.end_of) -> Any:
        telling.start()
        telling.join(SHORT_S)
        return end_of(opened)

    telling = threading.Thread(target=tell)
    monkeypatch.setattr(renaming, "end_of", end_of)
    run.name = "second"
    telling.join()
    assert run.name == "second"


def test_the_count_of_lost_files_on_disk_is_that_of_all_threads(tmp_path: Path):
    class Slow(Files):
        def replace(self, path: Path, data: bytes) -> None:
            if not meanwhile:  # another thread loses one, before this one has written
                meanwhile.append(threading.Thread(target=place.add_lost, args=("a" * 32, 1)))
                meanwhile[0].start()
                meanwhile[0].join()
            super().replace(path, data)

    meanwhile: list[threading.Thread] = []
    place = FilePlace(tmp_path, Slow())
    place.add_lost("a" * 32, 1)
    assert (tmp_path / f"{'a' * 32}.lost").read_text() == "2"


@apart
def test_a_context_that_outlasts_a_run_is_not_in_it_any_more(monkeypatch: pytest.MonkeyPatch):
    FakeServer().configure(monkeypatch)
    with steplog.init("me", "demo", name="first", activate=False):
        context = copy_context()  # as of a task, or of a thread that inherits it
    second = steplog.init("me", "demo", name="second", activate=False)
    assert context.run(steplog.get_active_run) is second


@apart
def test_a_thread_of_the_agent_has_no_context_of_who_starts_it(monkeypatch: pytest.MonkeyPatch):
    seen: list[str] = []
    variable: ContextVar[str] = ContextVar("variable", default="none")
    start = threading.Thread.start

    def inheriting(thread: threading.Thread) -> None:
        """As with ``-X thread_inherit_context=1``."""
        monkeypatch.setattr(thread, "run", partial(copy_context().run, thread.run))
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", inheriting)
    variable.set("of who starts it")
    loop, told = Loop(), threading.Event()

    def work() -> None:
        seen.append(variable.get())
        loop.rest(60.0)
        told.set()

    loop.start(work, "steplog-test", lambda name, error: None)
    assert told.wait(10.0)
    assert seen == ["none"]


@apart
def test_two_threads_enter_one_run_and_each_leaves_it(monkeypatch: pytest.MonkeyPatch):
    FakeServer().configure(monkeypatch)
    first, second = (steplog.init("me", "demo", name=name, activate=False) for name in ("first", "second"))
    entered, left = threading.Event(), threading.Event()
    seen: list[tuple[Run, ...]] = []

    def look() -> None:
        seen.append(active_run._entered.get())

    def enters() -> None:
        with first:
            entered.set()
            left.wait(10.0)
            look()
        look()

    thread = threading.Thread(target=enters)
    with first:
        thread.start()
        assert entered.wait(10.0)
    look()
    left.set()
    thread.join()
    assert seen == [(), (first,), ()]
    assert steplog.get_active_run() is second


@apart
def test_journals_are_looked_at_under_the_agents_lock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """finish() and stats() read those of other processes beside the sender: each closed the other's descriptor."""
    monkeypatch.setenv("STEPLOG_DIR", str(tmp_path))
    run = steplog.init(project="demo", mode="offline")
    run.log("loss", 1.0)
    opened, here, held = run._opened, threading.get_ident(), list[bool]()
    lock: Any = opened.process.agent.lock  # type: ignore[union-attr]
    census = Journal.census

    def noted(call: Callable[..., Any], *arguments: Any) -> Any:
        if threading.get_ident() == here:
            held.append(lock._is_owned())
        return call(*arguments)

    monkeypatch.setattr(Journal, "census", lambda *arguments: noted(census, *arguments))
    opened.say_ended()  # type: ignore[union-attr]
    assert held
    assert all(held)
    monkeypatch.setattr(run_stats, "_lost_with", partial(noted, run_stats._lost_with))
    run.stats()
    assert all(held)


def test_the_step_of_a_run_is_asked_for_by_a_signal_handler_inside_of_a_look(monkeypatch: pytest.MonkeyPatch):
    """The interrupted one raised RuntimeError where the handler's had found names that were new."""
    steps = Steps(is_new=True)

    class Name(str):
        def startswith(self, *_: Any) -> bool:
            steps._most[f"new {len(steps._most)}"] = 9
            return False

    monkeypatch.setattr(steps, "_look", lambda opened: None)
    steps._most |= {Name("a"): 1, Name("b"): 2}
    opened: Any = None
    assert steps.greatest(opened) == 2
    assert steps.greatest(opened) == 9
