"""Unix sockets of this user's, at paths of any length, and who is at the other end.

Linux
    A path of more than 107 bytes does not fit into ``sockaddr_un`` (unix(7)). Through
    ``/proc/self/fd/<directory>/<name>`` the kernel finds it all the same. ``SO_PEERCRED`` tells who listened.
macOS
    103 bytes fit (unix(4), ``sys/un.h``). A longer path is reached by a link to its directory, in a directory of this
    user's alone in ``/tmp``, for as long as it takes to bind or connect. ``LOCAL_PEERCRED`` and ``LOCAL_PEERPID`` tell
    who listened; where they do not, nothing is known of it, and it has to prove what it is.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from steplog.descriptors import lent, open_reserved

__all__ = ["SUPPORTED", "Peer", "bind_private", "peer_of", "socket_address"]

SUPPORTED = hasattr(socket, "AF_UNIX") and sys.platform in ("linux", "darwin")
_PATH_BYTES_MAX = 103 if sys.platform == "darwin" else 107
_SO_PEERCRED: int = getattr(socket, "SO_PEERCRED", 17)
_UCRED = struct.Struct("iII")  # pid, uid, gid
_XUCRED = struct.Struct("@IIh16I")  # version, uid, number of groups, groups: sys/ucred.h
_XUCRED_VERSION = 0
_SOL_LOCAL, _LOCAL_PEERCRED, _LOCAL_PEERPID = 0, 1, 2  # sys/un.h
_SHORT_DIRECTORY = "/tmp"  # noqa: S108 - mkdtemp makes a private one in it
_OVERFLOW_FILE = "/proc/sys/kernel/overflowuid"
_OVERFLOW_UID = 65534


class Peer:
    """The process that listens at the other end.

    Attributes:
        pid: 0 where it is not shown, as of another pid namespace.
        is_ours: whether it runs as this user; None where that is not shown, as of another user namespace.
    """

    def __init__(self, pid: int, uid: int | None) -> None:
        self.pid = pid
        self.is_ours = None if uid in (None, _overflow_uid()) else uid == os.geteuid()


@contextlib.contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """The address of a socket at ``path``, while in the block. Raises OSError."""
    if len(os.fsencode(path)) <= _PATH_BYTES_MAX:
        yield str(path)
    elif sys.platform == "darwin":
        with lent(), tempfile.TemporaryDirectory(prefix="steplog-", dir=_SHORT_DIRECTORY) as short:
            link = os.path.join(short, "d")
            os.symlink(path.parent.absolute(), link)
            yield os.path.join(link, path.name)
    else:
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
        # Linux takes the mode from the socket; the umask, which all threads share, would take it from bind. Elsewhere
        # the socket has none: nobody is let in before it listens, and then the file has its mode.
        if sys.platform == "linux":
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
    return _mac_peer(connected) if sys.platform == "darwin" else _linux_peer(connected)


def _linux_peer(connected: socket.socket) -> Peer:
    pid, uid, _ = _UCRED.unpack(connected.getsockopt(socket.SOL_SOCKET, _SO_PEERCRED, _UCRED.size))
    return Peer(pid, uid)


def _mac_peer(connected: socket.socket) -> Peer:
    pid, uid = 0, None
    with contextlib.suppress(OSError):
        pid = connected.getsockopt(_SOL_LOCAL, _LOCAL_PEERPID)
    with contextlib.suppress(OSError, struct.error):
        version, found, *_ = _XUCRED.unpack(connected.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, _XUCRED.size))
        uid = found if version == _XUCRED_VERSION else None
    return Peer(pid, uid)


def _overflow_uid() -> int:
    """What a user namespace shows for a user that is not in it."""
    try:
        return int(Path(_OVERFLOW_FILE).read_text())
    except (OSError, ValueError):
        return _OVERFLOW_UID
