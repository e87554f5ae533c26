"""A proxy that counts bytes and can delay each."""

from __future__ import annotations

import contextlib
import heapq
import selectors
import socket
import threading
import time
from itertools import count
from types import TracebackType
from urllib.parse import urlsplit

__all__ = ["Proxy"]

_CHUNK = 256 * 1024


class Proxy:
    """A context manager. ``delay_s`` is one way; ``bytes_sent`` to the server, in ``requests``."""

    def __init__(self, url: str, delay_s: float = 0.0) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._delay_s = delay_s
        self.bytes_sent = 0
        self.requests = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._sockets = [self._listener]
        self._selector = selectors.SelectSelector()  # whose timeouts are not rounded to milliseconds
        self._late: list[tuple[float, int, socket.socket, bytes]] = []  # bytes on their way; none: the end
        self._order = count()
        self._stop = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Proxy:
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop = True
        self._thread.join()
        self._selector.close()
        for each in self._sockets:
            each.close()

    def _run(self) -> None:
        while not self._stop:
            wait = min(0.05, max(0.0, self._late[0][0] - time.monotonic())) if self._late else 0.05
            for key, _ in self._selector.select(wait):
                if key.fileobj is self._listener:
                    self._accept()
                else:
                    self._receive(key.fileobj, *key.data)  # type: ignore[arg-type]
            while self._late and self._late[0][0] <= time.monotonic():
                _, _, target, data = heapq.heappop(self._late)
                with contextlib.suppress(OSError):
                    target.sendall(data) if data else target.shutdown(socket.SHUT_WR)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        server = socket.create_connection(self._target)
        self._sockets += [client, server]
        for source, target, up in ((client, server, True), (server, client, False)):
            source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._selector.register(source, selectors.EVENT_READ, (target, up))

    def _receive(self, source: socket.socket, target: socket.socket, up: bool) -> None:
        try:
            data = source.recv(_CHUNK)
        except OSError:
            data = b""
        if not data:
            self._selector.unregister(source)
        if up:
            self.bytes_sent += len(data)
            self.requests += data.count(b" HTTP/1.1\r\n")
        heapq.heappush(self._late, (time.monotonic() + self._delay_s, next(self._order), target, data))
