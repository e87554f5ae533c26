"""Whether the server is alive, and whether it should be sent requests: ``/healthz`` and ``/readyz``, without a key.

1. ``/healthz`` asks nothing of the store: it answers 200 as long as the process serves. A supervisor that restarts a
   server whose database is away helps nobody.
2. ``/readyz`` answers 503 while the server drains, or the store does not answer within ``READY_TIMEOUT_S``, or has no
   room, or fails. Its words are fixed: what a StoreError says may name a path.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from steplog.server.draining import Draining
from steplog.server.endpoint import JsonResponse
from steplog.server.single_look import SingleLook
from steplog.server.store import Store
from steplog.server.store_types import StoreError, StoreFullError, StoreGoneError, StoreReplacedError

__all__ = ["PROBE_PATHS", "READY_TIMEOUT_S", "Readiness", "health"]

PROBE_PATHS = ("/healthz", "/readyz")
READY_TIMEOUT_S = 2.0
_WATCH_INTERVAL_S = 5.0
_UNUSABLE = "the database cannot be used now"
_NO_ROOM = "there is no room for the database"
_AWAY = "away"  # or hanging: it is first the one and then the other, again and again
_log = logging.getLogger("steplog.server")


class Readiness:
    """Why the server should be sent no requests; for the event loop."""

    def __init__(self, store: Store, draining: Draining, timeout_s: float = READY_TIMEOUT_S) -> None:
        self._draining = draining
        self._timeout_s = timeout_s
        self._store = store
        self._look: SingleLook[None] = SingleLook(timeout_s, "steplog-ready")
        self._said: str | None = None

    def close(self) -> None:
        """End its thread."""
        self._look.close()

    async def reasons(self) -> list[str]:
        """In words; none: it is ready."""
        found = ["the server is stopping"] if self._draining.is_on else []
        refusal = await self._refusal()
        return found if refusal is None else [*found, refusal]

    async def answer(self, _request: Request) -> Response:
        """``/readyz``: whether to send requests here, and why not."""
        reasons = await self.reasons()
        return JsonResponse({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)

    async def watch(self, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep) -> None:
        """Look again and again, whether or not anybody asks: when it began, and why, is in the log."""
        while True:
            await sleep(_WATCH_INTERVAL_S)
            await self.reasons()

    async def _refusal(self) -> str | None:
        try:
            await self._look.result(self._store.probe)
        except TimeoutError:
            return self._say(f"the database does not answer within {self._timeout_s:g} s", "")
        except StoreFullError as error:
            return self._say(_NO_ROOM, str(error))
        except (StoreGoneError, StoreReplacedError):  # the server says that by itself, at once (``listening``)
            return _UNUSABLE
        except StoreError as error:
            return self._say(_UNUSABLE, str(error))
        return self._say(None, "")

    def _say(self, reason: str | None, detail: str) -> str | None:
        kind = _AWAY if reason is not None and reason != _NO_ROOM else reason
        if kind != self._said:
            self._said = kind
            if reason is None:
                _log.warning("ready again")
            else:
                said = detail if detail.startswith(reason) else f"{reason}: {detail}" if detail else reason
                _log.warning("not ready: %s", said)
        return reason


async def health(_request: Request) -> Response:
    """``/healthz``."""
    return JsonResponse({"alive": True})
