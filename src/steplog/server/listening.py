"""The embedded server's sockets: listening, accepting, and stopping.

- Of more connections than there are places for the unkeyed give way (``places``); the kernel queues ``_BACKLOG`` more.
- A server whose database was replaced stops by itself.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import resource
import signal
import socket
import ssl
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from starlette.types import ASGIApp

from steplog import instance
from steplog.errors import ConfigurationError
from steplog.server.closing import let_nobody_in
from steplog.server.draining import Draining
from steplog.server.places import Places
from steplog.server.protocol import HEAD_TIMEOUT_S, limited_protocol
from steplog.server.service import Service
from steplog.server.store import Store
from steplog.server.store_types import StoreGoneError, StoreReplacedError
from steplog.unix_socket import SUPPORTED, bind_private, socket_address

__all__ = ["CONNECTIONS_MAX", "connections_max", "listen", "listen_at", "serve"]

CONNECTIONS_MAX = 10_240
_UNKEYED_MAX = 512  # connections that have not shown a key
_DESCRIPTORS_RESERVED = 512  # the database's, and others
_OPEN_MAX = 10_240  # of macOS, which takes it always
_BACKLOG = 4096
_ACCEPTED_AT_ONCE = 4  # then those that are connected have their turn
_ACCEPT_RETRY_S = 1.0  # asyncio's
_KEEP_ALIVE_S = 120
_SHUTDOWN_TIMEOUT_S = 5
_LATE_INTERVAL_S = 0.05
_LAST_S, _LAST_MAX_S = 0.02, 0.25  # in which those who are on their way arrive, and say what they want
_log = logging.getLogger("steplog.server")
_SWITCH_INTERVAL_S = 0.0005  # instead of 5 ms: what the event loop waits for a thread that makes a large answer


def listen(host: str, port: int, directory: Path) -> socket.socket:
    """A TCP socket that listens. Raises ConfigurationError, with a way out."""
    try:
        # asyncio disables Nagle's algorithm only with IPPROTO_TCP set; otherwise responses are 40 ms late.
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigurationError(f"cannot listen on {host}: {error.strerror}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
        return listener
    except OSError as error:
        listener.close()
        words = f"cannot listen on {host} port {port}: {error.strerror}"
        raise ConfigurationError(f"{words}{_way_out(error, port, directory)}") from None


@contextmanager
def listen_at(path: Path, mode: int) -> Iterator[socket.socket]:
    """A Unix socket that listens, removed afterwards.

    Nobody else may put another in its place, so its directory is one that only this user, or root, may write to.
    Raises ConfigurationError.
    """
    if not SUPPORTED:
        raise ConfigurationError("this system has no Unix sockets that say who connects; use --host and --port")
    try:
        _check_place(path)
        listener = bind_private(path, _BACKLOG)
    except OSError as error:
        raise ConfigurationError(f"cannot listen at {path}: {error.strerror}") from None
    with closing(listener):
        path.chmod(mode)
        own = path.lstat()
        try:
            yield listener
        finally:
            with suppress(OSError):
                if os.path.samestat(own, path.lstat()):
                    path.unlink()


def _check_place(path: Path) -> None:
    """Raise ConfigurationError unless a socket may be made there; OSError."""
    directory = path.absolute().parent
    found = directory.stat()
    if found.st_uid not in (0, os.geteuid()) or found.st_mode & 0o022:
        raise ConfigurationError(f"others may write in {directory}, and so replace {path}; use a directory of your own")
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise ConfigurationError(f"{path} is there, and not a socket; remove it, or use another --uds")
    with socket.socket(socket.AF_UNIX) as trial, socket_address(path) as address:
        try:
            trial.connect(address)
        except ConnectionRefusedError:  # of one that was killed
            return
    raise ConfigurationError(f"another server listens at {path}")


def _way_out(error: OSError, port: int, directory: Path) -> str:
    """What to do about a port that cannot be listened on, given the servers that run here."""
    running = instance.living(directory)
    if error.errno == errno.EADDRINUSE:
        for each in running:
            if urlsplit(each.base_url).port == port:
                words = f" by the steplog server {each.base_url}, which programs on this machine can use"
                return f"{words}. To start a second one: steplog serve --port 0 --db other.db"
    # Another server most likely has the default database.
    return f". To use any free port: steplog serve --port 0{' --db other.db' if running else ''}"


def serve(
    app: ASGIApp,
    listener: socket.socket,
    local: socket.socket | None,
    started: Callable[[], None],
    store: Store,
    tls: dict[str, Any],
    connections: int,
    service: Service,
) -> None:
    """Serve until SIGINT or SIGTERM, on ``local`` as well; calls ``started`` once connections are accepted.

    SIGTERM begins to drain; a second signal, or SIGINT, stops at once.

    ``connections``: at most so many at a time.

    Raises StoreReplacedError.
    """
    places: Places[Any] = Places(connections, min(_UNKEYED_MAX, connections // 2))
    service.figures.append(lambda: {"connections": len(places), "connections_max": places.total})
    config = uvicorn.Config(
        app,
        http=limited_protocol(places),
        ws="none",
        loop="asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # by default uvicorn believes whoever asks from this machine; see ``proxies``
        log_level="error",  # warnings are about requests that anyone can make
        backlog=_ACCEPTED_AT_ONCE,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_SHUTDOWN_TIMEOUT_S,
        **tls,
    )
    server = _UvicornServer(config, started, store, local, service.draining)

    def stop(*_: object) -> None:
        server.should_exit = True

    # uvicorn re-raises the signals it caught when it ends, for the handlers installed before: without these, the signal
    # would end the process.
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    asyncio.run(server.serve([listener]))
    if server.replaced is not None:
        raise server.replaced


class _UvicornServer(uvicorn.Server):
    """Stops by itself once its database is replaced: what is there now may be served by a new process alone."""

    replaced: StoreReplacedError | None = None
    _gone = False
    _out_of_descriptors = False

    def __init__(
        self,
        config: uvicorn.Config,
        started: Callable[[], None],
        store: Store,
        local: socket.socket | None,
        draining: Draining,
    ) -> None:
        super().__init__(config)
        self._on_started = started
        self._store = store
        self._local = local
        self._draining = draining
        self._listeners: list[socket.socket] = []

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        begun = self._draining.begin()
        if sig != signal.SIGTERM or not begun:
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        gone = False
        try:
            self._store.check()
        except StoreReplacedError as error:
            self.replaced = error
            return True
        except StoreGoneError as error:
            gone = True
            if not self._gone:
                _log.warning(str(error))
        if self._gone and not gone:
            _log.warning("the database is back")
        self._gone = gone
        return await super().on_tick(counter) or self._draining.is_over

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().set_exception_handler(self._on_loop_error)
        await super().startup([])
        for listener in sockets or ():
            self.servers.append(await self._accept(listener, self.config.ssl))
        if self._local is not None:  # never with TLS: its mode keeps others out
            self.servers.append(await self._accept(self._local, None))
        self._listen()
        self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, which waits for connections that are accepted by then and appear only after it has begun.

        What clients have sent by then is taken first.
        """
        self._store.hurry()
        await self._take_last()
        late = asyncio.ensure_future(self._close_late(set(self.server_state.connections)))
        try:
            await super().shutdown(sockets)
        finally:
            late.cancel()

    async def _take_last(self) -> None:
        """Accept those who are connected, and hear what they ask: closing would reset them unread (``closing``)."""
        for listener in self._listeners:
            let_nobody_in(listener)
        end = asyncio.get_running_loop().time() + _LAST_MAX_S
        await asyncio.sleep(_LAST_S)
        while asyncio.get_running_loop().time() < end and any(map(_is_new, self.server_state.connections)):
            await asyncio.sleep(_LAST_S / 4)

    async def _close_late(self, told: set[Any]) -> None:
        while True:
            for connection in self.server_state.connections - told:
                told.add(connection)
                connection.shutdown()
            await asyncio.sleep(_LATE_INTERVAL_S)

    async def _accept(self, listener: socket.socket, tls: ssl.SSLContext | None) -> asyncio.Server:
        """Accept connections as uvicorn does, but do not wait a minute for the beginning of TLS."""
        self._listeners.append(listener)
        protocol: Any = self.config.http_protocol_class
        made = partial(protocol, config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
        timeout_s = None if tls is None else HEAD_TIMEOUT_S
        return await asyncio.get_running_loop().create_server(
            made, sock=listener, ssl=tls, ssl_handshake_timeout=timeout_s, backlog=self.config.backlog
        )

    def _listen(self) -> None:
        """Queue as many as the kernel takes: the event loop has made it the number that it accepts at once."""
        for listener in self._listeners:
            listener.listen(_BACKLOG)
            if sys.platform == "linux" and listener.family != socket.AF_UNIX:
                # Who says nothing is not accepted, and does not hold up those behind.
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, int(HEAD_TIMEOUT_S))

    def _on_loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """The loop tries to accept ``_ACCEPT_RETRY_S`` later, and reports each connection that waits."""
        error = context.get("exception")
        if not isinstance(error, OSError) or error.errno not in (errno.EMFILE, errno.ENFILE):
            loop.default_exception_handler(context)
            return
        loop.call_later(2 * _ACCEPT_RETRY_S, self._listen)
        if not self._out_of_descriptors:
            self._out_of_descriptors = True
            _log.warning(f"new connections wait: {error.strerror}; this is said once")


def _is_new(connection: Any) -> bool:
    """Whether it has asked nothing yet."""
    return connection.cycle is None


def connections_max() -> int:
    """How many connections the limit on open files allows, once it is raised as far as ``CONNECTIONS_MAX`` needs it.

    Not to the hard limit: where that is 2^30, programs that close each number up to the limit would take minutes.
    macOS refuses more than ``kern.maxfilesperproc``, whatever the hard limit says (setrlimit(2)).
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS_MAX + _DESCRIPTORS_RESERVED
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        wanted = next((limit for limit in (wanted, _OPEN_MAX) if _raise_limit(limit, hard)), soft)
    return max(wanted - _DESCRIPTORS_RESERVED, wanted // 2)


def _raise_limit(limit: int, hard: int) -> bool:
    """Whether the system takes it."""
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        return True
    return False
