"""The ASGI application: access control, API routes, and the page's static files.

::

    request ─▶ ObservingMiddleware ─▶ AccessMiddleware ─▶ AnswerMiddleware ─▶ Endpoint ─▶ Store
                                                                           ├─▶ static file, read once at start
                                                                           └─▶ health, without a key
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from steplog.delivery.wire import API
from steplog.server import (
    routes_artifacts,
    routes_blobs,
    routes_catalog,
    routes_curves,
    routes_files,
    routes_history,
    routes_metrics,
    routes_session,
    routes_table,
    routes_views,
)
from steplog.server.access import AccessMiddleware, AllowedHosts
from steplog.server.admissions import Admissions
from steplog.server.answers import COMPRESSED_BYTES_MIN, AnswerMiddleware, compressed, tag_of
from steplog.server.blobs.content_store import ContentStore
from steplog.server.content_reader import ContentReader
from steplog.server.content_uploads import ContentUploads
from steplog.server.endpoint import ERROR_RESPONSES, AppState
from steplog.server.health import PROBE_PATHS, Readiness, health
from steplog.server.keys import Keyring
from steplog.server.negotiation import accepted
from steplog.server.observing import ObservingMiddleware
from steplog.server.routes_figures import METRICS_PATH, FiguresPage
from steplog.server.service import Service
from steplog.server.sessions import Sessions
from steplog.server.store import Store

__all__ = ["create_app"]

_DECODERS = 2
_NAMESPACE = f"{API}/{{namespace}}/projects/"
_PROJECT = f"{_NAMESPACE}{{project}}/"
_RUNS = f"{_PROJECT}runs/"
_RUN = f"{_RUNS}{{run}}/"
_PAGE = Path(__file__).with_name("page")
_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_IMMUTABLE = "public, max-age=31536000, immutable"
_PROJECT_PAGE = "/{namespace}/projects/{project}"
_ASSETS = "/page/"
_RUN_PAGE = f"{_PROJECT_PAGE}/runs/{{run}}"
_INDEX_PATHS = ("/", _PROJECT_PAGE, f"{_PROJECT_PAGE}/", _RUN_PAGE, f"{_RUN_PAGE}/")


def create_app(
    store: Store,
    keyring: Keyring,
    *,
    hosts: AllowedHosts,
    secret: str = "",
    open_namespaces: bool = True,
    stock: bool = False,
    service: Service | None = None,
    contents: ContentStore | None = None,
    project_bytes_max: int = 0,
) -> Starlette:
    """Build the application; see ``AppState``. The caller closes ``store`` afterwards.

    ``contents``: where files are kept; None: nowhere. ``project_bytes_max``: see ``ContentUploads``.
    """
    service = service or Service()
    readiness, figures = Readiness(store, service.draining), FiguresPage(store, keyring, service)
    reader, uploads = (None, None) if stock else _of_files(contents, store, project_bytes_max)
    routes = _original_routes()
    if not stock:
        of_files = [] if reader is None else _file_routes()
        routes = [*_routes(store.instance), *of_files, *_service_routes(readiness, figures)]
    decoders = ThreadPoolExecutor(_DECODERS, "steplog-decode")
    sessions = Sessions(store, keyring, service.quotas)
    renderer, compressor = ThreadPoolExecutor(1, "steplog-render"), ThreadPoolExecutor(1, "steplog-compress")

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        with decoders, renderer, compressor, ExitStack() as stack:
            for part in (sessions, readiness, figures, reader, uploads):
                if part is not None:
                    stack.enter_context(closing(part))
            watching = asyncio.create_task(readiness.watch())
            yield
            watching.cancel()

    access = Middleware(
        AccessMiddleware,
        hosts=hosts,
        keyring=keyring,
        sessions=None if stock else sessions,
        proxies_only=service.proxies_only,
        quotas=service.quotas,
    )
    observing = Middleware(ObservingMiddleware, routes=_patterns(routes), service=service)
    answering = Middleware(AnswerMiddleware, compressor=compressor)
    app = Starlette(
        routes=routes,
        middleware=[observing, access, answering],
        exception_handlers=ERROR_RESPONSES,
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    told = secret, open_namespaces, stock, service.counts, reader, uploads
    app.state.steplog = AppState(store, sessions, Admissions(store), decoders, renderer, *told)
    return app


def _of_files(
    contents: ContentStore | None, store: Store, project_bytes_max: int
) -> tuple[ContentReader | None, ContentUploads | None]:
    if contents is None:
        return None, None
    return ContentReader(contents), ContentUploads(contents, store, project_bytes_max)


def _original_routes() -> list[Route]:
    return [
        Route(f"{API}/verify-api-key/", routes_catalog.KeyCheck),
        Route(_NAMESPACE, routes_catalog.ProjectList),
        Route(_PROJECT, routes_catalog.ProjectDetail),
        Route(_RUNS, routes_catalog.RunList),
        Route(_RUN, routes_catalog.RunDetail),
        Route(f"{_RUN}metrics/", routes_metrics.MetricList),
    ]


def _routes(instance: str) -> list[Route]:
    return [
        Route(f"{_RUN}metrics/batch/", routes_metrics.BatchUpload),  # first, since it is asked for most
        *_original_routes(),
        Route(f"{API}/instance/", routes_catalog.InstanceProof),
        Route(f"{API}/session/", routes_session.SessionDetail),
        Route(f"{API}/namespaces/", routes_catalog.NamespaceList),
        Route(f"{_RUN}generations/", routes_catalog.GenerationList),
        Route(f"{_RUN}restore/", routes_catalog.RunRestored),
        Route(f"{_PROJECT}curves/", routes_curves.Curves),
        Route(f"{_RUN}series/", routes_metrics.SeriesList),
        Route(f"{_RUN}history/", routes_history.History),
        Route(f"{_PROJECT}table/", routes_table.RunTable),
        Route(f"{_PROJECT}table/columns/", routes_table.ColumnList),
        Route(f"{_PROJECT}views/", routes_views.ViewList),
        Route(f"{_PROJECT}views/{{view}}/", routes_views.ViewDetail),
        *_page_routes(instance),
    ]


def _file_routes() -> list[Route]:
    return [
        Route(f"{_RUN}files/", routes_files.RunFileList),
        Route(f"{_RUN}files/{{file}}", routes_files.RunFile),
        Route(f"{_PROJECT}blobs/{{sha256}}", routes_blobs.Blob),
        Route(f"{_PROJECT}artifacts/", routes_artifacts.ArtifactList),
        Route(f"{_PROJECT}artifacts/{{name}}/{{version}}/", routes_artifacts.ArtifactDetail),
        Route(f"{_PROJECT}artifacts/{{name}}/{{version}}/files/{{path:path}}", routes_artifacts.ArtifactFile),
    ]


def _service_routes(readiness: Readiness, figures: FiguresPage) -> list[Route]:
    responders = health, readiness.answer, figures.answer
    return [Route(path, respond) for path, respond in zip((*PROBE_PATHS, METRICS_PATH), responders, strict=True)]


def _patterns(routes: Iterable[Route]) -> dict[Any, str]:
    """The name of each endpoint for logs and counts: its first path's pattern. The page's files share one name."""
    patterns: dict[Any, str] = {}
    for route in routes:
        is_asset = route.path.startswith(_ASSETS)
        patterns.setdefault(route.endpoint, f"{_ASSETS}{{asset}}" if is_asset else route.path)
    return patterns


def _page_routes(instance: str) -> list[Route]:
    """The files of the page, whose path has their hash so that browsers keep them, and the index at each address."""
    files = {
        file.relative_to(_PAGE).as_posix(): file.read_bytes()
        for file in sorted(_PAGE.rglob("*"))
        if file.suffix in _MEDIA_TYPES
    }
    assets = f"{_ASSETS}{hashlib.blake2b(repr(files).encode(), digest_size=8, usedforsecurity=False).hexdigest()}"
    index = _static(_index(instance, assets, files), "text/html", "no-cache")
    routes = [Route(path, index) for path in _INDEX_PATHS]
    for name, content in files.items():
        routes.append(Route(f"{assets}/{name}", _static(content, _MEDIA_TYPES[Path(name).suffix], _IMMUTABLE)))
    return routes


def _index(instance: str, assets: str, files: Iterable[str]) -> bytes:
    """The index, with the addresses of all styles and modules: none is found only once another has come."""
    links = {
        "styles": [f'<link rel="stylesheet" href="{assets}/{name}">' for name in files if name.endswith(".css")],
        "modules": [f'<link rel="modulepreload" href="{assets}/{name}">' for name in files if name.endswith(".js")],
    }
    text = (_PAGE / "index.html").read_text(encoding="utf-8")
    text = text.replace("{{instance}}", instance).replace("{{assets}}", assets)
    for name, lines in links.items():
        text = text.replace(f"{{{{{name}}}}}", "\n  ".join(lines))
    return text.encode()


def _static(content: bytes, media_type: str, caching: str) -> Callable[[Request], Awaitable[Response]]:
    codings = ("gzip", "deflate") if len(content) >= COMPRESSED_BYTES_MIN else ()
    coded = {coding: compressed(content, coding) for coding in codings}
    headers = {"ETag": tag_of(content), "Cache-Control": caching}

    async def respond(request: Request) -> Response:
        coding = accepted(", ".join(request.headers.getlist("accept-encoding"))).coding
        if coding not in coded:
            return Response(content, headers=headers, media_type=media_type)
        of_coding = {"Content-Encoding": coding, "Vary": "Accept-Encoding"}
        return Response(coded[coding], headers=headers | of_coding, media_type=media_type)

    return respond
