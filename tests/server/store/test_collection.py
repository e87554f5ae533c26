"""Contents that nobody names are forgotten after a day, and nothing that a client was told is there ever is."""

from __future__ import annotations

import random
import threading
import time
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest

from server.store.test_artifacts import log, project_of
from server.store.test_files import announce, bring, entry, sha_of
from server.stores import new_project, new_run
from steplog.blobs.entries import FileEntry
from steplog.server.sql import contents, file_store
from steplog.server.store import Store
from steplog.server.store_types import MissingError, RunRow, StoreBusyError


def at(hours: float) -> datetime:
    return datetime.now(timezone.utc) + timedelta(hours=hours)


def collected(store: Store, hours: float) -> list[str]:
    """Whose bytes are removed when all that is due in so many hours is done."""
    removed: list[str] = []
    while store.collect_contents(removed.append, at(hours)):
        pass
    return removed


def remove(store: Store, run: RunRow) -> None:
    store.discard_run(project_of(store, run), run.uuid, now=True).result()
    while store.reap().result():
        pass


def test_what_no_file_names_is_forgotten_after_a_day_and_its_bytes_an_hour_later(store):
    run, project = new_run(store), new_project(store, "other")
    announce(store, run, entry("a"), entry("b"))
    for content in "ab":
        bring(store, run, content)
    assert collected(store, 100) == []
    remove(store, run)
    assert collected(store, 23.9) == []
    assert store.content_bytes(project_of(store, run)) == 2
    assert collected(store, 24.1) == []
    assert store.content_bytes(project_of(store, run)) == 0
    assert announce(store, new_run(store), entry("b")) == [sha_of("b")]
    assert collected(store, 25) == []
    assert sorted(collected(store, 25.2)) == sorted([sha_of("a"), sha_of("b")])
    assert collected(store, 100) == []
    assert store.figures()["contents_collected_total"] == 2
    assert store.content_bytes(project) == 0


def test_where_nothing_is_due_nothing_is_written(store):
    bring(store, new_run(store), "a")
    before = store.figures()["commits_total"]
    assert collected(store, 23) == []
    assert store.figures()["commits_total"] == before


def test_what_was_brought_and_never_announced_is_forgotten_too(store):
    run = new_run(store)
    bring(store, run, "a")
    assert collected(store, 23.9) == []
    assert collected(store, 24.1) == []
    assert collected(store, 26) == [sha_of("a")]


def test_what_another_run_or_an_artifact_names_stays(store):
    run, other = new_run(store), new_run(store)
    announce(store, run, *[entry(content) for content in "abc"])
    announce(store, other, entry("a"))
    log(store, run, {"x": "b"})
    for content in "abc":
        bring(store, run, content)
    remove(store, run)
    assert collected(store, 24.1) == []
    assert collected(store, 26) == [sha_of("c")]
    assert announce(store, other, entry("a"), entry("b")) == []
    assert collected(store, 100) == []


def test_what_is_named_again_within_the_day_stays(store):
    run = new_run(store)
    announce(store, run, entry("a"))
    bring(store, run, "a")
    remove(store, run)
    assert announce(store, new_run(store), entry("a")) == []
    assert collected(store, 100) == []


def test_the_bytes_stay_as_long_as_one_project_has_them(store):
    run, other = new_run(store), new_run(store, new_project(store, "other"))
    for each in (run, other):
        announce(store, each, entry("a"))
        bring(store, each, "a")
    remove(store, run)
    assert collected(store, 100) == []
    assert announce(store, other, entry("a")) == []
    store.delete_project(project_of(store, other)).result()
    while store.reap().result():
        pass
    assert collected(store, 0.9) == []
    assert collected(store, 1.1) == [sha_of("a")]


def test_a_put_that_never_came_to_its_end_leaves_no_bytes_behind(store):
    project = new_project(store)

    def stop() -> None:
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        store.add_content(project, sha_of("a"), 1, stop).result()
    assert collected(store, 0.9) == []
    assert collected(store, 1.1) == [sha_of("a")]


def test_bytes_that_are_removed_while_they_are_put_are_put_again(store):
    run = new_run(store)
    announce(store, run, entry("a"))
    puts: list[list[str]] = []

    def put() -> None:
        puts.append(collected(store, 2) if not puts else [])

    store.add_content(project_of(store, run), sha_of("a"), 1, put).result()
    assert puts == [[sha_of("a")], []]
    assert announce(store, run, entry("a")) == []
    assert collected(store, 100) == []


