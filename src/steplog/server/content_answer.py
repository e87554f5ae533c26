"""Answers that are a content: what it is called, whole or a range of it, and never active.

1. A content is never a page of this server, whatever it holds and is called: its type is that of its first bytes, from
   a list of media (``blobs.content_type``), it is an attachment, a browser neither guesses another type (``nosniff``)
   nor lets it do anything (``sandbox``), and no other origin may embed it.
2. It has its SHA-256 as a strong tag, so a download goes on where it was (``Range``, ``If-Range``).
3. It is read a piece at a time, the next once the one before has left.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, cast
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from steplog.printable import printable
from steplog.server.byte_ranges import RangeError, asked_range
from steplog.server.content_reader import ContentReader
from steplog.server.endpoint import Endpoint, JsonResponse, NotModifiedError
from steplog.server.negotiation import is_known
from steplog.server.streaming import WholeResponse

__all__ = ["CHANGING", "LASTING", "ContentEndpoint", "attachment", "content_answer"]

LASTING = "private, max-age=31536000, immutable"  # of an address that always leads to the same content
CHANGING = "private, no-cache"
_POLICY = "sandbox; default-src 'none'; frame-ancestors 'none'"


class ContentEndpoint(Endpoint):
    """A path that leads to a content."""

    async def content(self, request: Request, sha256: str, name: str, caching: str = LASTING) -> Response:
        """The answer with a content of the project, or 404 while it has not arrived."""
        project = await self.project()
        size = await self.read(self.store.content_size, project, sha256)
        if size is None:
            raise HTTPException(404)
        return await content_answer(request, cast(ContentReader, self.state.reader), sha256, size, name, caching)


async def content_answer(
    request: Request, reader: ContentReader, sha256: str, size: int, name: str, caching: str = LASTING
) -> Response:
    """The answer to GET and HEAD with a content, called ``name`` where it is saved.

    Raises NotModifiedError, StoreError.
    """
    headers = {
        "ETag": f'"{sha256}"',
        "Cache-Control": caching,
        "Vary": "Authorization, Cookie",  # who signs out leaves nothing that the next one finds
        "Accept-Ranges": "bytes",
        "Content-Disposition": attachment(name),
        "Content-Security-Policy": _POLICY,
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    if is_known(headers["ETag"], ", ".join(request.headers.getlist("if-none-match"))):
        raise NotModifiedError({each: headers[each] for each in ("ETag", "Cache-Control", "Vary")})
    asked = request.headers.get("range") if request.method == "GET" else None
    try:
        part = asked_range(asked, request.headers.get("if-range"), headers["ETag"], size)
    except RangeError as error:
        return JsonResponse({"detail": str(error)}, 416, {"Content-Range": f"bytes */{size}"})
    first, end = part or (0, size)
    found = await reader.opened(sha256, first, 0 if request.method == "HEAD" else end, size)
    headers["Content-Length"] = str(end - first)
    if part is not None:
        headers["Content-Range"] = f"bytes {first}-{end - 1}/{size}"
    return WholeResponse(request, _read(reader, found.pieces), found.media_type, 200 if part is None else 206, headers)


def attachment(name: str) -> str:
    """The ``Content-Disposition`` of a download with this name.

    https://www.rfc-editor.org/rfc/rfc6266

    >>> attachment("épreuve 1.txt")
    "attachment; filename*=UTF-8''%C3%A9preuve%201.txt"
    """
    # What ``printable`` replaces can turn the direction of text, and so show another suffix.
    plain = printable(name, replacement="_").replace("/", "_").replace("\\", "_")
    return f"attachment; filename*=UTF-8''{quote(plain, safe='')}"


async def _read(reader: ContentReader, pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    end: Any = object()
    while (piece := await reader.run(lambda: next(pieces, end))) is not end:
        yield piece
