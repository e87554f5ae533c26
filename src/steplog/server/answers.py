"""An answer on its way out: 304 where the client has it, compressed where the client takes that.

1. Compressed is what is made of text or columns, has no coding, and no length of less than ``COMPRESSED_BYTES_MIN``.
   What is streamed stays so: each message is sent whole before the next is asked for.
2. One thread compresses for all, in slices of ``_SLICE_BYTES``: an answer of 10 MB takes 0.1 s of one processor, and
   the event loop goes on meanwhile.
3. An answer to GET that is whole and has no tag gets one of its bytes. Routes that read much give their own
   (``Endpoint.tag``), and answer 304 before they read.
4. An answer to HEAD has the head of the one to GET, but for its length where that is compressed.

No answer holds a key or the page's token: what somebody else has written into it cannot be used to guess one by the
size of the whole.
"""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from typing import TypeVar

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from steplog.server.negotiation import Accepted, accepted, is_known, weak_tag

__all__ = ["COMPRESSED_BYTES_MIN", "AnswerMiddleware", "compressed", "digest_of", "tag_of"]

_T = TypeVar("_T")

COMPRESSED_BYTES_MIN = 1024
_LEVEL = 1  # a quarter of the size at 100 MB/s; level 6: a fifth at 40
_SLICE_BYTES = 256 * 1024
_INLINE_BYTES_MAX = 8 * 1024  # 0.1 ms, as long as a thread takes to be asked
_WINDOW_BITS = {"gzip": 31, "deflate": 15}
_KINDS = ("text/", "application/json", "application/x-ndjson", "image/svg+xml", "application/vnd.steplog.columns")
_READS = ("GET", "HEAD")
_STREAMED = -1  # the length of what is not made whole
_OF_A_BODY = ("content-type", "content-length", "content-encoding")


class AnswerMiddleware:
    """Passes requests on, and sends their answers in the form they ask for."""

    def __init__(self, app: ASGIApp, compressor: Executor) -> None:
        self._app = app
        self._compressor = compressor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = Headers(scope=scope)
        form = accepted(_joined(asked, "accept-encoding"))
        if form.coding is None and not form.plain:
            refusal = JSONResponse({"detail": "The answer can be had as gzip, as deflate, or as it is."}, 406)
            await refusal(scope, receive, send)
            return
        known = _joined(asked, "if-none-match") if scope["method"] in _READS else None
        answer = _Answer(send, scope["method"], form, known, self._compressor)
        await self._app(scope, receive, answer.send)


class _Answer:
    """One answer; ``send`` takes its messages."""

    def __init__(self, send: Send, method: str, form: Accepted, known: str | None, compressor: Executor) -> None:
        self._send = send
        self._method = method
        self._form = form
        self._known = known
        self._executor = compressor
        self._start: Message | None = None
        self._coder: _Coder | None = None
        self._empty = False  # nothing more is sent: 304, or the head of what would be compressed

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        if self._start is not None:
            await self._begin(self._start, body)
            self._start = None
        if self._empty:
            return
        if self._coder is None:
            await self._send(message)
            return
        for piece, is_last in _slices(body, more):
            coded = await self._off_loop(self._coder.code, piece, is_last)
            if coded or is_last:
                await self._send({"type": "http.response.body", "body": coded, "more_body": not is_last})

    async def _begin(self, start: Message, body: bytes) -> None:
        headers = MutableHeaders(raw=list(start.get("headers", ())))
        reads, status = self._method in _READS and start["status"] == 200, start["status"]
        length = int(headers.get("content-length", _STREAMED))
        if reads and "etag" not in headers and length != _STREAMED:
            headers["etag"] = await self._off_loop(tag_of, body)
        codes = headers.get("content-type", "").startswith(_KINDS) and "content-encoding" not in headers
        if codes:
            headers.add_vary_header("Accept-Encoding")
        if reads and is_known(headers.get("etag", ""), self._known):
            status, self._empty = 304, True
            for name in _OF_A_BODY:
                del headers[name]
        elif codes and self._form.coding and not (self._form.plain and 0 <= length < COMPRESSED_BYTES_MIN):
            headers["content-encoding"] = self._form.coding
            del headers["content-length"]
            self._empty = self._method == "HEAD"
            self._coder = _Coder(self._form.coding)
        await self._send({**start, "status": status, "headers": headers.raw})
        if self._empty:
            await self._send({"type": "http.response.body", "body": b""})

    async def _off_loop(self, work: Callable[..., _T], piece: bytes | memoryview, *arguments: bool) -> _T:
        """Work on a piece in the thread that all share, unless it is done as soon as that could be asked."""
        if len(piece) <= _INLINE_BYTES_MAX:
            return work(piece, *arguments)
        return await asyncio.get_running_loop().run_in_executor(self._executor, work, piece, *arguments)


class _Coder:
    """The beginning of a compressed answer."""

    def __init__(self, coding: str) -> None:
        self._stream = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW_BITS[coding])

    def code(self, piece: memoryview, is_last: bool) -> bytes:
        """More of it, so that the client can read the piece."""
        return self._stream.compress(piece) + self._stream.flush(zlib.Z_FINISH if is_last else zlib.Z_SYNC_FLUSH)


def compressed(body: bytes, coding: str) -> bytes:
    """The whole of a body that is made once and sent often."""
    stream = zlib.compressobj(9, zlib.DEFLATED, _WINDOW_BITS[coding])
    return stream.compress(body) + stream.flush()


def tag_of(body: bytes | memoryview) -> str:
    """The tag of an answer with this body."""
    return weak_tag(digest_of(body))


def digest_of(body: bytes | memoryview) -> str:
    """What is the same of the same bytes."""
    return hashlib.blake2b(body, digest_size=12, usedforsecurity=False).hexdigest()


def _slices(body: bytes, more: bool) -> Iterator[tuple[memoryview, bool]]:
    """The body in pieces, at least one, and whether it is the last."""
    view = memoryview(body)
    for at in range(0, max(len(view), 1), _SLICE_BYTES):
        yield view[at : at + _SLICE_BYTES], not more and at + _SLICE_BYTES >= len(view)


def _joined(headers: Headers, name: str) -> str | None:
    """A header that is a list, which may be sent in parts."""
    found = headers.getlist(name)
    return ", ".join(found) if found else None
