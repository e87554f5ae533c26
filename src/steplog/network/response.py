"""An answer, as ours and as the ``requests.Response`` that users get.

``requests`` is imported for the first of those and for the first refusal, not by a run that is not refused.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from http.client import responses
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from steplog.delivery.exchange import Request
from steplog.loaded import loaded
from steplog.printable import printable

if TYPE_CHECKING:
    import requests

__all__ = ["DEFAULT_HEADERS", "Response", "http_error", "http_error_types", "joined"]

DEFAULT_HEADERS = {"User-Agent": "steplog", "Accept": "*/*", "Accept-Encoding": "identity"}
_WORDS_CHARACTERS_MAX = 500


class Response(msgspec.Struct, frozen=True):
    """An answer, its headers by lower-case name; not ``whole``: the rest of the body was not read."""

    request: Request
    url: str
    status: int
    reason: str
    headers: dict[str, str]
    body: bytes
    whole: bool = True

    def json(self) -> Any:
        """The parsed body. Raises ValueError, RecursionError."""
        return json.loads(self.body)

    def to_requests(self) -> requests.Response:
        """The same as a ``requests.Response``."""
        import requests

        asked = self.request
        made = requests.Response()
        headers = {**DEFAULT_HEADERS, **asked.headers}
        made.request = requests.Request(asked.method, self.url, headers, data=asked.body).prepare()
        made.url, made.status_code, made.reason = str(made.request.url), self.status, printable(self.reason)
        made.headers.update(self.headers)
        made.encoding = requests.utils.get_encoding_from_headers(made.headers)
        made.raw = io.BytesIO(self.body)
        made.content  # noqa: B018 - reads it
        return made

    def http_error(self) -> requests.HTTPError:
        """The error to raise for this answer."""
        return http_error(self.to_requests())


def joined(pieces: Iterable[bytes], bytes_max: int) -> tuple[bytes, bool]:
    """At most ``bytes_max`` of a body, and whether that is all."""
    body = bytearray()
    for piece in pieces:
        body += piece
        if len(body) > bytes_max:
            del body[bytes_max:]
            return bytes(body), False
    return bytes(body), True


def http_error(response: requests.Response) -> requests.HTTPError:
    """An error with status, request and the server's words."""
    import requests

    asked = f"{response.request.method} {urlsplit(response.url).path}"
    words = _words(response.content) or responses.get(response.status_code, "")
    return requests.HTTPError(f"{response.status_code} for {asked}: {words}", response=response)


def http_error_types() -> tuple[type[requests.HTTPError], ...]:
    """``requests.HTTPError``, to catch; nothing while ``requests`` is not imported."""
    error = getattr(loaded("requests"), "HTTPError", None)
    return () if error is None else (error,)


def _words(body: bytes) -> str:
    """The texts in a JSON answer of Django REST framework: a detail, or one for each field."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    return printable(" ".join("; ".join(_sentences(told)).split()), _WORDS_CHARACTERS_MAX)


def _sentences(told: object, field: str = "") -> Iterator[str]:
    if isinstance(told, dict):
        for name, inner in told.items():
            yield from _sentences(inner, "" if name in ("detail", "non_field_errors") else str(name))
    elif isinstance(told, list):
        for inner in told:
            yield from _sentences(inner, field)
    elif told is not None:
        yield f"{field}: {told}" if field else str(told)
