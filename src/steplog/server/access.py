"""Access control before any route: host check, authentication, security headers.

- The ``Host`` header must be a known name, which stops DNS rebinding; but for probes (``health``),
  and for ``/metrics`` any address will do.
- Every API path but the instance proof and the session needs ``Authorization: Api-Key …``, or a session (``sessions``).
- Who asks is in the request's state, ``caller``: what that may do, the endpoint says (``Endpoint.rights``). A READER's
  session, and ``Authorization: Page-Token …``, read.
- What a browser sends by itself counts from this server's own page alone: with a session or the page's token, a
  request of another site is refused (``Sec-Fetch-Site``, https://www.w3.org/TR/fetch-metadata/), and with a session so
  is what is neither GET nor HEAD without an ``Origin`` of this server.
- A key that has asked for more than its quota (``quotas``) is answered 429.
- No CORS.

The head decides: a refused request's body is not read, and its connection is closed after the answer. One that has
shown no key is kept after the page's files, the proof and the session, since the same connection shows one next; where
places run short, it goes first (``places``).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection
from ipaddress import ip_address

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from steplog.delivery.wire import API
from steplog.server.endpoint import UNUSABLE, failure, too_much
from steplog.server.health import PROBE_PATHS
from steplog.server.keys import Keyring
from steplog.server.permissions import PAGE, Caller
from steplog.server.protocol import CLOSE_HEADER, CONNECTION
from steplog.server.proxies import BY_PROXY, LOOPBACK, contains
from steplog.server.quotas import QuotaError, Quotas
from steplog.server.routes_figures import METRICS_PATH
from steplog.server.sessions import Sessions, is_own_origin
from steplog.server.store_types import KeyRow, StoreError

__all__ = ["AccessMiddleware", "AllowedHosts"]

_NOT_ENCRYPTED = "Nothing is encrypted here: ask by way of the proxy (steplog serve --trusted-proxies)."

_PROOF_PATH = f"{API}/instance/"
_SESSION_PATH = f"{API}/session/"
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_PORT = re.compile(r":[0-9]{1,5}\Z")
_READ_METHODS = ("GET", "HEAD")
_SESSION_METHODS = (*_READ_METHODS, "POST", "DELETE")
_SAME_ORIGIN = (None, "same-origin", "none")
# On every answer, since a browser may render any. Trusted Types forbid making markup out of text. A logged page's own
# images are in it (data:).
_POLICY = (
    "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "object-src 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
)


class AllowedHosts:
    """The accepted Host headers: loopback names with the server's port, and those configured.

    A configured name without a port matches any port.
    """

    def __init__(self, port: int, configured: Collection[str] = ()) -> None:
        names = [name.lower() for name in configured]
        self._any_port = {name for name in names if not _PORT.search(name)}
        self._exact = {f"{name}:{port}" for name in _LOOPBACK} | set(names)
        if port in (80, 443):
            self._exact.update(_LOOPBACK)

    def __contains__(self, host: object) -> bool:
        if not isinstance(host, str):
            return False
        host = host.lower()
        return host in self._exact or _PORT.sub("", host) in self._any_port

    @staticmethod
    def is_address(host: str) -> bool:
        """Whether a Host header has no name, which somebody else's name server could lead here."""
        try:
            ip_address(_PORT.sub("", host).strip("[]"))
        except ValueError:
            return False
        return True


