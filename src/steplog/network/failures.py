"""Why there is no answer, in a few words that are safe to show.

Exceptions may quote headers and proxy passwords. Only OpenSSL's words on a certificate, the text of an errno and a
proxy's status line are passed on.
"""

from __future__ import annotations

import errno
import http.client
import os
import socket
import ssl

from steplog.descriptors import OUT_OF, words
from steplog.network import deadline
from steplog.network.connection import AnswerTooLargeError, MissingBundleError, TunnelRefusedError
from steplog.network.local_server import NOT_RUNNING, ForeignServerError, LocalServer, ServerNotRunningError
from steplog.network.proxy import ProxyAddressError
from steplog.printable import printable

__all__ = ["NETWORK_ERRORS", "reason"]

# What http.client, ssl and sockets raise.
NETWORK_ERRORS = (http.client.HTTPException, OSError, ValueError)
_TLS_CHARACTERS_MAX = 200
_TUNNEL_CHARACTERS_MAX = 80
_WORDS = {
    socket.gaierror: "name does not resolve",
    AnswerTooLargeError: "answer too large",
    ConnectionRefusedError: "refused",
    http.client.RemoteDisconnected: "closed without an answer",  # a ConnectionResetError, too
    ConnectionResetError: "connection reset",
    BrokenPipeError: "connection reset",
    ProxyAddressError: "proxy address cannot be used",
    ServerNotRunningError: NOT_RUNNING,
    ForeignServerError: "another program has the place of steplog serve; nothing is sent to it",
}


def reason(error: BaseException, exchange: deadline.Exchange, local: LocalServer | None = None) -> str:
    """Why the exchange has failed; ``local`` is the server if it is one of this machine."""
    if exchange.aborted:
        return "ended before the answer came"
    if isinstance(error, OSError) and error.errno in OUT_OF:
        return words(error)
    why = (
        _hung(error, exchange, local)
        or _deadline(error, exchange)
        or _tls(error)
        or _unreachable(error)
        or _not_http(error, exchange)
    )
    why = why or f"failed ({type(error).__name__})"
    return f"proxy: {why}" if exchange.at_proxy else why


def _hung(error: BaseException, exchange: deadline.Exchange, local: LocalServer | None) -> str:
    # Its lock is held and its backlog takes connections: it is not away, and another steplog serve does not help.
    if local is None or not local.pid or not isinstance(error, TimeoutError):
        return ""
    return (
        f"it runs (process {local.pid}) and has not answered for {exchange.timeout_s:g} s; "
        "if it hangs, stop it and type: steplog serve"
    )


def _deadline(error: BaseException, exchange: deadline.Exchange) -> str:
    if not isinstance(error, TimeoutError):
        return ""
    if exchange.connecting:
        return f"no connection within {min(exchange.connect_timeout_s, exchange.timeout_s):g} s"
    return f"timed out after {exchange.timeout_s:g} s"


def _tls(error: BaseException) -> str:
    if isinstance(error, MissingBundleError):
        return str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not trusted: {printable(error.verify_message, _TLS_CHARACTERS_MAX)}"
    if isinstance(error, ssl.SSLEOFError):
        return "TLS: the connection was closed"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {printable(error.reason or 'failed', _TLS_CHARACTERS_MAX).replace('_', ' ').lower()}"
    return ""


def _unreachable(error: BaseException) -> str:
    for kind, why in _WORDS.items():
        if isinstance(error, kind):
            return why
    if isinstance(error, TunnelRefusedError):
        return printable(str(error), _TUNNEL_CHARACTERS_MAX)
    if isinstance(error, OSError) and isinstance(error.errno, int) and error.errno in errno.errorcode:
        return os.strerror(error.errno)
    return ""


def _not_http(error: BaseException, exchange: deadline.Exchange) -> str:
    # IncompleteRead is also a chunk size that is no number.
    if isinstance(error, http.client.IncompleteRead) and exchange.ended:
        return "answer cut short"
    return "answer is not HTTP" if isinstance(error, http.client.HTTPException) else ""
