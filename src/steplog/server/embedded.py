"""The embedded server as a whole: a database, its key, its state file, and the application on a socket.

The key is the first of: what the caller gives, a file, ``STEPLOG_SERVE_API_KEY``, or one that is made up once and
kept beside the database in ``<database>.key``, 0600, so that a database has the same key at every start.
"""

from __future__ import annotations

import getpass
import ipaddress
import os
import secrets
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from slugify import slugify

from steplog import instance
from steplog.errors import ConfigurationError
from steplog.private_files import make_private, write_private
from steplog.server.access import Hosts, hash_key
from steplog.server.app import create_app
from steplog.server.serving import bind, serve
from steplog.server.sqlite import SqliteStore

__all__ = ["KEY_VARIABLE", "Address", "Options", "run_server"]

KEY_VARIABLE = "STEPLOG_SERVE_API_KEY"
_KEY_FILE_BYTES_MAX = 4096


@dataclass(frozen=True)
class Options:
    """What a server is started with."""

    host: str = "127.0.0.1"
    port: int = 0  # 0: a free one
    database: Path | None = None  # None: server.db beside the state file
    api_key: str | None = None
    api_key_file: Path | None = None
    username: str | None = None  # None: whoever runs it
    email: str | None = None
    namespaces: tuple[str, ...] = ()  # none: each is made on first use
    hosts: tuple[str, ...] = ()  # Host headers to answer besides loopback names
    stock: bool = False  # without steplog's additions and without a state file


@dataclass(frozen=True)
class Address:
    """Where a server that has started is to be found."""

    base_url: str
    database: Path
    key_source: str
    state: Path | None  # None: clients do not find it by themselves, since no state file could be written
    page_url: str | None  # the page that lists everything, with the token to read it; None: a stock server has none


def run_server(options: Options, started: Callable[[Address], None]) -> None:
    """Serve until SIGINT or SIGTERM; ``started`` is called when connections are accepted.

    Raises ConfigurationError, before anything is changed, where the port is taken or the database is not one.
    """
    state = instance.state_path()
    database = options.database
    if database is None:
        make_private(state.parent)
        database = state.with_name("server.db")
    listening = bind(options.host, options.port)
    try:
        store = SqliteStore(database)
        try:
            _run(options, listening, store, database, state, started)
        finally:
            store.close()
    finally:
        listening.close()


def _run(
    options: Options,
    listening: socket.socket,
    store: SqliteStore,
    database: Path,
    state: Path,
    started: Callable[[Address], None],
) -> None:
    key, key_source = _api_key(options, database)
    username = options.username or _login_name()
    _put_user(store, options, username, key)
    port = listening.getsockname()[1]
    secret = secrets.token_hex(32)
    app = create_app(
        store,
        hosts=Hosts(port, [*options.hosts, f"{_bracketed(options.host)}:{port}"]),
        secret=secret,
        open_namespaces=not options.namespaces,
        stock=options.stock,
    )
    base_url = f"http://{_bracketed(_reachable(options.host))}:{port}"

    def tell() -> None:
        written, page_url = None, None
        if not options.stock:
            here = instance.Instance(store.instance, base_url, secret, key, username, store.page_token)
            page_url = instance.page_url(here, "/")
            # Without it a server is as good, only not found.
            with suppress(OSError, ConfigurationError):
                instance.write(state, here)
                written = state
        started(Address(base_url, database, key_source, written, page_url))

    try:
        serve(app, listening, tell)
    finally:
        instance.remove(state, store.instance)


def _put_user(store: SqliteStore, options: Options, username: str, key: str) -> None:
    slug = slugify(username)
    if not slug:
        raise ConfigurationError("a user's name needs a letter or a digit")
    store.put_user(username, slug, options.email or f"{slug}@localhost", hash_key(key)).result()
    for namespace in (slug, *options.namespaces):
        store.put_namespace(namespace).result()


def _api_key(options: Options, database: Path) -> tuple[str, str]:
    """The key, and words for where it is from."""
    if options.api_key is not None:
        return _checked(options.api_key, "--api-key")
    if options.api_key_file is not None:
        return _checked(_first_line(options.api_key_file), str(options.api_key_file))
    if os.environ.get(KEY_VARIABLE):
        return _checked(os.environ[KEY_VARIABLE], f"${KEY_VARIABLE}")
    kept = database.with_name(database.name + ".key")
    if not kept.exists():
        write_private(kept, f"{secrets.token_urlsafe(32)}\n".encode(), sync=True)
    if kept.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigurationError(f"others can read {kept}: make it 0600, or remove it for a new key")
    return _checked(_first_line(kept), str(kept))


def _first_line(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(_KEY_FILE_BYTES_MAX).partition(b"\n")[0].decode("utf-8", "replace").strip()
    except OSError as error:
        raise ConfigurationError(f"no key in {path}: {error.strerror}") from None


def _checked(key: str, source: str) -> tuple[str, str]:
    # The message must not hold the key.
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError(f"the key from {source} is empty or has characters that a header cannot carry")
    return key, source


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "user"  # a container may have no name for its user id


def _reachable(host: str) -> str:
    """The address under which this machine reaches a server on ``host``."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "::1"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