class AccessMiddleware:
    """Forwards a request to the application, or refuses it."""

    def __init__(
        self,
        app: ASGIApp,
        hosts: AllowedHosts,
        keyring: Keyring,
        sessions: Sessions | None,
        proxies_only: bool = False,
        quotas: Quotas | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``sessions``: None of a server without a page; ``proxies_only``, ``quotas``: see ``Service``."""
        self._app = app
        self._hosts = hosts
        self._keyring = keyring
        self._sessions = sessions
        self._proxies_only = proxies_only
        self._quotas = quotas or Quotas()
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        connection = scope["state"].get(CONNECTION)  # None: served by another program
        request = Request(scope)
        try:
            refusal = await self._refusal(request)
        except StoreError:
            refusal = failure(scope, 503, UNUSABLE, {"Retry-After": "1"})
        is_public = _is_public(scope["path"])
        has_key = refusal is None and not is_public and scope["state"].get("session", True) is not None
        if connection is not None and has_key:
            connection.show_key()

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                is_last = refusal is not None or (is_public and message["status"] >= 400)
                close = [CLOSE_HEADER] if is_last else []
                own = message.get("headers", ())
                said = {name for name, _ in own}
                message["headers"] = [*own, *(pair for pair in _HEADERS if pair[0] not in said), *close]
            await send(message)

        if refusal is None:
            await self._app(scope, self._counted(scope, receive), send_with_headers)
        else:
            await refusal(scope, receive, send_with_headers)

    async def _refusal(self, request: Request) -> Response | None:
        path: str = request.scope["path"]  # as routed; request.url.path stops at an escaped "?" or "#"
        if path in PROBE_PATHS:  # asked for by address, or without a name at all
            return None
        if self._proxies_only and path != METRICS_PATH and not _is_encrypted(request):
            return JSONResponse({"detail": _NOT_ENCRYPTED}, 403)
        hosts = request.headers.getlist("host")
        is_address = path == METRICS_PATH and all(map(AllowedHosts.is_address, hosts))
        if len(hosts) != 1 or not (is_address or hosts[0] in self._hosts):
            return JSONResponse({"detail": "Unknown host in the Host header; see steplog serve --allow-host."}, 400)
        if _is_public(path):
            return None
        if path == _SESSION_PATH and self._sessions is not None:
            request.state.session = await self._sessions.find(request)
            # Without an origin, a method that is not here is answered 405.
            return (_foreign if request.method in _SESSION_METHODS else _foreign_site)(request)
        scheme, _, credential = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "api-key" and credential:
            key = await self._keyring.find(credential)
            if key is None:
                return _unauthorized("Invalid API key.")
            return self._let_in(request, key)
        if scheme.lower() == "page-token" and credential and self._sessions is not None:
            if not self._keyring.admits_page(credential):
                return _unauthorized("Invalid page token.")
            request.state.caller = PAGE
            return _foreign_site(request)
        session = None if scheme or self._sessions is None else await self._sessions.find(request)
        if session is None:
            return _unauthorized("Authentication credentials were not provided.")
        if session.key is None:
            request.state.caller = PAGE
            return _foreign(request)
        return _foreign(request) or self._let_in(request, session.key)

    def _let_in(self, request: Request, key: KeyRow) -> Response | None:
        """Note whose request it is, unless that has asked for too much."""
        state = request.state
        state.user, state.key_id = key.user, key.id
        length = request.headers.get("content-length", "0")
        try:
            self._quotas.take(key.id, key.terms, int(length) if length.isdecimal() else 0, self._clock())
        except QuotaError as error:
            return too_much(error)
        state.caller = Caller(key.user.id, key.user.is_admin, key.terms.project_id)
        return None

    def _counted(self, scope: Scope, receive: Receive) -> Receive:
        """The body of a request whose head did not say how long it is, taken from the quota as it comes."""
        key_id = scope["state"].get("key_id")
        if key_id is None or not any(name == b"transfer-encoding" for name, _ in scope["headers"]):
            return receive

        async def counted() -> Message:
            message = await receive()
            self._quotas.add_bytes(key_id, len(message.get("body", b"")))
            return message

        return counted


def _is_encrypted(request: Request) -> bool:
    """Whether it came by a trusted proxy, or never left this machine."""
    client = request.client
    return bool(getattr(request.state, BY_PROXY, False)) or (client is not None and contains(LOOPBACK, client.host))


def _foreign(request: Request) -> Response | None:
    """Refuse what a page of another origin asks for in the name of who is signed in."""
    if request.method not in _READ_METHODS and not is_own_origin(request):
        return JSONResponse({"detail": "A session is valid only for this server's own page."}, 403)
    return _foreign_site(request)


def _foreign_site(request: Request) -> Response | None:
    if request.headers.get("sec-fetch-site") in _SAME_ORIGIN:
        return None
    return JSONResponse({"detail": "Only this server's own page is answered."}, 403)


def _is_public(path: str) -> bool:
    return not path.startswith(f"{API}/") or path == _PROOF_PATH


def _unauthorized(reason: str) -> Response:
    return JSONResponse({"detail": reason}, 401, {"WWW-Authenticate": "Api-Key"})
