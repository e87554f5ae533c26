"""Unix sockets in a directory of ours: their paths, and who is at the other end.

A path of more than 107 bytes does not fit into ``sockaddr_un`` (unix(7)). Through ``/proc/self/fd/<directory>/<name>``
it does, for ``bind`` and for ``connect``.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from steplog.descriptors import open_reserved

__all__ = ["SUPPORTED", "Peer", "bind_private", "peer_of", "socket_address"]

SUPPORTED = hasattr(socket, "AF_UNIX") and hasattr(socket, "SO_PEERCRED")
_PATH_BYTES_MAX = 107
_CREDENTIALS = struct.Struct("iII")  # ucred: pid, uid, gid
_OVERFLOW_FILE = "/proc/sys/kernel/overflowuid"
_OVERFLOW_UID = 65534


class Peer:
    """The process that listens at the other end.

    Attributes:
        pid: 0 where this pid namespace does not show it.
        is_ours: whether it runs as this user; None where this user namespace does not show that.
    """

    def __init__(self, pid: int, uid: int) -> None:
        self.pid = pid
        self.is_ours = None if uid == _overflow_uid() else uid == os.geteuid()


@contextlib.contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """The address of a socket at ``path``, while in the block. Raises OSError."""
    if len(os.fsencode(path)) <= _PATH_BYTES_MAX:
        yield str(path)
        return
    directory = open_reserved(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def bind_private(path: Path, backlog: int) -> socket.socket:
    """A socket of mode 0600 that listens at ``path``, in place of any file there. Raises OSError."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    try:
        # Linux takes the mode from the socket; the umask, which all threads share, would take it from bind.
        os.fchmod(listener.fileno(), 0o600)
        with socket_address(path) as address:
            listener.bind(address)
        path.chmod(0o600)
        listener.listen(backlog)
    except BaseException:
        listener.close()
        raise
    return listener


def peer_of(connected: socket.socket) -> Peer:
    """Who listened where this socket connected. Raises OSError."""
    pid, uid, _ = _CREDENTIALS.unpack(connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return Peer(pid, uid)


def _overflow_uid() -> int:
    """What a user namespace shows for a user that is not in it."""
    try:
        return int(Path(_OVERFLOW_FILE).read_text())
    except (OSError, ValueError):
        return _OVERFLOW_UID