def test_a_content_that_is_being_removed_is_taken_once_it_is(store):
    run = new_run(store)
    bring(store, run, "a")
    collected(store, 24.1)
    refused: list[BaseException | None] = []
    puts: list[str] = []

    def removing(_: str) -> None:
        again = store.add_content(project_of(store, run), sha_of("a"), 1, lambda: puts.append("a"))
        refused.append(again.exception())

    assert store.collect_contents(removing, at(26))
    assert [type(each) for each in refused] == [StoreBusyError]
    assert puts == []  # nobody would remove these bytes
    bring(store, run, "a")
    assert announce(store, run, entry("a")) == []


def test_bytes_that_cannot_be_removed_are_tried_again_and_hold_up_no_others(store):
    run = new_run(store)
    for content in "abc":
        bring(store, run, content)
    collected(store, 24.1)
    removed: list[str] = []

    def fail(sha256: str) -> None:
        if sha256 == sha_of("b"):
            raise PermissionError(13, "Permission denied")
        removed.append(sha256)

    with pytest.raises(PermissionError):
        store.collect_contents(fail, at(26))
    assert sorted(removed) == sorted([sha_of("a"), sha_of("c")])
    assert collected(store, 26) == []  # perhaps another process removes it
    with pytest.raises(StoreBusyError):
        bring(store, run, "b")
    assert collected(store, 26.1) == [sha_of("b")]
    bring(store, run, "b")


def test_what_was_condemned_too_long_ago_is_left_to_others(store, monkeypatch):
    run = new_run(store)
    for content in "ab":
        bring(store, run, content)
    collected(store, 24.1)
    clock = [0.0]
    monkeypatch.setattr(file_store, "time", SimpleNamespace(monotonic=lambda: clock[0], time=time.time))
    removed: list[str] = []

    def slow(sha256: str) -> None:
        removed.append(sha256)
        clock[0] += contents.REMOVAL_S + 1

    store.collect_contents(slow, at(26))
    assert len(removed) == 1
    monkeypatch.undo()
    assert [*removed, *collected(store, 26.1)] in ([sha_of("a"), sha_of("b")], [sha_of("b"), sha_of("a")])


def test_what_a_project_has_is_not_condemned_even_if_it_is_said_to_be_unused(store):
    run = new_run(store)
    announce(store, run, entry("a"))
    bring(store, run, "a")
    store.database.write(lambda connection: connection.execute("UPDATE contents SET state = 1") and None).result()
    assert collected(store, 100) == []
    assert store.database.read(lambda connection: connection.execute("SELECT state FROM contents").fetchall()) == [(0,)]


@pytest.mark.slow
def test_contents_in_use_are_never_removed_whatever_happens_at_once(store, monkeypatch):
    """Clients announce, bring and delete what others do, too, while contents are collected at once."""
    for name in ("UNNAMED_S", "UNUSED_S"):
        monkeypatch.setattr(contents, name, -1)
    project = new_project(store)
    bytes_of: set[str] = set()
    removed: list[str] = []
    wrong: list[str] = []
    stop = threading.Event()

    def take_away(sha256: str) -> None:
        bytes_of.discard(sha256)
        removed.append(sha256)

    def collect() -> None:
        while not stop.is_set():
            store.collect_contents(take_away)
            store.reap().result()

    def live(seed: int) -> None:
        randomness = random.Random(seed)
        for _ in range(500):
            if len(removed) >= 60:
                return
            run = new_run(store, project)
            contents_of_run = [str(randomness.randrange(6)) for _ in range(2)]
            use(run, contents_of_run)
            wrong.extend(content for content in contents_of_run if sha_of(content) not in bytes_of)
            store.discard_run(project, run.uuid, now=True).result()
            while store.files(run):
                store.reap().result()

    def use(run: RunRow, wanted: list[str]) -> None:
        """As a client does it: what it is told is there it does not bring, nor look after."""
        for missing in announce(store, run, *(entry(content) for content in wanted)):
            for _ in range(1000):
                added = store.add_content(project, missing, 1, lambda sha256=missing: bytes_of.add(sha256))
                if not isinstance(added.exception(), StoreBusyError):
                    break
            added.result()

    threads = [threading.Thread(target=live, args=(seed,)) for seed in range(3)]
    collector = threading.Thread(target=collect)
    collector.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    collector.join()
    assert wrong == []
    assert len(removed) >= 60


def test_files_of_a_large_run_are_removed_in_slices(store):
    run = new_run(store)
    announce(store, run, *[entry(str(number)) for number in range(700)])
    bring(store, run, "650")
    project = project_of(store, run)
    store.discard_run(project, run.uuid, now=True).result()
    while store.reap().result():
        pass
    with pytest.raises(MissingError):
        announce(store, run, FileEntry(id="0" * 32, sha256=sha_of("x")))
    assert collected(store, 24.1) == []
    assert collected(store, 26) == [sha_of("650")]
