"""A way to a server on which answers get lost: the server has committed by then, and its client does not know.

It watches a connection's turns: what comes from the server first after something came from the client is the beginning
of an answer. ``on_answer`` is asked before it is passed on; where it says so, both connections are cut instead.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from types import TracebackType

_POLL_S = 0.05


class CuttingProxy:
    """Listens at ``url`` for the server at ``port``, which may be away. A context manager."""

    def __init__(self, port: int, on_answer: Callable[[], bool]) -> None:
        """``on_answer`` runs in a thread of its own connection; whether the answer is to be lost."""
        self._target = ("127.0.0.1", port)
        self._on_answer = on_answer
        self._closed = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._listener.settimeout(_POLL_S)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def __enter__(self) -> CuttingProxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._thread.join()
        self._listener.close()
        with self._lock:
            for each in self._open:
                _shut(each)

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                near, _ = self._listener.accept()
            except OSError:  # nobody came
                continue
            try:
                far = socket.create_connection(self._target)
            except OSError:
                near.close()
                continue
            _Connection(near, far, self._on_answer, self._forget).start()
            with self._lock:
                self._open |= {near, far}

    def _forget(self, *ends: socket.socket) -> None:
        with self._lock:
            self._open.difference_update(ends)
        for each in ends:
            each.close()


class _Connection:
    """Two directions, a thread each; the sockets are closed once both have ended."""

    def __init__(
        self,
        near: socket.socket,
        far: socket.socket,
        on_answer: Callable[[], bool],
        forget: Callable[..., None],
    ) -> None:
        self._near, self._far = near, far
        self._on_answer = on_answer
        self._forget = forget
        self._asked = False
        self._left = 2
        self._lock = threading.Lock()

    def start(self) -> None:
        for direction in (self._ask, self._answer):
            threading.Thread(target=self._run, args=(direction,), daemon=True).start()

    def _run(self, direction: Callable[[], None]) -> None:
        with contextlib.suppress(OSError):
            direction()
        for each in (self._near, self._far):
            _shut(each)
        with self._lock:
            self._left -= 1
            is_last = not self._left
        if is_last:
            self._forget(self._near, self._far)

    def _ask(self) -> None:
        while data := self._near.recv(1 << 18):
            self._asked = True
            self._far.sendall(data)

    def _answer(self) -> None:
        while data := self._far.recv(1 << 18):
            if self._asked:
                self._asked = False
                if self._on_answer():
                    return
            self._near.sendall(data)


def _shut(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
