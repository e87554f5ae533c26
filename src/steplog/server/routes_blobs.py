"""The endpoint of contents by their hash; ``docs/api.md`` specifies it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import cast

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from steplog.server.blobs.content_store import WrongContentError
from steplog.server.byte_ranges import ContentPart, RangeError, sent_part
from steplog.server.content_answer import ContentEndpoint
from steplog.server.content_uploads import ContentUploads, Received
from steplog.server.endpoint import JsonResponse, failure
from steplog.server.file_announcement import SHA256
from steplog.server.file_types import QuotaExceededError
from steplog.server.permissions import Right
from steplog.server.request_body import read_pieces
from steplog.server.store_types import StoreFullError

__all__ = ["Blob"]

_RETRY_FULL_S = 60


class Blob(ContentEndpoint, get=Right.READ, put=Right.WRITE):
    """``/{namespace}/projects/{project}/blobs/{sha256}``."""

    async def get(self, request: Request) -> Response:
        """The content."""
        return await self.content(request, self._sha256, self._sha256)

    async def put(self, request: Request) -> Response:
        """Send a part of it, or ask how far it has come."""
        project, sha256 = await self.project(), self._sha256
        try:
            part = sent_part(request.headers.get("content-range"))
            _check_length(request, part)
        except RangeError as error:
            raise HTTPException(400, str(error)) from None
        uploads = cast(ContentUploads, self.state.uploads)
        try:
            received = await uploads.receive(project, sha256, part, lambda: _pieces(request, part))
        except WrongContentError:
            words = f"What was sent has not the hash {sha256}, and was removed. Send it from its beginning."
            return JsonResponse({"detail": words}, 422)
        except QuotaExceededError as error:
            return JsonResponse({"detail": str(error), "used": error.used, "allowed": error.bytes_max}, 413)
        except StoreFullError as error:
            return failure(request.scope, 507, str(error), {"Retry-After": str(_RETRY_FULL_S)})
        return _answer(received, sha256, part)

    @property
    def _sha256(self) -> str:
        text = str(self.scope["path_params"]["sha256"])
        if not SHA256.fullmatch(text):
            raise HTTPException(404)
        return text


def _check_length(request: Request, part: ContentPart) -> None:
    """Raise RangeError where the body is of another length than its range; one in chunks is counted as it comes."""
    length = request.headers.get("content-length")
    if length is not None and int(length) != part.end - part.first:
        raise RangeError(f"The body has {length} bytes, and its Content-Range {part.end - part.first}.")


async def _pieces(request: Request, part: ContentPart) -> AsyncIterator[bytes]:
    """The body; 400 where it is longer than its range."""
    left = part.end - part.first
    async for piece in read_pieces(request):
        yield piece[:left]
        left -= len(piece)
        if left < 0:
            raise HTTPException(400, "The body is longer than its Content-Range.")


def _answer(received: Received, sha256: str, part: ContentPart) -> Response:
    if received.present:
        return JsonResponse({"sha256": sha256, "size": part.size}, 201 if received.is_new else 200)
    headers = {"Range": f"bytes=0-{received.bytes - 1}"} if received.bytes else {}
    return Response(status_code=308, headers=headers)
