"""``/healthz`` and ``/readyz``: whoever asks, and whatever state the database is in."""

from __future__ import annotations

import asyncio
import gc
import http.client
import json
import socket
import threading
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import pytest

from polling import wait_until
from server.process import DEADLINE_S, ServerProcess
from steplog.server.draining import Draining
from steplog.server.health import Readiness
from steplog.server.open_store import open_store
from steplog.server.single_look import SingleLook
from steplog.server.store_types import StoreBusyError, StoreFullError
from tmpfs import mounted


def probe(server: ServerProcess, path: str, host: str | None = "10.1.2.3:8787") -> tuple[int, dict[str, Any]]:
    """Ask as a proxy does: without a key, by an address, or in HTTP/1.0 by nothing."""
    head = "HTTP/1.0\r\n\r\n" if host is None else f"HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), DEADLINE_S) as connection:
        connection.sendall(f"GET {path} {head}".encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer.status, json.loads(answer.read())


def test_probes_are_answered_without_a_key_and_whatever_the_host(server):
    for host in (None, "10.1.2.3:8787", "evil.example"):
        assert probe(server, "/healthz", host) == (200, {"alive": True})
        assert probe(server, "/readyz", host) == (200, {"ready": True, "reasons": []})
    assert probe(server, "/", "evil.example")[0] == 400


def test_a_server_without_its_database_is_alive_and_not_ready_until_it_is_back(tmp_path):
    with ServerProcess(tmp_path) as server:
        away = tmp_path / "away.db"
        server.database.rename(away)
        reasons = ["the database cannot be used now"]
        assert probe(server, "/readyz") == (503, {"ready": False, "reasons": reasons})
        assert probe(server, "/healthz")[0] == 200
        assert server.process.stderr is not None
        words = f"the database {server.database} is not there (No such file or directory); everything is refused until"
        assert server.process.stderr.readline() == f"steplog serve: {words} it is back\n"
        away.rename(server.database)
        assert server.process.stderr.readline() == "steplog serve: the database is back\n"
        assert probe(server, "/readyz") == (200, {"ready": True, "reasons": []})
        assert server.end() == (0, ""), "it is said once, not as unready, too"


def test_a_server_whose_disk_has_no_room_is_not_ready(tmp_path):
    with mounted(tmp_path / "disk", "12m") as disk:
        store = open_store(disk / "server.db")
        try:
            with pytest.raises(StoreFullError, match="16 MiB"):
                store.probe()
            readiness = Readiness(store, Draining())
            assert asyncio.run(readiness.reasons()) == ["there is no room for the database"]
            readiness.close()
        finally:
            store.close()


class Hanging:
    """A store whose database does not answer until ``answers`` is set; ``asked``: how often it was."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.asked = 0

    def probe(self) -> None:
        self.asked += 1
        assert self.answers.wait(DEADLINE_S)


def test_a_hanging_database_is_asked_once_however_many_ask():
    store = Hanging()
    readiness = Readiness(cast(Any, store), Draining(), timeout_s=0.05)

    async def ask() -> None:
        found = await asyncio.gather(*(readiness.reasons() for _ in range(20)))
        found += [await readiness.reasons() for _ in range(3)]
        assert found == [["the database does not answer within 0.05 s"]] * 23
        assert store.asked == 1
        store.answers.set()
        while await readiness.reasons():
            pass
        assert await readiness.reasons() == []
        assert store.asked == 2

    asyncio.run(ask())
    readiness.close()


def test_a_database_is_asked_ten_times_a_second_however_often_somebody_asks():
    now, looks = 100.0, list[float]()

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    async def ask() -> None:
        nonlocal now
        for _ in range(50):
            await look.result(lambda: looks.append(clock()))
            now += 0.01

    def clock() -> float:
        return now

    look: SingleLook[None] = SingleLook(DEADLINE_S, "steplog-look", clock, sleep)
    asyncio.run(ask())
    look.close()
    assert looks[0] == 100.0
    assert [round(later - before, 6) for before, later in pairwise(looks)] == [0.1] * 49


def test_what_a_database_says_of_its_path_is_logged_once_and_not_answered(caplog):
    states = iter([StoreBusyError("/secret/place"), StoreBusyError("/secret/place"), None, None])

    def look() -> None:
        if (error := next(states)) is not None:
            raise error

    readiness = Readiness(cast(Any, SimpleNamespace(probe=look)), Draining())
    with caplog.at_level("WARNING", "steplog.server"):
        found = [asyncio.run(readiness.reasons()) for _ in range(4)]
    readiness.close()
    assert found == [["the database cannot be used now"]] * 2 + [[], []]
    assert [record.message for record in caplog.records] == [
        "not ready: the database cannot be used now: /secret/place",
        "ready again",
    ]


def test_a_database_that_is_refused_and_hangs_in_turn_is_logged_once(caplog):
    words = "the database cannot be used now: connection timeout expired"
    hanging, states = threading.Event(), iter([StoreBusyError(words), None, StoreBusyError(words), None, None])

    def look() -> None:
        error = next(states)
        if error is not None:
            raise error
        if not hanging.is_set():
            assert hanging.wait(DEADLINE_S)

    async def ask() -> list[list[str]]:
        found = [await readiness.reasons() for _ in range(2)]
        hanging.set()
        while (reasons := await readiness.reasons()) != []:
            found.append(reasons)
        return found

    readiness = Readiness(cast(Any, SimpleNamespace(probe=look)), Draining(), timeout_s=0.05)
    with caplog.at_level("WARNING", "steplog.server"):
        found = asyncio.run(ask())
    readiness.close()
    assert found[:2] == [["the database cannot be used now"], ["the database does not answer within 0.05 s"]]
    assert [record.message for record in caplog.records][:1] == [f"not ready: {words}"]
    assert [record.message for record in caplog.records][-1:] == ["ready again"]
    assert not any("within" in record.message for record in caplog.records)


def test_a_look_that_fails_when_nobody_waits_any_more_is_no_error_of_the_server(caplog):
    failing = threading.Event()

    def look() -> None:
        assert failing.wait(DEADLINE_S)
        raise StoreBusyError("away")

    async def leave() -> None:
        looks = SingleLook[None](0.01, "steplog-look")
        with pytest.raises(TimeoutError):
            await looks.result(look)
        failing.set()
        while any(each.name.startswith("steplog-look") for each in threading.enumerate()):
            looks.close()
            await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(leave())
    gc.collect()
    assert not caplog.records


def test_a_database_that_fails_is_in_the_log_whether_or_not_anybody_asks(caplog):
    states = iter([None, StoreBusyError("away"), StoreBusyError("away"), None])
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1
        if (error := next(states)) is not None:
            raise error

    async def sleep(seconds: float) -> None:
        if looks == 4:
            raise asyncio.CancelledError

    readiness = Readiness(cast(Any, SimpleNamespace(probe=look)), Draining())
    with caplog.at_level("WARNING", "steplog.server"), pytest.raises(asyncio.CancelledError):
        asyncio.run(readiness.watch(sleep))
    readiness.close()
    said = ["not ready: the database cannot be used now: away", "ready again"]
    assert [record.message for record in caplog.records] == said


def test_a_look_that_hangs_holds_up_no_end():
    others = set(threading.enumerate())  # of applications that a test has asked and nothing has closed
    store = Hanging()
    readiness = Readiness(cast(Any, store), Draining(), timeout_s=0.01)
    assert asyncio.run(readiness.reasons()) == ["the database does not answer within 0.01 s"]
    ended = threading.Thread(target=readiness.close)
    ended.start()
    ended.join(DEADLINE_S)
    assert not ended.is_alive()
    store.answers.set()
    wait_until(lambda: not any(each.name.startswith("steplog-ready") for each in set(threading.enumerate()) - others))
