"""What is known of a request once it is over: for the access log and for ``/metrics``."""

from __future__ import annotations

from typing import NamedTuple

from starlette.types import Scope

__all__ = ["CLIENT_LEFT", "SeenRequest"]

CLIENT_LEFT = 499  # nothing was sent; nginx calls it so


class SeenRequest(NamedTuple):
    """A request that was answered, or whose client has left."""

    id: str
    method: str
    route: str  # the pattern of its path
    status: int  # or CLIENT_LEFT
    seconds: float
    bytes_in: int  # of the body, as far as it was read
    bytes_out: int  # of the answer's body
    scope: Scope
