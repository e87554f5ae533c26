"""Requests that only read are asked again while the server is busy, and once it has answered, also when it is away.

What cannot be begun, since nothing answers, raises at once. There are ``_ATTEMPTS_MAX`` attempts, which take some 12 s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from steplog.delivery.verdicts import retry_after_s
from steplog.delivery.wire import detail
from steplog.errors import ServerUnavailableError
from steplog.printable import printable

if TYPE_CHECKING:
    from steplog.network.response import Response

__all__ = ["BUSY", "no_answer", "retried"]

BUSY = (408, 425, 429, 500, 502, 503, 504)

_T = TypeVar("_T")
_ATTEMPTS_MAX = 8
_ceiling = wait_random_exponential(multiplier=0.25, max=8)
_RETRY_AFTER_MAX_S = 60.0
_WORDS_CHARACTERS_MAX = 300


class _BusyError(ServerUnavailableError):
    """The server answers, and not now."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


def no_answer(response: Response) -> ServerUnavailableError:
    """The error for an answer that is none to what was asked; ``retried`` asks again where it is one of ``BUSY``."""
    words = f"{response.url}: {response.status}, which is no answer to what was asked"
    if (told := detail(response.body)) is not None:
        words = f"{words}: {printable(told, _WORDS_CHARACTERS_MAX)}"
    if response.status in BUSY:
        return _BusyError(words, min(retry_after_s(response.headers) or 0.0, _RETRY_AFTER_MAX_S))
    return ServerUnavailableError(words)


def retried(
    call: Callable[..., _T],
    *given: Any,
    sleep: Callable[[float], None],
    begun: Callable[[], bool] = lambda: False,
) -> _T:
    """What it returns, after some attempts; of what has not ``begun``, only while the server is busy."""
    try:
        return call(*given)
    except ServerUnavailableError as error:
        failed = [error]

    def again() -> _T:
        if failed:  # the attempt above, which needs no Retrying where it succeeds, as nearly all do
            raise failed.pop()
        return call(*given)

    retrying = Retrying(
        sleep=sleep,
        wait=_wait,
        stop=stop_after_attempt(_ATTEMPTS_MAX),
        retry=retry_if_exception(
            lambda error: isinstance(error, _BusyError) or (isinstance(error, ServerUnavailableError) and begun())
        ),
        reraise=True,
    )
    return retrying(again)


def _wait(state: RetryCallState) -> float:
    error = None if state.outcome is None else state.outcome.exception()
    return max(_ceiling(state), error.retry_after_s if isinstance(error, _BusyError) else 0.0)
