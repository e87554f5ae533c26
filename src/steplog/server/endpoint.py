"""What the endpoints share: application state, JSON responses, lookup by path, and the response to each error."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor, Future
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.endpoints import HTTPEndpoint
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from steplog.delivery.wire import API
from steplog.errors import FormatError
from steplog.server.store import Store
from steplog.server.store_types import (
    DeletedError,
    ExistsError,
    GapError,
    MissingError,
    ProjectRow,
    RunRow,
    StoreBusyError,
    StoreFullError,
    UnknownMetricError,
    UnknownRunError,
    UserRow,
)
from steplog.server.validation import ValidationError

__all__ = ["ERROR_RESPONSES", "AppState", "Endpoint", "JsonResponse"]

_P = ParamSpec("_P")
_T = TypeVar("_T")
_BUSY_RETRY_S = 1


class AppState(NamedTuple):
    """The state of the application."""

    store: Store
    decoders: Executor  # few threads: bounds the memory of decoding, off the event loop
    secret: str  # of the state file, for the instance proof
    open_namespaces: bool  # a namespace is created with its first project
    stock: bool  # serve only the original API, for tests of the client


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
        return cast(AppState, self.scope["app"].state.steplog)

    @property
    def user(self) -> UserRow:
        """The owner of the request's key."""
        return cast(UserRow, self.scope["state"]["user"])

    @property
    def is_page(self) -> bool:
        """Whether the page asks, which may only read."""
        return "user" not in self.scope["state"]

    @property
    def store(self) -> Store:
        """The store."""
        return self.state.store

    async def read(self, method: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call a method of the store that reads, in a thread."""
        return await run_in_threadpool(method, *args, **kwargs)

    async def written(self, future: Future[_T]) -> _T:
        """What a write of the store returns, once it is durable."""
        return await asyncio.wrap_future(future)

    async def project(self) -> ProjectRow:
        """The project of the path, or 404."""
        path = self.scope["path_params"]
        project = await self.read(self.store.project, path["namespace"], path["project"])
        if project is None:
            raise HTTPException(404)
        return project

    async def run(self) -> RunRow:
        """The run of the path, or 404."""
        path = self.scope["path_params"]
        run = await self.read(self.store.run, path["namespace"], path["project"], path["run"])
        if run is None:
            raise HTTPException(404)
        return run


async def _http_error(request: Request, error: HTTPException) -> Response:
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


def _error(
    status: int,
    content: Callable[[Any], Any] = lambda error: {"detail": str(error)},
    headers: Mapping[str, str] | None = None,
) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def respond(_request: Request, error: Exception) -> Response:
        return JsonResponse(content(error), status, headers)

    return respond


ERROR_RESPONSES: dict[Any, Any] = {
    HTTPException: _http_error,
    MissingError: _error(404, lambda _: {"detail": "Not found."}),
    UnknownRunError: _error(404),
    UnknownMetricError: _error(404),
    ExistsError: _error(409, lambda error: {"detail": str(error), "uuid": error.run.uuid, "name": error.run.name}),
    DeletedError: _error(410),
    ValidationError: _error(400, lambda error: error.errors),
    FormatError: _error(400),
    GapError: _error(409, lambda error: {"mark": error.mark}),
    StoreFullError: _error(507),
    StoreBusyError: _error(503, headers={"Retry-After": str(_BUSY_RETRY_S)}),
    Exception: _error(500, lambda _: {"detail": "Internal server error."}),
}
