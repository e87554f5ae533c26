"""Starting the embedded server: database, key, TLS, state file, uvicorn.

1. The key is the option, a file's first line, ``STEPLOG_SERVE_API_KEY``, or generated once into ``<database>.key``
   (0600).
2. What other machines can reach is served with TLS, or the option says that something else encrypts (``insecure``).
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
import ssl
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, NoReturn
from urllib.parse import urlsplit

import uvicorn
from starlette.types import ASGIApp

from steplog import instance
from steplog.errors import ConfigurationError, NotPrivateError
from steplog.private_files import is_private_file, make_private, write_private
from steplog.server import catalog
from steplog.server.access import AllowedHosts
from steplog.server.announcement import Announcement
from steplog.server.app import create_app
from steplog.server.keys import (
    CONFIGURED,
    GENERATED,
    PAGE_TOKEN_AGE_AT_START_MAX,
    REFRESH_INTERVAL_S,
    Keyring,
    hash_key,
    key_file,
    new_key,
    put_started_key,
    renew_page_token,
)
from steplog.server.places import Places
from steplog.server.protocol import HEAD_TIMEOUT_S, limited_protocol
from steplog.server.schema import default_database
from steplog.server.store import SqliteStore
from steplog.server.store_types import RevokedKeyError, StoreError, StoreGoneError, StoreReplacedError

__all__ = ["KEY_VARIABLE", "RunningServer", "ServerOptions", "address_elsewhere", "run_server"]

KEY_VARIABLE = "STEPLOG_SERVE_API_KEY"
_KEY_FILE_BYTES_MAX = 4096
_CONNECTIONS_MAX = 10_240
_UNKEYED_MAX = 512  # connections that have not shown a key
_DESCRIPTORS_RESERVED = 512  # the database's, and others
_BACKLOG = 4096
_ACCEPTED_AT_ONCE = 4  # then those that are connected have their turn
_ACCEPT_RETRY_S = 1.0  # asyncio's
_KEEP_ALIVE_S = 120
_SHUTDOWN_TIMEOUT_S = 5
_LATE_INTERVAL_S = 0.05


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
    tls_cert: Path | None = None  # PEM: the certificate, and those between it and the authority's
    tls_key: Path | None = None  # PEM; None: in the same file
    insecure: bool = False  # other machines may reach it without TLS
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
    found_first: str | None  # the address of another server here that clients find before this one


def run_server(options: ServerOptions, started: Callable[[RunningServer], None]) -> None:
    """Serve until SIGINT or SIGTERM; calls ``started`` once connections are accepted.

    Raises ConfigurationError, before any change, if the port is in use, the database is not one, the certificate cannot
    be used, or other machines could reach it without one; StoreReplacedError if the database was replaced meanwhile.
    """
    _check_exposure(options)
    tls = _tls_options(options)
    state = instance.state_path()
    database = options.database
    if database is None:
        make_private(state.parent)
        database = default_database()
    with ExitStack() as stack:
        listener = stack.enter_context(closing(_listen(options.host, options.port, state.parent)))
        store = stack.enter_context(closing(SqliteStore(database)))
        own = _own_key(options, database)
        username = options.username or _login_name()
        _put_user(store, options, username, own)
        store.write(renew_page_token, PAGE_TOKEN_AGE_AT_START_MAX).result()
        keyring = Keyring(store)
        port = listener.getsockname()[1]
        base_url = f"{'https' if tls else 'http'}://{_bracketed(_name(options))}:{port}"
        secret = secrets.token_hex(32)
        announcement = Announcement(None if options.stock else state.parent, store.instance)
        stack.callback(announcement.close)
        app = create_app(
            store,
            keyring,
            # The instance is the name that clients which found it through its state file call it by.
            hosts=AllowedHosts(port, [*options.hosts, f"{_bracketed(options.host)}:{port}", store.instance]),
            secret=secret,
            open_namespaces=not options.namespaces,
            stock=options.stock,
        )

        def present() -> instance.Instance:
            told = store.instance, base_url, secret, own.present(keyring), username, keyring.page_token
            return instance.Instance(*told, database=str(database.absolute()))

        def write_state() -> Path | None:
            return announcement.publish(present())

        def announce() -> None:
            written = write_state()
            page_url = None if options.stock else instance.page_url(present(), "/")
            elsewhere = address_elsewhere(options, listener.getsockname()[0], base_url)
            first = None if written is None else _found_first(state.parent, store.instance)
            started(RunningServer(base_url, database, own.source, written, page_url, store.instance, elsewhere, first))

        with _refreshed(keyring, write_state):
            _serve(app, listener, announcement.socket, announce, store, tls)


@contextmanager
def _refreshed(keyring: Keyring, on_change: Callable[[], object]) -> Iterator[None]:
    """Read the keys again and again, in a thread."""
    stopping = threading.Event()

    def refresh() -> None:
        while not stopping.wait(REFRESH_INTERVAL_S):
            with suppress(StoreError):  # then what was read last counts
                keyring.refresh(on_change)

    thread = threading.Thread(target=refresh, name="steplog-keys", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


class _OwnKey:
    """The key that the server is started with; ``file``: where it is if it was generated."""

    def __init__(self, key: str, source: str, file: Path | None) -> None:
        self.key = key
        self.source = source
        self.file = file

    def present(self, keyring: Keyring) -> str:
        """The key as it is now, since a generated one may have been rotated, or be about to be."""
        if self.file is not None:
            with suppress(ConfigurationError):
                written = _first_line(self.file)
                if keyring.admits(written):
                    self.key = written
        return self.key


def _put_user(store: SqliteStore, options: ServerOptions, username: str, own: _OwnKey) -> None:
    origin = CONFIGURED if own.file is None else GENERATED
    try:
        user = store.write(catalog.add_user, username, options.email).result()
        store.write(put_started_key, user.id, hash_key(own.key), origin).result()
    except RevokedKeyError as error:
        raise ConfigurationError(f"the key from {own.source} {error}; start the server with another one") from None
    for namespace in options.namespaces:
        store.write(catalog.put_namespace, namespace).result()


def _own_key(options: ServerOptions, database: Path) -> _OwnKey:
    kept = None
    if options.api_key is not None:
        key, source = options.api_key, "--api-key"
    elif options.api_key_file is not None:
        key, source = _first_line(options.api_key_file), str(options.api_key_file)
    elif os.environ.get(KEY_VARIABLE):
        key, source = os.environ[KEY_VARIABLE], f"${KEY_VARIABLE}"
    else:
        kept = key_file(database)
        _check_kept(kept)
        if not kept.exists():
            write_private(kept, f"{new_key()}\n".encode(), sync=True)
        if kept.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            words = "is accessible to other users: chmod 600 it, or remove it to get a new key"
            raise ConfigurationError(f"{kept} {words}")
        key, source = _first_line(kept), str(kept)
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        # The message must not contain the key.
        raise ConfigurationError(f"the key from {source} is empty, or has characters not allowed in an HTTP header")
    return _OwnKey(key, source, kept)


def _check_kept(path: Path) -> None:
    try:
        is_private_file(path)
    except NotPrivateError as error:
        raise ConfigurationError(f"{error}; remove it to get a new key") from None


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


def _tls_options(options: ServerOptions) -> dict[str, Any]:
    """TLS, in uvicorn's words; empty without a certificate. Raises ConfigurationError."""
    certificate, key = options.tls_cert, options.tls_key or options.tls_cert
    if certificate is None or key is None:
        if options.tls_key is not None:
            raise ConfigurationError("--tls-key needs --tls-cert, the certificate that it belongs to")
        return {}
    for path in (certificate, key):
        try:
            path.read_bytes()
        except OSError as error:
            raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None

    def password() -> NoReturn:
        raise ConfigurationError(f"{key} is encrypted; steplog serve needs a key without a password")

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigurationError(f"{key} is not the key of the certificate in {certificate}") from None
        files = f"{certificate} is" if key == certificate else f"{certificate} and {key} are"
        raise ConfigurationError(f"{files} not a certificate and its key in PEM") from None
    return {"ssl_certfile": str(certificate), "ssl_keyfile": str(key)}


