"""Keys are read when they are shown, count for seconds, and cost few reads however many wrong ones are shown."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from server.process import ServerProcess
from steplog.server import key_cache
from steplog.server.key_cache import KeyCache
from steplog.server.keys import hash_key
from steplog.server.open_store import open_store
from steplog.server.store import Store
from steplog.server.store_types import KeyRow, StoreGoneError


class Shown:
    """Keys that are shown to a cache, by a clock that moves when told to, or when the cache rests."""

    def __init__(self, store: Store) -> None:
        self.now = 100.0
        self.reads: list[int] = []  # how many keys each was of
        self.error: Exception | None = None
        self._store = store
        self.cache = KeyCache(self.keys_of_hashes, lambda: self.now, self._sleep)

    def keys_of_hashes(self, hashes: Sequence[bytes]) -> list[KeyRow]:
        self.reads.append(len(hashes))
        if self.error is not None:
            raise self.error
        return [key for key in self._store.keys_of_hashes(hashes) if key.revoked is None]

    async def _sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)

    async def opens(self, key: str) -> bool:
        return await self.cache.find(hash_key(key)) is not None

    async def settle(self) -> None:
        """Let a read that nobody waits for come to its end."""
        while self.cache._reading is not None:
            await asyncio.wait([self.cache._reading])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "a.db")
    yield opened
    opened.close()


@pytest.fixture
def shown(store: Store) -> Iterator[Shown]:
    made = Shown(store)
    yield made
    made.cache.close()


def issue(store: Store, key: str) -> int:
    return store.issue_key("ann", hash_key(key), "").result().id


def test_a_key_in_use_is_read_every_two_seconds_and_a_revoked_one_ends_after_four(store, shown):
    number = issue(store, "key")

    async def use() -> None:
        for _ in range(1000):
            assert await shown.opens("key")
        assert shown.reads == [1]
        shown.now += 2.5
        assert await shown.opens("key"), "it counts while it is read"
        await shown.settle()
        assert shown.reads == [1, 1]
        store.revoke_keys([number]).result()
        shown.now += 1.9
        assert await shown.opens("key")
        shown.now += 1
        assert await shown.opens("key")
        await shown.settle()
        assert not await shown.opens("key")

    asyncio.run(use())


def test_a_revoked_key_that_nobody_used_meanwhile_ends_after_four_seconds(store, shown):
    number = issue(store, "key")

    async def use() -> None:
        assert await shown.opens("key")
        store.revoke_keys([number]).result()
        shown.now += 4
        assert not await shown.opens("key")

    asyncio.run(use())


def test_a_wrong_key_is_wrong_for_a_second_and_opens_once_it_is_issued(store, shown):
    async def use() -> None:
        for _ in range(100):
            assert not await shown.opens("key")
        issue(store, "key")
        shown.now += 0.9
        assert not await shown.opens("key")
        assert shown.reads == [1]
        shown.now += 0.2
        assert await shown.opens("key")

    asyncio.run(use())


def test_a_flood_of_wrong_keys_costs_fifty_reads_a_second_and_shuts_nobody_out(store, shown, monkeypatch):
    """However many are shown at once or one after the other; the keys that are in use are read no more than before."""
    monkeypatch.setattr(key_cache, "_WRONG_MAX", 100)
    issue(store, "in use")
    issue(store, "new")

    async def flood(of: str) -> None:
        for number in range(40):
            assert not await shown.opens(f"wrong {of} {number}")

    async def use() -> None:
        assert await shown.opens("in use")
        began, shown.reads = shown.now, []
        await asyncio.gather(*(flood(str(number)) for number in range(100)), shown.opens("new"))
        assert sum(shown.reads) == 4001
        assert max(shown.reads) <= 256
        assert len(shown.reads) <= (shown.now - began) / 0.02 + 1
        assert len(shown.reads) < 100
        assert len(shown.cache._wrong) == 100
        before = len(shown.reads)
        assert [await shown.opens(key) for key in ("new", "in use")] == [True, True]
        assert len(shown.reads) == before

    asyncio.run(use())


def test_of_many_keys_those_are_kept_that_were_shown_last(store, shown, monkeypatch):
    monkeypatch.setattr(key_cache, "_KNOWN_MAX", 3)
    for number in range(5):
        issue(store, f"key {number}")

    async def use() -> None:
        for number in (0, 1, 2, 0, 3, 4):
            assert await shown.opens(f"key {number}")
        assert len(shown.reads) == 5
        for number in (0, 3, 4):
            assert await shown.opens(f"key {number}")
        assert len(shown.reads) == 5

    asyncio.run(use())


def test_a_store_that_does_not_answer_is_no_wrong_key(store, shown):
    issue(store, "key")

    async def use() -> None:
        shown.error = StoreGoneError("the database is not at its path")
        for _ in range(2):
            with pytest.raises(StoreGoneError):
                await shown.opens("key")
        shown.error = None
        assert await shown.opens("key")

    asyncio.run(use())


def test_a_request_is_answered_503_while_the_database_is_away(tmp_path):
    """With 401, a client would say that its key is wrong."""
    with ServerProcess(tmp_path) as server:
        away = server.database.with_name("away.db")
        server.database.rename(away)
        asked = server.ask("GET", "/verify-api-key/", headers={"Authorization": "Api-Key of-somebody"})
        assert (asked.status_code, asked.headers["Retry-After"]) == (503, "1")
        away.rename(server.database)
        asked = server.ask("GET", "/verify-api-key/", headers={"Authorization": "Api-Key of-somebody"})
        assert asked.status_code == 401
