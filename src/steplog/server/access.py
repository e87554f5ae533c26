"""Who may come in: the Host header, the key, and what every answer carries.

A page of another site that a browser shows can reach a server on this machine under a name of its own (DNS
rebinding), and then only the ``Host`` header tells: it must be one of those configured. Without the key no path
below the API answers anything but 401, except the one that proves which server this is.

The server's own page reads with a token instead (``Authorization: Page-Token …``). It opens GET and HEAD on
namespaces, projects and what is below them, nothing else, and only to a page of this very server: a browser says
in ``Sec-Fetch-Site`` where a request comes from, if it says it at all (https://www.w3.org/TR/fetch-metadata/;
what is no browser does not). No answer allows another origin to read it, and no cookie is ever set.

Keys and the token are compared by their SHA-256, in constant time.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Collection, Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from steplog.delivery.wire import API
from steplog.server.request_body import drain
from steplog.server.store_types import UserRow

__all__ = ["AccessMiddleware", "AllowedHosts", "hash_key"]

_OPEN_PATH = f"{API}/instance/"
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_PORT = re.compile(r":[0-9]{1,5}\Z")
_READING = re.compile(rf"{API}/(?:namespaces/|[^/]+/projects/.*)", re.DOTALL)
_METHODS = ("GET", "HEAD")
_SITES = (None, "same-origin", "none")
# What a page of ours may do, in every answer since a browser shows any. Styles are set through the DOM alone and
# nothing makes markup out of text, which Trusted Types enforce where there are any.
_POLICY = (
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
)


def hash_key(key: str) -> bytes:
    """What is kept of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


class AllowedHosts:
    """The Host headers that are answered: loopback names with the server's port, and those configured.

    A configured name with a port is taken as it is; one without stands for that name with any port.
    """

    def __init__(self, port: int, configured: Collection[str] = ()) -> None:
        names = [name.lower() for name in configured]
        self._any_port = {name for name in names if not _PORT.search(name)}
        self._exact = {f"{name}:{port}" for name in _LOOPBACK} | set(names)
        if port == 80:
            self._exact.update(_LOOPBACK)

    def __contains__(self, host: object) -> bool:
        if not isinstance(host, str):
            return False
        host = host.lower()
        return host in self._exact or _PORT.sub("", host) in self._any_port


class AccessMiddleware:
    """Lets a request through to the application, or answers it here."""

    def __init__(self, app: ASGIApp, hosts: AllowedHosts, users: Sequence[UserRow], page_token: str | None) -> None:
        self._app = app
        self._hosts = hosts
        self._users = users
        self._page_token_hash = None if page_token is None else hash_key(page_token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        request = Request(scope)
        refusal = self._refusal(request)
        if refusal is None:
            await self._app(scope, receive, send_with_headers)
        else:
            await drain(receive)
            await refusal(scope, receive, send_with_headers)

    def _refusal(self, request: Request) -> Response | None:
        hosts = request.headers.getlist("host")
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            return JSONResponse({"detail": "The Host header names no host of this server."}, 400)
        path: str = request.scope["path"]  # what is routed; a URL made of it again may be cut at a "?" or a "#"
        if not path.startswith(f"{API}/") or path == _OPEN_PATH:
            return None
        scheme, _, credential = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "api-key" and credential:
            offered = hash_key(credential)
            found = [user for user in self._users if hmac.compare_digest(user.key_hash, offered)]
            if not found:
                return _unknown("Invalid API key.")
            request.state.user = found[0]
            return None
        if scheme.lower() == "page-token" and credential and self._page_token_hash is not None:
            return self._page_refusal(request, path, credential)
        return _unknown("Authentication credentials were not provided.")

    def _page_refusal(self, request: Request, path: str, token: str) -> Response | None:
        if not hmac.compare_digest(self._page_token_hash or b"", hash_key(token)):
            return _unknown("Invalid page token.")
        if request.method not in _METHODS or not _READING.fullmatch(path):
            return JSONResponse({"detail": "A page token only reads."}, 403)
        if request.headers.get("sec-fetch-site") not in _SITES:
            return JSONResponse({"detail": "A page token is only for pages of this server."}, 403)
        return None


def _unknown(reason: str) -> Response:
    return JSONResponse({"detail": reason}, 401, {"WWW-Authenticate": "Api-Key"})
