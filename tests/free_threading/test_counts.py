"""What several threads count, or go through while others change it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from blobs.waiting import Host, Writing, a_content
from free_threading.at_once import THREADS, at_once, without_gil
from steplog.blobs.room import Room
from steplog.config import Config
from steplog.context import ActiveRun
from steplog.delivery.agent import Agent
from steplog.delivery.exchange import Request
from steplog.delivery.maintenance import Maintenance
from steplog.delivery.options import DeliveryOptions
from steplog.lifecycle.turns import Turns
from steplog.network.transport import HTTPTransport

TIMES = 2000


def often(call: Any, times: int = TIMES) -> None:
    for _ in range(times):
        call()


@without_gil
def test_private_memory_that_threads_take_and_give_back_is_free_again(tmp_path: Path):
    room = Room(None, tmp_path, memory_bytes_max=THREADS)

    def take_and_give() -> None:
        assert room.take_private(1)
        room.give_private(1)

    at_once(partial(often, take_and_give, 20 * TIMES))
    assert room.take_private(THREADS)
    assert not room.take_private(1)


@without_gil
def test_each_file_that_threads_log_is_counted(tmp_path: Path):
    writing = Writing(Host(None, tmp_path, memory_bytes_max=1 << 30), shared=False)
    told: list[tuple[int, int]] = []
    writing.files.on_taken = lambda taken, at_risk: told.append((taken, at_risk))
    at_once(partial(often, lambda: writing.files.keep(a_content(b"few"))))
    assert writing.files.taken == THREADS * TIMES
    assert told[-1] == (THREADS * TIMES, THREADS * TIMES)


@without_gil
def test_each_fault_of_the_threads_of_the_agent_is_counted(caplog: pytest.LogCaptureFixture):
    agent = Agent(DeliveryOptions(), 30.0)

    def fails() -> None:
        raise RuntimeError("a bug")

    at_once(partial(often, partial(agent.attempt, fails)))
    assert agent.faults == THREADS * TIMES
    assert len(caplog.records) == 1


@without_gil
def test_a_request_is_aborted_while_other_threads_begin_and_end_theirs():
    transport = HTTPTransport("http://127.0.0.1:9", lambda: None)
    request, other = Request("GET", "/"), Request("GET", "/other")
    live: dict[Any, Request] = transport._pool().live  # type: ignore[assignment]
    live.update({object(): other for _ in range(100)})

    goes_on = [True]

    def exchange() -> None:
        while goes_on:
            key = object()
            live[key] = other
            del live[key]

    def abort() -> None:
        try:
            often(partial(transport.abort, request))
        finally:
            goes_on.clear()

    at_once(abort, exchange, exchange)


def test_maintenance_looks_at_its_runs_while_another_one_is_added():
    runs = SimpleNamespace(leases={}, lock=Turns().making())

    class Lease:
        @property
        def shared(self) -> bool:
            runs.leases[object()] = SimpleNamespace(shared=False)  # as ``init`` does in another thread
            return False

    runs.leases["one"] = Lease()
    maintenance = Maintenance(runs, 1.0, lambda held: (), lambda: False, lambda: 0.0)
    assert maintenance._rest_s(0.0) == 0.0
    assert len(runs.leases) == 2


@without_gil
def test_of_threads_that_set_one_key_of_a_config_the_last_one_logged_is_read():
    logged: list[int] = []

    def log(name: str, value: Any) -> Any:
        logged.append(value["lr"])
        return value

    config = Config(log, changing=Turns().changing)

    def change(number: int) -> None:
        for _ in range(200):
            config["lr"] = number

    for _ in range(20):
        at_once(*(partial(change, number) for number in range(THREADS)))
        assert config["lr"] == logged[-1]


def test_a_config_is_pickled_while_another_thread_adds_to_it():
    config, names = Config(lambda name, value: value), iter(range(1_000_000))

    def add() -> None:
        config.update({f"{next(names)}.{number}": number for number in range(20)})

    at_once(partial(often, config.parts, 50), partial(often, add, 200))
    assert len(config) == 4000


@without_gil
def test_the_end_of_one_run_does_not_take_the_place_of_the_next_active_one():
    active: ActiveRun[str] = ActiveRun(list)
    begun = ["new"]

    def begin() -> None:
        for _ in range(20 * TIMES):
            active.set_default("old")
            active.set_default("new")
            assert active.get() == "new"
        begun.clear()

    def end() -> None:
        while begun:
            active.forget("old")

    at_once(begin, end)
