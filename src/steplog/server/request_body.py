"""Reading what a client sends: bounded in size, in time and in depth.

A body is read to its end before it is refused, as far as the bound goes: an answer that is sent while the client
still writes is lost when the connection closes under it, and with it the reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Receive

__all__ = ["BODY_BYTES_MAX", "BODY_TIMEOUT_S", "ValidationError", "drain", "read_body", "read_json"]

BODY_BYTES_MAX = 2 * 1024 * 1024
BODY_TIMEOUT_S = 30.0
_DRAINED_BYTES_MAX = 4 * BODY_BYTES_MAX


class ValidationError(Exception):
    """A body that does not say what it must; ``errors`` is the answer, by field."""

    def __init__(self, errors: Mapping[str, Any]) -> None:
        super().__init__(errors)
        self.errors = errors


async def read_body(request: Request) -> bytes:
    """The body; 413 when it is longer than ``BODY_BYTES_MAX``, 408 when it takes longer than ``BODY_TIMEOUT_S``."""
    try:
        return await asyncio.wait_for(_read(request.receive), BODY_TIMEOUT_S)
    except asyncio.TimeoutError:
        raise HTTPException(408, "The request took too long.", {"Connection": "close"}) from None


async def drain(receive: Receive) -> None:
    """Read a body that nobody wants, within the same bounds."""
    # Whatever is wrong with the body, the client hears the reason that it is refused for.
    with suppress(HTTPException, asyncio.TimeoutError):
        await asyncio.wait_for(_read(receive, keep=False), BODY_TIMEOUT_S)


async def read_json(request: Request) -> dict[str, msgspec.Raw]:
    """The fields of a JSON object, each still as JSON text."""
    body = await read_body(request)
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
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


async def _read(receive: Receive, keep: bool = True) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise HTTPException(400, "The request was cut.")
        part: bytes = message.get("body", b"")
        size += len(part)
        if size <= BODY_BYTES_MAX and keep:
            parts.append(part)
        elif size > BODY_BYTES_MAX:
            parts.clear()
        if size > _DRAINED_BYTES_MAX or not message.get("more_body", False):
            break
    if size > BODY_BYTES_MAX:
        raise HTTPException(413, f"The body is longer than {BODY_BYTES_MAX} bytes.")
    return b"".join(parts)
