"""The state files: how a client with no configuration finds an embedded server on this machine.

A running ``steplog serve`` has three files of its own, 0600, in directories of mode 0700::

    servers/<host>.<instance>.json    {"instance", "base_url", "secret", "api_key", "username", "page_token",
                                       "started_ns", "socket", "database"}
    servers/<host>.<instance>.lock    locked by the server for as long as it runs
    servers/<host>.<instance>.sock    its Unix socket, if ``socket`` is true
    server.json                       the state of the oldest server that runs, for clients of 0.1

instance
    The id of the server's database. It stays when the server moves to another port, so that what waits still finds it.
secret
    Random, new at every start. Whoever answers at ``base_url`` proves with it that it is the server that
    wrote the file (``proof``) before a client sends it the key: ports are taken over, files stay behind.
page_token
    What the server's page reads with, and no more than reads; it stays with the database. An address made by
    ``page_url`` carries it in its fragment, which a browser never sends. Empty in the file of an older server.
started_ns
    When the server started, by the wall clock. 0 in a file of 0.1.
database
    The path of its file, to be shown. "" in the file of an older server.

1. A lock that can be taken has no living holder: whoever finds one removes that server's files.
2. A server that ends removes its own files and no others.
3. Of several servers, a client with no configuration takes the one that has run longest.

Reading trusts nothing: a link, a file of someone else or one that others may read is as good as none.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import re
import stat
from pathlib import Path

import msgspec

from steplog.address import local_instance
from steplog.default_paths import state_directory
from steplog.descriptors import open_reserved
from steplog.file_lock import FileLock
from steplog.host import host_id
from steplog.private_files import is_private, make_private, write_private

__all__ = [
    "Instance",
    "InstancePaths",
    "find",
    "living",
    "named",
    "of_older_version",
    "page_url",
    "paths_of",
    "proof",
    "read",
    "remove",
    "state_path",
    "write",
]

_FILE_NAME = "server.json"
_DIRECTORY = "servers"
_NAME = re.compile(r"([0-9a-f]{16})\.([0-9A-Za-z_-]{1,64})\.(?:json|lock|sock)")
_FILE_BYTES_MAX = 64 * 1024


class Instance(msgspec.Struct, frozen=True):
    """An embedded server that runs, or ran, on this machine."""

    instance: str
    base_url: str
    secret: str
    api_key: str
    username: str
    page_token: str = ""
    started_ns: int = 0
    socket: bool = False
    database: str = ""

    def __repr__(self) -> str:
        # The key, the secret and the token appear in no log and no traceback.
        return f"Instance(instance={self.instance!r}, base_url={self.base_url!r}, username={self.username!r})"


class InstancePaths(msgspec.Struct, frozen=True):
    """A server's own files."""

    state: Path
    lock: Path
    socket: Path


def state_path(directory: Path | None = None) -> Path:
    """Where ``server.json`` is: in ``directory``, else ``$STEPLOG_DIR``, else the user's state directory."""
    if directory is None:
        configured = os.environ.get("STEPLOG_DIR")
        directory = Path(configured) if configured else state_directory()
    return directory / _FILE_NAME


def paths_of(directory: Path, instance_id: str) -> InstancePaths:
    """The files of this host's server in a state directory."""
    start = directory / _DIRECTORY / f"{host_id()}.{instance_id}"
    return InstancePaths(*(start.with_name(f"{start.name}.{end}") for end in ("json", "lock", "sock")))


def write(path: Path, instance: Instance) -> None:
    """Replace a state file as a whole. Raises ConfigurationError where its directory is not ours alone."""
    make_private(path.parent)
    write_private(path, msgspec.json.encode(instance), sync=True)


def read(path: Path) -> Instance | None:
    """The instance in a state file; None where there is no file that could be trusted."""
    try:
        # A pipe under this name must not block us, a link must not lead us elsewhere.
        descriptor = open_reserved(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        status = os.fstat(descriptor)
        private = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077
        content = os.read(descriptor, _FILE_BYTES_MAX) if private else b""
    except OSError:
        return None
    finally:
        os.close(descriptor)
    try:
        return msgspec.json.decode(content, type=Instance)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None


def find(directory: Path, instance_id: str) -> Instance | None:
    """The server of this id, if it runs here; one of 0.1 may be dead."""
    paths = paths_of(directory, instance_id)
    if _NAME.fullmatch(paths.state.name) and _is_there(directory) and paths.state.exists() and _lives(paths):
        found = read(paths.state)
        if found is not None and found.instance == instance_id:
            return found
    older = of_older_version(directory)
    return older if older is not None and older.instance == instance_id else None


def named(directory: Path, url: str) -> Instance | None:
    """The server that a manifest names by ``address.local_url``, or that has this address."""
    instance_id = local_instance(url)
    if instance_id is not None:
        return find(directory, instance_id)
    found = [*living(directory), of_older_version(directory)]
    return next((each for each in found if each is not None and each.base_url == url), None)


def living(directory: Path) -> list[Instance]:
    """The servers that run here, the oldest first, without those of 0.1. Removes what dead ones left behind."""
    try:
        names = os.listdir(directory / _DIRECTORY) if _is_there(directory) else []
    except OSError:
        return []
    host, found = host_id(), []
    ids = {named[2] for named in map(_NAME.fullmatch, names) if named is not None and named[1] == host}
    for instance_id in ids:
        paths = paths_of(directory, instance_id)
        if _lives(paths):
            instance = read(paths.state)
            if instance is not None and instance.instance == instance_id:
                found.append(instance)
    return sorted(found, key=lambda instance: (instance.started_ns, instance.instance))


def of_older_version(directory: Path) -> Instance | None:
    """The server of 0.1 that wrote ``server.json`` last, and may be dead."""
    found = read(state_path(directory))
    return found if found is not None and not found.started_ns else None


def _is_there(directory: Path) -> bool:
    """Whether there are servers' files, in a directory of ours alone."""
    try:
        return is_private(directory / _DIRECTORY)
    except OSError:
        return False


def _lives(paths: InstancePaths) -> bool:
    """Whether its lock is held. Removes its files if not."""
    try:
        lock = FileLock.take(paths.lock)
    except OSError:  # no locks here, or nothing may be written: who connects finds out
        return True
    if lock is None:
        return True
    with contextlib.suppress(OSError):
        _remove_left(paths)
    lock.release()
    return False


def _remove_left(paths: InstancePaths) -> None:
    """Remove what a dead server left; the caller holds its lock."""
    dead = read(paths.state)
    if dead is not None:
        remove(state_path(paths.state.parent.parent), dead.instance)
    for path in (paths.state, paths.socket, paths.lock):
        path.unlink(missing_ok=True)


def remove(path: Path, instance_id: str) -> None:
    """Remove the state file if it is still that of ``instance_id``; another server's is left alone."""
    current = read(path)
    if current is not None and current.instance == instance_id:
        path.unlink(missing_ok=True)


def proof(secret: str, nonce: str) -> str:
    """What a server answers to ``nonce``: the hex HMAC-SHA256 of it under the secret of the state file."""
    return hmac.new(secret.encode(), nonce.encode(), hashlib.sha256).hexdigest()


def page_url(instance: Instance, web_path: str) -> str:
    """The page at ``web_path``, which begins with a slash, with the token that a browser reads with, if any."""
    fragment = f"#token={instance.page_token}" if instance.page_token else ""
    return f"{instance.base_url}{web_path}{fragment}"
