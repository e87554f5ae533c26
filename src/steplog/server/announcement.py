"""What clients on this machine find a server by: its lock, its Unix socket and its state file (``instance``).

The lock is taken before the socket is bound, and the state written once connections are accepted, so that a client that
sees a state under a lock that is held can connect. Every ``REFRESH_S`` the oldest server that runs sees to it that
``server.json`` is its own, for clients of 0.1; a server of 0.1 that listens keeps the file.

Without a place for the files only discovery is lost.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import structs

from steplog import instance
from steplog.errors import ConfigurationError
from steplog.file_lock import FileLock
from steplog.instance import Instance
from steplog.private_files import make_private
from steplog.unix_socket import SUPPORTED, bind_private

__all__ = ["REFRESH_S", "Announcement"]

REFRESH_S = 5.0
_BACKLOG = 1024
_LOCK_S = 2.0  # a client that looks whether the lock is free holds it for an instant
_LOCK_POLL_S = 0.02
_CONNECT_S = 1.0
_FAILURES = (OSError, ConfigurationError)


class Announcement:
    """Of one server, in a state directory, None: of one that is not to be found. ``close`` takes it back.

    Attributes:
        socket: a Unix socket that listens, where there can be one.
    """

    def __init__(self, directory: Path | None, instance_id: str) -> None:
        self.socket: socket.socket | None = None
        self._directory, self._instance = directory or Path(), instance_id
        self._paths = instance.paths_of(self._directory, instance_id)
        self._started_ns = time.time_ns()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock: FileLock | None = None
        if directory is not None:
            with contextlib.suppress(*_FAILURES):
                make_private(directory)
                make_private(self._paths.lock.parent)
                self._lock = self._take_lock()
        if self._lock is not None:
            with contextlib.suppress(OSError):
                self._paths.state.unlink(missing_ok=True)  # of one that was killed
                if SUPPORTED:
                    self.socket = bind_private(self._paths.socket, _BACKLOG)

    def _take_lock(self) -> FileLock | None:
        """None: another server has it, of a copy of the database."""
        deadline = time.monotonic() + _LOCK_S
        while (lock := FileLock.take(self._paths.lock)) is None and time.monotonic() < deadline:
            time.sleep(_LOCK_POLL_S)
        return lock

    def publish(self, this: Instance) -> Path | None:
        """Write the state of a server that accepts connections; may be repeated. Where it is, None without a place."""
        if self._lock is None:
            return None
        this = structs.replace(this, started_ns=self._started_ns, socket=self.socket is not None)
        try:
            instance.write(self._paths.state, this)
        except _FAILURES:
            return None
        self._refresh()
        if self._thread is None:
            self._thread = threading.Thread(target=self._keep_fresh, name="steplog-announce", daemon=True)
            self._thread.start()
        return self._paths.state

    def _keep_fresh(self) -> None:
        while not self._ended.wait(REFRESH_S):
            self._refresh()

    def _refresh(self) -> None:
        """Write ``server.json`` where this is the oldest server."""
        with contextlib.suppress(*_FAILURES):
            this, servers = instance.read(self._paths.state), instance.living(self._directory)
            if this is not None and servers and servers[0].instance == this.instance:
                self._hand_over(this)

    def _hand_over(self, to: Instance) -> None:
        path = instance.state_path(self._directory)
        found = instance.read(path)
        older = found is not None and not found.started_ns and found.instance != to.instance
        if found != to and not (older and found is not None and _listens(found.base_url)):
            instance.write(path, to)

    def close(self) -> None:
        """Remove what was announced, and nothing of another server."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        if self.socket is not None:
            self.socket.close()
        if self._lock is None:
            return
        with contextlib.suppress(*_FAILURES):
            for path in (self._paths.state, self._paths.socket, self._paths.lock):
                path.unlink(missing_ok=True)
            self._lock.release()
            instance.remove(instance.state_path(self._directory), self._instance)
            for other in instance.living(self._directory)[:1]:
                self._hand_over(other)
        self._lock.release()


def _listens(base_url: str) -> bool:
    """Whether something accepts connections there."""
    try:
        address = urlsplit(base_url)
        socket.create_connection((address.hostname or "", address.port or 80), _CONNECT_S).close()
    except (OSError, ValueError):
        return False
    return True
