"""What decides over a project is read once in seconds, however many ask, and given up in time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, cast

from steplog.server.admissions import Admissions
from steplog.server.permissions import Facts
from steplog.server.store import Store
from steplog.server.store_types import StoreBusyError

PLACE = (1, "team", "mnist")


class ScriptedStore:
    """Gives the facts that it has, and counts how often."""

    def __init__(self) -> None:
        self.role: str | None = "MEMBER"
        self.reads = 0
        self.fails = False

    def facts_of(self, user_id: int, namespace: str, project: str) -> Facts | None:
        self.reads += 1
        if self.fails:
            raise StoreBusyError("away")
        return None if project == "none" else Facts(1, 7, "TEAM", self.role, None)


class Scene:
    """Admissions whose clock is set."""

    def __init__(self) -> None:
        self.now = 100.0
        self.store = ScriptedStore()
        self.admissions = Admissions(cast(Store, cast(Any, self.store)), lambda: self.now)

    def role(self) -> str | None:
        facts = self.admissions.known(PLACE)
        return None if facts is None else facts.in_namespace

    async def settle(self) -> None:
        """Until what is read in the background is there."""
        while self.admissions._refreshing:
            await asyncio.sleep(0)


def run(scene: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scene)


def test_what_was_read_counts_for_four_seconds_and_is_read_anew_meanwhile():
    async def go() -> None:
        scene = Scene()
        assert scene.role() is None
        await scene.admissions.read(PLACE)
        scene.store.role = "READER"
        scene.now += 1.9
        assert [scene.role() for _ in range(100)] == ["MEMBER"] * 100
        assert scene.store.reads == 1
        scene.now += 0.2
        assert [scene.role() for _ in range(100)] == ["MEMBER"] * 100, "nobody waits for the read"
        await scene.settle()
        assert (scene.role(), scene.store.reads) == ("READER", 2)

    run(go())


def test_what_cannot_be_read_anew_counts_no_longer_than_that():
    async def go() -> None:
        scene = Scene()
        await scene.admissions.read(PLACE)
        scene.store.fails = True
        scene.now += 3.9
        assert scene.role() == "MEMBER"
        await scene.settle()
        assert scene.role() == "MEMBER"
        await scene.settle()
        scene.now += 0.2
        assert scene.role() is None

    run(go())


def test_what_is_not_there_and_what_was_forgotten_is_not_known():
    async def go() -> None:
        scene = Scene()
        missing = (1, "team", "none")
        assert (await scene.admissions.read(missing), scene.admissions.known(missing)) == (None, None)
        await scene.admissions.read(PLACE)
        scene.admissions.forget()
        assert scene.role() is None

    run(go())


def test_only_so_many_are_kept(monkeypatch):
    monkeypatch.setattr("steplog.server.admissions._KNOWN_MAX", 3)

    async def go() -> None:
        scene = Scene()
        for user in range(1, 6):
            await scene.admissions.read((user, "team", "mnist"))
        assert [scene.admissions.known((user, "team", "mnist")) is not None for user in range(1, 6)] == [
            *([False] * 2 + [True] * 3),
        ]

    run(go())
