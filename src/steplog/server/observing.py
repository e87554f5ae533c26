"""Around each request: its id, what is counted of it, its line in the access log, and the answer to what went wrong.

::

    id      ``X-Request-Id`` of the request, if it is one (``_ID``), else a new one; on every answer, and in the bodies
            of those with a status of 5xx
    route   the pattern of the path that was matched, never the path: it has names of projects and runs
    error   what nothing else answers is logged once, with the id, and answered 500; an answer that has begun is broken
            off with its connection

This is on the path of every batch: it takes one look at the head, and keeps plain numbers.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
from collections.abc import Mapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from steplog.server.endpoint import REQUEST_ID, failure
from steplog.server.protocol import CLOSE_HEADER, CONNECTION
from steplog.server.proxies import BY_PROXY
from steplog.server.request_body import BODY_BYTES
from steplog.server.seen_request import CLIENT_LEFT, SeenRequest
from steplog.server.service import Service

__all__ = ["ID_HEADER", "ObservingMiddleware"]

ID_HEADER = b"x-request-id"
_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_NO_ROUTE = "none"  # of what was refused before it was matched, or matches nothing
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_OTHER_METHOD = "other"  # a client may send any word
_log = logging.getLogger("steplog.server")


class ObservingMiddleware:
    """Passes requests on, and tells the service's observers of each once it is over."""

    def __init__(self, app: ASGIApp, routes: Mapping[Any, str], service: Service) -> None:
        """``routes``: the pattern of each endpoint."""
        self._app = app
        self._routes = routes
        self._draining = service.draining
        self._observers = service.observers
        self._counts = service.counts
        self._proxies = service.proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        if self._proxies is not None:
            scope["state"][BY_PROXY] = self._proxies.believe(scope)
        header = _id_of(scope)
        request_id = scope["state"][REQUEST_ID] = header.decode()
        status = bytes_out = 0

        async def send_counted(message: Message) -> None:
            nonlocal status, bytes_out
            if message["type"] == "http.response.start":
                status = message["status"]
                own = [*message.get("headers", ()), (ID_HEADER, header)]
                if self._draining.is_on and CLOSE_HEADER not in own:
                    own.append(CLOSE_HEADER)
                message["headers"] = own
            else:
                bytes_out += len(message.get("body", b""))
            await send(message)

        self._counts.in_flight += 1
        try:
            await self._app(scope, receive, send_counted)
        except Exception as error:  # noqa: BLE001 - the last place where it can be answered; it is logged
            _log.error("%s failed", self._route(scope), exc_info=error, extra={REQUEST_ID: request_id})
            if status == 0:
                await failure(scope, 500, "Internal server error.")(scope, receive, send_counted)
            else:
                await _break_off(scope)
        finally:
            seconds = time.perf_counter() - began
            route = self._route(scope)
            method = scope["method"] if scope["method"] in _METHODS else _OTHER_METHOD
            bytes_in = scope["state"].get(BODY_BYTES, 0)
            told = request_id, method, route, status or CLIENT_LEFT, seconds, bytes_in, bytes_out, scope
            seen = SeenRequest(*told)
            self._counts.in_flight -= 1
            self._counts.note(seen)
            for observer in self._observers:
                observer(seen)

    def _route(self, scope: Scope) -> str:
        return self._routes.get(scope.get("endpoint"), _NO_ROUTE)


async def _break_off(scope: Scope) -> None:
    connection: Any = scope["state"].get(CONNECTION)
    if connection is not None:  # else the program that serves the application sees that the answer is not whole
        connection.drop()
        await asyncio.sleep(0)  # until the connection is lost, the answer counts as forgotten


def _id_of(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == ID_HEADER and _ID.fullmatch(value):
            return bytes(value)
    return b"%016x" % random.getrandbits(64)
