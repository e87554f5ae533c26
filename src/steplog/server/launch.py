"""Starting the embedded server: database, key, TLS, state file; ``listening`` has the sockets.

1. The key is the option, a file's first line, ``STEPLOG_SERVE_API_KEY``, or generated once into ``<database>.key``
   (0600).
2. What other machines can reach is served with TLS, or the option says that something else encrypts (``insecure``).
"""

from __future__ import annotations

import getpass
import ipaddress
import os
import secrets
import socket
import ssl
import stat
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, closing, suppress
from pathlib import Path
from typing import Any, NamedTuple, NoReturn
from urllib.parse import urlsplit

from steplog import instance
from steplog.errors import ConfigurationError, NotPrivateError
from steplog.private_files import is_private_file, make_private, write_private
from steplog.server.access import AllowedHosts
from steplog.server.announcement import Announcement
from steplog.server.app import create_app
from steplog.server.blobs.content_store import ContentStore
from steplog.server.blobs.open_contents import contents_place, open_contents, shown_contents
from steplog.server.draining import Draining
from steplog.server.keys import (
    PAGE_TOKEN_AGE_AT_START_MAX,
    REFRESH_INTERVAL_S,
    Keyring,
    hash_key,
    key_file,
    new_key,
    renew_page_token,
)
from steplog.server.listening import connections_max, listen, listen_at, serve
from steplog.server.log_format import configure_logging
from steplog.server.open_store import open_store
from steplog.server.packer import packer_process, packing_backlog
from steplog.server.proxies import LOOPBACK, Networks, Proxies, contains
from steplog.server.quotas import Quotas
from steplog.server.reaping import collecting, reaping
from steplog.server.repeating import repeating
from steplog.server.request_log import AccessLog
from steplog.server.service import Service
from steplog.server.store import Store
from steplog.server.store_place import Place, default_database, shown_place
from steplog.server.store_types import CONFIGURED, GENERATED, RevokedKeyError, StoreError

__all__ = ["KEY_VARIABLE", "RunningServer", "ServerOptions", "address_elsewhere", "run_server"]

KEY_VARIABLE = "STEPLOG_SERVE_API_KEY"
_KEY_FILE_BYTES_MAX = 4096
_SCHEME_PORT = 80  # where a Host header has none, as of who asks by a Unix socket


class ServerOptions(NamedTuple):
    """How to start a server."""

    host: str = "127.0.0.1"
    port: int = 0  # 0: any free one
    database: Place | None = None  # None: server.db beside the state file
    blobs: str | None = None  # where files are kept: see ``open_contents``
    project_bytes_max: int = 0  # that the files of a project may take; 0: any number
    api_key: str | None = None
    api_key_file: Path | None = None
    username: str | None = None  # None: the login name
    email: str | None = None
    namespaces: tuple[str, ...] = ()  # empty: created on first use
    hosts: tuple[str, ...] = ()  # accepted Host headers, besides loopback names
    tls_cert: Path | None = None  # PEM: the certificate, and those between it and the authority's
    tls_key: Path | None = None  # PEM; None: in the same file
    insecure: bool = False  # other machines may reach it without TLS
    uds: Path | None = None  # listen on a Unix socket here instead of on host and port
    uds_mode: int = 0o600  # of that socket
    proxy_headers: str | None = None  # one of ``proxies.KINDS`` is believed, of ``trusted_proxies``
    trusted_proxies: Networks = LOOPBACK
    quota_requests: int | None = None  # of each key a minute, unless it has one of its own
    quota_bytes: int | None = None
    metrics_from: Networks = LOOPBACK  # who reads figures without a key
    drain_s: float = 0.0  # it serves on for so long after SIGTERM, and says that it is not ready
    log_format: str = "text"  # of standard error: one of ``log_format.FORMATS``
    access_log: bool = False  # a line a request
    stock: bool = False  # only the original API, and no state file


