"""``HTTPTransport``: requests to one server over HTTP, each with a deadline.

1. The deadline bounds the whole exchange, from resolving the name to the last byte (``deadline``).
2. No redirect is followed, and no compression asked for or inflated.
3. At most ``Request.answer_bytes_max`` of a body are read; the rest is cut off. A stream has no limit, and a deadline
   for the head and for each read (``stream``).
4. The key is in no exception, no variable of a frame that an exception leaves, and no answer, even one that repeats it.
   ``~/.netrc`` is not read.
5. http:// is for loopback, unless ``allow_http``. Loopback is never reached through a proxy.
6. Proxy and CA bundle are read from the environment when a connection is opened.
7. If an idle connection turns out to be closed (RFC 9112, 9.3.1), what is safe to repeat on any server goes once more,
   on a new one: GET, PATCH (it sets a status), PUT (of a part), POST of a range.
8. Each network failure is a ServerUnavailableError, "ADDRESS: reason" (``failures``).
9. A server of this machine that was found through its state file is reached as ``local_server`` says.
10. A forked child has its own connections.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NoReturn, TypeVar

import msgspec
from msgspec.structs import replace

from steplog.address import canonical_url, is_loopback
from steplog.delivery.exchange import Answer, Request
from steplog.delivery.wire import CONTENT_TYPE_RANGE
from steplog.descriptors import lent
from steplog.errors import ConfigurationError, ServerUnavailableError
from steplog.network.deadline import Exchange
from steplog.network.response import Response
from steplog.network.stream import Stream, masked
from steplog.secret import Secret

if TYPE_CHECKING:
    from steplog.network.local_server import LocalServer
    from steplog.network.pool import Pool

__all__ = ["HTTPTransport"]

_log = logging.getLogger("steplog")

_T = TypeVar("_T")
_UNLIMITED_BYTES = sys.maxsize // 2
_KEY_CHARACTERS_MIN = 16  # a shorter key may be a word of an answer


class _Failure(msgspec.Struct, frozen=True):
    """Why there is no answer."""

    reason: str


class HTTPTransport:
    """The ``Transport`` of one server.

    ``key`` is called for each request; ``look`` after a 401, and may wait for the disk; ``refresh`` under the agent's
    lock, to take the key that ``look`` found, and returns whether it is new. With ``local`` the server is that one, and
    ``base_url`` only its name.

    Raises ConfigurationError for an address that cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        key: Callable[[], Secret | None],
        refresh: Callable[[], bool] = lambda: False,
        look: Callable[[], None] = lambda: None,
        *,
        connect_timeout_s: float = 10.0,
        connections_max: int = 8,
        allow_http: bool = False,
        local: LocalServer | None = None,
    ) -> None:
        self._base_url = base_url if local is not None else _checked(base_url, allow_http)
        self._local = local
        self._key = key
        self._refresh = refresh
        self._look = look
        self._connect_timeout_s = connect_timeout_s
        self._connections_max = connections_max
        self._pools: dict[int, Pool] = {}  # by process id

    @property
    def base_url(self) -> str:
        """The server's address, without a trailing slash."""
        return self._base_url if self._local is None else self._local.base_url

    def exchange(self, request: Request, timeout_s: float) -> Answer:
        """Send a request and return the answer. Raises ServerUnavailableError if none came whole and in time."""
        response = self.send(request, timeout_s)
        if response.status == 401:
            self._look()
        return Answer(response.status, response.body, response.headers)

    def send(self, request: Request, timeout_s: float) -> Response:
        """The same as a ``Response``. Raises ValueError, too, for a path without a leading "/"."""
        _check_path(request)
        exchange = Exchange(timeout_s, self._connect_timeout_s, request.answer_bytes_max)
        pool = self._pool()
        pool.live[exchange] = request
        try:
            return self._sent(lambda key: _without(key, pool.exchange(request, key, exchange)), request, exchange)
        finally:
            pool.live.pop(exchange, None)

    def stream(self, request: Request, timeout_s: float, read_timeout_s: float, *, as_it_is: bool = False) -> Stream:
        """Send a request and return its answer, the body unread. ``timeout_s`` is for the head. Raises as ``send``.

        ``as_it_is``: the key in a body is not masked, since it is the content of a user's file.
        """
        _check_path(request)
        exchange = Exchange(timeout_s, self._connect_timeout_s, _UNLIMITED_BYTES)
        pool = self._pool()
        pool.live[exchange] = request

        def begin(key: Secret | None) -> Stream:
            begun = pool.begin(request, key, exchange)

            def end() -> None:
                pool.live.pop(exchange, None)
                pool.end(begun, exchange)

            secret = None if as_it_is else key
            read = masked(_each_within(read_timeout_s, begun.pieces, exchange), secret, _KEY_CHARACTERS_MIN)
            return Stream(_without(key, begun.head), self._pieces(read, exchange), end)

        try:
            return self._sent(begin, request, exchange)
        except BaseException:
            pool.live.pop(exchange, None)
            raise

    def _sent(self, send: Callable[[Secret | None], _T], request: Request, exchange: Exchange) -> _T:
        """What ``send`` returns for the key, at the second time if a connection was stale."""
        key = self._key()
        outcome = self._attempt(lambda: send(key), exchange)
        if isinstance(outcome, _Failure) and exchange.stale and _repeatable(request):
            exchange.again()
            outcome = self._attempt(lambda: send(key), exchange)
        if isinstance(outcome, _Failure):
            raise ServerUnavailableError(f"{self.base_url}: {outcome.reason}")
        return outcome

    def _pieces(self, pieces: Iterator[bytes], exchange: Exchange) -> Iterator[bytes]:
        """The same; what is raised is translated."""
        while True:
            piece = self._attempt(lambda: next(pieces, b""), exchange)
            if isinstance(piece, _Failure):
                raise ServerUnavailableError(f"{self.base_url}: {piece.reason}")
            if not piece:
                return
            yield piece

    def refresh_key(self) -> bool:
        """Look for the key again and return whether it has changed."""
        return self._refresh()

    def abort(self, request: Request) -> None:
        """Have the exchange of this request, in another thread, raise ServerUnavailableError."""
        for exchange, sent in self._pool().live.copy().items():  # a copy in one step: others begin and end
            if sent is request:
                exchange.abort()

    def close(self) -> None:
        """Close the idle connections."""
        self._pool().close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a transport holds a key and connections; each process makes its own")

    def _pool(self) -> Pool:
        # No lock, which a fork could leave held. Of two threads at once, one makes a pool in vain.
        pool = self._pools.get(os.getpid())
        if pool is None:
            with lent():
                from steplog.network import failures  # noqa: F401 - once it is wanted, no descriptor may be left
                from steplog.network.pool import Pool

            pool = self._pools.setdefault(os.getpid(), Pool(self._base_url, self._connections_max, self._local))
        return pool

    def _attempt(self, call: Callable[[], _T], exchange: Exchange) -> _T | _Failure:
        """What it returns, or why there is no answer."""
        interruption: BaseException
        try:
            return call()
        except BaseException as error:  # noqa: BLE001 - raised again, without the frames that hold the key
            from steplog.network import failures

            if isinstance(error, failures.NETWORK_ERRORS):
                return _Failure(failures.reason(error, exchange, self._local))
            _log.debug("interrupted: %s", traceback.format_exc())
            interruption = error
        interruption.__context__ = None
        raise interruption.with_traceback(None)


