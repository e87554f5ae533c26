"""Verdicts: what an answer means. Pure.

An acknowledgement is an answer that parses and repeats the range that was sent (a stock server, which has no ranges,
repeats the metric's name). A bare 200, as from a captive portal, is none.

====================================  ==============  ================================================================
answer                                verdict         what the sender does
====================================  ==============  ================================================================
2xx that confirms                     ACCEPTED        goes on
none, 408, 425, 429, 501 and up,      AGAIN           the same again, later; all runs of the server wait
2xx that does not
500                                   FAULT           the same again; if it keeps to one range, halves it
409 with a mark                       CONFLICT        goes on from there
413                                   TOO_LARGE       halves the batch
415                                   UNSUPPORTED     sends it in another encoding or version
401                                   KEY_REFUSED     keeps everything, reads the key again at intervals
403                                   FORBIDDEN       keeps everything, probes slowly
404, 410                              MISSING         asks for the run (``probe``); gone: keeps everything
3xx                                   REDIRECTED      follows nothing; says that the address is wrong
another 4xx                           REFUSED         halves to the record that is refused
====================================  ==============  ================================================================

``Retry-After`` is read as seconds or as a date against the server's own ``Date`` (RFC 9110 section 10.2.3), and clamped
to [0, 1 h]; what is neither counts as not given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from enum import Enum

import msgspec

from steplog.delivery.exchange import Answer
from steplog.delivery.wire import detail, read
from steplog.printable import printable

__all__ = [
    "NOT_STORED",
    "REFUSALS",
    "RETRY_AFTER_MAX_S",
    "Judgement",
    "Verdict",
    "is_proxys_404",
    "judge",
    "may_pass",
    "retry_after_s",
]

RETRY_AFTER_MAX_S = 3600.0
_WORDS_MAX = 500
_AGAIN = frozenset((408, 425, 429))
_DECLINED = frozenset((425, 429))


class Verdict(Enum):
    """What an answer means; see the table above."""

    ACCEPTED = "accepted"
    AGAIN = "again"
    FAULT = "fault"
    CONFLICT = "conflict"
    TOO_LARGE = "too large"
    UNSUPPORTED = "unsupported"
    KEY_REFUSED = "key refused"
    FORBIDDEN = "forbidden"
    MISSING = "missing"
    REDIRECTED = "redirected"
    REFUSED = "refused"


_BY_STATUS = {
    401: Verdict.KEY_REFUSED,
    403: Verdict.FORBIDDEN,
    404: Verdict.MISSING,
    410: Verdict.MISSING,
    413: Verdict.TOO_LARGE,
    415: Verdict.UNSUPPORTED,
    500: Verdict.FAULT,
}


# The server refuses what was sent in particular; and all answers that say that nothing was stored.
REFUSALS = frozenset((Verdict.REFUSED, Verdict.TOO_LARGE, Verdict.UNSUPPORTED, Verdict.CONFLICT))
NOT_STORED = REFUSALS | {Verdict.KEY_REFUSED, Verdict.FORBIDDEN, Verdict.MISSING, Verdict.REDIRECTED}


class Judgement(msgspec.Struct, frozen=True):
    """A verdict with the server's words, the delay it asks for, its mark (CONFLICT only), and the status; 0: no answer.

    ``declined``: an AGAIN by which the server says that it did not even look (425, 429).
    """

    verdict: Verdict
    words: str = ""
    retry_after_s: float | None = None
    mark: int = 0
    declined: bool = False
    status: int = 0


class _Mark(msgspec.Struct):
    mark: int


def judge(answer: Answer, confirms: Callable[[bytes], bool]) -> Judgement:
    """What an answer means; ``confirms`` says whether the body of a success confirms what was sent."""
    status = answer.status
    if 200 <= status < 300 and confirms(answer.body):
        return Judgement(Verdict.ACCEPTED, status=status)
    words = f"{status} {_words(answer.body)}".strip()
    delay = retry_after_s(answer.headers)
    if 200 <= status < 300:
        return Judgement(Verdict.AGAIN, f"{words} (which confirms nothing)", delay, status=status)
    if status == 409 and (mark := _mark(answer.body)) is not None:
        return Judgement(Verdict.CONFLICT, words, mark=mark, status=status)
    if status < 200 or (may_pass(status) and status not in _BY_STATUS):
        return Judgement(Verdict.AGAIN, words, delay, declined=status in _DECLINED, status=status)
    if status < 400:
        words = f"{words} to {printable(answer.headers.get('location', '?'), _WORDS_MAX).strip()}"
        return Judgement(Verdict.REDIRECTED, words, delay, status=status)
    return Judgement(_BY_STATUS.get(status, Verdict.REFUSED), words, delay, status=status)


def may_pass(status: int) -> bool:
    """Whether the same request may be answered otherwise a little later."""
    return status in _AGAIN or status >= 500


def is_proxys_404(status: int, body: bytes) -> bool:
    """Whether a 404 or 410 comes from a proxy, or a framework without such a route: the run server's has a ``detail``.

    It says nothing of what was asked for.
    """
    return status in (404, 410) and detail(body) is None


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """The delay that the server asks for, in seconds within [0, 1 h]; None: none that makes sense."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    try:
        delay = float(text)
    except ValueError:
        try:
            delay = (parsedate_to_datetime(text) - parsedate_to_datetime(headers.get("date", ""))).total_seconds()
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    if math.isnan(delay):
        return None
    return min(max(delay, 0.0), RETRY_AFTER_MAX_S)


def _mark(body: bytes) -> int | None:
    told = read(body, _Mark)
    return told.mark if told is not None and told.mark >= 0 else None


def _words(body: bytes) -> str:
    return printable(body[:_WORDS_MAX].decode("utf-8", "replace")).strip()
