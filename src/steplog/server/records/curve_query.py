"""What is asked of the curves of many runs, what is answered, and how far an answer goes. Pure.

A client that polls sends *tokens* of earlier answers, and gets only the buckets that were touched since. A token says
what was answered: of each run its state, of each metric its grid. It is signed, so what comes back was made here::

    base64url(HMAC-SHA-256, 16 bytes ‖ deflate(MessagePack [digest of the question, Answered]))

1. The question of a token is the axis, its range and the number of buckets. Runs and metrics are not part of it: what
   a token says of others does not count, and what it does not cover is answered whole.
2. Of several tokens each says of which curves it is. Where two are of one curve, that with more points counts.
3. A token that is not of this server and this question is as if there were none at all.
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
    "TOKENS_MAX",
    "Answered",
    "CurveAnswer",
    "CurveQuery",
    "GridState",
    "Known",
    "RunState",
    "Signer",
    "digest_of",
    "known_of",
]

RUNS_MAX = 10_000
NAMES_MAX = 200
CURVES_MAX = 200_000  # runs times names: each is looked for
BUCKETS_MAX = 500_000  # of all curves together: 1,000 runs with 200 each, and more
TOKENS_MAX = 32
_SIGNATURE_BYTES = 16
_DIGEST_BYTES = 6
_TOKEN_CHARACTERS_MAX = 1 << 20
_TOKEN_BYTES_MAX = 1 << 22


class RunState(msgspec.Struct, frozen=True, array_like=True):
    """As of an answer: what of a run has arrived, is packed, could not be packed, and when it began, in ns."""

    arrivals: int
    packed: int
    sealed: int
    origin: int


class GridState(msgspec.Struct, frozen=True, array_like=True):
    """As of an answer: the grid of a metric, whose buckets ``low`` to ``high`` it had; ``high < low``: none."""

    digest: bytes
    shift: int  # the width is 2 ** shift
    points_max: int
    low: int
    high: int


class Answered(msgspec.Struct, frozen=True, array_like=True):
    """What an answer has: all curves of these metrics and, by the id of each, runs."""

    summarized: int  # slices of chunks of older versions
    names: list[GridState]
    runs: dict[int, RunState]


class Known(msgspec.Struct):
    """What was answered of a metric before."""

    width: int
    points_max: int
    extent: tuple[int, int] | None
    runs: dict[int, RunState]


class CurveQuery(msgspec.Struct, frozen=True):
    """Curves of these runs (uuids) and metrics, over steps, times or times since the run began.

    ``low`` and ``high`` are on that axis: steps or nanoseconds. There are at most ``buckets`` a curve. ``is_all``: the
    runs are all that there are, so that one that was answered and is not among them is to be taken back.
    """

    runs: Sequence[str]
    names: Sequence[str]
    x: str = "step"
    low: int | None = None
    high: int | None = None
    buckets: int = 1000
    since: Sequence[Answered] = ()
    is_all: bool = False


class CurveAnswer(msgspec.Struct, frozen=True):
    """Buckets of grids, as columns: the fields of ``Bucket``, after ``series``, a place in that list.

    ``series`` has places in ``runs`` and ``names``. ``widths``: of the buckets of each of the names. ``origins``: where
    the axis of each of the runs begins, in ns since the epoch. ``whole``: those of which what was answered before goes.
    If ``is_reset``, all of it does. ``missing``: runs that are not there.
    """

    is_reset: bool
    runs: Sequence[str]
    origins: Sequence[int]
    names: Sequence[str]
    widths: Sequence[int]
    series: Sequence[tuple[int, int]]
    whole: Sequence[int]
    missing: Sequence[str]
    columns: Mapping[str, Sequence[Any]]
    answered: Answered


def known_of(names: Sequence[str], since: Sequence[Answered]) -> dict[str, Known]:
    """By metric, what was answered of it; of answers on several grids those on the widest one."""
    found: dict[str, Known] = {}
    by_digest = {digest_of(name): name for name in names}
    for answered in since:
        for grid in answered.names:
            name = by_digest.get(grid.digest)
            if name is None:
                continue
            known, width = found.get(name), 1 << grid.shift
            if known is None or (width, grid.points_max) > (known.width, known.points_max):
                extent = known.extent if known is not None else None
                known = found[name] = Known(width, grid.points_max, extent, {})
            if grid.low <= grid.high:
                low, high = grid.low * width, (grid.high + 1) * width - 1
                before = known.extent or (low, high)
                known.extent = min(low, before[0]), max(high, before[1])
            if (width, grid.points_max) == (known.width, known.points_max):
                for run, state in answered.runs.items():
                    if run not in known.runs or known.runs[run].arrivals < state.arrivals:
                        known.runs[run] = state
    return found


def digest_of(name: str) -> bytes:
    """What stands for a metric in a token."""
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).digest()


class Signer:
    """Makes tokens and reads them."""

    def __init__(self, instance: str, secret: str) -> None:
        """Of the server with this id; the secret is known to it alone."""
        self._key = hashlib.sha256(f"curves\0{instance}\0{secret}".encode()).digest()

    def token(self, question: object, answered: Answered) -> str:
        """The token of an answer to a question: what a client asks, as JSON."""
        content = zlib.compress(msgspec.msgpack.encode([_digest(question), answered]), 1)
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
            digest, answered = msgspec.msgpack.decode(plain, type=tuple[bytes, Answered])
        except (ValueError, zlib.error, msgspec.MsgspecError):
            return None
        return answered if digest == _digest(question) else None

    def _signature(self, content: bytes) -> bytes:
        return hmac.new(self._key, content, "sha256").digest()[:_SIGNATURE_BYTES]


def _digest(question: object) -> bytes:
    return hashlib.blake2b(msgspec.json.encode(question, order="sorted"), digest_size=8).digest()
