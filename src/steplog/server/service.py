"""What of an application is for those who operate it, rather than for those who use it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from steplog.server.draining import Draining
from steplog.server.seen_request import SeenRequest

__all__ = ["Service"]


class Service(NamedTuple):
    """How an application is watched, and taken out of service."""

    draining: Draining
    observers: Sequence[Callable[[SeenRequest], None]] = ()  # of each request that is over
