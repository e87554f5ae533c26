"""Reading a request body, bounded in size and time.

A body that is too long is still read, up to a bound: a client that is writing may miss the response.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request

from steplog.server.validation import ValidationError

__all__ = [
    "BODY_BYTES",
    "BODY_BYTES_MAX",
    "BODY_TIMEOUT_S",
    "PART_TIMEOUT_S",
    "media_type",
    "read_body",
    "read_json",
    "read_pieces",
]

BODY_BYTES = "body_bytes"  # in a scope's state: how much was read
BODY_BYTES_MAX = 2 * 1024 * 1024
BODY_TIMEOUT_S = 30.0
PART_TIMEOUT_S = 50.0  # of a part of a file, written as it comes; the connection's limit is later (``protocol``)
_CLOSE = {"Connection": "close"}
_DISCONNECTED = "The client disconnected before the end of the body."
_READ_MORE = 4  # times the bound: a client that is writing may miss the response


async def read_body(request: Request, bytes_max: int = BODY_BYTES_MAX) -> bytes:
    """The body; 413 beyond ``bytes_max``, 408 after ``BODY_TIMEOUT_S``."""
    limit = _Limit()
    timer = asyncio.get_running_loop().call_later(BODY_TIMEOUT_S, limit.expire)
    try:
        return await _read(request, bytes_max)
    except asyncio.CancelledError:
        if not limit.has_expired():
            raise
        raise HTTPException(408, "Timed out reading the request body.", _CLOSE) from None
    finally:
        timer.cancel()


class _Limit:
    """Cancels the task that makes it. A fifth of what ``asyncio.wait_for`` costs, which makes a task of its own."""

    def __init__(self) -> None:
        self._task: Any = asyncio.current_task()
        self._expired = False

    def expire(self) -> None:
        self._expired = True
        self._task.cancel()

    def has_expired(self) -> bool:
        """Whether this is why the task was cancelled, which it then is no more."""
        if not self._expired:
            return False
        return sys.version_info < (3, 11) or self._task.uncancel() == 0


async def read_pieces(request: Request, timeout_s: float = PART_TIMEOUT_S) -> AsyncIterator[bytes]:
    """The body as it comes; 408 after ``timeout_s``, 400 where the client leaves."""
    loop, size = asyncio.get_running_loop(), 0
    end = loop.time() + timeout_s
    more = True
    while more:
        try:
            message = await asyncio.wait_for(request.receive(), end - loop.time())
        except asyncio.TimeoutError:
            raise HTTPException(408, "Timed out reading the part; what has come of it counts.", _CLOSE) from None
        if message["type"] == "http.disconnect":
            raise HTTPException(400, _DISCONNECTED)
        piece: bytes = message.get("body", b"")
        size, more = size + len(piece), message.get("more_body", False)
        request.scope["state"][BODY_BYTES] = size
        if piece:
            yield piece


async def read_json(request: Request, bytes_max: int = BODY_BYTES_MAX) -> dict[str, msgspec.Raw]:
    """The fields of a JSON object, undecoded; else 400 or 415."""
    body = await read_body(request, bytes_max)
    content_type = media_type(request)
    if not body and not content_type:
        return {}
    if content_type != "application/json":
        raise HTTPException(415, f'Unsupported media type "{content_type}" in request.')
    try:
        body.decode()
        return msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError as error:
        raise ValidationError({"non_field_errors": [f"Invalid data. {error}"]}) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise HTTPException(400, f"JSON parse error - {error}") from None


def media_type(request: Request) -> str:
    """The Content-Type without parameters, in lower case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _read(request: Request, bytes_max: int) -> bytes:
    parts: list[bytes] = []
    size, more = 0, True
    while more and size <= _READ_MORE * bytes_max:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise HTTPException(400, _DISCONNECTED)
        part: bytes = message.get("body", b"")
        size, more = size + len(part), message.get("more_body", False)
        request.scope["state"][BODY_BYTES] = size
        if size > bytes_max:
            parts.clear()
        else:
            parts.append(part)
    if size > bytes_max:
        raise HTTPException(413, f"The body is longer than {bytes_max} bytes.")
    return b"".join(parts)
