"""The server stops at once, whatever connections are open."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from types import SimpleNamespace
from typing import Any, cast

import pytest
import uvicorn

from steplog.server.closing import let_nobody_in
from steplog.server.draining import Draining
from steplog.server.listening import _UvicornServer


class Connection:
    """One that is open until it is told to close; then ``next`` appears."""

    def __init__(self, server: uvicorn.Server, following: Connection | None = None) -> None:
        self.told = 0
        self.cycle = object()  # it has asked something
        self._server = server
        self._following = following

    def shutdown(self) -> None:
        self.told += 1
        open_ones = cast(set[Any], self._server.server_state.connections)
        open_ones.discard(self)
        if self._following is not None:
            asyncio.get_running_loop().call_soon(open_ones.add, self._following)


def stopping_server() -> _UvicornServer:
    async def ended() -> None:
        pass

    store = cast(Any, SimpleNamespace(hurry=lambda: None))
    server = _UvicornServer(
        uvicorn.Config(lambda: None, timeout_graceful_shutdown=20), lambda: None, store, None, Draining()
    )
    server.servers = []
    server.lifespan = cast(Any, SimpleNamespace(shutdown=ended))
    return server


def test_a_connection_that_was_accepted_as_it_stops_is_closed_too(caplog):
    """It was waited for until the timeout, which was then printed as an error."""
    server = stopping_server()
    late = Connection(server)
    first = Connection(server, late)

    async def stop() -> None:
        cast(set[Any], server.server_state.connections).add(first)
        await asyncio.wait_for(server.shutdown(), 10)

    with caplog.at_level(logging.WARNING):
        asyncio.run(stop())
    assert (first.told, late.told) == (1, 1)
    assert caplog.text == ""


def test_who_has_just_connected_is_heard_before_the_server_stops():
    """A proxy's POST was lost, and answered 502, where its connection was closed before it was read."""
    server = stopping_server()
    asks, silent = Connection(server), Connection(server)
    asks.cycle = silent.cycle = None

    def ask() -> None:
        assert asks.told == 0
        asks.cycle = object()

    async def stop() -> None:
        cast(set[Any], server.server_state.connections).update((asks, silent))
        asyncio.get_running_loop().call_later(0.05, ask)
        await asyncio.wait_for(server.shutdown(), 10)

    asyncio.run(stop())
    assert asks.cycle is not None
    assert (asks.told, silent.told) == (1, 1), "who says nothing is not waited for"


@pytest.mark.skipif(sys.platform != "linux", reason="the filter is Linux's")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_listener_that_lets_nobody_in_keeps_who_is_connected(host: str):
    try:
        listener = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError:
        pytest.skip(f"this machine has no {host}")
    with listener, socket.create_connection(listener.getsockname()[:2], timeout=10) as early:
        let_nobody_in(listener)
        early.sendall(b"POST")
        with pytest.raises(TimeoutError):
            socket.create_connection(listener.getsockname()[:2], timeout=0.2)
        with listener.accept()[0] as accepted:
            accepted.settimeout(10)
            assert accepted.recv(16) == b"POST"
            accepted.sendall(b"200")
            assert early.recv(16) == b"200"
