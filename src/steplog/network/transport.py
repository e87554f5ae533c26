"""Sends requests over HTTP: one pool of connections a process, one deadline an exchange, one kind of failure.

- The deadline bounds the whole exchange, from resolving the name to the last byte of the answer (``deadline``).
- No redirect is followed. No compression is asked for, and what comes compressed anyway is not inflated.
- At most ``Request.answer_bytes_max`` of an answer are read; the rest is cut off and the connection given up.
  What was cut does not parse, so it acknowledges nothing.
- The key is in no exception, no variable of a frame that an exception leaves through, and no answer: neither in its
  ``request``, nor where the server repeats what it was sent. ``~/.netrc`` is not read.
- http:// goes to this machine only, unless asked for; an address of this machine is never asked through a proxy.
- ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` are honoured (a proxy of SOCKS, or by TLS, is refused,
  not bypassed), ``REQUESTS_CA_BUNDLE``, ``CURL_CA_BUNDLE``, ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` name who is trusted.
- A kept connection that the server closed meanwhile (RFC 9112, 9.3.1) is tried once more on a new connection, in
  the same deadline, where a repetition does no harm on any server: GET, PATCH (it sets a status), and a POST that
  carries a range of positions. Anything else is ambiguous and the caller's to decide; of an ``Idempotency-Key``
  a stock server knows nothing.
- Whatever goes wrong on the way is a ServerUnavailableError, "ADDRESS: reason". After a fork the child has
  a pool of its own and leaves the inherited one alone.
"""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit

from steplog.address import canonical_url, is_loopback
from steplog.delivery.exchange import Answer, Request
from steplog.delivery.wire import CONTENT_TYPE_RANGE
from steplog.errors import ConfigurationError, ServerUnavailableError
from steplog.network import deadline
from steplog.network.reply import Reply
from steplog.secret import Secret

if TYPE_CHECKING:
    from steplog.network.connection import Route
    from steplog.network.pool import Connections

__all__ = ["HTTPTransport"]

_log = logging.getLogger("steplog")

_KEY_CHARACTERS_MIN = 16  # of a key that is looked for in answers: a shorter one may be the name of a project, too
_CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
_PORTS = {"http": 80, "https": 443}


