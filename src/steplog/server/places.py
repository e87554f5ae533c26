"""The places of a server's connections, and which connection gives up its own. Pure.

1. There are never more than ``total`` connections.
2. At most ``unkeyed`` of them have not shown a key, however many come: the rest is reserved for those that have.
3. A connection that has not shown a key goes first, the oldest of them; then the one with a key that has idled longest.
   One with a request in progress goes only before it has shown a key.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["Places"]

_C = TypeVar("_C", bound=Hashable)


class Places(Generic[_C]):
    """Connections by what they have shown; the order of each kind is that of its last change."""

    def __init__(self, total: int, unkeyed: int) -> None:
        self.total = total
        self.unkeyed = unkeyed
        self._unkeyed: dict[_C, None] = {}
        self._idle: dict[_C, None] = {}  # with a key
        self._busy: set[_C] = set()  # with a key

    def __len__(self) -> int:
        return len(self._unkeyed) + len(self._idle) + len(self._busy)

    def enter(self, connection: _C) -> _C | None:
        """Add a connection; returns the one to close, perhaps the new one, which has left with this call."""
        self._unkeyed[connection] = None
        if len(self._unkeyed) > self.unkeyed:
            return self._first(self._unkeyed)
        if len(self) > self.total:
            return self._first(self._unkeyed if len(self._unkeyed) > 1 else self._idle or self._unkeyed)
        return None

    def show_key(self, connection: _C) -> None:
        """It has sent a request with a valid key."""
        if connection in self._unkeyed:
            del self._unkeyed[connection]
            self._busy.add(connection)

    def begin(self, connection: _C) -> None:
        """It has sent the head of a request."""
        if connection in self._idle:
            del self._idle[connection]
            self._busy.add(connection)

    def end(self, connection: _C) -> None:
        """Its request is answered."""
        if connection in self._busy:
            self._busy.remove(connection)
            self._idle[connection] = None

    def leave(self, connection: _C) -> None:
        """It is closed."""
        self._unkeyed.pop(connection, None)
        self._idle.pop(connection, None)
        self._busy.discard(connection)

    def _first(self, among: dict[_C, None]) -> _C:
        first = next(iter(among))
        del among[first]
        return first
