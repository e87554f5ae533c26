"""Requests through methods of a client that its user has replaced, on the instance or in a subclass.

1. Such a client is a stock server with one lane: it gets JSON, one request at a time, from the sender's thread.
2. What is not replaced, and what is no JSON, goes over the client's own transport.
3. A method that returns anything but a status, such as a mock, has succeeded. What it raises is no answer, unless that
   is an error of ``requests`` with a response.
"""

from __future__ import annotations

import json as json_text
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from steplog.delivery.exchange import Answer, Request
from steplog.errors import ServerUnavailableError
from steplog.network.response import Response
from steplog.network.transport import HTTPTransport

__all__ = ["ReplacedTransport", "call"]

_JSON = "application/json"
_Method = Callable[..., Any]


class _Client(Protocol):
    def replaced(self, method: str) -> _Method | None: ...
    def refresh_key(self) -> bool: ...


def call(method: _Method, request: Request, base_url: str) -> Response:
    """The answer that the caller's own ``get``, ``post``, ``patch`` or ``delete`` gives to a request with JSON.

    Raises ServerUnavailableError for what that raises.
    """
    given = {"json": json_text.loads(request.body)} if request.body else {}
    try:
        answer = method(request.path, **given)
    except Exception as error:
        answer = getattr(error, "response", None)
        if answer is None:
            raise ServerUnavailableError(f"{base_url}: {type(error).__name__} in the client's own {method}") from error
    status = getattr(answer, "status_code", None)
    if not isinstance(status, int):
        status = 201 if request.method == "POST" else 200
    headers = getattr(answer, "headers", None)
    texts = {str(name).lower(): str(value) for name, value in headers.items()} if isinstance(headers, Mapping) else {}
    return Response(request, base_url + request.path, status, "", texts, _body(answer))


def _body(answer: Any) -> bytes:
    content = getattr(answer, "content", None)
    if isinstance(content, bytes):
        return content
    try:
        return json_text.dumps(answer.json()).encode()
    except (AttributeError, TypeError, ValueError):
        return b"{}"


class ReplacedTransport:
    """The ``Transport`` of a client whose methods are replaced."""

    lanes_max = 1

    def __init__(self, client: _Client, own: HTTPTransport) -> None:
        self._client = client
        self._own = own

    @property
    def base_url(self) -> str:
        """The server's address, without a trailing slash."""
        return self._own.base_url

    def exchange(self, request: Request, timeout_s: float) -> Answer:
        """See ``Transport``; the caller's own methods know no timeout."""
        method = self._client.replaced(request.method)
        types = {name.lower(): value for name, value in request.headers.items()}
        if method is None or (request.body and types.get("content-type") != _JSON):
            answer = self._own.exchange(request, timeout_s)
            return Answer(answer.status, _stock(answer.body), answer.headers)
        found = call(method, request, self.base_url)
        body = _confirmed(request, found.body) if 200 <= found.status < 300 else found.body
        return Answer(found.status, _stock(body), found.headers)

    def refresh_key(self) -> bool:
        """See ``Transport``."""
        return self._client.refresh_key()

    def abort(self, request: Request) -> None:
        """See ``Transport``; the caller's own methods cannot be aborted."""
        self._own.abort(request)


def _stock(body: bytes) -> bytes:
    """A description of a run, as a stock server gives it."""
    told = _object(body)
    if told is None or "batch" not in told:
        return body
    return json_text.dumps({name: value for name, value in told.items() if name != "batch"}).encode()


def _confirmed(request: Request, body: bytes) -> bytes:
    """The answer to a metric, or to a GET or PATCH of a run, with what it lacks: the caller's method has succeeded."""
    *_, parent, last = request.path.rstrip("/").split("/")
    if request.method == "GET" and parent == "runs":
        return json_text.dumps({"uuid": last, **(_object(body) or {})}).encode()
    if request.method == "POST" and last == "metrics":
        return json_text.dumps({"name": json_text.loads(request.body)["name"]}).encode()
    if request.method != "PATCH":
        return body
    return json_text.dumps({"uuid": last, **json_text.loads(request.body), **(_object(body) or {})}).encode()


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        told = json_text.loads(body)
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None
