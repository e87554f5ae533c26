"""What went wrong on the way, in the few words that a user understands. Importing this imports ``requests``.

The exceptions of ``requests`` hold those of ``urllib3``, which hold those of ``http.client``, ``ssl`` and
``socket``; their texts show addresses in memory, header values and proxy passwords. So nothing is quoted from
them but what OpenSSL says of a certificate, what the system says of an errno, and a proxy's status line.
A server's own words about a request that it refuses are shown as one bounded line of printable characters.
"""

from __future__ import annotations

import errno
import http.client
import json
import os
import re
import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

import requests
import urllib3.exceptions

from steplog.network import deadline
from steplog.network.connection import AnswerTooLargeError

__all__ = ["TRANSLATED", "plain", "reason", "refusal", "server_words"]

# Everything that requests, urllib3, http.client and the socket are known to raise for what is not a bug of ours.
TRANSLATED = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,
)
_CAUSES_MAX = 20
_WORDS_CHARACTERS_MAX = 500
_TUNNEL = re.compile(r"Tunnel connection failed: (.{0,80})")


def reason(error: BaseException, exchange: deadline.Exchange) -> str:
    """Why there is no answer."""
    if exchange.aborted:
        return "ended before the answer came"
    causes = list(_causes(error))
    words = _deadline(causes, exchange) or _tls(causes) or _unreachable(causes) or _not_http(causes, exchange)
    words = words or f"failed ({type(causes[-1]).__name__})"
    through_proxy = any(
        isinstance(cause, (requests.exceptions.ProxyError, urllib3.exceptions.ProxyError)) for cause in causes
    )
    return f"proxy: {words}" if through_proxy else words


def plain(text: str, characters_max: int = 200) -> str:
    """A server's text as one line: no control characters, no more than so many characters."""
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return line if len(line) <= characters_max else line[: characters_max - 1] + "…"


def refusal(response: requests.Response) -> requests.HTTPError:
    """The ``requests.HTTPError`` of an answer that is not a success: status, request, and the server's words."""
    asked = f"{response.request.method} {urlsplit(response.url).path}"
    words = server_words(response.content) or http.client.responses.get(response.status_code, "")
    return requests.HTTPError(f"{response.status_code} for {asked}: {words}", response=response)


def server_words(body: bytes) -> str:
    """What a JSON answer says in words, as Django REST framework says it: a detail, or a text for each field."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    return plain("; ".join(_sentences(told)), _WORDS_CHARACTERS_MAX)


def _sentences(told: object, field: str = "") -> Iterator[str]:
    if isinstance(told, dict):
        for name, inner in told.items():
            yield from _sentences(inner, "" if name in ("detail", "non_field_errors") else str(name))
    elif isinstance(told, list):
        for inner in told:
            yield from _sentences(inner, field)
    elif told is not None:
        yield f"{field}: {told}" if field else str(told)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and everything that it wraps, the outermost first."""
    seen: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting and len(seen) < _CAUSES_MAX:
        inner = waiting.pop(0)
        if isinstance(inner, BaseException) and inner not in seen:
            seen.append(inner)
            yield inner
            waiting += [getattr(inner, "reason", None), getattr(inner, "original_error", None)]
            waiting += [*inner.args, inner.__cause__, inner.__context__]


def _deadline(causes: list[BaseException], exchange: deadline.Exchange) -> str:
    late = (TimeoutError, urllib3.exceptions.TimeoutError)
    if not any(isinstance(cause, late) for cause in causes):
        return ""
    if exchange.connecting:
        return f"no connection within {min(exchange.connect_timeout_s, exchange.timeout_s):g} s"
    return f"timed out after {exchange.timeout_s:g} s"


def _tls(causes: list[BaseException]) -> str:
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"certificate not trusted: {plain(cause.verify_message)}"
        # urllib3's own look at the names; the class has moved between its versions.
        if type(cause).__name__ == "CertificateError":
            return "certificate not trusted: Hostname mismatch"
    for cause in causes:
        if isinstance(cause, ssl.SSLEOFError):
            return "TLS: the connection was closed"
        if isinstance(cause, ssl.SSLError):
            return f"TLS: {plain(cause.reason or 'failed').replace('_', ' ').lower()}"
    return ""


def _unreachable(causes: list[BaseException]) -> str:
    for cause in causes:
        if isinstance(cause, socket.gaierror):
            return "name does not resolve"
        if isinstance(cause, AnswerTooLargeError):
            return "answer too large"
        if isinstance(cause, ConnectionRefusedError):
            return "refused"
        if isinstance(cause, http.client.RemoteDisconnected):
            return "closed without an answer"
        if isinstance(cause, (ConnectionResetError, BrokenPipeError)):
            return "connection reset"
        if isinstance(cause, OSError) and (tunnel := _TUNNEL.match(str(cause))):
            return plain(tunnel[1])
        if isinstance(cause, OSError) and isinstance(cause.errno, int) and cause.errno in errno.errorcode:
            return os.strerror(cause.errno)
    return ""


def _not_http(causes: list[BaseException], exchange: deadline.Exchange) -> str:
    bad_proxy = (requests.exceptions.InvalidProxyURL, urllib3.exceptions.ProxySchemeUnknown)
    if any(isinstance(cause, bad_proxy) for cause in causes):
        return "proxy address cannot be used"
    for cause in causes:
        if isinstance(cause, (requests.exceptions.InvalidURL, urllib3.exceptions.LocationParseError)):
            return "address cannot be used"
        if isinstance(cause, urllib3.exceptions.InvalidChunkLength):
            return "answer cut short" if exchange.ended else "answer is not HTTP"
        if isinstance(cause, http.client.IncompleteRead):
            return "answer cut short"
        if isinstance(cause, (http.client.HTTPException, urllib3.exceptions.InvalidHeader)):
            return "answer is not HTTP"
    if any(isinstance(cause, urllib3.exceptions.ProtocolError) for cause in causes):
        return "answer cut short" if exchange.ended else "answer is not HTTP"
    return ""
