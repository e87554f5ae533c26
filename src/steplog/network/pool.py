"""The connections of one process to one server, and what is the same in every request of a kind.

- an idle connection is used again, the last one first, unless the server has closed it; at most ``connections_max``
  are kept a route, and what is too many is closed without a word
- there is no lock, so that a fork beside an exchange leaves none held in the child
- a request's head is put together and checked once a kind; keys are added each time, and never kept
"""

from __future__ import annotations

import re
from collections import deque
from urllib.parse import quote, urlsplit

from steplog.delivery.exchange import Request
from steplog.network.connection import Connection, Route
from steplog.network.deadline import Exchange
from steplog.network.reply import HEADERS, Reply
from steplog.secret import Secret

__all__ = ["Connections"]

_KINDS_MAX = 1024
_PATH_SAFE = "!#$%&'()*+,/:;=?@[]~"
_OURS = {"authorization", "content-length", "transfer-encoding"}  # whatever a caller says of them
_NAME = re.compile(r"[^:\s][^:\r\n]*")
_VALUE = re.compile(r"[^\r\n\0]*")


class Connections:
    """The connections of one process to the server at ``base_url``."""

    def __init__(self, base_url: str, connections_max: int) -> None:
        self._base_url, self._connections_max = base_url, connections_max
        self._idle: dict[Route, deque[Connection]] = {}
        self._heads: dict[tuple[str, str, bool, tuple[tuple[str, str], ...]], bytes] = {}

    def exchange(self, request: Request, route: Route, key: Secret | None, exchange: Exchange) -> Reply:
        """Send the request, and return the whole answer, or what the exchange takes of it.

        Raises as ``Connection`` does, and ValueError for a header that cannot be sent.
        """
        whole = self._whole(request, route, key)
        connection = self._connection(route, exchange)
        try:
            answer = connection.ask(request.method, whole, exchange)
            body, ended = answer.body(exchange.body_bytes_max)
        except BaseException:
            connection.close()
            raise
        if ended and not answer.will_close:
            self._keep(route, connection)
        else:
            connection.close()
        return Reply(request, self._base_url + request.path, answer.status, answer.reason, answer.fields, body)

    def close(self) -> None:
        """Close those that are idle."""
        for idle in tuple(self._idle.values()):
            while (connection := _last(idle)) is not None:
                connection.close()

    def __del__(self) -> None:
        self.close()

    def _connection(self, route: Route, exchange: Exchange) -> Connection:
        idle = self._idle.setdefault(route, deque())
        # After a failure on one that was kept, the others are no better: they were closed in the same moment.
        while not exchange.repeated and (connection := _last(idle)) is not None:
            if connection.is_open():
                exchange.reused = True
                return connection
            connection.close()
        return Connection(route, exchange)

    def _keep(self, route: Route, connection: Connection) -> None:
        idle = self._idle[route]
        if len(idle) < self._connections_max:
            idle.append(connection)
        else:
            connection.close()

    def _whole(self, request: Request, route: Route, key: Secret | None) -> bytes:
        forwarded = route.proxy is not None and not route.tls
        kind = request.method, request.path, forwarded, tuple(request.headers.items())
        head = self._heads.get(kind)
        if head is None:
            if len(self._heads) >= _KINDS_MAX:
                self._heads.clear()
            head = self._heads[kind] = self._head(request, forwarded)
        parts = [head]
        if request.body or request.method not in ("GET", "HEAD"):
            parts.append(b"Content-Length: %d\r\n" % len(request.body))
        if key is not None:
            parts.append(_line("Authorization", f"Api-Key {key.reveal()}"))
        if forwarded and route.proxy is not None and route.proxy.authorization is not None:
            parts.append(_line("Proxy-Authorization", route.proxy.authorization.reveal()))
        return b"".join((*parts, b"\r\n", request.body))

    def _head(self, request: Request, forwarded: bool) -> bytes:
        base = urlsplit(self._base_url)
        target = quote((self._base_url if forwarded else base.path) + request.path.partition("#")[0], safe=_PATH_SAFE)
        fields = {"Host": re.sub(r"\.+(?=:\d+$|$)", "", base.netloc), **HEADERS, **request.headers}
        sent = {name.lower(): _line(name, value) for name, value in fields.items()}
        lines = [line for name, line in sent.items() if name not in _OURS]
        return b"".join((f"{request.method} {target} HTTP/1.1\r\n".encode("ascii"), *lines))


def _line(name: str, value: str) -> bytes:
    if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
        raise ValueError("a header that cannot be sent")
    return f"{name}: {value}\r\n".encode("latin-1")


def _last(idle: deque[Connection]) -> Connection | None:
    try:
        return idle.pop()
    except IndexError:
        return None