class RunningServer(NamedTuple):
    """A server that accepts connections."""

    base_url: str
    database: Place
    key_source: str | None  # None: it has no key of its own
    state: Path | None  # None: no state file, so clients cannot discover the server
    page_url: str | None  # with the page token; None: a stock server
    instance: str  # the id of the database
    elsewhere: str | None  # its address from other machines; "": no name of it is known; None: it is for this one alone
    found_first: str | None  # the address of another server here that clients find before this one
    connections: int  # at most so many at a time
    has_users: bool  # or nobody can do anything yet
    contents: str | None  # where files are kept


def run_server(options: ServerOptions, started: Callable[[RunningServer], None]) -> None:
    """Serve until SIGINT or SIGTERM; calls ``started`` once connections are accepted.

    Raises ConfigurationError, before any change, if the port is in use, the database is not one, the certificate cannot
    be used, or other machines could reach it without one; StoreReplacedError if the database was replaced meanwhile.
    """
    _check_exposure(options)
    configure_logging(options.log_format)
    tls = _tls_options(options)
    state = instance.state_path()
    database = _database(options)
    with ExitStack() as stack:
        listener = stack.enter_context(_listener(options, state.parent))
        store = stack.enter_context(closing(open_store(database)))
        contents, kept_in = _contents(options, database)
        own = _own_key(options, database)
        username = options.username or _login_name()
        _put_user(store, options, username, own)
        renew_page_token(store, PAGE_TOKEN_AGE_AT_START_MAX)
        keyring = stack.enter_context(closing(Keyring(store)))
        address, port, *_ = ("", _SCHEME_PORT) if options.uds else listener.getsockname()
        base_url = _base_url(options, port)
        secret, connections = secrets.token_hex(32), connections_max()
        where = None if options.stock or own is None else state.parent
        announcement = stack.enter_context(closing(Announcement(where, store.instance)))
        service = _service(options, stack)
        app = create_app(
            store,
            keyring,
            hosts=_allowed_hosts(options, port, store),
            secret=secret,
            open_namespaces=not options.namespaces,
            stock=options.stock,
            service=service,
            contents=contents,
            project_bytes_max=options.project_bytes_max,
        )

        def present() -> instance.Instance:
            key = "" if own is None else own.present(keyring)
            told = store.instance, base_url, secret, key, username, keyring.page_token
            return instance.Instance(*told, database=shown_place(_absolute(database)))

        def write_state() -> Path | None:
            return announcement.publish(present())

        def announce() -> None:
            written = write_state()
            page_url = None if options.stock else instance.page_url(present(), "/")
            elsewhere = address_elsewhere(options, address, base_url)
            first = None if written is None else _found_first(state.parent, store.instance)
            places = written, page_url, store.instance, elsewhere, first, connections, bool(store.users()), kept_in
            source = None if own is None else own.source
            started(RunningServer(base_url, database, source, *places))

        packer = packer_process(database, log_format=options.log_format)
        working = reaping(store), collecting(store, contents), packer
        with _refreshed(keyring, write_state), packing_backlog(store), ExitStack() as threads:
            service.figures.extend(map(threads.enter_context, working))
            serve(app, listener, announcement.socket, announce, store, tls, connections, service)


def _database(options: ServerOptions) -> Place:
    own = default_database()
    if options.database not in (None, own):
        return options.database
    make_private(own.parent)
    return own


def _absolute(place: Place) -> Place:
    return place.absolute() if isinstance(place, Path) else place


def _contents(options: ServerOptions, database: Place) -> tuple[ContentStore | None, str | None]:
    """Where files are kept, and how that place is shown; None: they are not."""
    place = None if options.stock else contents_place(options.blobs, database)
    return (None, None) if place is None else (open_contents(place), shown_contents(place))


def _allowed_hosts(options: ServerOptions, port: int, store: Store) -> AllowedHosts:
    # The instance is the name that clients which found it through its state file call it by.
    return AllowedHosts(port, [*options.hosts, f"{_bracketed(options.host)}:{port}", store.instance])


