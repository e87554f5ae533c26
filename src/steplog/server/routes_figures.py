"""The endpoint of figures, ``/metrics``, for Prometheus; ``docs/operations.md`` specifies it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from steplog.server import prometheus
from steplog.server.endpoint import JsonResponse
from steplog.server.keys import Keyring
from steplog.server.proxies import BY_PROXY, LOCAL, contains
from steplog.server.service import Service
from steplog.server.single_look import SingleLook
from steplog.server.store import Store
from steplog.server.store_types import StoreError
from steplog.version import __version__

__all__ = ["METRICS_PATH", "FiguresPage"]

METRICS_PATH = "/metrics"
_STORE_TIMEOUT_S = 2.0
_OF_A_PROXY = ("x-forwarded-for", "x-real-ip", "forwarded", "via")
_REFUSAL = "Not from here: see steplog serve --metrics-from, or ask with an admin's key."


class FiguresPage:
    """``/metrics``."""

    def __init__(self, store: Store, keyring: Keyring, service: Service, timeout_s: float = _STORE_TIMEOUT_S) -> None:
        self._store = store
        self._keyring = keyring
        self._service = service
        self._look: SingleLook[Mapping[str, float]] = SingleLook(timeout_s, "steplog-figures")

    def close(self) -> None:
        """End its thread."""
        self._look.close()

    async def answer(self, request: Request) -> Response:
        """All figures, for who may see them."""
        if not self._is_near(request):
            refusal = await self._refusal(request)
            if refusal is not None:
                return refusal
        service = self._service
        figures: dict[str, Any] = {**service.counts.figures(), "draining": service.draining.is_on, "store_up": 1}
        for part in service.figures:
            figures.update(part())
        try:
            figures.update(await self._look.result(self._store.figures))
        except (StoreError, TimeoutError):
            figures["store_up"] = 0
        made = service.counts.snapshot(), figures, __version__
        body, media_type = await run_in_threadpool(prometheus.text, *made)
        return Response(body, headers={"Content-Type": media_type})

    def _is_near(self, request: Request) -> bool:
        """Whether who asks is in a network that was named; of what a proxy has passed on, if it was believed."""
        client = LOCAL if request.client is None else request.client.host
        proxies = self._service.proxies
        is_passed_on = any(name in request.headers for name in _OF_A_PROXY)
        if proxies is None or getattr(request.state, BY_PROXY, False):
            is_client = not is_passed_on or (proxies is not None and proxies.client_header in request.headers)
        else:
            is_client = True
        return is_client and contains(self._service.metrics_from, client)

    async def _refusal(self, request: Request) -> Response | None:
        scheme, _, credential = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "api-key" and credential:
            key = await self._keyring.find(credential)
            if key is not None and key.user.is_admin and key.terms.project_id is None:
                return None
        return JsonResponse({"detail": _REFUSAL}, 403)
