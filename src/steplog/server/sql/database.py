"""What the store asks of a database, of either engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from steplog.server.sql.connection import Connection

__all__ = ["Database"]

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Database(Protocol):
    """A database that is open. All raise StoreError, ``write`` in its future."""

    def read(self, query: Callable[Concatenate[Connection, _P], _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run a query on a snapshot."""

    def write(self, job: Callable[Concatenate[Connection, _P], _T], *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Run a write in a transaction, perhaps several times; the future is done once it is durable."""

    def write_project(
        self, project_id: int, job: Callable[Concatenate[Connection, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> Future[_T]:
        """The same, of what changes a project's runs."""

    def snapshot(self) -> AbstractContextManager[Connection]:
        """A connection whose reads all see the same state."""

    def figures(self) -> Mapping[str, float]:
        """Of its connections and commits, as ``Store.figures`` has them. Does not block."""

    def close(self) -> None:
        """Finish pending writes and close it, once."""
