"""Answers that are read and sent a piece at a time.

A piece is made in a thread once the one before it has left, so a slow client costs neither memory nor a snapshot. What
fails before the first piece is answered as elsewhere. After it the status is gone already: the connection is dropped,
so that a client does not take what it has for all there is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from itertools import chain
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Send

from steplog.server.protocol import CONNECTION
from steplog.server.store_types import RefusedError

__all__ = ["WholeResponse", "streamed"]

_log = logging.getLogger("steplog.server")


async def streamed(request: Request, pieces: Iterator[bytes], media_type: str) -> Response:
    """The answer with these pieces; of a HEAD none is made but the first."""
    first = await run_in_threadpool(next, pieces, b"")
    rest = () if request.method == "HEAD" else pieces
    return WholeResponse(request, chain((first,), rest), media_type)


class WholeResponse(StreamingResponse):
    """Pieces as they are made; where that fails after the first one, the connection is dropped."""

    def __init__(
        self,
        request: Request,
        pieces: Iterator[bytes] | AsyncIterator[bytes],
        media_type: str,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(pieces, status, headers, media_type)
        self._request = request

    async def stream_response(self, send: Send) -> None:
        """Send them."""
        try:
            await super().stream_response(send)
        except RefusedError as error:
            connection: Any = self._request.scope.get("state", {}).get(CONNECTION)
            if connection is None:
                raise
            _log.warning("an answer to %s was broken off: %s", self._request.url.path, error)
            connection.drop()
            await asyncio.sleep(0)  # until the connection is lost, the answer counts as forgotten