def _check_exposure(options: ServerOptions) -> None:
    """Raise ConfigurationError if keys would cross a network unencrypted."""
    host = options.host
    if options.tls_cert or options.insecure:
        return
    with suppress(OSError):  # a name that leads nowhere: ``_listen`` says so
        found = socket.getaddrinfo(host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        if not all(ipaddress.ip_address(address[0]).is_loopback for *_, address in found):
            raise ConfigurationError(
                f"other machines can reach {host}, and keys would cross the network unencrypted. Type: steplog serve"
                f" --host {host} --tls-cert FILE --tls-key FILE; or, if something in front of it encrypts: --insecure"
            )


def _name(options: ServerOptions) -> str:
    """What the server is called in its address: with TLS, a name that its certificate may have."""
    if options.tls_cert is not None and options.hosts:
        return urlsplit(f"//{options.hosts[0]}").hostname or options.hosts[0]
    return _reachable(options.host)


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


def _found_first(directory: Path, instance_id: str) -> str | None:
    """``RunningServer.found_first``."""
    oldest = next(iter(instance.living(directory)), None)
    return None if oldest is None or oldest.instance == instance_id else oldest.base_url


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _listen(host: str, port: int, directory: Path) -> socket.socket:
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


class _UvicornServer(uvicorn.Server):
    """Stops by itself once its database is replaced: what is there now may be served by a new process alone."""

    replaced: StoreReplacedError | None = None
    _gone = False
    _out_of_descriptors = False

    def __init__(
        self, config: uvicorn.Config, started: Callable[[], None], store: SqliteStore, local: socket.socket | None
    ) -> None:
        super().__init__(config)
        self._on_started = started
        self._store = store
        self._local = local
        self._listeners: list[socket.socket] = []

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
        await super().startup([])
        for listener in sockets or ():
            self.servers.append(await self._accept(listener, self.config.ssl))
        if self._local is not None:  # never with TLS: its mode keeps others out
            self.servers.append(await self._accept(self._local, None))
        self._listen()
        self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, which waits for connections that are accepted by then and appear only after it has begun."""
        late = asyncio.ensure_future(self._close_late(set(self.server_state.connections)))
        try:
            await super().shutdown(sockets)
        finally:
            late.cancel()

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
            if hasattr(socket, "TCP_DEFER_ACCEPT") and listener.family != socket.AF_UNIX:
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


def _serve(
    app: ASGIApp,
    listener: socket.socket,
    local: socket.socket | None,
    started: Callable[[], None],
    store: SqliteStore,
    tls: dict[str, Any],
) -> None:
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
        **tls,
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
