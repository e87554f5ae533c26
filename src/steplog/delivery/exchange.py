"""One exchange with the server, as values. Pure.

The network behind ``Transport`` is an argument: tests and the simulator put a server of their own there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from steplog.errors import ServerUnavailableError

__all__ = ["ANSWER_BYTES_MAX", "Answer", "Request", "Transport", "exchanged"]

ANSWER_BYTES_MAX = 64 * 1024


class Request(msgspec.Struct, frozen=True):
    """A request to the server, whose base URL and key the transport knows."""

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = {}
    answer_bytes_max: int = ANSWER_BYTES_MAX


class Answer(msgspec.Struct, frozen=True):
    """A whole answer: its status, its body, and its headers by lower-case name."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}


class Transport(Protocol):
    """Sends requests to one server with one key; safe from any thread."""

    @property
    def base_url(self) -> str:
        """The server's address, without a trailing slash."""

    def exchange(self, request: Request, timeout_s: float) -> Answer:
        """Send a request and return the whole answer within ``timeout_s``.

        Follows no redirect, asks for no compression, reads at most ``request.answer_bytes_max``.
        Raises ServerUnavailableError where no whole answer came in time.
        """

    def refresh_key(self) -> bool:
        """Look for the key again where it came from; whether it has changed."""

    def abort(self, request: Request) -> None:
        """End the exchange of this request, under way in another thread, with ServerUnavailableError."""


def exchanged(
    transport: Transport, request: Request, timeout_s: float, fault: Callable[[BaseException], None]
) -> Answer | str:
    """The answer, or why there is none. ``fault`` is told of what a transport should not raise; nothing is raised."""
    try:
        return transport.exchange(request, timeout_s)
    except ServerUnavailableError as error:
        return str(error)
    except BaseException as error:  # noqa: BLE001 - who decides must learn of every exchange how it ended
        fault(error)
        return f"{type(error).__name__} on the way"
