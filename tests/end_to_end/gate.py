"""A network between programs and a server, as bad as a test wants it.

``mode`` counts at once, for connections that are open too:

======  ==========================================================
pass    what comes goes through
hold    the server's answers stay here; connections are accepted
drip    the server's answers come one byte in half a second
lost    nothing goes through, and no connection is accepted
======  ==========================================================
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from types import TracebackType

DRIP_S = 0.5
_POLL_S = 0.02


class Gate:
    """Listens on a port of its own, ``url``, for the server at ``port``; a context manager."""

    def __init__(self, port: int) -> None:
        self.mode = "pass"
        self._target = ("127.0.0.1", port)
        self._closed = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1)
        self._listener.settimeout(_POLL_S)
        self._address = self._listener.getsockname()
        self._waiting: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._address[1]}"

    def lose(self) -> None:
        """From now on nobody answers under this address: not even a connection is accepted, none is refused."""
        self.mode = "lost"
        for _ in range(8):  # until the queue of those that nobody accepts is full
            waiting = socket.socket()
            waiting.setblocking(False)
            waiting.connect_ex(self._address)
            self._waiting.append(waiting)

    def find(self) -> None:
        """Undo ``lose``."""
        for waiting in self._waiting:
            waiting.close()
        self._waiting = []
        self.mode = "pass"

    def __enter__(self) -> Gate:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        for thread in self._threads:
            thread.join()
        for open_socket in (self._listener, *self._waiting):
            open_socket.close()

    def _accept(self) -> None:
        while not self._closed.is_set():
            if self.mode == "lost":
                time.sleep(_POLL_S)
                continue
            with contextlib.suppress(TimeoutError):
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target)
                for ends in ((near, far, False), (far, near, True)):
                    self._threads.append(threading.Thread(target=self._pump, args=ends))
                    self._threads[-1].start()

    def _pump(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        source.settimeout(_POLL_S)
        with source, contextlib.suppress(OSError):
            while not self._closed.is_set():
                try:
                    data = source.recv(65536)
                except TimeoutError:
                    continue
                if not data:
                    target.shutdown(socket.SHUT_WR)
                    return
                self._pass_on(data, target, answers)

    def _pass_on(self, data: bytes, target: socket.socket, answers: bool) -> None:
        while data and not self._closed.is_set():
            if self.mode == "pass" or (self.mode in ("hold", "drip") and not answers):
                target.sendall(data)
                return
            if self.mode == "drip":
                target.sendall(data[:1])
                data = data[1:]
                self._closed.wait(DRIP_S)
            else:
                self._closed.wait(_POLL_S)
