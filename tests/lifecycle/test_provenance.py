"""When provenance is collected, and that either it or the end of a run comes first."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from polling import wait_until
from steplog.lifecycle import provenance
from steplog.lifecycle.provenance import Collection, Returning

_RETURNED = threading.Event()
_RETURNED.set()


class Logged(list[tuple[str, Any]]):
    def log(self, name: str, value: Any) -> None:
        self.append((name, value))


@pytest.fixture(autouse=True)
def _nothing_collected_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "_recent", provenance._Recent())


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """What ``collect`` waits for."""
    opened = threading.Event()

    def collect() -> dict[str, object]:
        opened.wait()
        return {"host": "h"}

    monkeypatch.setattr(provenance, "collect", collect)
    return opened


def test_it_is_logged_once_and_nothing_waits_for_it(gate):
    logged = Logged()
    collection = Collection(logged.log, _RETURNED)
    gate.set()
    wait_until(lambda: logged)
    collection.end()
    assert logged == [("steplog/run", {"provenance": {"host": "h"}})]


def test_the_end_waits_a_moment_and_then_nothing_is_logged(gate, monkeypatch):
    monkeypatch.setattr(provenance, "PATIENCE_S", 0.05)
    logged = Logged()
    collection = Collection(logged.log, _RETURNED)
    collection.end()
    gate.set()
    collection._thread.join()
    assert logged == []


def test_runs_that_begin_at_once_have_it_collected_once(monkeypatch, tmp_path):
    """Each read the repository, for up to a second."""
    collected = []

    def collect() -> dict[str, object]:
        collected.append(len(collected))
        return {"pid": len(collected)}

    monkeypatch.setattr(provenance, "collect", collect)
    logged = Logged()
    for collection in [Collection(logged.log, _RETURNED) for _ in range(20)]:
        collection.end()
    assert logged == [("steplog/run", {"provenance": {"pid": 1}})] * 20
    monkeypatch.chdir(tmp_path)
    Collection(logged.log, _RETURNED).end()
    assert logged[20:] == [("steplog/run", {"provenance": {"pid": 2}})]


def test_a_short_run_has_it(gate):
    logged = Logged()
    collection = Collection(logged.log, _RETURNED)
    gate.set()
    collection.end()
    assert len(logged) == 1


def test_nothing_is_collected_before_the_call_has_returned(gate):
    gate.set()
    logged, inside = Logged(), threading.Event()

    def call() -> Collection:
        returning = Returning()
        begun = Collection(logged.log, returning.returned)
        assert not inside.wait(0.05)
        assert logged == []
        return begun

    collection = call()
    collection.end()
    assert len(logged) == 1


def test_a_fault_while_collecting_leaves_the_run_alone(monkeypatch):
    def collect() -> dict[str, object]:
        raise MemoryError

    monkeypatch.setattr(provenance, "collect", collect)
    logged = Logged()
    Collection(logged.log, _RETURNED).end()
    assert logged == []


def test_a_key_of_this_process_is_hidden_whatever_its_form(gate, monkeypatch):
    monkeypatch.setenv("STEPLOG_API_KEY", "plain words")
    monkeypatch.setattr(provenance, "collect", lambda: {"command": "train.py --x 'plain words'", "pid": 1})
    logged = Logged()
    Collection(logged.log, _RETURNED).end()
    assert logged[0][1] == {"provenance": {"command": "train.py --x '***'", "pid": 1}}
