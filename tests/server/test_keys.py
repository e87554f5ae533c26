"""The keyring has what the database has: within an interval, with few writes, and a page token that ages."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import Future
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from server.process import ServerProcess
from steplog import instance
from steplog.server import keys
from steplog.server.keys import Keyring
from steplog.server.sqlite.store import SqliteStore
from steplog.server.store import Store
from steplog.server.store_types import CONFIGURED, GENERATED, RevokedKeyError, StoreFullError


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "a.db")
    yield opened
    opened.close()


def add(store: SqliteStore, key: str, user: str = "ann") -> int:
    return store.issue_key(user, keys.hash_key(key), "").result().id


def age(database: Path, made: str) -> None:
    """Set the date on which the page's token was made."""
    connection = sqlite3.connect(database)
    connection.execute("UPDATE about SET value = ? WHERE name = 'page_token_made'", (made,))
    connection.commit()
    connection.close()


def days_ago(days: float) -> str:
    return (datetime.now(timezone.utc) - timedelta(days=days)).isoformat()


def test_a_refresh_takes_in_what_was_issued_and_drops_what_was_revoked(store):
    first = add(store, "first")
    keyring = Keyring(store)
    second = add(store, "second", "bob")
    assert [keyring.admits(key) for key in ("first", "second", "", "third")] == [True, False, False, False]
    store.revoke_keys([first]).result()
    keyring.refresh()
    assert [keyring.admits(key) for key in ("first", "second")] == [False, True]
    user = keyring.user_of("second")
    assert user is not None
    assert (user.username, keyring.user_of("first")) == ("bob", None)
    store.revoke_keys([second]).result()
    keyring.refresh()
    assert keyring.user_of("second") is None


def test_old_and_new_both_count_while_the_state_file_is_written(store):
    """A client that reads the file just before or after the change is refused in neither case."""
    old = add(store, "old")
    keyring, seen = Keyring(store), []
    token = keyring.page_token

    def write() -> None:
        seen.append([keyring.admits(key) for key in ("old", "new")])
        seen.append([keyring.admits_page(each) for each in (token, keyring.page_token)])

    add(store, "new")
    store.revoke_keys([old]).result()
    keys.renew_page_token(store)
    keyring.refresh(write)
    assert seen == [[True, True], [True, True]]
    assert [keyring.admits(key) for key in ("old", "new")] == [False, True]
    assert [keyring.admits_page(each) for each in (token, keyring.page_token)] == [False, True]
    keyring.refresh(write)
    assert len(seen) == 2


def test_the_use_of_a_key_is_written_once_an_hour_whatever_the_number_of_requests(store, tmp_path):
    used, unused = add(store, "used"), add(store, "unused")
    keyring = Keyring(store)
    beside = sqlite3.connect(tmp_path / "a.db")

    def changes() -> int:
        store.database.write(lambda _: None).result()  # what was submitted before is committed
        return int(beside.execute("PRAGMA data_version").fetchone()[0])

    before = datetime.now(timezone.utc)
    for _ in range(1000):
        keyring.user_of("used")
    keyring.refresh()
    noted = changes()
    for _ in range(3):
        keyring.user_of("used")
        keyring.refresh()
    after = datetime.now(timezone.utc)
    dates = {key.id: key.last_used for key in store.all_keys()}
    hours = {each.replace(minute=0, second=0, microsecond=0).isoformat() for each in (before, after)}
    assert dates[used] in hours
    assert dates[unused] is None
    assert len(hours) > 1 or changes() == noted
    beside.close()


def test_a_start_replaces_the_key_of_the_start_before_and_no_issued_one(store):
    issued = add(store, "issued")
    user = store.add_user("ann").result()
    for key, origin in (("a", CONFIGURED), ("b", GENERATED), ("c", CONFIGURED), ("c", CONFIGURED)):
        store.put_started_key(user, keys.hash_key(key), origin).result()
        keyring = Keyring(store)
        assert [each for each in ("a", "b", "c", "issued") if keyring.admits(each)] == [key, "issued"]
    store.put_started_key(user, keys.hash_key("issued"), CONFIGURED).result()
    assert [key.id for key in store.all_keys()] == [issued]
    store.put_started_key(user, keys.hash_key("a"), CONFIGURED).result()
    assert Keyring(store).admits("issued")
    store.revoke_keys([issued]).result()
    with pytest.raises(RevokedKeyError, match="was revoked on"):
        store.put_started_key(user, keys.hash_key("issued"), CONFIGURED).result()


@pytest.mark.parametrize(
    ("made", "stays"),
    [(days_ago(0.1), True), (days_ago(29.9), True), (days_ago(30.1), False), (days_ago(-2), False), ("", False)],
)
def test_the_pages_token_is_replaced_after_thirty_days_while_the_server_runs(store, tmp_path, made, stays):
    keyring = Keyring(store)
    token = keyring.page_token
    age(tmp_path / "a.db", made)
    keyring.refresh()
    assert (keyring.page_token == token, keyring.admits_page(token)) == (stays, stays)
    assert keyring.admits_page(keyring.page_token)
    renewed = keyring.page_token
    keyring.refresh()
    assert keyring.page_token == renewed


class FullStore:
    """A store whose disk has no room for another token."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def put_page_token(self, *_: object) -> Future[None]:
        refused: Future[None] = Future()
        refused.set_exception(StoreFullError("database or disk is full"))
        return refused


def test_a_key_is_revoked_although_no_new_token_fits_on_the_disk(store, tmp_path):
    key = add(store, "lost")
    keyring = Keyring(store)
    token = keyring.page_token
    age(tmp_path / "a.db", days_ago(31))
    store.revoke_keys([key]).result()
    keyring._store = FullStore(store)
    keyring.refresh()
    assert (keyring.admits("lost"), keyring.admits_page(token)) == (False, True)
    keyring._store = store
    keyring.refresh()
    assert keyring.admits_page(token) is False


@pytest.mark.parametrize(("days", "stays"), [(0.9, True), (1.1, False)])
def test_a_start_replaces_a_page_token_of_more_than_a_day(tmp_path, days, stays):
    with ServerProcess(tmp_path) as server:
        tokens = []
        for _ in range(2):
            found = instance.read(server.state)
            assert found is not None
            tokens.append(found.page_token)
            server.end()
            age(server.database, days_ago(days))
            server.start()
        assert (tokens[0] == tokens[1]) is stays


def test_no_repr_shows_a_token_or_a_key(store):
    keyring = Keyring(store)
    token = store.page_token()
    assert token is not None
    assert token.token == keyring.page_token
    assert token.token not in repr(token) + repr(keyring)
