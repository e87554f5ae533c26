"""Ranges on their way to a run: a thread encodes and sends them in order."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import msgspec

from steplog.delivery import wire
from steplog.delivery.exchange import Request
from steplog.delivery.verdicts import Verdict
from steplog.journal.range import POSITION_MAX, Range, decode, encode
from steplog.transfer.exchanges import Exchanges, RefusedError
from steplog.transfer.planes import Piece

__all__ = ["BehindError", "Ranges", "Sending"]

_HEADERS = {"Content-Type": wire.CONTENT_TYPE_RANGE, "Content-Encoding": "deflate", "Steplog-Generation": "1"}
_WAITING_MAX = 2  # batches, besides the one that is sent
_HALVED = frozenset((Verdict.REFUSED, Verdict.TOO_LARGE))


class BehindError(Exception):
    """The server has lost records that it had; go on from ``mark``."""

    def __init__(self, mark: int) -> None:
        super().__init__(mark)
        self.mark = mark


class _Named(msgspec.Struct):
    name: str


class _Answer(msgspec.Struct):
    accepted: int
    run: _Named | None = None


class Ranges:
    """Those of a run, at ``path``. A record that the server refuses is found by halving, and left out."""

    def __init__(self, exchanges: Exchanges, path: str) -> None:
        self._exchanges = exchanges
        self._path = path
        self.accepted = 0
        self.duplicates = 0
        self.left_out: Counter[str] = Counter()

    def mark(self, writer: str) -> int:
        """How far the server has come with a writer: it tells whoever is beyond that."""
        nothing = Range(writer, POSITION_MAX, POSITION_MAX, {}, b"", b"")
        try:
            self._post(encode(nothing), writer, POSITION_MAX, POSITION_MAX)
        except BehindError as error:
            return error.mark
        return POSITION_MAX

    def say(self, writer: str, pieces: Sequence[Piece]) -> tuple[bool, str | None]:
        """Send what is said of the run, and is no record of the source: whether it is new, and the run's name then."""
        is_new, name = False, None
        for piece in pieces:
            told = wire.read(self._post(piece.body, writer, piece.first, piece.end), _Answer)
            if told is not None:
                is_new = is_new or told.accepted > 0
                name = name if told.run is None else told.run.name
        return is_new, name

    def send(self, writer: str, piece: Piece) -> None:
        """Send records of the source. Raises BehindError, and as ``Exchanges.send``."""
        self.left_out.update(piece.left_out)
        try:
            self._count(self._post(piece.body, writer, piece.first, piece.end))
        except RefusedError as error:
            if error.judgement.verdict not in _HALVED:
                raise
            self._halve(decode(piece.body), error)

    def _halve(self, refused: Range, error: RefusedError) -> None:
        if refused.end - refused.first == 1:
            self.left_out[f"that the server refuses: {error.words}"] += refused.records
            self._post(encode(refused.without(refused.first)), refused.writer, refused.first, refused.end)
            return
        middle = (refused.first + refused.end) // 2
        for first, end in ((refused.first, middle), (middle, refused.end)):
            part = refused.part(first, end)
            try:
                self._count(self._post(encode(part), part.writer, first, end))
            except RefusedError as again:
                if again.judgement.verdict not in _HALVED:
                    raise
                self._halve(part, again)

    def _count(self, answer: bytes) -> None:
        told = wire.read(answer, wire.Acknowledgement)
        if told is not None:
            self.accepted += told.accepted
            self.duplicates += told.duplicates

    def _post(self, body: bytes, writer: str, first: int, end: int) -> bytes:
        request = Request("POST", self._path, body, _HEADERS)
        try:
            return self._exchanges.send(request, lambda told: wire.acknowledges(told, writer, first, end)).body
        except RefusedError as error:
            if error.judgement.verdict is Verdict.CONFLICT:
                raise BehindError(error.judgement.mark) from None
            raise


class Sending:
    """A thread that encodes and sends; leave the block when all is put. An error there is raised here."""

    def __init__(self, exchanges: Exchanges, ranges: Ranges) -> None:
        self._exchanges = exchanges
        self._ranges = ranges
        self._pool = ThreadPoolExecutor(1, "steplog-import")
        self._waiting: deque[Future[None]] = deque()

    def put(self, writer: str, encode_batch: Callable[[], list[Piece]]) -> None:
        """Send what ``encode_batch`` returns; waits while enough is on its way."""
        while len(self._waiting) > _WAITING_MAX:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(self._send, writer, encode_batch))

    def _send(self, writer: str, encode_batch: Callable[[], list[Piece]]) -> None:
        for piece in encode_batch():
            self._ranges.send(writer, piece)

    def __enter__(self) -> Sending:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            while kind is None and self._waiting:
                self._waiting.popleft().result()
        except BaseException as failed:
            kind = type(failed)
            raise
        finally:
            if kind is not None:
                for each in self._waiting:
                    each.cancel()
                if not issubclass(kind, Exception):
                    self._exchanges.interrupt()
            self._pool.shutdown(cancel_futures=True)
