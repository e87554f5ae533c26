"""What went wrong on the way, in the few words that a user understands.

The texts of exceptions may show addresses in memory, header values and proxy passwords. So nothing is quoted from
them but what OpenSSL says of a certificate, what the system says of an errno, and a proxy's status line.
A server's own words about a request that it refuses are shown as one bounded line of printable characters.
"""

from __future__ import annotations

import errno
import http.client
import json
import os
import socket
import ssl
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from steplog.network import deadline
from steplog.network.connection import ProxyAddressError, TunnelRefusedError
from steplog.network.incoming import AnswerTooLargeError

if TYPE_CHECKING:
    import requests

__all__ = ["TRANSLATED", "plain", "reason", "refusal", "server_words"]

# Everything that http.client, ssl and the socket are known to raise for what is not a bug of ours.
TRANSLATED = (http.client.HTTPException, OSError, ValueError)
_WORDS_CHARACTERS_MAX = 500
_TUNNEL_CHARACTERS_MAX = 80


def reason(error: BaseException, exchange: deadline.Exchange) -> str:
    """Why there is no answer."""
    if exchange.aborted:
        return "ended before the answer came"
    words = _deadline(error, exchange) or _tls(error) or _unreachable(error) or _not_http(error, exchange)
    words = words or f"failed ({type(error).__name__})"
    return f"proxy: {words}" if exchange.at_proxy else words


def plain(text: str, characters_max: int = 200) -> str:
    """A server's text as one line: no control characters, no more than so many characters."""
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return line if len(line) <= characters_max else line[: characters_max - 1] + "…"


def refusal(response: requests.Response) -> requests.HTTPError:
    """The ``requests.HTTPError`` of an answer that is not a success: status, request, and the server's words."""
    import requests

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


def _deadline(error: BaseException, exchange: deadline.Exchange) -> str:
    if not isinstance(error, TimeoutError):
        return ""
    if exchange.connecting:
        return f"no connection within {min(exchange.connect_timeout_s, exchange.timeout_s):g} s"
    return f"timed out after {exchange.timeout_s:g} s"


def _tls(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not trusted: {plain(error.verify_message)}"
    if isinstance(error, ssl.SSLEOFError):
        return "TLS: the connection was closed"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {plain(error.reason or 'failed').replace('_', ' ').lower()}"
    return ""


def _unreachable(error: BaseException) -> str:
    if isinstance(error, socket.gaierror):
        return "name does not resolve"
    if isinstance(error, AnswerTooLargeError):
        return "answer too large"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, http.client.RemoteDisconnected):
        return "closed without an answer"
    if isinstance(error, (ConnectionResetError, BrokenPipeError)):
        return "connection reset"
    if isinstance(error, TunnelRefusedError):
        return plain(str(error), _TUNNEL_CHARACTERS_MAX)
    if isinstance(error, OSError) and isinstance(error.errno, int) and error.errno in errno.errorcode:
        return os.strerror(error.errno)
    return ""


def _not_http(error: BaseException, exchange: deadline.Exchange) -> str:
    if isinstance(error, ProxyAddressError):
        return "proxy address cannot be used"
    # ``http.client`` says the same of a chunk that is cut and of one whose size is no number.
    if isinstance(error, http.client.IncompleteRead) and exchange.ended:
        return "answer cut short"
    return "answer is not HTTP" if isinstance(error, http.client.HTTPException) else ""
