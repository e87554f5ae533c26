"""A body is read within 30 seconds and 2 MiB, and no further than 8 MiB where it is too long."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.exceptions import HTTPException

from steplog.server.request_body import read_body

MIB = 1024 * 1024


class Loop(asyncio.SelectorEventLoop):
    """Whose time goes on only where a client takes some."""

    now = 1000.0

    def time(self) -> float:
        return self.now


class Client:
    """Sends these parts, each ``seconds`` after the one before; ``sent`` is how many it got rid of."""

    def __init__(self, parts: Iterable[bytes | None], seconds: float = 0.0) -> None:
        self.parts = iter(parts)
        self.seconds = seconds
        self.sent = 0
        self.loop = Loop()

    async def receive(self) -> dict[str, Any]:
        self.loop.now += self.seconds
        await asyncio.sleep(0)
        part = next(self.parts, b"")
        if part is None:
            return {"type": "http.disconnect"}
        self.sent += 1
        return {"type": "http.request", "body": part, "more_body": part != b""}

    def run(self, reading: Coroutine[Any, Any, Any]) -> Any:
        try:
            return self.loop.run_until_complete(reading)
        finally:
            self.loop.close()

    def body(self) -> bytes:
        return self.run(read_body(SimpleNamespace(receive=self.receive, scope={"state": {}})))  # type: ignore[arg-type]


def test_a_body_that_takes_less_than_30_seconds_is_read():
    assert Client([b"x"] * 28, 1.0).body() == b"x" * 28


def test_a_reader_that_is_cancelled_meanwhile_is_cancelled():
    client = Client([b"x"] * 1000)

    async def cancelled() -> bool:
        reading = asyncio.ensure_future(read_body(SimpleNamespace(receive=client.receive, scope={"state": {}})))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait([reading])
        return reading.cancelled()

    assert client.run(cancelled())


def test_a_body_that_takes_30_seconds_is_answered_408_and_the_connection_closed():
    client = Client([b"x"] * 1000, 1.0)
    with pytest.raises(HTTPException) as refused:
        client.body()
    assert (refused.value.status_code, refused.value.headers) == (408, {"Connection": "close"})
    assert 29 <= client.sent <= 31


@pytest.mark.parametrize(("size", "status"), [(2 * MIB, None), (2 * MIB + 1, 413)])
def test_a_body_is_read_up_to_2_mib_and_refused_once_it_is_all_there(size, status):
    client = Client([b"x" * MIB, b"x" * MIB, b"x" * (size - 2 * MIB)])
    if status is None:
        assert client.body() == b"x" * size
    else:
        with pytest.raises(HTTPException) as refused:
            client.body()
        assert refused.value.status_code == status
        assert client.sent == 4


def test_a_body_that_does_not_end_is_read_no_further_than_8_mib():
    client = Client(b"x" * MIB for _ in iter(int, 1))
    with pytest.raises(HTTPException) as refused:
        client.body()
    assert (refused.value.status_code, client.sent) == (413, 9)


def test_a_body_that_is_cut_is_none():
    with pytest.raises(HTTPException) as refused:
        Client([b"x", None]).body()
    assert refused.value.status_code == 400
