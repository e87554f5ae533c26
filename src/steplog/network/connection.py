"""One connection to a server, direct or through a proxy, and the answers on it.

1. A request leaves in one piece, so that the server wakes up once.
2. A proxy gets CONNECT for https, and the whole URL for http.
3. An answer that is cut in its head, body or a chunk raises.
4. Limits: ``Exchange.body_bytes_max`` of a body; 1 MiB of all else; 99 headers of 64 KiB.
5. A server of this machine shows who it is before the connection can be used (``local_server``).
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import select
import socket
import ssl
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse, IncompleteRead
from typing import Any

import msgspec

from steplog.delivery.exchange import Request
from steplog.descriptors import Descriptor, lent, reserved
from steplog.network import deadline
from steplog.network.local_server import Challenge, ForeignServerError, LocalServer
from steplog.network.proxy import Proxy
from steplog.network.response import Response, joined

__all__ = [
    "AnswerTooLargeError",
    "Begun",
    "Connection",
    "MissingBundleError",
    "Route",
    "TunnelRefusedError",
    "ca_path",
]

_CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
_OPTIONS = ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),)
_HEAD_BYTES_MAX = 1024 * 1024
_LINES_MAX, _LINE_BYTES_MAX = 100, 64 * 1024
_LENGTH = re.compile("[0-9]{1,18}")
_FRAMING = {"connection", "content-length", "keep-alive", "proxy-connection", "transfer-encoding"}
_PIECE_BYTES = 256 * 1024
_PROOF_BYTES_MAX = 64 * 1024


class AnswerTooLargeError(OSError):
    """An answer beyond the limits."""


class MissingBundleError(OSError):
    """The environment names a CA bundle that does not exist."""


class TunnelRefusedError(OSError):
    """A proxy's refusal; the argument is its status line."""


class Route(msgspec.Struct, frozen=True):
    """The way to a server. ``trust`` is from ``ca_path``; only ``local`` counts where it is given."""

    tls: bool
    host: str
    port: int
    trust: str
    proxy: Proxy | None
    local: LocalServer | None = None


class Begun(msgspec.Struct, frozen=True):
    """An answer whose body is still to be read, on this connection."""

    connection: Connection
    head: Response
    pieces: Iterator[bytes]


class Connection:
    """A connection for one exchange at a time.

    Raises what ``deadline.connect``, ``ssl`` and ``http.client`` raise, and OSError where the program has closed its
    descriptor. Close it then.
    """

    def __init__(self, route: Route, exchange: deadline.Exchange) -> None:
        self.route = route
        self.reusable = False  # the last answer was read to its end, and the server keeps the connection open
        first = route.proxy or route
        exchange.at_proxy = route.proxy is not None
        self._sock: Any
        if route.local is None:
            self._sock, challenge = deadline.connect(first.host, first.port, _OPTIONS, exchange), None
        else:
            dialed = route.local.connect(_OPTIONS, exchange)
            self._sock, challenge = dialed.sock, dialed.challenge
        self._descriptor = self._second = Descriptor(self._sock.fileno())
        self._to_shut_down = self._sock
        try:
            if challenge is not None:
                self._challenge(challenge, exchange)
            if route.proxy is not None and route.tls:
                self._open_tunnel(route.proxy, exchange)
            exchange.at_proxy = False
            if route.tls:
                self._start_tls(exchange)
        except BaseException:
            exchange.detach()
            self.close()
            raise
        self._readable = select.poll()
        self._readable.register(self._sock, select.POLLIN)

    def _challenge(self, challenge: Challenge, exchange: deadline.Exchange) -> None:
        answer, received = self._send("GET", challenge.request, exchange)
        body, whole = joined(_body_pieces(answer, received), _PROOF_BYTES_MAX)
        # The key goes over the connection that the proof came on, or not at all.
        if not whole or answer.will_close or not challenge.is_met_by(answer.status, body):
            raise ForeignServerError
        exchange.answered = False

    def _start_tls(self, exchange: deadline.Exchange) -> None:
        with lent():
            context = _context(self.route.trust)
        # A second descriptor: to shut a TLS socket down disturbs the thread that uses it.
        self._to_shut_down = reserved(self._sock.dup)
        self._second = Descriptor(self._to_shut_down.fileno())
        exchange.attach(self._to_shut_down)
        self._sock.settimeout(exchange.remaining())
        self._sock = context.wrap_socket(self._sock, server_hostname=self.route.host.rstrip("."))

    def _open_tunnel(self, proxy: Proxy, exchange: deadline.Exchange) -> None:
        host, port = self.route.host, self.route.port
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        head = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"
        if proxy.authorization is not None:
            head += f"Proxy-Authorization: {proxy.authorization.reveal()}\r\n"
        answer, _ = self._send("CONNECT", f"{head}\r\n".encode("ascii"), exchange)
        if answer.status != 200:
            raise TunnelRefusedError(f"{answer.status} {answer.reason}")
        exchange.answered = False

    def begin(self, request: Request, url: str, data: bytes, exchange: deadline.Exchange) -> Begun:
        """Send ``data``, the whole of ``request``, and read the head of the answer."""
        self.reusable = False
        exchange.attach(self._to_shut_down)
        answer, received = self._send(request.method, data, exchange)
        head = Response(request, url, answer.status, answer.reason, received.headers, b"", whole=False)
        return Begun(self, head, self._pieces(answer, received))

    def _pieces(self, answer: HTTPResponse, received: _Received) -> Iterator[bytes]:
        """The body; after its end the connection may be reusable."""
        yield from _body_pieces(answer, received)
        self.reusable = not answer.will_close

    def _send(self, method: str, data: bytes, exchange: deadline.Exchange) -> tuple[HTTPResponse, _Received]:
        """Send ``data`` and read the head of the answer, past those of 1xx."""
        self._descriptor.check()
        self._sock.settimeout(exchange.remaining())
        # A server may answer, and close, before it has read everything.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._sock.sendall(data)
        received = _Received(self._sock, self._descriptor, exchange)
        while True:
            answer = HTTPResponse(received, method=method)  # type: ignore[arg-type]  # all it asks for is makefile()
            answer.begin()
            # http.client takes "201 Crea" for a head.
            if exchange.ended:
                raise IncompleteRead(b"")
            if answer.status >= 200:
                received.in_head = False
                if not answer.chunked:
                    _check_length(answer, received.headers)
                return answer, received

    def is_open(self) -> bool:
        """Whether neither the server nor the program has closed the idle connection, and nothing was sent."""
        return self._descriptor.is_ours() and not self._readable.poll(0)

    def close(self) -> None:
        """Close it. No exchange is attached any more."""
        deadline.close_socket(self._sock, self._descriptor)
        deadline.close_socket(self._to_shut_down, self._second)


