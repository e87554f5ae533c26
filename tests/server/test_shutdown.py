"""The server stops at once, whatever connections are open."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any, cast

import uvicorn

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


def test_a_connection_that_was_accepted_as_it_stops_is_closed_too(caplog):
    """It was waited for until the timeout, which was then printed as an error."""
    store = cast(Any, SimpleNamespace(hurry=lambda: None))
    server = _UvicornServer(
        uvicorn.Config(lambda: None, timeout_graceful_shutdown=20), lambda: None, store, None, Draining()
    )
    late = Connection(server)
    first = Connection(server, late)

    async def stop() -> None:
        async def ended() -> None:
            pass

        server.servers = []
        server.lifespan = cast(Any, SimpleNamespace(shutdown=ended))
        cast(set[Any], server.server_state.connections).add(first)
        await asyncio.wait_for(server.shutdown(), 10)

    with caplog.at_level(logging.WARNING):
        asyncio.run(stop())
    assert (first.told, late.told) == (1, 1)
    assert caplog.text == ""
