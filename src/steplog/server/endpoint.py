"""What the endpoints share: application state, JSON responses, lookup by path, and the response to each error."""

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
from steplog.server.store import SqliteStore
from steplog.server.store_types import (
    GapError,
    MissingError,
    ProjectRow,
    RunRow,
    StoreBusyError,
    StoreFullError,
    UserRow,
)

__all__ = ["ERROR_RESPONSES", "AppState", "Endpoint", "JsonResponse"]

_T = TypeVar("_T")
_BUSY_RETRY_S = 1


@dataclass(frozen=True)
class AppState:
    """The state of the application; see ``create_app``."""

    store: SqliteStore
    decoders: Executor  # few threads: bounds the memory of decoding, off the event loop
    secret: str
    open_namespaces: bool
    stock: bool


class JsonResponse(Response):
    """A JSON response; encodes ``msgspec.Raw`` as it is."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Encode the body."""
        return msgspec.json.encode(content)


class Endpoint(HTTPEndpoint):
    """A path of the API, with a method for each HTTP method."""

    @property
    def state(self) -> AppState:
        """The state of the application."""
        state: AppState = self.scope["app"].state.steplog
        return state

    @property
    def store(self) -> SqliteStore:
        """The database."""
        return self.state.store

    @property
    def user(self) -> UserRow:
        """The owner of the request's key."""
        user: UserRow = self.scope["state"]["user"]
        return user

    def path_param(self, name: str) -> str:
        """A parameter of the path."""
        value: str = self.scope["path_params"][name]
        return value

    async def in_thread(self, function: Callable[..., _T], *arguments: Any) -> _T:
        """Call a blocking function in a thread."""
        return await run_in_threadpool(function, *arguments)

    async def committed(self, future: Future[_T]) -> _T:
        """Wait for the commit."""
        return await asyncio.wrap_future(future)

    async def project(self) -> ProjectRow:
        """The project of the path, or 404."""
        names = [self.path_param(name) for name in ("namespace", "project")]
        project = await self.in_thread(self.store.project, *names)
        if project is None:
            raise HTTPException(404)
        return project

    async def run(self) -> RunRow:
        """The run of the path, or 404."""
        names = [self.path_param(name) for name in ("namespace", "project", "run")]
        run = await self.in_thread(self.store.run, *names)
        if run is None:
            raise HTTPException(404)
        return run


async def _http(request: Request, error: HTTPException) -> Response:
    detail = error.detail
    path = request.url.path
    if error.status_code == 404:
        # As Django does. API paths only: no path may redirect to another host.
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
