"""The server in memory behind a socket, for what a real one does not do on demand: refuse, and say what was asked."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request as WebRequest
from werkzeug import Response

from steplog.delivery.exchange import Request
from steplog.testing.memory_server import MemoryServer


class FakeServer:
    """``memory`` says what it answers. For a test that runs apart: it ends with the process.

    ``threaded``: a request that hangs does not keep the others; one that gets no answer hangs then, too.
    """

    def __init__(self, memory: MemoryServer | None = None, *, threaded: bool = False) -> None:
        self.memory = memory or MemoryServer()
        self.key: str | None = None  # None: whatever is sent is good
        self._web = HTTPServer(threaded=threaded)
        self._web.expect_request(re.compile("")).respond_with_handler(self._answer)
        self._web.start()

    @property
    def url(self) -> str:
        return self._web.url_for("").rstrip("/")

    def accepts(self, key: str) -> None:
        """From now on it knows this key alone."""
        self.key = key

    def configure(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make it the server of this process."""
        monkeypatch.setenv("STEPLOG_URL", self.url)
        monkeypatch.setenv("STEPLOG_API_KEY", self.memory.key)

    def asked(self, method: str, end: str) -> list[dict[str, Any]]:
        """The JSON bodies of the requests with this method to a path that ends so."""
        return [
            json.loads(request.body)
            for request, _ in self.memory.requests
            if request.method == method and request.path.endswith(end)
        ]

    def _answer(self, asked: WebRequest) -> Response:
        if self.key is not None and asked.headers.get("Authorization") != f"Api-Key {self.key}":
            return Response(b'{"detail": "Invalid API key."}', 401)
        answer = self.memory.exchange(Request(asked.method, asked.path, asked.get_data(), dict(asked.headers)), 0.0)
        return Response(answer.body, answer.status, dict(answer.headers))
