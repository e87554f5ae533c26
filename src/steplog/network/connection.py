"""The connections of ``requests``, made to keep a deadline. Importing this imports ``requests``.

``Connections`` is an adapter of ``requests`` without its session, which follows redirects, keeps cookies and takes a
``~/.netrc`` entry for the key. What it does otherwise is what must never happen to a key or to a training run:

- its connections take the deadline of the ``Exchange`` that the calling thread has put into ``deadline.current``:
  connecting, each send and each receive get the time that is left (``deadline`` has the reasons)
- a request leaves in one piece, head and body: the server wakes up for it once
- an answer's bytes are counted as they come in, head and body; more than the limit ends the exchange
- what is the same in every request of a kind is prepared and checked once
- its pool has no lock, so that a fork beside an exchange leaves none held in the child, and closes what is too
  many without a word
"""

from __future__ import annotations

import io
import queue
import socket
from collections import deque
from collections.abc import Callable, Mapping
from http.client import HTTPResponse, IncompleteRead
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from steplog.network import deadline

__all__ = ["AnswerTooLargeError", "Connections"]

# Beyond the body: status line, headers, and the sizes of small chunks.
_HEAD_BYTES_MAX = 1024 * 1024
_HEADERS = {"User-Agent": "steplog", "Accept": "*/*", "Accept-Encoding": "identity"}
_KINDS_MAX = 1024


class AnswerTooLargeError(OSError):
    """The answer has more bytes than the exchange takes."""


class _Reader(io.RawIOBase):
    """The receiving side of a socket: each ``recv`` is given what is left of the exchange, and counted."""

    def __init__(self, raw: Any, sock: Any, exchange: deadline.Exchange) -> None:
        self._raw, self._sock, self._exchange = raw, sock, exchange
        self._left = exchange.body_bytes_max + _HEAD_BYTES_MAX

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._exchange.remaining())
        count: int | None = self._raw.readinto(buffer)
        # A handshake through a tunnel comes next and takes the timeout as it finds it.
        self._sock.settimeout(self._exchange.remaining())
        self._exchange.ended = count == 0
        if count:
            self._exchange.answered = True
            self._left -= count
        if self._left < 0:
            raise AnswerTooLargeError
        return count

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _Response(HTTPResponse):
    """An answer read through a ``_Reader``; ``http.client`` reads head, body and 1xx answers from ``fp``."""

    def __init__(self, sock: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self.fp = io.BufferedReader(_Reader(self.fp.detach(), sock, deadline.current.get()))

    def begin(self) -> None:
        super().begin()
        # ``http.client`` takes the end of the connection for the end of the head: "201 Crea" would be a success.
        if deadline.current.get().ended:
            raise IncompleteRead(b"")


class _Bounded(HTTPConnection):
    """What both kinds of connection do otherwise than those of urllib3."""

    response_class = _Response
    # ``http.client.HTTPConnection.debuglevel = 1`` prints headers, the key among them: not these.
    debuglevel = 0
    _gathered: list[Any] | None = None  # what is to leave together

    def _new_conn(self) -> socket.socket:
        return deadline.connect(self._dns_host, self.port, self.socket_options or (), deadline.current.get())

    def request(self, *arguments: Any, **options: Any) -> None:
        exchange = deadline.current.get()
        if self.sock is not None:
            exchange.reused = True
            exchange.attach(self.sock)
        self._gathered = []
        try:
            super().request(*arguments, **options)
            whole = b"".join(self._gathered)
        finally:
            self._gathered = None
        self.send(whole)

    def send(self, data: Any) -> None:
        if self._gathered is not None:
            self._gathered.append(data)
            return
        if self.sock is not None:
            self.sock.settimeout(deadline.current.get().remaining())
        super().send(data)


class _Connection(_Bounded):
    """A connection in clear."""


class _TLSConnection(_Bounded, HTTPSConnection):
    """A connection over TLS."""


class _Idle(queue.LifoQueue[Any]):
    """The idle connections of a pool, the last one used first; without a lock, which a fork could leave held."""

    def __init__(self, maxsize: int = 0) -> None:
        self.maxsize = maxsize
        self._connections: deque[Any] = deque()

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        try:
            return self._connections.pop()
        except IndexError:
            raise queue.Empty from None

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        if len(self._connections) < self.maxsize:
            self._connections.append(item)
        elif item is not None:
            item.close()

    def qsize(self) -> int:
        return len(self._connections)


class _Pool(HTTPConnectionPool):
    QueueCls = _Idle
    ConnectionCls = _Connection


class _TLSPool(HTTPSConnectionPool):
    QueueCls = _Idle
    ConnectionCls = _TLSConnection


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        if proxy.lower().startswith("socks"):
            raise requests.exceptions.InvalidProxyURL("SOCKS")
        pools = super().proxy_manager_for(proxy, **options)
        pools.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}
        return pools


class Connections:
    """The connections of one process to one server, of which at most ``connections_max`` are kept."""

    def __init__(self, connections_max: int) -> None:
        self._adapter = _Adapter(pool_connections=4, pool_maxsize=connections_max)
        self._kinds: dict[tuple[str, str, tuple[tuple[str, str], ...]], requests.PreparedRequest] = {}

    def prepare(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        auth: Callable[[requests.PreparedRequest], requests.PreparedRequest],
    ) -> requests.PreparedRequest:
        """A request to be sent once; of what ``auth`` puts in nothing is kept."""
        kind = method, url, tuple(headers.items())
        first = self._kinds.get(kind)
        if first is None:
            first = requests.Request(method, url, headers={**_HEADERS, **headers}).prepare()
            if len(self._kinds) >= _KINDS_MAX:
                self._kinds.clear()
            self._kinds[kind] = first
        prepared = first.copy()
        prepared.prepare_body(body, None)
        return auth(prepared)

    def send(
        self, prepared: requests.PreparedRequest, timeout_s: float, verify: str | bool, proxies: dict[str, str]
    ) -> requests.Response:
        """The answer, of which the body is still to be read."""
        return self._adapter.send(prepared, stream=True, timeout=timeout_s, verify=verify, proxies=proxies)

    def close(self) -> None:
        """Close those that are idle."""
        self._adapter.close()
