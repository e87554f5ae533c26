"""Starting the embedded server: database, key, state file, uvicorn.

The key is the option, a file's first line, ``STEPLOG_SERVE_API_KEY``, or generated once into ``<database>.key`` (0600).
"""

from __future__ import annotations

import asyncio
import errno
import getpass
import ipaddress
import os
import resource
import secrets
import signal
import socket
import stat
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

import uvicorn
from slugify import slugify
from starlette.types import ASGIApp

from steplog import instance
from steplog.errors import ConfigurationError
from steplog.private_files import make_private, write_private
from steplog.server import catalog
from steplog.server.access import AllowedHosts, hash_key
from steplog.server.app import create_app
from steplog.server.places import Places
from steplog.server.protocol import HEAD_TIMEOUT_S, limited_protocol
from steplog.server.store import SqliteStore
from steplog.server.store_types import StoreGoneError, StoreReplacedError

__all__ = ["KEY_VARIABLE", "RunningServer", "ServerOptions", "run_server"]

KEY_VARIABLE = "STEPLOG_SERVE_API_KEY"
_KEY_FILE_BYTES_MAX = 4096
_CONNECTIONS_MAX = 10_240
_UNKEYED_MAX = 512  # connections that have not shown a key
_DESCRIPTORS_RESERVED = 512  # the database's, and others
_BACKLOG = 4096
_ACCEPTED_AT_ONCE = 32  # then the others have their turn
_KEEP_ALIVE_S = 120
_SHUTDOWN_TIMEOUT_S = 5


class ServerOptions(NamedTuple):
    """How to start a server."""

    host: str = "127.0.0.1"
    port: int = 0  # 0: any free one
    database: Path | None = None  # None: server.db beside the state file
    api_key: str | None = None
    api_key_file: Path | None = None
    username: str | None = None  # None: the login name
    email: str | None = None
    namespaces: tuple[str, ...] = ()  # empty: created on first use
    hosts: tuple[str, ...] = ()  # accepted Host headers, besides loopback names
    stock: bool = False  # only the original API, and no state file


class RunningServer(NamedTuple):
    """A server that accepts connections."""

    base_url: str
    database: Path
    key_source: str
    state: Path | None  # None: no state file, so clients cannot discover the server
    page_url: str | None  # with the page token; None: a stock server


def run_server(options: ServerOptions, started: Callable[[RunningServer], None]) -> None:
    """Serve until SIGINT or SIGTERM; calls ``started`` once connections are accepted.

    Raises ConfigurationError, before any change, if the port is in use or the database is not one; StoreReplacedError
    if the database was replaced meanwhile.
    """
    state = instance.state_path()
    database = options.database
    if database is None:
        make_private(state.parent)
        database = state.with_name("server.db")
    with closing(_listen(options.host, options.port)) as listener, closing(SqliteStore(database)) as store:
        key, key_source = _api_key(options, database)
        username = options.username or _login_name()
        _put_user(store, options, username, key)
        port = listener.getsockname()[1]
        base_url = f"http://{_bracketed(_reachable(options.host))}:{port}"
        secret = secrets.token_hex(32)
        app = create_app(
            store,
            hosts=AllowedHosts(port, [*options.hosts, f"{_bracketed(options.host)}:{port}"]),
            secret=secret,
            open_namespaces=not options.namespaces,
            stock=options.stock,
        )

        def announce() -> None:
            written, page_url = None, None
            if not options.stock:
                this = instance.Instance(store.instance, base_url, secret, key, username, store.page_token)
                page_url = instance.page_url(this, "/")
                with suppress(OSError, ConfigurationError):  # without a state file only discovery is lost
                    instance.write(state, this)
                    written = state
            started(RunningServer(base_url, database, key_source, written, page_url))

        try:
            _serve(app, listener, announce, store)
        finally:
            instance.remove(state, store.instance)


def _put_user(store: SqliteStore, options: ServerOptions, username: str, key: str) -> None:
    slug = slugify(username)
    if not slug:
        raise ConfigurationError("a user name needs a letter or a digit")
    store.write(catalog.put_user, username, slug, options.email or f"{slug}@localhost", hash_key(key)).result()
    for namespace in (slug, *options.namespaces):
        store.write(catalog.put_namespace, namespace).result()


