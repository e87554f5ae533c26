"""The keyring lets in what the database says, notes use with few writes, and has a page token that ages."""

from __future__ import annotations

import asyncio
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


def users(keyring: Keyring, *shown: str) -> list[str | None]:
    """Whom these keys let in."""

    async def found() -> list[str | None]:
        return [None if (found := await keyring.find(key)) is None else found.user.username for key in shown]

    return asyncio.run(found())


def start(store: Store, key: str, origin: str = GENERATED) -> None:
    store.put_started_key(store.add_user("ann").result(), keys.hash_key(key), origin).result()


def test_a_key_lets_its_user_in_and_another_text_lets_nobody_in(store):
    start(store, "own")
    add(store, "first", "bob")
    keyring = Keyring(store)
    add(store, "second", "cy")
    assert users(keyring, "own", "first", "second", "", "third") == ["ann", "bob", "cy", None, None]
    assert [keyring.is_started(key) for key in ("own", "first")] == [True, False]
    keyring.close()


def test_old_and_new_both_count_while_the_state_file_is_written(store):
    """A client that reads the file just before or after the change is refused in neither case."""
    start(store, "old")
    keyring, seen = Keyring(store), []
    old, token = store.started_key(), keyring.page_token
    assert old is not None

    def write() -> None:
        seen.append(users(keyring, "old", "new"))
        seen.append([keyring.admits_page(each) for each in (token, keyring.page_token)])

    store.replace_key(old, keys.hash_key("new")).result()
    keys.renew_page_token(store)
    keyring.refresh(write)
    assert seen == [["ann", "ann"], [True, True]]
    assert users(keyring, "old", "new") == [None, "ann"]
    assert [keyring.admits_page(each) for each in (token, keyring.page_token)] == [False, True]
    keyring.refresh(write)
    assert len(seen) == 2
    keyring.close()


def test_the_use_of_a_key_is_written_once_an_hour_whatever_the_number_of_requests(store, tmp_path):
    used, unused = add(store, "used"), add(store, "unused")
    keyring = Keyring(store)
    beside = sqlite3.connect(tmp_path / "a.db")

    def changes() -> int:
        store.database.write(lambda _: None).result()  # what was submitted before is committed
        return int(beside.execute("PRAGMA data_version").fetchone()[0])

    before = datetime.now(timezone.utc)
    users(keyring, *["used"] * 1000)
    keyring.refresh()
    noted = changes()
    for _ in range(3):
        users(keyring, "used")
        keyring.refresh()
    after = datetime.now(timezone.utc)
    dates = {key.id: key.last_used for key in store.all_keys()}
    hours = {each.replace(minute=0, second=0, microsecond=0).isoformat() for each in (before, after)}
    assert dates[used] in hours
    assert dates[unused] is None
    assert len(hours) > 1 or changes() == noted
    beside.close()
    keyring.close()


def test_a_start_replaces_the_key_of_the_start_before_and_no_issued_one(store):
    issued = add(store, "issued")
    for key, origin in (("a", CONFIGURED), ("b", GENERATED), ("c", CONFIGURED), ("c", CONFIGURED)):
        start(store, key, origin)
        keyring = Keyring(store)
        assert [each for each in ("a", "b", "c", "issued") if users(keyring, each) == ["ann"]] == [key, "issued"]
        keyring.close()
    start(store, "issued", CONFIGURED)
    assert [key.id for key in store.all_keys()] == [issued]
    start(store, "a", CONFIGURED)
    assert [key.hash for key in store.all_keys()] == [keys.hash_key("issued"), keys.hash_key("a")]
    store.revoke_keys([issued]).result()
    with pytest.raises(RevokedKeyError, match="was revoked on"):
        start(store, "issued", CONFIGURED)


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
    start(store, "lost")
    keyring = Keyring(store)
    key, token = store.started_key(), keyring.page_token
    assert key is not None
    age(tmp_path / "a.db", days_ago(31))
    store.revoke_keys([key.id]).result()
    keyring._store = FullStore(store)
    keyring.refresh()
    assert (users(keyring, "lost"), keyring.admits_page(token)) == ([None], True)
    keyring._store = store
    keyring.refresh()
    assert keyring.admits_page(token) is False
    keyring.close()


@pytest.mark.slow
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


def test_a_key_that_is_shown_while_the_use_of_others_is_stored_ends_no_refresh(store):
    """The thread that refreshes ended, without the GIL, and a revoked key let its user in for ever."""
    keyring = Keyring(store)
    used = keyring._used

    class Shown:
        last_used = ""

        @property
        def id(self) -> int:
            used[len(used)] = self  # type: ignore[assignment]  # as the event loop does, which has the dict still
            keyring._noted.add(0)
            return 0

    used[0] = Shown()  # type: ignore[assignment]
    keyring._noted_in = keys.now().replace(minute=0, second=0).isoformat()
    keyring._store_use()
    assert len(used) > 1
    keyring.close()
