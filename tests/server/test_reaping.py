"""The thread that removes what is deleted takes turns with giving its room back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, cast

import pytest

from polling import wait_until
from steplog.server import reaping as reaping_module
from steplog.server.blobs.content_store import ContentStore
from steplog.server.reaping import reaping
from steplog.server.store import Store
from steplog.server.store_types import StoreFullError


class ScriptedStore:
    """Answers what it is told to, and notes what it is asked; then there is nothing."""

    def __init__(self, *answers: tuple[str, bool | Exception]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    def reap(self) -> Future[bool]:
        return self._answer("reap")

    def give_back(self) -> Future[bool]:
        return self._answer("give_back")

    def expire_runs(self) -> int:
        return 0

    def _answer(self, what: str) -> Future[bool]:
        self.asked.append(what)
        made: Future[bool] = Future()
        wanted, answer = self._answers.pop(0) if self._answers else (what, False)
        assert wanted == what
        if isinstance(answer, Exception):
            made.set_exception(answer)
        else:
            made.set_result(answer)
        return made


def asked(*answers: tuple[str, bool | Exception], count: int) -> list[str]:
    """What a store is asked first; it gives these answers."""
    store = ScriptedStore(*answers)
    with reaping(cast(Store, cast(Any, store))):
        wait_until(lambda: len(store.asked) >= count)
    return store.asked[:count]


def test_room_is_given_back_before_more_is_removed():
    script = [("give_back", True), ("give_back", False), ("reap", True), ("give_back", True), ("give_back", False)]
    script += [("reap", True), ("give_back", False), ("reap", False)]
    assert asked(*script, count=8) == [what for what, _ in script]


def test_what_packing_has_freed_is_left_for_what_comes(monkeypatch):
    """Once nothing was removed, no room is given back until something is."""
    monkeypatch.setattr("steplog.server.reaping._INTERVAL_S", 0.01)
    script = [("give_back", False), ("reap", False), ("reap", False), ("reap", True), ("give_back", False)]
    assert asked(*script, count=5) == [what for what, _ in script]


def test_a_busy_machine_gets_longer_pauses(monkeypatch):
    """A slice took three times as long there, and others had waited for each."""
    pauses: list[float] = []

    @contextmanager
    def repeating(work: Callable[[], float], name: str, first_s: float = 0.0) -> Iterator[None]:
        pauses.extend(work() for _ in range(3) if name == "steplog-trash")
        yield

    monkeypatch.setattr("steplog.server.reaping.repeating", repeating)
    times = iter((0.0, 0.001, 1.0, 1.25, 2.0))  # before and after each slice, but the last, with nothing to do
    script = [("give_back", True), ("give_back", False), ("reap", True), ("give_back", False), ("reap", False)]
    with reaping(cast(Store, cast(Any, ScriptedStore(*script))), times.__next__):
        assert pauses == [0.007, 0.5, 5.0]


def test_a_full_disk_does_not_end_it(monkeypatch):
    monkeypatch.setattr("steplog.server.reaping._INTERVAL_S", 0.01)
    script = [("give_back", False), ("reap", StoreFullError("disk full")), ("reap", True), ("give_back", False)]
    assert asked(*script, count=4) == [what for what, _ in script]


def test_runs_are_expired_until_none_is_left_and_again_later_whatever_happens(monkeypatch):
    monkeypatch.setattr("steplog.server.reaping._EXPIRY_FIRST_S", 0.0)
    monkeypatch.setattr("steplog.server.reaping._EXPIRY_INTERVAL_S", 0.01)
    store = ScriptedStore()
    counts = [2, StoreFullError("full"), 1, 0, 0]
    expired: list[int | Exception] = []

    def expire_runs() -> int:
        expired.append(counts.pop(0) if counts else 0)
        if isinstance(expired[-1], Exception):
            raise expired[-1]
        return expired[-1]

    monkeypatch.setattr(store, "expire_runs", expire_runs)
    with reaping(cast(Store, cast(Any, store))):
        wait_until(lambda: len(expired) > 5)
    assert [each for each in expired[:5] if isinstance(each, int)] == [2, 1, 0, 0]


class ScriptedContents:
    """Answers as it is told to when it is swept."""

    def __init__(self, answer: int | Exception) -> None:
        self._answer = answer

    def remove(self, sha256: str) -> None: ...

    def sweep(self, older_s: float) -> int:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    def free_bytes(self) -> int | None:
        return 7


class CollectedStore:
    """Has so many slices of contents to collect."""

    def __init__(self, slices: int) -> None:
        self.slices = slices

    def collect_contents(self, remove: Callable[[str], None]) -> bool:
        self.slices -= 1
        return self.slices > 0


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_COLLECTION_FIRST_S", "_COLLECTION_INTERVAL_S", "_COLLECTION_PAUSE_S"):
        monkeypatch.setattr(reaping_module, name, 0.0)


def collecting(store: Any, contents: Any) -> Any:
    return reaping_module.collecting(cast(Store, store), cast(ContentStore, contents))


@pytest.mark.usefixtures("at_once")
def test_contents_are_collected_and_uploads_swept_again_and_again():
    store = CollectedStore(3)
    with collecting(store, ScriptedContents(2)) as figures:
        wait_until(lambda: store.slices < -3)
        assert figures() == {"uploads_swept_total": 2, "content_free_bytes": 7}  # an hour has not passed


@pytest.mark.usefixtures("at_once")
def test_a_content_that_cannot_be_removed_is_said_once_and_tried_again(caplog):
    store = CollectedStore(3)
    with collecting(store, ScriptedContents(PermissionError(13, "Permission denied"))):
        wait_until(lambda: store.slices < -3)
    assert [record.getMessage() for record in caplog.records] == [
        "files that nothing names cannot be removed now: [Errno 13] Permission denied"
    ]


def test_without_contents_nothing_is_collected():
    store = CollectedStore(3)
    with collecting(store, None) as figures:
        assert figures() == {}
    assert store.slices == 3