def _api_key(options: ServerOptions, database: Path) -> tuple[str, str]:
    """The key, and where it is from."""
    if options.api_key is not None:
        key, source = options.api_key, "--api-key"
    elif options.api_key_file is not None:
        key, source = _first_line(options.api_key_file), str(options.api_key_file)
    elif os.environ.get(KEY_VARIABLE):
        key, source = os.environ[KEY_VARIABLE], f"${KEY_VARIABLE}"
    else:
        kept = database.with_name(database.name + ".key")
        if not kept.exists():
            write_private(kept, f"{secrets.token_urlsafe(32)}\n".encode(), sync=True)
        if kept.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            words = "is accessible to other users: chmod 600 it, or remove it to get a new key"
            raise ConfigurationError(f"{kept} {words}")
        key, source = _first_line(kept), str(kept)
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        # The message must not contain the key.
        raise ConfigurationError(f"the key from {source} is empty, or has characters not allowed in an HTTP header")
    return key, source


def _first_line(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(_KEY_FILE_BYTES_MAX).partition(b"\n")[0].decode("utf-8", "replace").strip()
    except OSError as error:
        raise ConfigurationError(f"cannot read a key from {path}: {error.strerror}") from None


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "user"  # in a container the user id may have no name


def _reachable(host: str) -> str:
    """The address to reach ``host`` from here."""
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
        if address.is_unspecified:
            return "127.0.0.1" if address.version == 4 else "::1"
    return host


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _listen(host: str, port: int) -> socket.socket:
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
        raise ConfigurationError(
            f"cannot listen on {host} port {port}: {error.strerror}. To use any free port: steplog serve --port 0"
        ) from None


class _UvicornServer(uvicorn.Server):
    """Stops by itself once its database is replaced: what is there now may be served by a new process alone."""

    replaced: StoreReplacedError | None = None
    _gone = False
    _out_of_descriptors = False

    def __init__(self, config: uvicorn.Config, started: Callable[[], None], store: SqliteStore) -> None:
        super().__init__(config)
        self._on_started = started
        self._store = store

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
                _say(str(error))
        if self._gone and not gone:
            _say("the database is back")
        self._gone = gone
        return await super().on_tick(counter)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().set_exception_handler(self._on_loop_error)
        await super().startup(sockets)
        self._on_started()

    def _on_loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """The loop tries a second later to accept, and reports each connection that waits."""
        error = context.get("exception")
        if not isinstance(error, OSError) or error.errno not in (errno.EMFILE, errno.ENFILE):
            loop.default_exception_handler(context)
        elif not self._out_of_descriptors:
            self._out_of_descriptors = True
            _say(f"new connections wait: {error.strerror}; this is said once")


def _places() -> Places[Any]:
    """As many as the process may have descriptors for, once it has raised that limit as far as it needs to."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _CONNECTIONS_MAX + _DESCRIPTORS_RESERVED
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    total = max(wanted - _DESCRIPTORS_RESERVED, wanted // 2)
    return Places(total, min(_UNKEYED_MAX, total // 2))


def _serve(app: ASGIApp, listener: socket.socket, started: Callable[[], None], store: SqliteStore) -> None:
    config = uvicorn.Config(
        app,
        http=limited_protocol(_places()),
        ws="none",
        loop="asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        log_level="error",  # warnings are about requests that anyone can make
        backlog=_ACCEPTED_AT_ONCE,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_SHUTDOWN_TIMEOUT_S,
    )

    def accept() -> None:
        listener.listen(_BACKLOG)  # the event loop has given it the number that it accepts at once
        if hasattr(socket, "TCP_DEFER_ACCEPT") and listener.family != socket.AF_UNIX:
            # Who says nothing is not accepted, and does not hold up those behind.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, int(HEAD_TIMEOUT_S))
        started()

    server = _UvicornServer(config, accept, store)

    def stop(*_: object) -> None:
        server.should_exit = True

    # uvicorn re-raises the signals it caught when it ends, for the handlers installed before: without these, the signal
    # would end the process.
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    asyncio.run(server.serve([listener]))
    if server.replaced is not None:
        raise server.replaced


def _say(what: str) -> None:
    sys.stderr.write(f"steplog serve: {what}\n")
    sys.stderr.flush()
