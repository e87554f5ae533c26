"""The tables are made once, by whichever server comes first, in a database that can hold them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg
import pytest

import postgresql
from steplog.errors import ConfigurationError
from steplog.server.open_store import migrate, open_store
from steplog.server.postgresql.moving import Target
from steplog.server.postgresql.store import PostgresqlStore


def test_servers_that_start_at_once_make_the_tables_once():
    url = postgresql.new_database()

    def opened(_: int) -> str:
        with closing(PostgresqlStore(url)) as store:
            store.add_user("ann").result()
            return store.instance

    with ThreadPoolExecutor() as starting:
        ids = list(starting.map(opened, range(4)))
    assert len(set(ids)) == 1
    with closing(PostgresqlStore(url)) as store:
        assert [user.username for user in store.users()] == ["ann"]


def newer(url: str) -> str:
    with closing(open_store(url)), psycopg.connect(url) as connection:
        connection.execute("UPDATE about SET value = '999' WHERE name = 'schema'")
    return url


def of_another_encoding(url: str) -> str:
    name = url.rpartition("/")[2] + "_latin"
    with psycopg.connect(url, autocommit=True) as connection:
        options = "ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
        connection.execute(f"CREATE DATABASE {name} {options}".encode())
    return url.rpartition("/")[0] + f"/{name}"


def of_a_user_without_rights(url: str) -> str:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE USER weak_{url.rpartition('/')[2]}".encode())
    return url.replace("postgres@", f"weak_{url.rpartition('/')[2]}@")


def not_there(url: str) -> str:
    return f"{url}_none"


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (newer, "schema version 999, of a newer steplog, and is left as it is; this one supports 1. Type: pip install"),
        (of_another_encoding, "encoding is LATIN1. Type for another one: createdb --encoding UTF8"),
        (of_a_user_without_rights, "permission denied for schema public. Type to its owner's psql: ALTER DATABASE"),
        (not_there, "does not exist. Type: createdb"),
    ],
)
def test_a_database_that_cannot_hold_a_store_is_refused_in_words(made: Callable[[str], str], words: str):
    url = made(postgresql.new_database())
    for use in (open_store, migrate, Target):
        with pytest.raises(ConfigurationError) as caught:
            use(url)
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)
