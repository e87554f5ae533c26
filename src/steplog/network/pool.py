"""The connections of one process to one server, and the requests on them.

1. Idle connections are used again, the last one first. At most ``connections_max`` are kept.
2. There is no lock, which a fork could leave held. A forked child closes what it inherits.
3. A request's head is built and checked once a kind. Keys are added each time, and not kept.
"""

from __future__ import annotations

import os
import re
from collections import deque
from urllib.parse import quote, urlsplit

from msgspec.structs import replace

from steplog.address import endpoint, is_loopback
from steplog.delivery.exchange import Request
from steplog.descriptors import may_idle
from steplog.living import Living
from steplog.network.connection import Begun, Connection, Route, ca_path
from steplog.network.deadline import Exchange
from steplog.network.local_server import LocalServer
from steplog.network.proxy import proxy_for
from steplog.network.response import DEFAULT_HEADERS, Response, joined
from steplog.secret import Secret

__all__ = ["Pool"]

_KINDS_MAX = 1024
_PATH_SAFE = "!#$%&'()*+,/:;=?@[]~"
_OURS = {"authorization", "content-length", "transfer-encoding"}  # not the caller's to set
_NAME = re.compile(r"[^:\s][^:\r\n]*")
_VALUE = re.compile(r"[^\r\n\0]*")
_pools: Living[Pool] = Living()


class Pool:
    """The connections of one process to the server at ``base_url``, or to one of this machine."""

    def __init__(self, base_url: str, connections_max: int, local: LocalServer | None = None) -> None:
        self.live: dict[Exchange, Request] = {}  # the transport's, for ``abort``
        self._base_url, self._connections_max, self._local = base_url, connections_max, local
        self._netloc, self._path = ("", "") if local is not None else urlsplit(base_url)[1:3]
        self._idle: deque[Connection] = deque()
        _pools.add(self)
        self._heads: dict[tuple[str, str, str, bool, tuple[tuple[str, str], ...]], bytes] = {}

    def exchange(self, request: Request, key: Secret | None, exchange: Exchange) -> Response:
        """Send the request and return the answer.

        Raises as ``Connection`` does, MissingBundleError, and ValueError for a bad header or proxy address.
        """
        begun = self.begin(request, key, exchange)
        try:
            body, whole = joined(begun.pieces, exchange.body_bytes_max)
        finally:
            self.end(begun, exchange)
        return replace(begun.head, body=body, whole=whole)

    def begin(self, request: Request, key: Secret | None, exchange: Exchange) -> Begun:
        """Send the request and read the head of the answer; to be given to ``end``. Raises as ``exchange`` does."""
        connection = self._take(exchange)
        try:
            route = self._route() if connection is None else connection.route
            if connection is None and route.local is not None:
                connection = Connection(route, exchange)  # which reads the name that the request has to bear
            data = self._encoded(request, route, key)
            if connection is None:
                connection = Connection(route, exchange)
            url = self._base_url if route.local is None else route.local.base_url
            return connection.begin(request, url + request.path, data, exchange)
        except BaseException:
            exchange.detach()
            if connection is not None:
                connection.close()
            raise

    def end(self, begun: Begun, exchange: Exchange) -> None:
        """Keep the connection of an answer that was read to its end; close any other."""
        connection = begun.connection
        exchange.detach()
        if connection.reusable and len(self._idle) < self._connections_max and may_idle():
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close the idle connections."""
        while (connection := self._last_idle()) is not None:
            connection.close()

    def __del__(self) -> None:
        self.close()

    def _take(self, exchange: Exchange) -> Connection | None:
        # After one failed, the others are no better: the server closed them all.
        while not exchange.repeated and (connection := self._last_idle()) is not None:
            if connection.is_open():
                exchange.reused = True
                return connection
            connection.close()
        return None

    def _last_idle(self) -> Connection | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _route(self) -> Route:
        if self._local is not None:
            return Route(False, "", 0, "", None, self._local)
        tls, host, port = endpoint(self._base_url)
        trust = ca_path() if tls else ""
        proxy = None if is_loopback(self._base_url) else proxy_for(self._base_url)
        return Route(tls, host, port, trust, proxy)

    def _encoded(self, request: Request, route: Route, key: Secret | None) -> bytes:
        forwarding = None if route.tls else route.proxy
        netloc = self._netloc if route.local is None else route.local.host
        kind = request.method, request.path, netloc, forwarding is not None, tuple(request.headers.items())
        head = self._heads.get(kind)
        if head is None:
            if len(self._heads) >= _KINDS_MAX:
                self._heads.clear()
            head = self._heads[kind] = self._head(request, netloc, forwarding is not None)
        parts = [head]
        if request.body or request.method not in ("GET", "HEAD"):
            parts.append(b"Content-Length: %d\r\n" % len(request.body))
        if key is not None:
            parts.append(_line("Authorization", f"Api-Key {key.reveal()}"))
        if forwarding is not None and forwarding.authorization is not None:
            parts.append(_line("Proxy-Authorization", forwarding.authorization.reveal()))
        return b"".join((*parts, b"\r\n", request.body))

    def _head(self, request: Request, netloc: str, forwarded: bool) -> bytes:
        start = self._base_url if forwarded else self._path
        target = quote(start + request.path.partition("#")[0], safe=_PATH_SAFE)
        fields = {"Host": re.sub(r"\.+(?=:\d+$|$)", "", netloc), **DEFAULT_HEADERS, **request.headers}
        sent = {name.lower(): _line(name, value) for name, value in fields.items()}
        lines = [line for name, line in sent.items() if name not in _OURS]
        return b"".join((f"{request.method} {target} HTTP/1.1\r\n".encode("ascii"), *lines))


def _line(name: str, value: str) -> bytes:
    if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
        raise ValueError("a header that cannot be sent")
    return f"{name}: {value}\r\n".encode("latin-1")


def _after_fork_in_child() -> None:
    for pool in _pools:
        pool.close()  # the parent goes on with its own descriptors of them
    _pools.clear()


os.register_at_fork(after_in_child=_after_fork_in_child)
