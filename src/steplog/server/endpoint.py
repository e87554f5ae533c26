"""What the routes have in common: the service behind them, and the way from an error to an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.endpoints import HTTPEndpoint
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from steplog.delivery.wire import API
from steplog.errors import FormatError
from steplog.server.request_body import ValidationError
from steplog.server.store_types import (
    GapError,
    MissingError,
    ProjectRow,
    RunRow,
    Store,
    StoreBusyError,
    StoreFullError,
    UserRow,
)

__all__ = ["ERROR_RESPONSES", "AppState", "Endpoint", "JsonResponse"]

_T = TypeVar("_T")
_BUSY_RETRY_S = 1


@dataclass(frozen=True)
class AppState:
    """What every request is answered from."""

    store: Store
    decoders: Executor  # a few threads, so that decoding neither holds up the event loop nor takes all memory
    secret: str
    open_namespaces: bool  # whether a namespace is made on first use
    stock: bool  # whether to be a server without any of steplog's additions


class JsonResponse(Response):
    """An answer in JSON."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The body."""
        return msgspec.json.encode(content)


class Endpoint(HTTPEndpoint):
    """A path of the API; a subclass has a method for each HTTP method."""

    @property
    def request(self) -> Request:
        """The request, with its path and headers; the body is read from the one that a method is given."""
        return Request(self.scope)

    @property
    def service(self) -> AppState:
        """What the request is answered from."""
        service: AppState = self.scope["app"].state.service
        return service

    @property
    def user(self) -> UserRow:
        """Whose key came with the request."""
        user: UserRow = self.scope["state"]["user"]
        return user

    def part(self, name: str) -> str:
        """A part of the path."""
        part: str = self.scope["path_params"][name]
        return part

    async def read(self, question: Callable[..., _T], *arguments: Any) -> _T:
        """Ask the store, in a thread."""
        return await run_in_threadpool(question, *arguments)

    async def written(self, future: Future[_T]) -> _T:
        """Wait for the commit."""
        return await asyncio.wrap_future(future)

    async def project(self) -> ProjectRow:
        """The project that the path names; 404 where there is none."""
        project = await self.read(self.service.store.project, self.part("namespace"), self.part("project"))
        if project is None:
            raise HTTPException(404)
        return project

    async def run(self) -> RunRow:
        """The run that the path names; 404 where there is none."""
        names = [self.part(name) for name in ("namespace", "project", "run")]
        run = await self.read(self.service.store.run, *names)
        if run is None:
            raise HTTPException(404)
        return run


async def _http(request: Request, error: HTTPException) -> Response:
    detail = error.detail
    path = request.url.path
    if error.status_code == 404:
        # As Django does; only paths of the API, so that no path can lead to another host.
        if request.method in ("GET", "HEAD") and path.startswith(f"{API}/") and not path.endswith("/"):
            return RedirectResponse(request.url.replace(path=path + "/"), 301)
        detail = "Not found."
    elif error.status_code == 405:
        detail = f'Method "{request.method}" not allowed.'
    return JsonResponse({"detail": detail}, error.status_code, error.headers)


async def _missing(_request: Request, _error: MissingError) -> Response:
    return JsonResponse({"detail": "Not found."}, 404)


async def _invalid(_request: Request, error: ValidationError) -> Response:
    return JsonResponse(error.errors, 400)


async def _malformed(_request: Request, error: FormatError) -> Response:
    return JsonResponse({"detail": str(error)}, 400)


async def _gap(_request: Request, error: GapError) -> Response:
    return JsonResponse({"mark": error.mark}, 409)


async def _full(_request: Request, error: StoreFullError) -> Response:
    return JsonResponse({"detail": str(error)}, 507)


async def _busy(_request: Request, error: StoreBusyError) -> Response:
    return JsonResponse({"detail": str(error)}, 503, {"Retry-After": str(_BUSY_RETRY_S)})


async def _broken(_request: Request, _error: Exception) -> Response:
    return JsonResponse({"detail": "Internal server error."}, 500)


ERROR_RESPONSES: dict[Any, Any] = {
    HTTPException: _http,
    MissingError: _missing,
    ValidationError: _invalid,
    FormatError: _malformed,
    GapError: _gap,
    StoreFullError: _full,
    StoreBusyError: _busy,
    Exception: _broken,
}
