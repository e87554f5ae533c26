"""One connection to a server, or through a proxy, made to keep a deadline.

- connecting, the handshake and each send get the time that is left of the ``Exchange`` (``deadline``)
- a request leaves in one piece, head and body: the server wakes up for it once
- https goes through a proxy by a tunnel (CONNECT), http by the whole address in the request
- a bundle of certificates is read once, and again when it has changed
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import ssl
from typing import Any, NamedTuple

from steplog.network import deadline
from steplog.network.incoming import Incoming
from steplog.secret import Secret

__all__ = ["Connection", "Proxy", "ProxyAddressError", "Route", "TunnelRefusedError"]

_OPTIONS = ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),)


class ProxyAddressError(ValueError):
    """The address of the proxy cannot be used."""


class TunnelRefusedError(OSError):
    """The proxy does not lead to the server; its status line is the argument."""


class Proxy(NamedTuple):
    """Where a proxy listens, and the Proxy-Authorization that it gets."""

    host: str
    port: int
    authorization: Secret | None


class Route(NamedTuple):
    """Where a server listens, whether by TLS, and on whose word (a path; "": certifi's); the proxy on the way."""

    tls: bool
    host: str
    port: int
    trust: str
    proxy: Proxy | None


class Connection:
    """A connection over a route, made within the exchange that needs it first; one exchange at a time.

    Raises what ``deadline.connect``, ``ssl`` and ``http.client`` raise; it is to be closed then.
    """

    def __init__(self, route: Route, exchange: deadline.Exchange) -> None:
        first = route.proxy or route
        exchange.at_proxy = route.proxy is not None
        self._sock: Any = deadline.connect(first.host, first.port, _OPTIONS, exchange)
        try:
            if route.proxy is not None and route.tls:
                self._tunnel(route, route.proxy, exchange)
            exchange.at_proxy = False
            if route.tls:
                context = _context(route.trust)
                self._sock.settimeout(exchange.remaining())
                self._sock = context.wrap_socket(self._sock, server_hostname=route.host.rstrip("."))
        except BaseException:
            self.close()
            raise

    def _tunnel(self, route: Route, proxy: Proxy, exchange: deadline.Exchange) -> None:
        place = f"[{route.host}]:{route.port}" if ":" in route.host else f"{route.host}:{route.port}"
        head = f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n"
        if proxy.authorization is not None:
            head += f"Proxy-Authorization: {proxy.authorization.reveal()}\r\n"
        answer = self.ask("CONNECT", f"{head}\r\n".encode("ascii"), exchange)
        if answer.status != 200:
            raise TunnelRefusedError(f"{answer.status} {answer.reason}")
        exchange.answered = False

    def ask(self, method: str, whole: bytes, exchange: deadline.Exchange) -> Incoming:
        """Send a request, head and body, and return its answer, of which the body is still to be read."""
        if exchange.reused:
            exchange.attach(self._sock)
        self._sock.settimeout(exchange.remaining())
        # A server may answer, and close, before it has read everything.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._sock.sendall(whole)
        answer = Incoming(self._sock, method, exchange)
        answer.begin()
        return answer

    def is_open(self) -> bool:
        """Whether an idle one can be used: the server has neither closed it nor said what nobody asked for."""
        look = select.poll()
        look.register(self._sock, select.POLLIN)
        return not look.poll(0)

    def close(self) -> None:
        """Close it; an answer that was being read is cut."""
        self._sock.close()


_contexts: dict[str, tuple[int, ssl.SSLContext]] = {}


def _context(trust: str) -> ssl.SSLContext:
    """What verifies a server; made again when the file, or the directory, has changed."""
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
