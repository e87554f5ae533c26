"""The state file: how a client with no configuration finds an embedded server on this machine.

A running ``steplog serve`` keeps one small file, 0600, in a directory of mode 0700::

    server.json    {"instance", "base_url", "secret", "api_key", "username", "page_token"}

instance
    The id of the server's database. It stays when the server moves to another port, so that what waits still finds it.
secret
    Random, new at every start. Whoever answers at ``base_url`` proves with it that it is the server that
    wrote the file (``proof``) before a client sends it the key: ports are taken over, files stay behind.
page_token
    What the server's page reads with, and no more than reads; it stays with the database. An address made by
    ``page_url`` carries it in its fragment, which a browser never sends. Empty in the file of an older server.

Reading trusts nothing: a link, a file of someone else or one that others may read is as good as none.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
from pathlib import Path

import msgspec

from steplog.default_paths import state_directory
from steplog.descriptors import open_reserved
from steplog.private_files import make_private, write_private

__all__ = ["Instance", "page_url", "proof", "read", "remove", "state_path", "write"]

_FILE_NAME = "server.json"
_FILE_BYTES_MAX = 64 * 1024


class Instance(msgspec.Struct, frozen=True):
    """An embedded server that runs, or ran, on this machine."""

    instance: str
    base_url: str
    secret: str
    api_key: str
    username: str
    page_token: str = ""

    def __repr__(self) -> str:
        # The key, the secret and the token appear in no log and no traceback.
        return f"Instance(instance={self.instance!r}, base_url={self.base_url!r}, username={self.username!r})"


def state_path(directory: Path | None = None) -> Path:
    """Where the state file is: in ``directory``, else ``$STEPLOG_DIR``, else the user's state directory."""
    if directory is None:
        configured = os.environ.get("STEPLOG_DIR")
        directory = Path(configured) if configured else state_directory()
    return directory / _FILE_NAME


def write(path: Path, instance: Instance) -> None:
    """Replace the state file as a whole. Raises ConfigurationError where its directory is not ours alone."""
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
