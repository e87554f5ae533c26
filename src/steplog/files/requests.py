"""``ProjectRequests``: what is asked of a project about files. Asked again while the server is busy (``retrying``)."""

from __future__ import annotations

import json as json_text
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from steplog.delivery.exchange import Request, Transport
from steplog.delivery.wire import api_path, read
from steplog.errors import InvalidAPIKeyError, ServerUnavailableError
from steplog.network.response import Response
from steplog.network.stream import Stream
from steplog.network.transport import HTTPTransport
from steplog.reading.retrying import BUSY, no_answer, retried

__all__ = ["ProjectRequests"]

_T = TypeVar("_T")
_TIMEOUT_S = 30.0  # for the head of an answer, and for each read of its body
_LIST_BYTES_MAX = 256 * 1024 * 1024  # 100,000 files with long paths


class ProjectRequests:
    """The project of these slugs, on the server behind ``transport``.

    Raises ServerUnavailableError for what is no answer, InvalidAPIKeyError for a key that is not taken.
    """

    def __init__(
        self,
        transport: Transport,
        namespace: str,
        project: str,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.base_url = transport.base_url
        self.namespace, self.project = namespace, project
        self.sleep = sleep
        self._transport = transport

    def list_path(self, *parts: str, **query: object) -> str:
        """The path of a list, or of a document."""
        asked = {name: value for name, value in query.items() if value not in ("", None)}
        path = api_path(self.namespace, "projects", self.project, *parts)
        return f"{path}?{urlencode(asked, errors='replace')}" if asked else path

    def content_path(self, *parts: str) -> str:
        """The path of a content; the last part may have "/" in it."""
        return api_path(self.namespace, "projects", self.project, *parts[:-1]) + quote(parts[-1], safe="/")

    def response(self, method: str, path: str, json: Any = None) -> Response:
        """The whole answer, of any status but 401."""

        def ask() -> Response:
            response = self.stream(method, path, json=json).response(_LIST_BYTES_MAX)
            if response.status in BUSY:
                raise no_answer(response)
            if not response.whole:
                raise ServerUnavailableError(f"{response.url}: longer than {_LIST_BYTES_MAX // 1024**2} MiB")
            return response

        return retried(ask, sleep=self.sleep)

    def stream(self, method: str, path: str, headers: Mapping[str, str] | None = None, json: Any = None) -> Stream:
        """The answer, its body unread, of any status but 401; with the key of now, if that of before is not taken."""
        body = b"" if json is None else json_text.dumps(json).encode()
        kind = {} if json is None else {"Content-Type": "application/json"}
        request = Request(method, path, body, {**(headers or {}), **kind}, _LIST_BYTES_MAX)
        stream = self._sent(request)
        if stream.status == 401 and self._transport.refresh_key():
            stream.close()
            stream = self._sent(request)
        if stream.status == 401:
            stream.close()
            raise InvalidAPIKeyError(f"{self.base_url} rejects the API key; type: steplog login")
        return stream

    def _sent(self, request: Request) -> Stream:
        if isinstance(self._transport, HTTPTransport):
            return self._transport.stream(request, _TIMEOUT_S, _TIMEOUT_S, as_it_is=True)
        answer = self._transport.exchange(request, _TIMEOUT_S)
        url = f"{self.base_url}{request.path}"
        return Stream(Response(request, url, answer.status, "", dict(answer.headers), b""), iter((answer.body,)))

    def decoded(self, response: Response, kind: type[_T]) -> _T:
        """The JSON of an answer. Raises ServerUnavailableError for other JSON, or none."""
        told = read(response.body, kind)
        if told is None:
            raise ServerUnavailableError(f"{response.url}: not the answer of a run server")
        return told
