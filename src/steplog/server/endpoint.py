"""What the endpoints share: application state, JSON responses, lookup by path, and the response to each error."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from typing import Any, ClassVar, NamedTuple, ParamSpec, TypeVar, cast

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.endpoints import HTTPEndpoint
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Scope

from steplog.delivery.wire import API
from steplog.errors import FormatError
from steplog.server.admissions import Admissions
from steplog.server.answers import digest_of
from steplog.server.content_reader import ContentReader
from steplog.server.content_uploads import ContentUploads
from steplog.server.negotiation import is_listed, listed, weak_tag
from steplog.server.permissions import PAGE, Caller, Facts, Right, gives, role_for
from steplog.server.prometheus import Counts
from steplog.server.quotas import QuotaError
from steplog.server.sessions import Sessions
from steplog.server.store import Store
from steplog.server.store_types import (
    DeletedError,
    ExistsError,
    GapError,
    MissingError,
    ProjectRow,
    RunId,
    RunRow,
    StoreBusyError,
    StoreFullError,
    TooManyBucketsError,
    UnknownMetricError,
    UnknownRunError,
    UserRow,
)
from steplog.server.validation import ValidationError

__all__ = [
    "ERROR_RESPONSES",
    "REQUEST_ID",
    "UNUSABLE",
    "AppState",
    "Endpoint",
    "JsonResponse",
    "NotModifiedError",
    "VersionTag",
    "failure",
    "too_much",
]

REQUEST_ID = "request_id"  # in a scope's state, and in the bodies of answers with a status of 5xx
UNUSABLE = "The database cannot be used now."  # what an error says names hosts and paths, which is for those with a key
_P = ParamSpec("_P")
_T = TypeVar("_T")
_Run = TypeVar("_Run", RunRow, RunId)
_BUSY_RETRY_S = 1
_ROWS_INLINE_MAX = 64  # some 0.5 ms
_METHODS = {"get", "head", "post", "put", "patch", "delete", "options"}
_OF_THE_PAGE = (Right.LIST, Right.READ)  # what takes no key


class AppState(NamedTuple):
    """The state of the application."""

    store: Store
    sessions: Sessions
    admissions: Admissions
    decoders: Executor  # few threads: bounds the memory of decoding, off the event loop
    renderer: Executor  # one thread: makes long lists, off the event loop
    secret: str  # of the state file, for the instance proof
    open_namespaces: bool  # a namespace is created with its first project
    stock: bool  # serve only the original API, for tests of the client
    counts: Counts
    reader: ContentReader | None  # of files; None of a server that keeps none
    uploads: ContentUploads | None


class JsonResponse(Response):
    """A JSON response; encodes ``msgspec.Raw`` as it is."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Encode the body."""
        return msgspec.json.encode(content)