def _service(options: ServerOptions, stack: ExitStack) -> Service:
    proxies = None
    if options.proxy_headers is not None:
        proxies = Proxies(options.trusted_proxies, options.proxy_headers)
    service = Service(
        Draining(options.drain_s),
        metrics_from=options.metrics_from,
        proxies=proxies,
        quotas=Quotas(options.quota_requests, options.quota_bytes),
        proxies_only=proxies is not None and _is_exposed(options),
    )
    if options.access_log:
        log = AccessLog(options.log_format, _write_lines, time.time)
        service.observers.append(stack.enter_context(closing(log)))
    return service


def _write_lines(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def _refreshed(keyring: Keyring, on_change: Callable[[], object]) -> AbstractContextManager[None]:
    """Read the page's token and the server's own key again and again, in a thread."""

    def refresh() -> float:
        with suppress(StoreError):  # then what was read last counts
            keyring.refresh(on_change)
        return REFRESH_INTERVAL_S

    return repeating(refresh, "steplog-keys", REFRESH_INTERVAL_S)


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
                if keyring.is_started(written):
                    self.key = written
        return self.key


def _put_user(store: Store, options: ServerOptions, username: str, own: _OwnKey | None) -> None:
    if own is not None:
        origin = CONFIGURED if own.file is None else GENERATED
        try:
            user = store.add_user(username, options.email).result()
            store.put_started_key(user, hash_key(own.key), origin).result()
        except RevokedKeyError as error:
            raise ConfigurationError(f"the key from {own.source} {error}; start the server with another one") from None
    for namespace in options.namespaces:
        store.put_namespace(namespace).result()


def _own_key(options: ServerOptions, place: Place) -> _OwnKey | None:
    """The key that was configured, else that in the file beside the database; None without either."""
    kept = None
    if options.api_key is not None:
        key, source = options.api_key, "--api-key"
    elif options.api_key_file is not None:
        key, source = _first_line(options.api_key_file), str(options.api_key_file)
    elif os.environ.get(KEY_VARIABLE):
        key, source = os.environ[KEY_VARIABLE], f"${KEY_VARIABLE}"
    elif not isinstance(place, Path):
        return None
    else:
        kept = key_file(place)
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
    if not _is_exposed(options):
        return
    host = options.host
    if options.proxy_headers is None:
        raise ConfigurationError(
            f"other machines can reach {host}, and keys would cross the network unencrypted. Type: steplog serve"
            f" --host {host} --tls-cert FILE --tls-key FILE; behind a proxy that encrypts: --proxy-headers"
            " --trusted-proxies CIDR; or, if something else in front of it encrypts: --insecure"
        )
    if all(contains(LOOPBACK, str(network[0])) for network in options.trusted_proxies):
        raise ConfigurationError(
            f"other machines can reach {host}, and none of them is the proxy that encrypts: name it with"
            f" --trusted-proxies CIDR, or listen where this machine's proxy alone can ask: --host 127.0.0.1"
        )


def _is_exposed(options: ServerOptions) -> bool:
    """Whether other machines can reach it without TLS, and nobody has said that this is as it should be."""
    if options.tls_cert or options.insecure or options.uds:
        return False
    with suppress(OSError):  # a name that leads nowhere: ``listen`` says so
        found = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return not all(ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback for *_, address in found)
    return False


def _listener(options: ServerOptions, directory: Path) -> AbstractContextManager[socket.socket]:
    if options.uds is not None:
        return listen_at(options.uds, options.uds_mode)
    return closing(listen(options.host, options.port, directory))


def _base_url(options: ServerOptions, port: int) -> str:
    """The server's address on this machine; of one with a Unix socket, that of the proxy before it."""
    if options.uds is not None:
        return _behind_proxy(options) or "http://localhost"
    return f"{'https' if options.tls_cert else 'http'}://{_bracketed(_name(options))}:{port}"


def _behind_proxy(options: ServerOptions) -> str:
    """The address of a proxy that encrypts, by the first name that it has; "": it has none."""
    return f"https://{options.hosts[0]}" if options.hosts else ""


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
    if options.uds is not None or options.proxy_headers is not None:
        return _behind_proxy(options)
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
