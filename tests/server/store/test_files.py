"""Files of runs: announced once each, listed in order, and said to be there once their content is."""

from __future__ import annotations

import hashlib
import threading
import uuid
from typing import Any

import pytest

from server.stores import ann, new_project, new_run, now
from steplog.blobs.entries import FileEntry
from steplog.server.file_types import FileRow
from steplog.server.store import Store
from steplog.server.store_types import MissingError, RunRow, StoreError


def sha_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def entry(content: str = "", path: str = "", **fields: Any) -> FileEntry:
    given = {"id": uuid.uuid4().hex, "sha256": sha_of(content), "size": len(content), "type": "text/plain", "time": 7}
    return FileEntry(path=path, **{**given, **fields})


def announce(store: Store, run: RunRow, *files: FileEntry, pending: int | None = None) -> list[str]:
    return store.announce_files(run, files, (), pending).result().missing


def bring(store: Store, run: RunRow, content: str) -> None:
    """Have a content in the run's project."""
    project = store.project("team", run.project_slug)
    assert project is not None
    store.add_content(project, sha_of(content), len(content), lambda: None).result()


def paths(rows: list[FileRow]) -> list[str]:
    return [row.path for row in rows]


def test_files_are_listed_as_announced_and_present_once_their_content_is(store):
    run = new_run(store)
    first, second = entry("a", suffix=".png", type="image/png"), entry("b", "ckpt/b.pt")
    assert announce(store, run, first, second) == [first.sha256, second.sha256]
    expected = FileRow(first.id, first.sha256, 1, "image/png", "", ".png", 7, False)
    assert store.files(run) == [expected, FileRow(second.id, second.sha256, 1, "text/plain", "ckpt/b.pt", "", 7, False)]
    bring(store, run, "a")
    assert store.file(run, first.id) == expected._replace(present=True)
    assert announce(store, run, first, second) == [second.sha256]
    assert [row.present for row in store.files(run)] == [True, False]


def test_a_file_that_is_announced_again_stays_as_it_is(store):
    run = new_run(store)
    file = entry("a", "a.txt")
    for _ in range(2):
        announce(store, run, file, file)
    announce(store, run, FileEntry(id=file.id, sha256=sha_of("other"), size=5, path="other.txt"))
    assert paths(store.files(run)) == ["a.txt"]


def test_a_file_is_one_of_its_run_alone(store):
    run, other = new_run(store), new_run(store)
    file = entry("a")
    announce(store, run, file)
    assert store.file(other, file.id) is None
    assert store.files(other) == []
    assert store.file(run, "no id") is None
    announce(store, other, file)
    assert store.file(other, file.id) is not None


def test_files_come_in_pages_after_an_id(store):
    run = new_run(store)
    files = [entry(str(number)) for number in range(7)]
    announce(store, run, *files[:3])
    announce(store, run, *files[3:])
    found = store.files(run, limit=3)
    while page := store.files(run, after=found[-1].id, limit=3):
        assert len(page) <= 3
        found += page
    assert [row.id for row in found] == [file.id for file in files]
    for unknown in ("no id", uuid.uuid4().hex):
        with pytest.raises(MissingError):
            store.files(run, after=unknown)


def test_of_files_with_one_path_the_latest_is_listed(store):
    run = new_run(store)
    first, second = entry("1", "last.pt"), entry("2", "last.pt")
    announce(store, run, first, entry("logged"), entry("3", "other%.pt"))
    announce(store, run, second, entry("4", "lasting.pt"), entry("5", "läst.pt"))
    assert paths(store.files(run)) == ["", "other%.pt", "last.pt", "lasting.pt", "läst.pt"]
    assert paths(store.files(run, path="last")) == ["last.pt", "lasting.pt"]
    assert paths(store.files(run, path="lä")) == ["läst.pt"]
    assert paths(store.files(run, path="l%")) == []
    assert paths(store.files(run, saved=True)) == ["other%.pt", "last.pt", "lasting.pt", "läst.pt"]
    assert store.files(run, path="last.pt")[0].id == second.id
    assert store.file(run, first.id) is not None  # which a record may name


def test_a_run_says_how_many_files_are_to_come(store):
    run = new_run(store)
    assert run.files_pending is None
    announce(store, run, entry("a"), pending=2)
    announce(store, run, entry("b"))
    assert now(store, run).files_pending == 2
    announce(store, run, pending=0)
    assert now(store, run).files_pending == 0


def test_files_of_a_run_that_is_not_there_are_refused(store):
    run = new_run(store)
    project = store.project("team", "mnist")
    store.discard_run(project, run.uuid).result()
    with pytest.raises(MissingError):
        announce(store, run, entry("a"))
    store.restore_run(project, run.uuid).result()
    announce(store, run, entry("a"))
    store.delete_project(project).result()
    with pytest.raises(MissingError):
        announce(store, run, entry("b"))


def test_a_content_is_in_the_project_that_it_was_brought_to_alone(store):
    run, other = new_run(store), new_run(store, new_project(store, "other"))
    announce(store, run, entry("a"))
    bring(store, run, "a")
    assert announce(store, other, entry("a")) == [sha_of("a")]
    there, elsewhere = store.project("team", "mnist"), store.project("team", "other")
    assert (store.content_size(there, sha_of("a")), store.content_size(elsewhere, sha_of("a"))) == (1, None)
    bring(store, other, "a")
    bring(store, run, "bcd")
    bring(store, run, "bcd")
    assert (store.content_bytes(there), store.content_bytes(elsewhere)) == (4, 1)
    assert (store.figures()["contents"], store.figures()["content_bytes"]) == (3, 5)


def test_a_content_of_a_project_that_is_gone_is_refused(store):
    project = new_project(store)
    ann(store)
    store.delete_project(project).result()
    with pytest.raises(MissingError):
        store.add_content(project, sha_of("a"), 1, lambda: None).result()


def test_a_content_whose_bytes_cannot_be_put_is_not_there(store):
    project = new_project(store)

    def fail() -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        store.add_content(project, sha_of("a"), 1, fail).result()
    assert store.content_size(project, sha_of("a")) is None
    store.add_content(project, sha_of("a"), 1, lambda: None).result()
    assert store.content_size(project, sha_of("a")) == 1


def test_a_store_that_closes_waits_for_no_storage(open_store):
    store = open_store()
    project = new_project(store)
    began, goes_on = threading.Event(), threading.Event()

    def hang() -> None:
        began.set()
        goes_on.wait()

    added = store.add_content(project, sha_of("a"), 1, hang)
    assert began.wait(30)
    store.close()
    goes_on.set()
    with pytest.raises(StoreError):
        added.result(30)
    again = open_store()
    assert again.content_size(project, sha_of("a")) is None
    again.add_content(project, sha_of("a"), 1, lambda: None).result()
    assert again.content_size(project, sha_of("a")) == 1
