"""The page's files: one shell for every address that a person opens, and what it loads.

::

    /                                       ┐
    /{namespace}/projects/{project}/        ├─▶ page/index.html
    /{namespace}/projects/{project}/runs/…  ┘
    /page/{file}                            ─▶ page/{file}

They are the same for everyone and hold no data, so they need no key: the shell's scripts ask the API for what they
show, with the token from the address (``access``). All of them are read once, when the application is made, so no
path that is asked for is ever looked up on the disk.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

__all__ = ["routes"]

_FILES = Path(__file__).with_name("page")
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_PROJECT = "/{namespace}/projects/{project}"
_RUN = f"{_PROJECT}/runs/{{run}}"
_SHELLS = ("/", _PROJECT, f"{_PROJECT}/", _RUN, f"{_RUN}/")


def routes() -> list[Route]:
    """A route for each file and each address of the page."""
    served = sorted(file for file in _FILES.rglob("*") if file.suffix in _TYPES)
    answers = {file.relative_to(_FILES).as_posix(): _answer(file) for file in served}
    shell = answers.pop("index.html")
    return [Route(f"/page/{name}", answer) for name, answer in answers.items()] + [
        Route(path, shell) for path in _SHELLS
    ]


def _answer(file: Path) -> Callable[[Request], Awaitable[Response]]:
    content, media_type = file.read_bytes(), _TYPES[file.suffix]

    async def answer(_request: Request) -> Response:
        return Response(content, media_type=media_type)

    return answer
