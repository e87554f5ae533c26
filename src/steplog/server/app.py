"""The application: the paths of the API, and the gate before them.

::

    request ─▶ Gate (Host, key or token) ─▶ route ─▶ fields, decoders ─▶ Store ─▶ answer
                                           └─▶ the page's files (pages), which need neither
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from steplog.delivery.wire import API
from steplog.server import pages, routes_catalog, routes_metrics
from steplog.server.access import AccessMiddleware, AllowedHosts
from steplog.server.endpoint import ERROR_RESPONSES, AppState
from steplog.server.store_types import Store

__all__ = ["create_app"]

_DECODERS = 2
_NAMESPACE = f"{API}/{{namespace}}/projects/"
_PROJECT = f"{_NAMESPACE}{{project}}/"
_RUNS = f"{_PROJECT}runs/"
_RUN = f"{_RUNS}{{run}}/"


def create_app(
    store: Store, *, hosts: AllowedHosts, secret: str = "", open_namespaces: bool = True, stock: bool = False
) -> Starlette:
    """The application over a store, which the caller closes after it.

    ``hosts`` are the Host headers that are answered, ``secret`` is that of the state file. With
    ``open_namespaces`` a namespace is made when a project is first made in it. With ``stock`` it is a server
    without any of steplog's additions, for tests of the client.
    """
    routes = [
        Route(f"{API}/verify-api-key/", routes_catalog.KeyCheck),
        Route(_NAMESPACE, routes_catalog.ProjectList),
        Route(_PROJECT, routes_catalog.ProjectDetail),
        Route(_RUNS, routes_catalog.RunList),
        Route(_RUN, routes_catalog.RunDetail),
        Route(f"{_RUN}metrics/", routes_metrics.MetricList),
    ]
    if not stock:
        routes += [
            Route(f"{API}/instance/", routes_catalog.InstanceProof),
            Route(f"{API}/namespaces/", routes_catalog.NamespaceList),
            Route(f"{_RUN}metrics/batch/", routes_metrics.BatchUpload),
            Route(f"{_RUN}series/", routes_metrics.SeriesList),
            *pages.routes(),
        ]
    decoders = ThreadPoolExecutor(_DECODERS, "steplog-decode")

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        decoders.shutdown()

    app = Starlette(
        routes=routes,
        middleware=[
            Middleware(
                AccessMiddleware, hosts=hosts, users=store.users(), page_token=None if stock else store.page_token
            )
        ],
        exception_handlers=ERROR_RESPONSES,
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.service = AppState(store, decoders, secret, open_namespaces, stock)
    return app
