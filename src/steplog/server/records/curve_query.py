"""What is asked of the curves of many runs, what is answered, and how far an answer goes. Pure.

A client that polls sends the *token* of the last answer, and gets only the buckets that were touched since. The token
says what was answered: by run its state, and what all curves share. It is signed, so what comes back was made here::

    base64url(HMAC-SHA-256, 16 bytes ‖ deflate(MessagePack [instance, digest of the question, Answered]))

A token that is not of this server and this question is as if there were none.
"""

from __future__ import annotations

import hashlib
import hmac
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

__all__ = [
    "BUCKETS_MAX",
    "CURVES_MAX",
    "NAMES_MAX",
    "RUNS_MAX",
    "Answered",
    "CurveAnswer",
    "CurveQuery",
    "RunState",
    "Signer",
]

RUNS_MAX = 10_000
NAMES_MAX = 200
CURVES_MAX = 200_000  # runs times names: each is looked for
BUCKETS_MAX = 500_000  # of all curves together: 1,000 runs with 200 each, and more
_SIGNATURE_BYTES = 16
_TOKEN_CHARACTERS_MAX = 1 << 20
_TOKEN_BYTES_MAX = 1 << 22


class RunState(msgspec.Struct, frozen=True, array_like=True):
    """As of an answer: what of a run has arrived, is packed, could not be packed, and when it began, in ns."""

    arrivals: int
    packed: int
    sealed: int
    origin: int


class Answered(msgspec.Struct, frozen=True, array_like=True):
    """What an answer has: the grid, and by the id of each run its state."""

    width: int
    points_max: int
    low: int  # the lowest and highest place on the axis
    high: int
    summarized: int  # slices of chunks of older versions
    runs: dict[int, RunState]


class CurveQuery(msgspec.Struct, frozen=True):
    """Curves of these runs (uuids) and metrics, over steps, times or times since the run began.

    ``low`` and ``high`` are on that axis: steps or nanoseconds. There are at most ``buckets`` a curve.
    """

    runs: Sequence[str]
    names: Sequence[str]
    x: str = "step"
    low: int | None = None
    high: int | None = None
    buckets: int = 1000
    since: Answered | None = None


class CurveAnswer(msgspec.Struct, frozen=True):
    """Buckets of a grid of ``width``, as columns: the fields of ``Bucket``, after ``series``, a place in that list.

    ``series`` has places in ``runs`` and ``names``. ``whole``: those of which what was answered before goes. If
    ``is_reset``, all of it does. ``missing``: runs that are not there.
    """

    width: int
    is_reset: bool
    runs: Sequence[str]
    names: Sequence[str]
    series: Sequence[tuple[int, int]]
    whole: Sequence[int]
    missing: Sequence[str]
    columns: Mapping[str, Sequence[Any]]
    answered: Answered


class Signer:
    """Makes tokens and reads them."""

    def __init__(self, instance: str, secret: str) -> None:
        """Of the server with this id; the secret is known to it alone."""
        self._instance = instance
        self._key = hashlib.sha256(f"curves\0{instance}\0{secret}".encode()).digest()

    def token(self, question: object, answered: Answered) -> str:
        """The token of an answer to a question: what a client asks, as JSON."""
        content = zlib.compress(msgspec.msgpack.encode([self._instance, _digest(question), answered]), 1)
        return urlsafe_b64encode(self._signature(content) + content).decode()

    def read(self, question: object, token: str) -> Answered | None:
        """What was answered; None if the token is another server's, or of another question."""
        try:
            if len(token) > _TOKEN_CHARACTERS_MAX:
                return None
            signed = urlsafe_b64decode(token.encode("ascii"))
            content = signed[_SIGNATURE_BYTES:]
            if not hmac.compare_digest(signed[:_SIGNATURE_BYTES], self._signature(content)):
                return None
            plain = zlib.decompressobj().decompress(content, _TOKEN_BYTES_MAX)
            instance, digest, answered = msgspec.msgpack.decode(plain, type=tuple[str, bytes, Answered])
        except (ValueError, zlib.error, msgspec.MsgspecError):
            return None
        return answered if (instance, digest) == (self._instance, _digest(question)) else None

    def _signature(self, content: bytes) -> bytes:
        return hmac.new(self._key, content, "sha256").digest()[:_SIGNATURE_BYTES]


def _digest(question: object) -> bytes:
    return hashlib.blake2b(msgspec.json.encode(question, order="sorted"), digest_size=8).digest()
