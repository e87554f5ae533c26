"""Fakes for tests of programs that log: a clock that goes when it is told to, and a server that misbehaves.

``FakeClock``       monotonic and wall time as arguments of what waits; a ``sleep`` takes no time
``HostileServer``   a TCP server on loopback that does to each connection what a script says: answers byte by
                    byte, cuts an answer, resets, never answers. It speaks no HTTP of its own; ``answer`` writes one.

    def drip(peer: Peer) -> None:
        peer.request()
        peer.drip(answer(200, b"{}"), interval_s=0.2)

    with HostileServer(drip) as server:
        requests.get(server.url, timeout=1)
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from types import TracebackType

__all__ = ["FakeClock", "HostileServer", "Peer", "Script", "answer"]

_POLL_S = 0.02
_RECEIVE_BYTES = 64 * 1024


class FakeClock:
    """Two clocks that stand still: ``monotonic()`` in seconds, ``time_ns()`` in nanoseconds since the epoch."""

    def __init__(self, monotonic_s: float = 1000.0, time_ns: int = 1_700_000_000_000_000_000) -> None:
        self._monotonic_s = monotonic_s
        self._time_ns = time_ns
        self.slept: list[float] = []

    def monotonic(self) -> float:
        """Seconds of a clock that only goes forward."""
        return self._monotonic_s

    def time_ns(self) -> int:
        """Nanoseconds of the wall clock."""
        return self._time_ns

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks."""
        if seconds < 0:
            raise ValueError("time does not go back; see step_wall")
        self._monotonic_s += seconds
        self._time_ns += round(seconds * 1e9)

    def step_wall(self, seconds: float) -> None:
        """Set the wall clock forward or back, as NTP or a user does."""
        self._time_ns += round(seconds * 1e9)

    def sleep(self, seconds: float) -> None:
        """Advance by ``seconds`` and note it in ``slept``."""
        self.slept.append(seconds)
        self.advance(seconds)


def answer(status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> bytes:
    """The bytes of an HTTP answer with a Content-Length, unless ``headers`` has its own framing."""
    lines = {"Content-Type": "application/json", **(headers or {})}
    if not {"content-length", "transfer-encoding"} & {name.lower() for name in lines}:
        lines["Content-Length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode("latin-1") + body


class Peer:
    """The server's end of one connection, in the hands of a script. A client that is gone ends the script.

    ``socket`` is the connection; ``stopped`` is set when the server is closed.
    """

    def __init__(self, connection: socket.socket, server: HostileServer) -> None:
        self.socket = connection
        self.stopped = server.stopped
        self._server = server
        self._received = b""

    def request(self) -> bytes:
        """The next whole request, head and body, as it came; also kept in ``HostileServer.requests``."""
        while b"\r\n\r\n" not in self._received:
            self._receive()
        head, _, rest = self._received.partition(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-length":
                length = int(value)
        while len(rest) < length:
            rest += self._receive()
        whole = head + b"\r\n\r\n" + rest[:length]
        self._received = rest[length:]
        self._server.requests.append(whole)
        return whole

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self.socket.sendall(data)

    def drip(self, data: bytes, interval_s: float) -> None:
        """Send one byte every ``interval_s`` seconds, until the client or the server goes."""
        for index in range(len(data)):
            self.send(data[index : index + 1])
            if self.stopped.wait(interval_s):
                return

    def hold(self) -> None:
        """Neither send nor read, until the server is closed."""
        self.stopped.wait()

    def reset(self) -> None:
        """End the connection with a RST instead of a FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _receive(self) -> bytes:
        data = self.socket.recv(_RECEIVE_BYTES)
        if not data:
            raise ConnectionError("the client is gone")
        self._received += data
        return data


def _shut(connection: socket.socket) -> None:
    """End it both ways: whoever waits in ``accept`` or ``recv`` wakes up, which closing alone does not do."""
    with contextlib.suppress(OSError):
        # That of TLS takes away what a handshake in another thread is about to use.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


Script = Callable[[Peer], None]


class HostileServer:
    """A server on 127.0.0.1 that plays one script a connection, the last one for all that follow.

    Each connection has a thread; ``tls`` is the context of a server with a certificate. Use it in a ``with``
    block: leaving it closes every connection and waits for the threads, up to ``close_timeout_s`` seconds each.
    ``requests`` holds what ``Peer.request`` read, ``connections`` counts the connections that were accepted.
    """

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None, close_timeout_s: float = 5.0) -> None:
        if not scripts:
            raise ValueError("a script is needed")
        self.requests: list[bytes] = []
        self.connections = 0
        self.stopped = threading.Event()
        self._scripts = list(scripts)
        self._tls = tls
        self._close_timeout_s = close_timeout_s
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(_POLL_S)
        self.host, self.port = self._listener.getsockname()
        self._start(self._accept)

    @property
    def url(self) -> str:
        """The server's address."""
        return f"{'https' if self._tls else 'http'}://{self.host}:{self.port}"

    def close(self) -> None:
        """End every script and every connection."""
        self.stopped.set()  # before the sockets are gone through: see _keep
        for connection in (self._listener, *self._sockets):
            _shut(connection)
        for thread in self._threads:
            thread.join(self._close_timeout_s)
        for connection in (self._listener, *self._sockets):
            connection.close()

    def __enter__(self) -> HostileServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name="hostile-server", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _keep(self, connection: socket.socket) -> None:
        """Have it closed with the server; one that comes while the server closes is shut at once."""
        self._sockets.append(connection)
        if self.stopped.is_set():
            _shut(connection)

    def _accept(self) -> None:
        while not self.stopped.is_set():
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            connection.settimeout(None)
            self._keep(connection)
            script = self._scripts[min(self.connections, len(self._scripts) - 1)]
            self.connections += 1
            self._start(lambda connection=connection, script=script: self._play(connection, script))  # type: ignore[misc]

    def _play(self, connection: socket.socket, script: Script) -> None:
        with contextlib.suppress(OSError):
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
                self._keep(connection)
            with connection:
                if isinstance(connection, ssl.SSLSocket):
                    connection.getpeername()  # OSError, where the client is gone: there is no handshake then
                    connection.do_handshake()
                script(Peer(connection, self))
