"""The way from victims to the server: up, down (connections are reset at once), or flapping between the two.

Going down cuts every connection, in whatever it is: what the server has stored by then, nobody is told.
"""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from types import TracebackType

STATES = ["up", "down", "flapping"]
FLAP_S = (0.02, 0.3)
_POLL_S = 0.02


class Network:
    """Listens at ``url`` for the server at ``port``; ``state`` is one of STATES. A context manager."""

    def __init__(self, port: int, source: random.Random) -> None:
        self.state = "up"
        self._source = source
        self._target = ("127.0.0.1", port)
        self._up = True
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._listener.settimeout(_POLL_S)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept), threading.Thread(target=self._flap)]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Network:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._cut()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _flap(self) -> None:
        turn = 0.0
        while not self._closed.wait(_POLL_S / 2):
            if self.state != "flapping":
                self._up = self.state == "up"
            elif time.monotonic() >= turn:
                self._up = not self._up
                turn = time.monotonic() + self._source.uniform(*FLAP_S)
            if not self._up:
                self._cut()

    def _cut(self) -> None:
        with self._lock:
            cut, self._open = self._open, set()
        for connection in cut:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._closed.is_set():
            with contextlib.suppress(OSError):  # a timeout is one
                near, _ = self._listener.accept()
                if not self._up:
                    near.close()
                    continue
                far = socket.create_connection(self._target)
                with self._lock:
                    self._open |= {near, far}
                for source, target in ((near, far), (far, near)):
                    self._threads.append(threading.Thread(target=self._pump, args=(source, target), daemon=True))
                    self._threads[-1].start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if not self._up:
                    break
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._open.discard(source)
        source.close()
