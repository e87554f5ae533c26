"""Starting the embedded server: database, key, state file, uvicorn.

The key is the option, a file's first line, ``STEPLOG_SERVE_API_KEY``, or generated once into ``<database>.key`` (0600).
"""

from __future__ import annotations

import asyncio
import getpass
import ipaddress
import os
import secrets
import signal
import socket
import stat
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import uvicorn
from slugify import slugify
from starlette.types import ASGIApp

from steplog import instance
from steplog.errors import ConfigurationError
from steplog.private_files import make_private, write_private
from steplog.server import catalog
from steplog.server.access import AllowedHosts
from steplog.server.announcement import Announcement
from steplog.server.app import create_app
from steplog.server.keys import (
    CONFIGURED,
    GENERATED,
    PAGE_TOKEN_AGE_AT_START_MAX,
    Keyring,
    hash_key,
    new_key,
    put_started_key,
    renew_page_token,
)
from steplog.server.protocol import patient_protocol
from steplog.server.store import SqliteStore
from steplog.server.store_types import RevokedKeyError, StoreGoneError, StoreReplacedError

__all__ = ["KEY_VARIABLE", "RunningServer", "ServerOptions", "address_elsewhere", "run_server"]

KEY_VARIABLE = "STEPLOG_SERVE_API_KEY"
_KEY_FILE_BYTES_MAX = 4096
_CONNECTIONS_MAX = 512
_BACKLOG = 1024
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
    instance: str  # the id of the database
    elsewhere: str | None  # its address from other machines; "": no name of it is known; None: it is for this one alone


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
    with ExitStack() as stack:
        listener = stack.enter_context(closing(_listen(options.host, options.port)))
        store = stack.enter_context(closing(SqliteStore(database)))
        key, key_source, origin = _api_key(options, database)
        username = options.username or _login_name()
        _put_user(store, options, username, hash_key(key), origin, key_source)
        store.write(renew_page_token, PAGE_TOKEN_AGE_AT_START_MAX).result()
        keyring = Keyring(store)
        port = listener.getsockname()[1]
        base_url = f"http://{_bracketed(_reachable(options.host))}:{port}"
        secret = secrets.token_hex(32)
        announcement = None
        if not options.stock:
            announcement = stack.enter_context(closing(Announcement(state.parent, store.instance)))
        app = create_app(
            store,
            keyring,
            # The instance is the name that clients which found it through its state file call it by.
            hosts=AllowedHosts(port, [*options.hosts, f"{_bracketed(options.host)}:{port}", store.instance]),
            secret=secret,
            open_namespaces=not options.namespaces,
            stock=options.stock,
        )

        def announce() -> None:
            written, page_url = None, None
            if announcement is not None:
                this = instance.Instance(store.instance, base_url, secret, key, username, keyring.page_token)
                page_url = instance.page_url(this, "/")
                written = announcement.publish(this)
            elsewhere = address_elsewhere(options, listener.getsockname()[0], base_url)
            started(RunningServer(base_url, database, key_source, written, page_url, store.instance, elsewhere))

        _serve(app, listener, announce, store, None if announcement is None else announcement.socket)


def _put_user(
    store: SqliteStore, options: ServerOptions, username: str, key_hash: bytes, origin: str, source: str
) -> None:
    slug = slugify(username)
    if not slug:
        raise ConfigurationError("a user name needs a letter or a digit")
    user = store.write(catalog.put_user, username, slug, options.email or f"{slug}@localhost").result()
    try:
        store.write(put_started_key, user.id, key_hash, origin).result()
    except RevokedKeyError as error:
        raise ConfigurationError(f"the key from {source} {error}; start the server with another one") from None
    for namespace in (slug, *options.namespaces):
        store.write(catalog.put_namespace, namespace).result()


def _api_key(options: ServerOptions, database: Path) -> tuple[str, str, str]:
    """The key, where it is from, and its origin."""
    origin = CONFIGURED
    if options.api_key is not None:
        key, source = options.api_key, "--api-key"
    elif options.api_key_file is not None:
        key, source = _first_line(options.api_key_file), str(options.api_key_file)
    elif os.environ.get(KEY_VARIABLE):
        key, source = os.environ[KEY_VARIABLE], f"${KEY_VARIABLE}"
    else:
        kept = database.with_name(database.name + ".key")
        if not kept.exists():
            write_private(kept, f"{new_key()}\n".encode(), sync=True)
        if kept.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            words = "is accessible to other users: chmod 600 it, or remove it to get a new key"
            raise ConfigurationError(f"{kept} {words}")
        key, source, origin = _first_line(kept), str(kept), GENERATED
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        # The message must not contain the key.
        raise ConfigurationError(f"the key from {source} is empty, or has characters not allowed in an HTTP header")
    return key, source, origin


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


def address_elsewhere(options: ServerOptions, listening: str, base_url: str) -> str | None:
    """``RunningServer.elsewhere`` of a server that listens on this address, with a name that ``AllowedHosts`` has."""
    address = ipaddress.ip_address(listening.partition("%")[0])
    if address.is_loopback:
        return None
    names = [*options.hosts, *([] if address.is_unspecified else [_bracketed(options.host)])]
    if not names:
        return ""
    server, name = urlsplit(base_url), names[0]
    return f"{server.scheme}://{name if urlsplit(f'//{name}').port else f'{name}:{server.port}'}"


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

    def __init__(
        self, config: uvicorn.Config, started: Callable[[], None], store: SqliteStore, local: socket.socket | None
    ) -> None:
        super().__init__(config)
        self._on_started = started
        self._store = store
        self._local = local

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
        await super().startup(sockets)
        if self._local is not None:
            self.servers.append(await self._listen_locally(self._local))
        self._on_started()

    async def _listen_locally(self, listener: socket.socket) -> asyncio.Server:
        """Serve on a Unix socket as uvicorn does on its own, but never with TLS: its mode keeps others out."""
        protocol: Any = self.config.http_protocol_class
        made = partial(protocol, config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
        return await asyncio.get_running_loop().create_server(made, sock=listener, backlog=_BACKLOG)


def _serve(
    app: ASGIApp,
    listener: socket.socket,
    started: Callable[[], None],
    store: SqliteStore,
    local: socket.socket | None = None,
) -> None:
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
        timeout_graceful_shutdown=_SHUTDOWN_TIMEOUT_S,
    )
    server = _UvicornServer(config, started, store, local)

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
