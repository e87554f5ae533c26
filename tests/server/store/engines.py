"""The engines that the tests of this folder run with; another one is a line of ``ENGINES``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from steplog.server.open_store import open_store
from steplog.server.store import Store

Opener = Callable[[], Store]


def _sqlite(directory: Path) -> Opener:
    return lambda: open_store(directory / "server.db")


ENGINES: Mapping[str, Callable[[Path], Opener]] = {"sqlite": _sqlite}  # an opener of one store, for an empty directory