def _each_within(timeout_s: float, pieces: Iterator[bytes], exchange: Exchange) -> Iterator[bytes]:
    while True:
        exchange.extend(timeout_s)
        piece = next(pieces, b"")
        if not piece:
            return
        yield piece


def _check_path(request: Request) -> None:
    if not request.path.startswith("/"):
        # "@elsewhere" after the address would make another host of it.
        raise ValueError(f"a path begins with '/', not {request.path!r:.80}")


def _checked(base_url: str, allow_http: bool) -> str:
    try:
        url = canonical_url(base_url)
    except ValueError as error:
        raise ConfigurationError(f"the server's address: {error}") from None
    if url.startswith("http:") and not (allow_http or is_loopback(url)):
        raise ConfigurationError(
            f"{url}: the key would travel in clear; use https://, or set allow_http (STEPLOG_ALLOW_HTTP)"
        )
    return url


def _repeatable(request: Request) -> bool:
    headers = {name.lower(): value for name, value in request.headers.items()}
    is_range = request.method == "POST" and headers.get("content-type") == CONTENT_TYPE_RANGE
    return is_range or request.method in ("GET", "PATCH", "PUT")


def _without(key: Secret | None, response: Response) -> Response:
    """The answer without the key, which the server may have repeated."""
    if key is None:
        return response

    def hidden(text: str) -> str:
        return key.hidden_in(text, _KEY_CHARACTERS_MIN)

    body = response.body.decode("latin-1")  # not joined to the others: it may be large
    texts = "\n".join((response.reason, *response.headers.values()))
    if hidden(texts) == texts and hidden(body) == body:
        return response
    headers = {name: hidden(value) for name, value in response.headers.items()}
    return replace(response, reason=hidden(response.reason), headers=headers, body=hidden(body).encode("latin-1"))
