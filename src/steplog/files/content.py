"""The bytes of a file, wherever it is.

1. An answer that breaks off is asked for again from where it was (``Range``), as often as that brings something, and
   then as often as ``retrying`` has it. A server that knows no ranges sends the whole again, and what has come is
   skipped.
2. What the server says of hash and size is a claim: whoever takes the bytes checks them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Protocol

from steplog.blobs.waiting_files import WaitingFiles
from steplog.delivery.verdicts import is_proxys_404
from steplog.errors import FormatError, RunFileNotFoundError, ServerUnavailableError
from steplog.files.requests import ProjectRequests
from steplog.network.stream import Stream
from steplog.printable import printable
from steplog.reading.retrying import no_answer, retried

__all__ = ["Content", "ServerContent", "WaitingContent", "WrongContentError", "checked"]

_PIECE_BYTES = 1024 * 1024
_TAG = re.compile(r'"([0-9a-f]{64})"')
_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18})")
_LENGTH = re.compile("[0-9]{1,18}")


class WrongContentError(FormatError):
    """The bytes are not those that the file should have; asking again does not help."""


class Content(Protocol):
    """What a file is read from.

    Attributes:
        sha256: what it should have, in hexadecimal; "" until it is known.
        size: in bytes; None until it is known.
    """

    sha256: str
    size: int | None

    def pieces(self, first: int = 0) -> Iterator[bytes]:
        """The bytes from ``first`` on. Raises RunFileNotFoundError, ServerUnavailableError, InvalidAPIKeyError."""

    def ask(self) -> None:
        """Have ``sha256`` and ``size`` known. Raises as ``pieces`` does."""


def checked(content: Content, words: str) -> Iterator[bytes]:
    """The whole. Raises WrongContentError at its end if it is another one; ``words`` say of what."""
    content.ask()
    digest, size = hashlib.sha256(), 0
    for piece in content.pieces():
        digest.update(piece)
        size += len(piece)
        yield piece
    if digest.hexdigest() != content.sha256 or size != content.size:
        raise WrongContentError(f"{words}: its content is not what it should be (SHA-256 {content.sha256})")


class WaitingContent:
    """A content that waits on this machine; ``sent`` is where it is once it was sent, if that is known."""

    def __init__(self, waiting: WaitingFiles, sha256: str, size: int, sent: Content | None = None) -> None:
        self.sha256 = sha256
        self.size: int | None = size
        self._waiting = waiting
        self._end = size
        self._sent = sent

    def pieces(self, first: int = 0) -> Iterator[bytes]:
        """See ``Content``."""
        at = first
        while at < self._end:
            try:
                piece = self._waiting.read(self.sha256, at, _PIECE_BYTES)
            except FileNotFoundError:
                if self._sent is not None:
                    yield from self._sent.pieces(at)
                    return
                words = "the file was sent to its server meanwhile, and is not on this machine any more; ask again"
                raise RunFileNotFoundError(words) from None
            if not piece:
                return
            yield piece
            at += len(piece)

    def ask(self) -> None:
        """See ``Content``."""


class ServerContent:
    """A content on a server, at a path; ``words`` say which file it is."""

    def __init__(
        self, requests: ProjectRequests, path: str, words: str, sha256: str = "", size: int | None = None
    ) -> None:
        self.sha256, self.size = sha256, size
        self.words = words
        self._requests = requests
        self._path = path

    def pieces(self, first: int = 0) -> Iterator[bytes]:
        """See ``Content``."""
        reading = _Reading(self, first)
        try:
            while piece := retried(reading.next, sleep=self._requests.sleep, begun=lambda: reading.begun):
                yield piece
        finally:
            reading.close()

    def ask(self) -> None:
        """See ``Content``."""
        if not self.sha256 or self.size is None:
            retried(lambda: self.begin(0).close(), sleep=self._requests.sleep)

    def begin(self, first: int) -> Stream:
        """The answer from ``first`` on, or the whole (200). Raises as ``pieces`` does."""
        headers = {"Range": f"bytes={first}-"} if first else {}
        if first and self.sha256:
            headers["If-Range"] = f'"{self.sha256}"'
        stream = self._requests.stream("GET", self._path, headers)
        if stream.status not in (200, 206):
            raise self._refused(stream)
        try:
            self._note(stream, first)
        except BaseException:
            stream.close()
            raise
        return stream

    def _refused(self, stream: Stream) -> Exception:
        response = stream.response()
        if response.status in (403, 404, 410) and not is_proxys_404(response.status, response.body):
            words = "it has not arrived yet, or is gone; the machine that logged it sends it: steplog sync"
            return RunFileNotFoundError(printable(f"{self._requests.base_url} does not have {self.words}: {words}"))
        if response.status == 416:
            return WrongContentError(printable(f"{self.words}: the server's content is shorter than it said"))
        return no_answer(response)

    def _note(self, stream: Stream, first: int) -> None:
        """Take hash and size from an answer, or check that they are those that are known."""
        tag = _TAG.fullmatch(stream.headers.get("etag", ""))
        told = stream.headers.get("content-length", "")
        size = int(told) if stream.status == 200 and _LENGTH.fullmatch(told) else None
        if stream.status == 206:
            part = _RANGE.fullmatch(stream.headers.get("content-range", ""))
            if part is None or int(part[1]) != first:
                raise WrongContentError(printable(f"{self.words}: the server sends another part than was asked for"))
            size = int(part[2])
        self.sha256 = self.sha256 or (tag[1] if tag else "")
        self.size = size if self.size is None else self.size
        if not self.sha256 or self.size is None:
            raise ServerUnavailableError(printable(f"{self.words}: the server does not say its size and hash"))
        if (tag and tag[1] != self.sha256) or size not in (None, self.size):
            raise WrongContentError(printable(f"{self.words}: the server has another content than it said"))


class _Reading:
    """Reads a content from ``at`` on."""

    def __init__(self, content: ServerContent, at: int) -> None:
        self.begun = False
        self._content = content
        self._at = at
        self._skip = 0  # bytes of the present answer that came before
        self._stream: Stream | None = None

    def next(self) -> bytes:
        """The next bytes; none after the last. What is raised may be tried again."""
        content = self._content
        try:
            while True:
                if self._stream is None:
                    if self._at == content.size and self.begun:
                        return b""
                    self._stream = content.begin(self._at)
                    self._skip = self._at if self._stream.status == 200 else 0
                    self.begun = True
                piece = next(self._stream, b"")
                if not piece:
                    return self._ended()
                if self._skip >= len(piece):
                    self._skip -= len(piece)
                    continue
                piece, self._skip = piece[self._skip :], 0
                self._at += len(piece)
                if content.size is not None and self._at > content.size:
                    raise WrongContentError(printable(f"{content.words}: the server sends more than it said"))
                return piece
        except BaseException:
            self.close()
            raise

    def _ended(self) -> bytes:
        if self._at != self._content.size:
            raise ServerUnavailableError(printable(f"{self._content.words}: the answer ends before the file"))
        self.close()
        return b""

    def close(self) -> None:
        """Let the answer go."""
        if self._stream is not None:
            self._stream.close()
        self._stream = None
