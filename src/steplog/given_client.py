"""A client that a caller gives and that is no ``TellurioClient``: whatever has ``post``, ``patch`` and ``get``.

It is used as one whose methods are replaced (``network.replaced``): as a stock server, on one lane, from the sender's
thread. What it lacks goes to the configured server.
"""

from __future__ import annotations

from typing import Any

from steplog.client import TellurioClient
from steplog.settings import resolve

__all__ = ["as_client"]

_KEPT_MAX = 16
_known: dict[int, _GivenClient] = {}  # by the id of what was given, which each holds


def as_client(given: Any) -> TellurioClient:
    """The client. Raises TypeError for what is none."""
    if issubclass(type(given), TellurioClient):  # isinstance() believes a mock
        client: TellurioClient = given
        return client
    if not any(callable(getattr(given, method, None)) for method in ("post", "patch", "get")):
        raise TypeError(f"a client has post, patch and get; {type(given).__name__} has none of them")
    known = _known.get(id(given))
    if known is None:
        known = _known.setdefault(id(given), _GivenClient(given))  # of several threads at once, that of the first
        for old in list(_known)[:-_KEPT_MAX]:
            _known.pop(old, None)
    return known


class _GivenClient(TellurioClient):
    def __init__(self, given: Any) -> None:
        super().__init__(settings=resolve())
        self.given = given
        for method in ("post", "patch", "get"):
            if callable(found := getattr(given, method, None)):
                vars(self)[method] = found
