"""An answer as the library itself reads it, and as its users get it: a ``requests.Response``.

``requests`` is imported when the first user asks for one, and when a refusal is raised: neither ``init`` nor a
delivery nor ``finish`` needs it while the server refuses nothing.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from steplog.delivery.exchange import Request

if TYPE_CHECKING:
    import requests

__all__ = ["HEADERS", "Reply", "refusals"]

HEADERS = {"User-Agent": "steplog", "Accept": "*/*", "Accept-Encoding": "identity"}


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer to a request, its headers by lower-case name; neither holds the key."""

    request: Request
    url: str
    status: int
    reason: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """What the body says. Raises ValueError, RecursionError."""
        return json.loads(self.body)

    def response(self) -> requests.Response:
        """The same as an answer of ``requests``, its body read."""
        import requests

        asked = requests.Request(self.request.method, self.url, {**HEADERS, **self.request.headers})
        made = requests.Response()
        made.request = asked.prepare()
        made.request.prepare_body(self.request.body, None)
        made.url, made.status_code, made.reason = str(made.request.url), self.status, self.reason
        made.headers.update(self.headers)
        made.encoding = requests.utils.get_encoding_from_headers(made.headers)
        made._content = self.body
        made._content_consumed = True  # type: ignore[attr-defined]
        return made


def refusals() -> tuple[type[requests.HTTPError], ...]:
    """``requests.HTTPError`` for an ``except``; nothing where ``requests`` is not imported, and none can be raised."""
    error = getattr(sys.modules.get("requests"), "HTTPError", None)
    return () if error is None else (error,)
