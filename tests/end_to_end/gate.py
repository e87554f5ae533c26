"""A network between programs and a server, as bad as a test wants it.

``mode`` counts at once, for connections that are open too:

=======  ==========================================================================
pass     what comes goes through
late     so it does, ``LATE_S`` later
hold     the server's answers stay here; connections are accepted
drip     the server's answers come one byte in half a second
lost     nothing goes through, and no connection is accepted
busy     every request is answered here: 429, and not to come back for an hour
garbage  every request is answered here with what is no HTTP
headers  every request is answered here with a head, and the connection closed then
cut      half of a request goes through, and the connection is closed
deaf     the request goes through, and the connection is reset before the answer
reset    the connection is reset when a request comes
=======  ==========================================================================
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from types import TracebackType

DRIP_S = 0.5
LATE_S = 0.2
ANSWERS = {
    "busy": b"HTTP/1.1 429 Slow Down\r\nRetry-After: 3600\r\nContent-Length: 2\r\n\r\n{}",
    "garbage": b"\x00\xff\x16\x03 what is this\r\n\r\n",
    "headers": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n",
}
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
                self._closed.wait(_POLL_S)
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
                if not self._pass_on(data, source, target, answers):
                    target.shutdown(socket.SHUT_RDWR)
                    return

    def _pass_on(self, data: bytes, source: socket.socket, target: socket.socket, answers: bool) -> bool:
        """Whether the connection goes on."""
        near = target if answers else source
        while data and not self._closed.is_set():
            mode = self.mode
            if mode in ANSWERS and not answers:
                near.sendall(ANSWERS[mode])
                return mode == "busy"
            if (mode == "reset" and not answers) or (mode == "deaf" and answers):
                near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                near.close()
                return False
            if mode == "cut" and not answers:
                target.sendall(data[: len(data) // 2])
                return False
            if mode == "late":
                self._closed.wait(LATE_S)
                mode = "pass"
            if mode == "drip" and answers:
                target.sendall(data[:1])
                data = data[1:]
                self._closed.wait(DRIP_S)
            elif mode == "lost" or (mode == "hold" and answers):
                self._closed.wait(_POLL_S)
            else:
                target.sendall(data)
                return True
        return True
