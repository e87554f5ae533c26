"""A store of each engine for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import postgresql
from server.store import engines
from server.store.engines import ENGINES, Opener
from steplog.server.store import Store
from steplog.server.store_types import RunRow


@pytest.fixture(params=ENGINES)
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Opens this test's store, again and again: the one before is closed first."""
    with postgresql.lending(), ExitStack() as last:
        open_again = ENGINES[request.param](tmp_path)

        def opened() -> Store:
            last.close()
            store = open_again()
            last.callback(store.close)
            return store

        yield opened


@pytest.fixture
def store(open_store: Opener) -> Store:
    return open_store()


@pytest.fixture
def pack() -> Callable[[Store, RunRow], None]:
    return engines.pack
