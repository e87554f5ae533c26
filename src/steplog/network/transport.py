"""Sends requests over HTTP: one pool of connections a process, one deadline an exchange, one kind of failure.

- The deadline bounds the whole exchange, from resolving the name to the last byte of the answer (``deadline``).
- No redirect is followed. No compression is asked for, and what comes compressed anyway is not inflated.
- At most ``Request.answer_bytes_max`` of an answer are read; the rest is cut off and the connection given up.
  What was cut does not parse, so it acknowledges nothing.
- The key is put in by an auth object, so that a ``~/.netrc`` entry cannot replace it, and it is in no exception, no
  variable of a frame that an exception leaves through, and no answer: neither in its ``request``, nor where the server
  repeats what it was sent.
- http:// goes to this machine only, unless asked for; an address of this machine is never asked through a proxy.
- ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` are honoured (no SOCKS: refused, not bypassed),
  ``REQUESTS_CA_BUNDLE``, ``CURL_CA_BUNDLE``, ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` name who is trusted.
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
from functools import partial
from http.client import IncompleteRead
from typing import TYPE_CHECKING, Any, NoReturn

from steplog.delivery.exchange import Answer, Request
from steplog.delivery.wire import CONTENT_TYPE_RANGE
from steplog.errors import ConfigurationError, ServerUnavailableError
from steplog.network import deadline
from steplog.network.address import canonical_url, is_loopback
from steplog.network.secret import Secret

if TYPE_CHECKING:
    import requests

    from steplog.network.connection import Connections

__all__ = ["HTTPTransport"]

_log = logging.getLogger("steplog")

_CHUNK_BYTES = 16 * 1024
_KEY_CHARACTERS_MIN = 16  # of a key that is looked for in answers: a shorter one may be the name of a project, too
_CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")


class _Authorization(str):
    """The header's value; a traceback that shows a frame's variables shows ``repr``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'Api-Key ...'"


class _Auth:
    """Puts the key into a request on its way out. An auth object of ours also keeps netrc out."""

    def __init__(self, key: Secret | None) -> None:
        self._key = key

    def __call__(self, request: Any) -> Any:
        if self._key is not None:
            request.headers["Authorization"] = _Authorization(f"Api-Key {self._key.reveal()}")
        return request

    def hide_in(self, response: requests.Response, body: bytes) -> bytes:
        """The body without the key, which the server may have repeated; also the head, in place."""
        if self._key is None:
            return body
        hidden_in = partial(self._key.hidden_in, characters_min=_KEY_CHARACTERS_MIN)
        response.reason = hidden_in(response.reason or "")
        for name, value in response.headers.items():
            response.headers[name] = hidden_in(value)
        return hidden_in(body.decode("latin-1")).encode("latin-1")


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
        response = self.send(request, timeout_s)
        if response.status_code == 401:
            self._look()
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, response.content, headers)

    def send(self, request: Request, timeout_s: float) -> requests.Response:
        """The same as an answer of ``requests``: its body is read, its ``request`` is without the key.

        Raises ServerUnavailableError as ``exchange`` does.
        """
        if not request.path.startswith("/"):
            # "@elsewhere" behind the address would make another host of it.
            raise ValueError(f"a path begins with '/', not {request.path!r:.80}")
        live = deadline.Exchange(timeout_s, self._connect_timeout_s, request.answer_bytes_max)
        process = self._process()
        process.live[live] = request
        token = deadline.current.set(live)
        try:
            auth = _Auth(self._key())
            trust = self._trusted()
            response, failure = self._tried(process, request, auth, trust, live)
            if response is None and live.stale and _repeatable(request):
                # The pool is a stack: it gives back the connection that failed, closed, to be opened anew.
                live.again()
                response, failure = self._tried(process, request, auth, trust, live)
        finally:
            deadline.current.reset(token)
            process.live.pop(live, None)
            live.close()
        if response is None:
            raise ServerUnavailableError(f"{self._base_url}: {failure}")
        return response

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

    def _trusted(self) -> str | bool:
        for variable in _CA_VARIABLES:
            path = os.environ.get(variable)
            if path:
                if not os.path.exists(path):
                    raise ServerUnavailableError(f"{self._base_url}: {variable} names no file: {path}")
                return path
        return True

    def _tried(
        self, process: _Process, request: Request, auth: _Auth, trust: str | bool, live: deadline.Exchange
    ) -> tuple[requests.Response | None, str]:
        """The answer, or why there is none."""
        from steplog.network import reasons

        interruption: BaseException
        try:
            return self._attempt(process, request, auth, trust, live), ""
        except reasons.TRANSLATED as error:
            return None, reasons.reason(error, live)
        except BaseException as error:  # noqa: BLE001 - raised again, without the frames that hold the key
            _log.debug("interrupted: %s", traceback.format_exc())
            interruption = error
        interruption.__context__ = None
        raise interruption.with_traceback(None)

    def _attempt(
        self, process: _Process, request: Request, auth: _Auth, trust: str | bool, live: deadline.Exchange
    ) -> requests.Response:
        import requests

        from steplog.network.connection import Connections

        # No lock here either, and the first that is made is everyone's.
        made = process.connections
        connections = made.get(0) or made.setdefault(0, Connections(self._connections_max))
        url = self._base_url + request.path
        proxies = {} if is_loopback(url) else requests.utils.get_environ_proxies(url, no_proxy=None)
        prepared = connections.prepare(request.method, url, request.headers, request.body, auth)
        response = connections.send(prepared, live.remaining(), trust, proxies)
        response.request.headers.pop("Authorization", None)
        response._content = auth.hide_in(response, _body(response, live.body_bytes_max))
        response._content_consumed = True  # type: ignore[attr-defined]
        return response


class _Process:
    """What belongs to one process: its connections, made at the first request, and its exchanges under way."""

    def __init__(self) -> None:
        self.connections: dict[int, Connections] = {}
        self.live: dict[deadline.Exchange, Request] = {}


def _repeatable(request: Request) -> bool:
    headers = {name.lower(): value for name, value in request.headers.items()}
    is_range = request.method == "POST" and headers.get("content-type") == CONTENT_TYPE_RANGE
    return is_range or request.method in ("GET", "PATCH")


def _body(response: requests.Response, bytes_max: int) -> bytes:
    """The body, or its first ``bytes_max``; the connection goes back to the pool, or is closed."""
    body = bytearray()
    whole = False
    try:
        for chunk in response.raw.stream(_CHUNK_BYTES, decode_content=False):
            body += chunk
            if len(body) > bytes_max:
                break
        else:
            whole = True
        # The older urllib3 does not look at it.
        if whole and response.raw.length_remaining:
            raise IncompleteRead(b"")
    finally:
        if whole:
            response.raw.release_conn()
        else:
            response.raw.close()
    return bytes(body[:bytes_max])