class HTTPTransport:
    """The ``Transport`` of one server; ``key`` is asked at every request, so that a new key counts at once.

    ``refresh`` goes over to a new one, and says whether there is. It is called under the agent's lock; ``look``, which
    may wait for the disk, finds that out before.

    Times in seconds. Raises ConfigurationError for an address that cannot be used.
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
    ) -> None:
        try:
            self._base_url = canonical_url(base_url)
        except ValueError as error:
            raise ConfigurationError(f"the server's address: {error}") from None
        if self._base_url.startswith("http:") and not (allow_http or is_loopback(self._base_url)):
            raise ConfigurationError(
                f"{self._base_url}: the key would travel in clear; use https://, or set allow_http (STEPLOG_ALLOW_HTTP)"
            )
        parts = urlsplit(self._base_url)
        self._place = parts.scheme == "https", parts.hostname or "", parts.port or _PORTS[parts.scheme]
        self._loopback = is_loopback(self._base_url)
        self._key = key
        self._refresh = refresh
        self._look = look
        self._connect_timeout_s = connect_timeout_s
        self._connections_max = connections_max
        self._processes: dict[int, _Process] = {}

    @property
    def base_url(self) -> str:
        """The server's address, without a trailing slash."""
        return self._base_url

    def exchange(self, request: Request, timeout_s: float) -> Answer:
        """Send a request and return the whole answer within ``timeout_s`` seconds.

        Raises ServerUnavailableError when no whole answer came in time.
        """
        reply = self.send(request, timeout_s)
        if reply.status == 401:
            self._look()
        return Answer(reply.status, reply.body, reply.headers)

    def send(self, request: Request, timeout_s: float) -> Reply:
        """The same as a ``Reply``.

        Raises ServerUnavailableError as ``exchange`` does.
        """
        if not request.path.startswith("/"):
            # "@elsewhere" behind the address would make another host of it.
            raise ValueError(f"a path begins with '/', not {request.path!r:.80}")
        live = deadline.Exchange(timeout_s, self._connect_timeout_s, request.answer_bytes_max)
        process = self._process()
        process.live[live] = request
        try:
            key, trust = self._key(), self._trusted()
            reply, failure = self._tried(process, request, key, trust, live)
            if reply is None and live.stale and _repeatable(request):
                live.again()
                reply, failure = self._tried(process, request, key, trust, live)
        finally:
            process.live.pop(live, None)
            live.close()
        if reply is None:
            raise ServerUnavailableError(f"{self._base_url}: {failure}")
        return reply

    def refresh_key(self) -> bool:
        """Look for the key again where it came from; whether it is another one now."""
        return self._refresh()

    def abort(self, request: Request) -> None:
        """End the exchange of this request, if it is under way in another thread: ServerUnavailableError is raised."""
        for live, of in tuple(self._process().live.items()):
            if of is request:
                live.abort()

    def close(self) -> None:
        """Close the idle connections; the transport can go on being used."""
        for connections in self._process().connections.values():
            connections.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a transport holds a key and connections; each process makes its own")

    def _process(self) -> _Process:
        # No lock, which a fork could leave held; of two threads that come at once, one makes one in vain.
        pid = os.getpid()
        return self._processes.get(pid) or self._processes.setdefault(pid, _Process())

    def _trusted(self) -> str:
        for variable in _CA_VARIABLES:
            path = os.environ.get(variable)
            if path:
                if not os.path.exists(path):
                    raise ServerUnavailableError(f"{self._base_url}: {variable} names no file: {path}")
                return path
        return ""

    def _tried(
        self, process: _Process, request: Request, key: Secret | None, trust: str, live: deadline.Exchange
    ) -> tuple[Reply | None, str]:
        """The answer, or why there is none."""
        from steplog.network import reasons

        interruption: BaseException
        try:
            return self._attempt(process, request, key, trust, live), ""
        except reasons.TRANSLATED as error:
            return None, reasons.reason(error, live)
        except BaseException as error:  # noqa: BLE001 - raised again, without the frames that hold the key
            _log.debug("interrupted: %s", traceback.format_exc())
            interruption = error
        interruption.__context__ = None
        raise interruption.with_traceback(None)

    def _attempt(
        self, process: _Process, request: Request, key: Secret | None, trust: str, live: deadline.Exchange
    ) -> Reply:
        from steplog.network.pool import Connections

        # No lock here either, and the first that is made is everyone's.
        made = process.connections
        connections = made.get(0) or made.setdefault(0, Connections(self._base_url, self._connections_max))
        reply = connections.exchange(request, self._route(trust), key, live)
        return reply if key is None else _without(key, reply)

    def _route(self, trust: str) -> Route:
        from steplog.network.connection import Route

        proxy = None
        if not self._loopback and any(name[-6:].lower() == "_proxy" for name in os.environ):
            from steplog.network.route import proxy_for

            proxy = proxy_for(self._base_url)
        return Route(*self._place, trust, proxy)


class _Process:
    """What belongs to one process: its connections, made at the first request, and its exchanges under way."""

    def __init__(self) -> None:
        self.connections: dict[int, Connections] = {}
        self.live: dict[deadline.Exchange, Request] = {}


def _repeatable(request: Request) -> bool:
    headers = {name.lower(): value for name, value in request.headers.items()}
    is_range = request.method == "POST" and headers.get("content-type") == CONTENT_TYPE_RANGE
    return is_range or request.method in ("GET", "PATCH")


def _without(key: Secret, reply: Reply) -> Reply:
    """The answer without the key, which the server may have repeated."""

    def hidden(text: str) -> str:
        return key.hidden_in(text, _KEY_CHARACTERS_MIN)

    body = reply.body.decode("latin-1")
    said = "\n".join((reply.reason, *reply.headers.values(), body))
    if hidden(said) == said:
        return reply
    headers = {name: hidden(value) for name, value in reply.headers.items()}
    return replace(reply, reason=hidden(reply.reason), headers=headers, body=hidden(body).encode("latin-1"))