class _Receiver(io.RawIOBase):
    """A socket whose every ``recv`` has a deadline and is counted."""

    def __init__(self, sock: Any, descriptor: Descriptor, exchange: deadline.Exchange) -> None:
        self._sock, self._descriptor, self._exchange = sock, descriptor, exchange
        self._left = exchange.body_bytes_max + _HEAD_BYTES_MAX

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._descriptor.check()
        self._sock.settimeout(self._exchange.remaining())
        count: int = self._sock.recv_into(buffer)
        self._exchange.ended = count == 0
        if not count:
            self._exchange.remaining()  # raises if it was ``abort`` that ended the connection
            return 0
        self._exchange.answered = True
        self._left -= count
        if self._left < 0:
            raise AnswerTooLargeError
        return count


class _Received(io.BufferedReader):
    """What ``HTTPResponse`` takes for a socket, and the headers by lower-case name, repeated ones joined.

    ``HTTPResponse`` gets only those that frame the body: it makes an e-mail of them, which takes long. ``close`` does
    nothing, since after a 1xx another answer follows.
    """

    def __init__(self, sock: Any, descriptor: Descriptor, exchange: deadline.Exchange) -> None:
        super().__init__(_Receiver(sock, descriptor, exchange))
        self.headers: dict[str, str] = {}
        self.in_head = True
        self._lines = 0  # of this head

    def makefile(self, mode: str) -> _Received:
        return self

    def close(self) -> None:
        pass

    def flush(self) -> None:
        pass  # whatever is collected first, since an answer that is dropped calls this

    def readline(self, size: int | None = -1) -> bytes:
        line = super().readline(size)
        while self.in_head:
            self._lines += 1
            if self._lines == 1:
                self.headers = {}
                return line
            if line in (b"\r\n", b"\n", b""):
                self._lines = 0
                return line
            if self._lines > _LINES_MAX or len(line) > _LINE_BYTES_MAX:
                raise HTTPException("head too long")
            spelled, colon, text = line.decode("latin-1").partition(":")
            name, value = spelled.strip().lower(), text.strip()
            if colon:
                self.headers[name] = f"{self.headers[name]}, {value}" if name in self.headers else value
            if colon and name in _FRAMING:
                return f"{name}: {value}\r\n".encode("latin-1")
            line = super().readline(size)
        return line


def _check_length(answer: HTTPResponse, headers: dict[str, str]) -> None:
    """Raise HTTPException for a length that ``HTTPResponse`` reads differently, or ignores."""
    told = headers.get("content-length")
    if told is None or _LENGTH.fullmatch(told):
        return
    lengths = {length.strip() for length in told.split(",")}
    if answer.length is None or len(lengths) > 1 or not _LENGTH.fullmatch(lengths.pop()):
        raise HTTPException("no length")


def _body_pieces(answer: HTTPResponse, received: _Received) -> Iterator[bytes]:
    """The body, as it comes. Raises IncompleteRead where it is cut."""
    if answer.chunked:
        while piece := answer.read1(_PIECE_BYTES):
            yield piece
    elif answer.length is None:
        while piece := received.read1(_PIECE_BYTES):
            yield piece
    else:  # read1() of HTTPResponse counts only from Python 3.12 on
        left = answer.length
        while left:
            piece = received.read1(min(left, _PIECE_BYTES))
            if not piece:
                raise IncompleteRead(b"")
            left -= len(piece)
            yield piece


def ca_path() -> str:
    """The CA bundle or directory in the environment, or "" for certifi's. Raises MissingBundleError."""
    for variable in _CA_VARIABLES:
        path = os.environ.get(variable)
        if path:
            if not os.path.exists(path):
                raise MissingBundleError(f"{variable} names no file: {path}")
            return path
    return ""


_contexts: dict[str, tuple[int, ssl.SSLContext]] = {}


def _context(trust: str) -> ssl.SSLContext:
    """The TLS context for a CA bundle or directory, made again when that has changed."""
    if not trust:
        import certifi

        trust = certifi.where()
    changed_ns = os.stat(trust).st_mtime_ns
    known = _contexts.get(trust)
    if known is None or known[0] != changed_ns:
        place = {"capath" if os.path.isdir(trust) else "cafile": trust}
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, **place)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.hostname_checks_common_name = False
        context.set_alpn_protocols(["http/1.1"])
        known = _contexts[trust] = changed_ns, context
    return known[1]
