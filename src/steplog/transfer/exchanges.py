"""Requests to one server, each sent again until it is answered.

No answer, 408, 425, 429 and 5xx: the same again, exponentially later with full jitter, not before ``Retry-After``,
``ATTEMPTS_MAX`` times in all. So a server that is started anew is waited for, and one that stays away is not.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, stop_when_event_set
from tenacity.nap import sleep_using_event
from tenacity.wait import wait_random_exponential

from steplog.client import TellurioClient
from steplog.delivery import wire
from steplog.delivery.exchange import Answer, Request
from steplog.delivery.verdicts import Judgement, Verdict, judge
from steplog.errors import ConfigurationError, InvalidAPIKeyError, ServerUnavailableError, SteplogError
from steplog.printable import printable

__all__ = ["ATTEMPTS_MAX", "Exchanges", "Interrupted", "RefusedError"]

ATTEMPTS_MAX = 20  # about a minute
_DELAY_MAX_S = 8.0
_T = TypeVar("_T")
_RETRIED = frozenset((Verdict.AGAIN, Verdict.FAULT))
_ceiling = wait_random_exponential(multiplier=0.25, max=_DELAY_MAX_S)


class RefusedError(SteplogError):
    """The server refuses what was sent: ``judgement``, and ``words``, the server's own."""

    def __init__(self, base_url: str, judgement: Judgement, detail: str | None) -> None:
        self.words = judgement.words if detail is None else f"{judgement.status} {printable(detail, 300)}"
        super().__init__(f"{base_url} answered {self.words}")
        self.judgement = judgement


class Interrupted(Exception):  # noqa: N818 - no error
    """Another thread has called ``interrupt``."""


class _AgainError(ServerUnavailableError):
    """Worth another attempt, not before ``retry_after_s``."""

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Exchanges:
    """With the server of ``client``; ``sleep`` waits between attempts, ``waiting`` is told why before."""

    def __init__(
        self,
        client: TellurioClient,
        sleep: Callable[[float], None] | None = None,
        waiting: Callable[[str], object] = lambda reason: None,
    ) -> None:
        self._waiting = waiting
        self._attempts_max = ATTEMPTS_MAX
        self._client = client
        self._transport = client.transport
        self._interrupted = threading.Event()
        self._sleep = sleep or sleep_using_event(self._interrupted)
        self._live: list[Request] = []

    @property
    def base_url(self) -> str:
        """The server's address."""
        return self._transport.base_url

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Ask once in this block, and wait for nobody."""
        self._attempts_max = 1
        try:
            yield
        finally:
            self._attempts_max = ATTEMPTS_MAX

    def interrupt(self) -> None:
        """Have the present and every later request raise ``Interrupted``, in whatever thread."""
        self._interrupted.set()
        for request in tuple(self._live):
            self._transport.abort(request)

    def ask(
        self,
        method: str,
        path: str,
        kind: type[_T],
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        answer_bytes_max: int = wire.LIST_BYTES_MAX,
    ) -> _T:
        """The JSON of the answer, as ``kind``. Raises as ``send``."""
        return self.ask_status(method, path, kind, body, headers, answer_bytes_max)[0]

    def ask_status(
        self,
        method: str,
        path: str,
        kind: type[_T],
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        answer_bytes_max: int = wire.LIST_BYTES_MAX,
    ) -> tuple[_T, int]:
        """The same, and the answer's status."""
        given = {} if body is None else {"Content-Type": "application/json"}
        content = b"" if body is None else msgspec.json.encode(body)
        request = Request(method, path, content, {**(headers or {}), **given}, answer_bytes_max)
        answer = self.send(request, lambda told: wire.read(told, kind) is not None)
        told = wire.read(answer.body, kind)
        if told is None:  # which send has seen to
            raise ServerUnavailableError(f"{self.base_url}: not the answer of a run server")
        return told, answer.status

    def send(self, request: Request, confirms: Callable[[bytes], bool], *, takes: Collection[int] = ()) -> Answer:
        """The answer, a success that ``confirms``, or one of a status that the caller ``takes``.

        Raises RefusedError, ServerUnavailableError, InvalidAPIKeyError, ConfigurationError, Interrupted.
        """
        retrying = Retrying(
            sleep=self._sleep,
            wait=_wait,
            stop=stop_after_attempt(self._attempts_max) | stop_when_event_set(self._interrupted),
            retry=retry_if_exception_type(_AgainError),
            before_sleep=self._tell,
            reraise=True,
        )
        try:
            answer: Answer = retrying(self._once, request, confirms, takes)
        except _AgainError as error:
            if self._interrupted.is_set():
                raise Interrupted from None
            raise ServerUnavailableError(str(error)) from None
        return answer

    def _tell(self, state: RetryCallState) -> None:
        if state.outcome is not None:
            self._waiting(str(state.outcome.exception()))

    def _once(self, request: Request, confirms: Callable[[bytes], bool], takes: Collection[int]) -> Answer:
        if self._interrupted.is_set():
            raise Interrupted
        self._live.append(request)
        try:
            answer = self._transport.exchange(request, self._client.settings.exchange_timeout_s)
        except ServerUnavailableError as error:
            raise _AgainError(str(error)) from None
        finally:
            self._live.remove(request)
        judgement = judge(answer, confirms)
        if judgement.verdict is Verdict.ACCEPTED or answer.status in takes:
            return answer
        if judgement.verdict in _RETRIED:
            raise _AgainError(f"{self.base_url} answered {judgement.words}", judgement.retry_after_s or 0.0)
        if judgement.verdict is Verdict.KEY_REFUSED:
            if self._transport.refresh_key():
                raise _AgainError(f"{self.base_url} rejects the API key")
            raise InvalidAPIKeyError(f"{self.base_url} rejects the API key. Type: steplog login")
        if judgement.verdict is Verdict.REDIRECTED:
            raise ConfigurationError(f"{self.base_url} answered {judgement.words}; the server has another address")
        raise RefusedError(self.base_url, judgement, wire.detail(answer.body))


def _wait(state: RetryCallState) -> float:
    error = None if state.outcome is None else state.outcome.exception()
    asked = error.retry_after_s if isinstance(error, _AgainError) else 0.0
    return max(asked, _ceiling(state))
