"""PostgreSQL folds texts as Python does, whatever its locale."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import postgresql
from steplog.server.postgresql.store import PostgresqlStore
from steplog.server.sql.connection import Connection

CHARACTERS = "".join(chr(number) for number in range(1, 0x30000) if not 0xD800 <= number < 0xE000)


@pytest.fixture(scope="module")
def store() -> Iterator[PostgresqlStore]:
    opened = PostgresqlStore(postgresql.new_database())
    yield opened
    opened.close()


def _folded(connection: Connection, text: str) -> str:
    (found,) = connection.execute("SELECT folded(CAST(? AS text))", (text,)).fetchone()
    return str(found)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(st.characters(codec="utf-8")) | st.text("aA ßẞſΣσςİıŉﬀ\u0345ǅDŽ"))
def test_a_text_is_folded_as_python_folds_it(store, text):
    assert store.database.read(_folded, text) == text.casefold()


def test_every_character_is_folded_as_python_folds_it(store):
    for first in range(0, len(CHARACTERS), 5000):
        some = CHARACTERS[first : first + 5000]
        assert store.database.read(_folded, some) == some.casefold()
