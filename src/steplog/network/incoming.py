"""An answer as it comes in, read by ``http.client``: chunks, lengths, and whether the connection lives on.

- each receive gets the time that is left of the ``Exchange``
- what comes is counted, head and body; more than the limit ends the exchange
- what is cut anywhere is no answer: within its head, its body or a chunk
- nothing of ``http.client`` that prints is used, whatever its ``debuglevel``
- a head has at most 100 headers, of 64 KiB each
"""

from __future__ import annotations

import io
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse, IncompleteRead, LineTooLong, UnknownProtocol
from typing import Any

from steplog.network.deadline import Exchange

__all__ = ["AnswerTooLargeError", "Incoming"]

# Beyond the body: status line, headers, and the sizes of small chunks.
_HEAD_BYTES_MAX = 1024 * 1024
_LINES_MAX, _LINE_BYTES_MAX = 100, 64 * 1024
_DIGITS_MAX = 18  # of a length
_CHUNK_BYTES = 16 * 1024


class AnswerTooLargeError(OSError):
    """The answer has more bytes than the exchange takes."""


class _Reader(io.RawIOBase):
    """The receiving side of a socket: each ``recv`` is given what is left of the exchange, and counted."""

    def __init__(self, sock: Any, exchange: Exchange) -> None:
        self._sock, self._exchange = sock, exchange
        self._left = exchange.body_bytes_max + _HEAD_BYTES_MAX

    def makefile(self, mode: str) -> io.BufferedReader:
        """What ``HTTPResponse`` asks a socket for."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(self._exchange.remaining())
        count: int = self._sock.recv_into(buffer)
        self._exchange.ended = count == 0
        if not count:
            self._exchange.remaining()  # ``abort`` ends the connection, too, and that may end no body
            return 0
        self._exchange.answered = True
        self._left -= count
        if self._left < 0:
            raise AnswerTooLargeError
        return count


class Incoming(HTTPResponse):
    """An answer whose headers are a dictionary by lower-case name, what is repeated joined.

    ``http.client`` makes an e-mail of them, which takes as long as all the rest of an exchange.
    """

    def __init__(self, sock: Any, method: str, exchange: Exchange) -> None:
        super().__init__(_Reader(sock, exchange), method=method)  # type: ignore[arg-type]
        self._exchange = exchange

    def begin(self) -> None:
        """Read what comes before the body; 1xx answers are passed over."""
        status = 100
        while status < 200:
            version, status, reason = self._read_status()  # type: ignore[attr-defined]
            self.fields = _fields(self.fp)
        # The end of the connection is no end of a head: "201 Crea" would be a success.
        if self._exchange.ended:
            raise IncompleteRead(b"")
        if not version.startswith(("HTTP/1.", "HTTP/0.9")):
            raise UnknownProtocol(version)
        self.headers = self.fields  # type: ignore[assignment]
        self.status, self.reason = status, reason.strip()
        self.version = 10 if version in ("HTTP/1.0", "HTTP/0.9") else 11
        self.chunked = self.fields.get("transfer-encoding", "").lower() == "chunked"
        self.chunk_left = None
        self.length = None if self.chunked else _length(self.fields)
        if status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
            self.chunked, self.length = False, 0
        self.will_close = self._check_close() or (self.length is None and not self.chunked)  # type: ignore[attr-defined]

    def body(self, bytes_max: int) -> tuple[bytes, bool]:
        """The body, or its first ``bytes_max``, and whether it is whole."""
        body = bytearray()
        while chunk := self.read(_CHUNK_BYTES):
            body += chunk
            if len(body) > bytes_max:
                return bytes(body[:bytes_max]), False
        if self.length:
            raise IncompleteRead(b"")
        return bytes(body), True


def _fields(lines: Any) -> dict[str, str]:
    fields: dict[str, str] = {}
    for _ in range(_LINES_MAX):
        line = lines.readline(_LINE_BYTES_MAX + 1)
        if len(line) > _LINE_BYTES_MAX:
            raise LineTooLong("header line")
        if line in (b"\r\n", b"\n", b""):
            return fields
        name, colon, value = line.decode("latin-1").partition(":")
        name, value = name.strip().lower(), value.strip()
        if colon:
            fields[name] = f"{fields[name]}, {value}" if name in fields else value
    raise HTTPException("too many headers")


def _length(fields: dict[str, str]) -> int | None:
    if "content-length" not in fields:
        return None
    length, *others = {one.strip() for one in fields["content-length"].split(",")}
    if others or not length.isdecimal() or len(length) > _DIGITS_MAX:
        raise HTTPException("no length")
    return int(length)
