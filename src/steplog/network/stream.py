"""An answer whose body is read piece by piece, of any length.

1. The head has a deadline, and each read one of its own; there is none for the whole, and no limit of size.
2. A body that is cut, or stalls, raises ServerUnavailableError.
3. A key that the server repeats is replaced by as many asterisks, so a piece is given out when the next one has come.
4. The connection is kept for other exchanges once the body was read to its end; a stream that is closed, or dropped,
   before that closes it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager

from msgspec.structs import replace

from steplog.delivery.exchange import ANSWER_BYTES_MAX
from steplog.network.response import Response, joined
from steplog.secret import Secret

__all__ = ["Stream", "masked"]


class Stream(AbstractContextManager["Stream"]):
    """The answer: an iterator of its body. Use it as a context manager, or ``close`` it.

    Attributes:
        status: of the answer.
        headers: by lower-case name.
    """

    def __init__(self, head: Response, pieces: Iterator[bytes], end: Callable[[], None] = lambda: None) -> None:
        self.status = head.status
        self.headers: Mapping[str, str] = head.headers
        self._head, self._pieces = head, pieces
        self._is_closed = False  # before its end
        self._end = deque([end], maxlen=1)  # popped once, whichever thread closes

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._is_closed:
            raise ValueError("the stream is closed")
        try:
            return next(self._pieces)
        except BaseException:  # StopIteration, too
            self._let_go()
            raise

    def response(self, answer_bytes_max: int = ANSWER_BYTES_MAX) -> Response:
        """What is left of the body as a whole answer, of at most so many bytes; the stream is closed."""
        with self:
            body, whole = joined(self, answer_bytes_max)
        return replace(self._head, body=body, whole=whole)

    def close(self) -> None:
        """Let the connection go; what is read afterwards, before the end has come, raises ValueError."""
        self._is_closed = self._let_go() or self._is_closed

    def _let_go(self) -> bool:
        """Keep or close the connection. Whether that was not done before."""
        try:
            end = self._end.pop()
        except IndexError:  # another thread was faster
            return False
        end()
        return True

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self._let_go()


def masked(pieces: Iterator[bytes], secret: Secret | None, characters_min: int) -> Iterator[bytes]:
    """The same with asterisks for the secret, also where it is cut in two by the end of a piece.

    What is raised has passed through frames that hold the secret.
    """
    spellings = () if secret is None else tuple(map(str.encode, secret.spellings(characters_min)))
    if not spellings:
        yield from pieces
        return
    reach = max(map(len, spellings)) - 1
    held = b""
    failure = None
    while failure is None:
        try:
            piece = next(pieces, b"")
        except Exception as error:  # noqa: BLE001 - raised below, after what has come
            failure = error
            break
        if not piece:
            break
        is_short = len(piece) <= reach
        if is_short or _is_cut_in(held[-reach:] + piece[:reach], spellings):
            whole = _without(held + piece, spellings)
            end = len(whole) - reach if is_short else len(held)
            ready, held = whole[: max(0, end)], whole[max(0, end) :]
        else:
            ready, held = held, _without(piece, spellings)
        if ready:
            yield ready
    if held:
        yield held
    if failure is not None:
        try:
            raise failure
        finally:
            failure = None  # it refers to this frame


def _is_cut_in(seam: bytes, spellings: Iterable[bytes]) -> bool:
    return any(spelling in seam for spelling in spellings)


def _without(text: bytes, spellings: Iterable[bytes]) -> bytes:
    for spelling in spellings:
        if spelling in text:
            text = text.replace(spelling, b"*" * len(spelling))
    return text
