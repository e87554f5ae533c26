"""Serving an application on a socket until a signal comes."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

from steplog.errors import ConfigurationError
from steplog.server.protocol import patient_protocol

__all__ = ["bind", "serve"]

_CONNECTIONS_MAX = 512
_BACKLOG = 1024
_KEEP_ALIVE_S = 120
_GRACE_S = 5


class _UvicornServer(uvicorn.Server):
    """Tells when it accepts connections."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._tell = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._tell()


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; ConfigurationError where the address cannot be had."""
    try:
        # asyncio turns Nagle's algorithm off only where the socket names its protocol; with it on, each answer waits
        # 40 ms for an acknowledgement that the client delays.
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigurationError(f"cannot listen on {host}: {error.strerror}") from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
        return listening
    except OSError as error:
        listening.close()
        words = (
            f"cannot listen on {host} port {port}: {error.strerror}. To take a free one, type: steplog serve --port 0"
        )
        raise ConfigurationError(words) from None


def serve(app: ASGIApp, listening: socket.socket, started: Callable[[], None]) -> None:
    """Answer requests until SIGINT or SIGTERM; what is being answered then is answered."""
    config = uvicorn.Config(
        app,
        http=patient_protocol(),
        ws="none",
        loop="asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS_MAX,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_GRACE_S,
    )
    server = _UvicornServer(config, started)

    def stop(*_: object) -> None:
        server.should_exit = True

    # uvicorn stops on these signals with handlers of its own, and raises them again at its end: the process would
    # end by the signal. With these in place it ends as it likes.
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    asyncio.run(server.serve([listening]))
