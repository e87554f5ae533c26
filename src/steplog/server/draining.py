"""Going out of service: for some seconds after SIGTERM the server says that it is not ready, and serves on.

So a proxy that asks ``/readyz`` sends new requests elsewhere before this server refuses connections. Meanwhile each
answer closes its connection: a client that keeps one open comes back by way of the proxy.
"""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Draining"]


class Draining:
    """Whether the server goes out of service, and since when."""

    def __init__(self, seconds: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        """``seconds``: for how long it serves on."""
        self._seconds = seconds
        self._clock = clock
        self._end_s: float | None = None

    @property
    def is_on(self) -> bool:
        """Whether it has begun."""
        return self._end_s is not None

    @property
    def is_over(self) -> bool:
        """Whether the server may stop accepting connections."""
        return self._end_s is not None and self._clock() >= self._end_s

    def begin(self) -> bool:
        """Begin, at a signal; whether to serve on. At a second signal the server stops at once."""
        if self.is_on:
            return False
        self._end_s = self._clock() + self._seconds
        return self._seconds > 0
