"""A TCP server on loopback that runs a script on each connection: drip, cut, reset, never answer.

It speaks no HTTP itself; ``answer`` formats a response::

    def drip(peer: Peer) -> None:
        peer.request()
        peer.drip(answer(200, b"{}"), interval_s=0.2)

    with HostileServer(drip) as server:
        requests.get(server.url, timeout=1)
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable

__all__ = ["HostileServer", "Peer", "Script", "answer"]

_POLL_S = 0.02
_RECEIVE_BYTES = 64 * 1024


def answer(status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> bytes:
    """Format an HTTP response, with a Content-Length unless ``headers`` has other framing."""
    lines = {"Content-Type": "application/json", **(headers or {})}
    if not {"content-length", "transfer-encoding"} & {name.lower() for name in lines}:
        lines["Content-Length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode("latin-1") + body


class Peer:
    """The server's end of a connection. OSError, once the client is gone, ends the script.

    Attributes:
        socket: the connection.
        stopped: set when the server is closed.
    """

    def __init__(self, connection: socket.socket, server: HostileServer) -> None:
        self.socket = connection
        self.stopped = server.stopped
        self._server = server
        self._received = b""

    def request(self) -> bytes:
        """Read one request, head and body; also appended to ``HostileServer.requests``."""
        while b"\r\n\r\n" not in self._received:
            self._receive()
        head, _, rest = self._received.partition(b"\r\n\r\n")
        found = re.search(rb"^content-length *: *(\d+)", head, re.IGNORECASE | re.MULTILINE)
        length = int(found[1]) if found else 0
        while len(rest) < length:
            rest += self._receive()
        whole = head + b"\r\n\r\n" + rest[:length]
        self._received = rest[length:]
        self._server.requests.append(whole)
        return whole

    def send(self, data: bytes) -> None:
        """Send all of ``data``."""
        self.socket.sendall(data)

    def drip(self, data: bytes, interval_s: float) -> None:
        """Send one byte every ``interval_s`` seconds."""
        for index in range(len(data)):
            self.send(data[index : index + 1])
            if self.stopped.wait(interval_s):
                return

    def hold(self) -> None:
        """Do nothing until the server is closed."""
        self.stopped.wait()

    def reset(self) -> None:
        """Close with a RST instead of a FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _receive(self) -> bytes:
        data = self.socket.recv(_RECEIVE_BYTES)
        if not data:
            raise ConnectionError("the client disconnected")
        self._received += data
        return data


def _shut(connection: socket.socket) -> None:
    """Shut down both ways, which wakes a blocked ``accept`` or ``recv``; closing does not."""
    with contextlib.suppress(OSError):
        # Not SSLSocket.shutdown, which breaks a handshake in another thread.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


Script = Callable[[Peer], None]


class HostileServer(contextlib.AbstractContextManager["HostileServer"]):
    """A server on 127.0.0.1; each connection runs the next script in a thread, further ones the last.

    Leaving the ``with`` block closes every connection and joins the threads, up to ``close_timeout_s`` each.

    Attributes:
        requests: what ``Peer.request`` read.
        connections: how many were accepted.
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
        """The base URL."""
        return f"{'https' if self._tls else 'http'}://{self.host}:{self.port}"

    def close(self) -> None:
        """Close every connection."""
        self.stopped.set()  # first: see _keep
        for connection in (self._listener, *self._sockets):
            _shut(connection)
        for thread in self._threads:
            thread.join(self._close_timeout_s)
        for connection in (self._listener, *self._sockets):
            connection.close()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, name="hostile-server", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _keep(self, connection: socket.socket) -> None:
        """Close it with the server."""
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
            self._start(self._play, connection, script)

    def _play(self, connection: socket.socket, script: Script) -> None:
        with contextlib.suppress(OSError):
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
                self._keep(connection)
            with connection:
                if isinstance(connection, ssl.SSLSocket):
                    connection.getpeername()  # OSError if the client is gone
                    connection.do_handshake()
                script(Peer(connection, self))
