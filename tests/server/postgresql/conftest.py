"""Several stores over one database, as the servers of a team have them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

import postgresql
from steplog.server.postgresql.store import PostgresqlStore


@pytest.fixture
def url() -> Iterator[str]:
    """A database with the tables of a store."""
    with postgresql.lending():
        yield postgresql.new_store()


@pytest.fixture
def opened(url: str) -> Iterator[Callable[[], PostgresqlStore]]:
    """Opens another store over this test's database."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(closing(PostgresqlStore(url)))


@pytest.fixture
def stores(opened: Callable[[], PostgresqlStore]) -> tuple[PostgresqlStore, PostgresqlStore]:
    return opened(), opened()