def failure(scope: Scope, status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """The answer where the server is at fault: it names the request, as the server's log does."""
    named = {"detail": detail, REQUEST_ID: scope.get("state", {}).get(REQUEST_ID, "")}
    return JsonResponse(named, status, headers)


def too_much(error: QuotaError) -> Response:
    """The answer to a key that has asked for more than its quota."""
    return JsonResponse({"detail": str(error)}, 429, {"Retry-After": str(error.wait_s)})


class VersionTag:
    """The tag of an answer that costs much to make: a version that is known before, and a digest that is known after.

    A client that has either has the answer: where the version tells, it is not made; where another one makes the same
    answer, it is not sent.
    """

    def __init__(self, version: str | None, request: Request, headers: Mapping[str, str]) -> None:
        """``version`` None: it cannot be known. ``headers``: others of the answer."""
        self._version = version
        self._headers = headers
        self._known = [tag.rpartition(".") for tag in listed(request.headers.get("if-none-match"))]
        for known, _, digest in self._known if version is not None else ():
            if known == version and digest:
                raise NotModifiedError(self._with(digest))

    def headers_of(self, body: bytes) -> dict[str, str]:
        """The headers of an answer. Raises NotModifiedError."""
        digest = digest_of(body)
        headers = self._with(digest)
        if any(digest == known for _, _, known in self._known):
            raise NotModifiedError(headers)
        return headers

    def _with(self, digest: str) -> dict[str, str]:
        return {**self._headers, "ETag": weak_tag(f"{self._version or ''}.{digest}")}


class NotModifiedError(Exception):
    """The client has the answer that would have these headers."""

    def __init__(self, headers: dict[str, str]) -> None:
        super().__init__(headers)
        self.headers = headers


class Endpoint(HTTPEndpoint):
    """A path of the API, with a method for each HTTP method, each with the right that it takes.

    ::

        class Views(Endpoint, get=Right.READ, post=Right.WRITE):

    Of a path with a project, the right is asked before the method is called: who may not read the project gets the
    answer of one that is not there.

    Attributes:
        rights: the right that each HTTP method takes.
        role: the caller's in the project of the path.
    """

    rights: ClassVar[Mapping[str, Right]] = {}
    role: str | None = None
    _facts: Facts | None = None

    def __init_subclass__(cls, **rights: Right) -> None:
        super().__init_subclass__()
        if rights.keys() != _METHODS & vars(cls).keys():
            raise TypeError(f"{cls.__name__} must state the right that each of its methods takes, and no other")
        cls.rights = {method.upper(): right for method, right in rights.items()}

    async def dispatch(self) -> None:
        """Answer, if that is the caller's right. A body that nobody may send is not read."""
        method = "GET" if self.scope["method"] == "HEAD" else self.scope["method"]
        right = self.rights.get(method)  # None: answered 405
        if right is None:
            may = method == "GET" or self.scope["state"].get("caller") != PAGE
        elif right is Right.NONE:
            may = True
        else:
            may = not self.caller.is_page or right in _OF_THE_PAGE
        if not may:
            raise HTTPException(403, "To change anything takes a key.")
        if right is not None and right.takes is not None and "project" in self.scope["path_params"]:
            await self._admit(right)
        await super().dispatch()

    async def _admit(self, right: Right) -> None:
        """Raise 404 to who may not see the project of the path, 403 to who may do no more than that."""
        path, caller = self.scope["path_params"], self.caller
        place = (caller.user_id or 0, path["namespace"], path["project"])
        facts = self.state.admissions.known(place)
        role = None if facts is None else role_for(caller, facts)
        if not gives(role, right):
            facts = await self.state.admissions.read(place)
            role = None if facts is None else role_for(caller, facts)
        if role is None:
            raise HTTPException(404)
        if not gives(role, right):
            raise HTTPException(403, f"You have the role {role} in this project, and that takes {right.takes}.")
        self._facts, self.role = facts, role

    @property
    def caller(self) -> Caller:
        """Who asks."""
        return cast(Caller, self.scope["state"]["caller"])

    @property
    def state(self) -> AppState:
        """The state of the application."""
        return cast(AppState, self.scope["app"].state.steplog)

    @property
    def user(self) -> UserRow:
        """The owner of the request's key, or of the one that its session was begun with."""
        return cast(UserRow, self.scope["state"]["user"])

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

    async def run_and_tag(self, request: Request, media_type: str | None = None) -> tuple[RunRow, dict[str, str]]:
        """The run of the path, and the headers with the tag of an answer that tells of its points.

        Raises HTTPException, and before points are read an error that is answered 304. ``media_type``: the one that was
        chosen, if there are several.
        """
        path = self.scope["path_params"]

        def read() -> tuple[RunRow, str]:
            run = self._admitted(self.store.run(path["namespace"], path["project"], path["run"]))
            return run, self.store.points_version(run)

        run, version = await self.read(read)
        if media_type is None:
            headers = {"ETag": weak_tag(version)}
        else:
            headers = {"ETag": weak_tag(f"{version}-{media_type}"), "Vary": "Accept"}
        if is_listed(headers["ETag"], request.headers.get("if-none-match")):
            raise NotModifiedError(headers)
        return run, headers

    async def json_list(
        self, rows: Sequence[_T], document: Callable[[_T], Any], headers: Mapping[str, str] | None = None
    ) -> Response:
        """A list of the rows' documents."""
        if len(rows) <= _ROWS_INLINE_MAX:
            return JsonResponse([document(row) for row in rows], headers=headers)

        def render() -> bytes:
            # In slices: the encoder lets no other thread run.
            slices = (rows[at : at + _ROWS_INLINE_MAX] for at in range(0, len(rows), _ROWS_INLINE_MAX))
            return b",".join(msgspec.json.encode([document(row) for row in part])[1:-1] for part in slices)

        body = await asyncio.get_running_loop().run_in_executor(self.state.renderer, render)
        return Response(b"[%b]" % body, headers=headers, media_type=JsonResponse.media_type)

    async def project(self) -> ProjectRow:
        """The project of the path, or 404."""
        return await self.read(self.read_project)

    def read_project(self) -> ProjectRow:
        """The same, which blocks."""
        path = self.scope["path_params"]
        project = self.store.project(path["namespace"], path["project"])
        if project is None or (self._facts is not None and project.id != self._facts.project_id):
            raise HTTPException(404)  # perhaps another one has been made of this name, which was not asked about
        return project

    async def written_run(self) -> RunRow | RunId:
        """The run of the path, or 404; a write finds out whether it is still there."""
        path = self.scope["path_params"]
        known = self.store.known_run(path["namespace"], path["project"], path["run"])
        return await self.run() if known is None else self._admitted(known)

    async def run(self) -> RunRow:
        """The run of the path, or 404."""
        path = self.scope["path_params"]
        return self._admitted(await self.read(self.store.run, path["namespace"], path["project"], path["run"]))

    def _admitted(self, run: _Run | None) -> _Run:
        """A run, if it is one of the project that the caller was admitted to, or 404."""
        if run is None or self._facts is None or run.project_id != self._facts.project_id:
            raise HTTPException(404)
        return run


async def _http_error(request: Request, error: HTTPException) -> Response:
    detail = error.detail
    path = request.url.path
    if error.status_code == 404:
        # As Django does. API paths only: no path may redirect to another host.
        is_routed = "endpoint" in request.scope
        if request.method in ("GET", "HEAD") and path.startswith(f"{API}/") and not (path.endswith("/") or is_routed):
            return RedirectResponse(request.url.replace(path=path + "/"), 301)
        detail = "Not found."
    elif error.status_code == 405:
        detail = f'Method "{request.method}" not allowed.'
    elif error.status_code >= 500:
        return failure(request.scope, error.status_code, detail, error.headers)
    return JsonResponse({"detail": detail}, error.status_code, error.headers)


def _error(
    status: int, content: Callable[[Any], Any] = lambda error: {"detail": str(error)}
) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def respond(_request: Request, error: Exception) -> Response:
        return JsonResponse(content(error), status)

    return respond


def _failure(
    status: int, headers: Mapping[str, str] | None = None
) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def respond(request: Request, error: Exception) -> Response:
        detail = getattr(error, "what", str(error)) if "caller" in request.scope["state"] else UNUSABLE
        return failure(request.scope, status, detail, headers)

    return respond


async def _too_much(_request: Request, error: QuotaError) -> Response:
    return too_much(error)


async def _not_modified(_request: Request, error: NotModifiedError) -> Response:
    vary = ", ".join([*filter(None, [error.headers.get("Vary")]), "Accept-Encoding"])
    return Response(status_code=304, headers=error.headers | {"Vary": vary})


ERROR_RESPONSES: dict[Any, Any] = {
    HTTPException: _http_error,
    NotModifiedError: _not_modified,
    QuotaError: _too_much,
    MissingError: _error(404, lambda _: {"detail": "Not found."}),
    UnknownRunError: _error(404),
    UnknownMetricError: _error(404),
    ExistsError: _error(409, lambda error: {"detail": str(error), "uuid": error.run.uuid, "name": error.run.name}),
    DeletedError: _error(410),
    TooManyBucketsError: _error(400),
    ValidationError: _error(400, lambda error: error.errors),
    FormatError: _error(400),
    GapError: _error(409, lambda error: {"mark": error.mark}),
    StoreFullError: _failure(507),
    StoreBusyError: _failure(503, {"Retry-After": str(_BUSY_RETRY_S)}),
}
