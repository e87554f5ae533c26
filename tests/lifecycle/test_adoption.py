"""Which runs are taken over, by whom, and why another one stays where it is."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from steplog.file_lock import FileLock
from steplog.journal import manifest as manifests
from steplog.journal.directories import RunPaths, new_id
from steplog.journal.manifest import Manifest
from steplog.lifecycle.adoption import NotAdopted
from steplog.lifecycle.process import Process
from steplog.settings import resolve

URL = "http://127.0.0.1:9"


@pytest.fixture
def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Process:
    """A process with a key for ``URL`` alone."""
    for name, value in (("URL", URL), ("API_KEY", "a-key"), ("DIR", str(tmp_path / "state"))):
        monkeypatch.setenv(f"STEPLOG_{name}", value)
    return Process(resolve())


def left(process: Process, **more: Any) -> tuple[RunPaths, FileLock]:
    """A run of this host as its agent leaves it, and the lock, which that one still has."""
    paths, lock = process.roots.claim(new_id())
    assert lock is not None
    fields = {"base_url": URL, "account": "me", "namespace": "me", "project": "p", "run": "u"} | more
    manifests.store(paths.manifest(), Manifest(local_id=paths.local_id, **fields))
    return paths, lock


def test_a_worker_takes_over_a_run_once_its_agent_is_gone_and_not_before(process):
    paths, lock = left(process)
    assert process.adopter.succeed(paths) is None
    lock.release()
    found = process.adopter.succeed(paths)
    assert found is not None
    taken, transport = found
    assert (transport and transport.base_url, FileLock.take(paths.lock)) == (URL, None)
    taken.release()


def test_a_worker_does_not_touch_the_disk_of_a_run_whose_agent_memory_shows(process):
    paths, lock = left(process)
    lock.release()
    shown = paths.show_agent(None)
    assert process.adopter.succeed(paths) is None
    (held,) = shown
    held.release()
    assert process.adopter.succeed(paths) is not None


def test_a_worker_takes_over_nothing_where_no_lock_is_to_be_seen(process):
    paths, lock = left(process)
    lock.release()
    assert process.adopter.succeed(replace(paths, memory=None, on_disk=False)) is None


@pytest.mark.parametrize("more", [{"mode": "offline"}, {"base_url": "http://127.0.0.1:10"}])
def test_a_worker_that_may_not_or_cannot_send_a_run_takes_over_its_upkeep(process, more):
    paths, lock = left(process, **more)
    lock.release()
    found = process.adopter.succeed(paths)
    assert found is not None
    assert found[1] is None


@pytest.mark.parametrize(
    ("more", "by_hand", "why"),
    [
        ({}, False, None),
        ({}, True, None),
        ({"base_url": "", "mode": "unconfigured"}, False, None),
        ({"mode": "offline"}, True, None),
        ({"mode": "offline"}, False, "it was started offline: steplog sync"),
        (
            {"base_url": "http://127.0.0.1:10"},
            True,
            "there is no API key for http://127.0.0.1:10: steplog login; "
            "or if that was steplog serve: steplog serve --port 10",
        ),
        ({"base_url": "https://x.example"}, True, "there is no API key for https://x.example: steplog login"),
        (
            {"base_url": f"steplog-local:{'a' * 32}"},
            True,
            "its server on this machine does not run: steplog serve",
        ),
    ],
)
def test_a_run_is_adopted_where_it_can_be_sent_or_it_is_said_why_not(process, more, by_hand, why):
    paths, lock = left(process, **more)
    lock.release()
    found = process.adopter.adopt(paths, by_hand=by_hand)
    if why is None:
        assert not isinstance(found, NotAdopted)
        lease, transport = found
        assert (transport.base_url, lease.manifest.local_id) == (URL, paths.local_id)
        assert process.adopter.adopt(paths, by_hand=by_hand) == NotAdopted("another process delivers it", held=True)
        lease.release()
    else:
        assert (found.why, found.held) == (why, False)
        assert FileLock.is_free(paths.lock)


def test_a_run_without_a_key_here_may_still_be_delivered_by_another_process(process):
    paths, lock = left(process, base_url="http://127.0.0.1:10")
    found = process.adopter.adopt(paths, by_hand=True)
    assert isinstance(found, NotAdopted)
    assert (found.held, lock.is_at(paths.lock)) == (True, True)


@pytest.mark.parametrize(
    ("decided", "status", "sent"),
    [
        ({"status": "FAILED"}, "FAILED", False),
        ({"status": "FAILED", "status_sent": True}, "FAILED", True),
        ({}, None, False),
        ({"owner": "0" * 32}, "CRASHED", False),
    ],
)
def test_a_status_that_was_decided_goes_and_without_one_it_is_crashed(process, decided, status, sent):
    paths, lock = left(process, **decided)
    lock.release()
    found = process.adopter.adopt(paths, by_hand=False)
    assert not isinstance(found, NotAdopted)
    lease, _ = found
    assert (lease.outbox.status, lease.outbox.status_sent) == (status, sent)
    lease.release()


def test_without_a_server_a_run_that_is_for_any_says_how_to_get_one(process, monkeypatch):
    paths, lock = left(process, base_url="", mode="unconfigured")
    lock.release()
    for name in ("URL", "API_KEY"):
        monkeypatch.delenv(f"STEPLOG_{name}")
    alone = Process(resolve())
    assert alone.adopter.adopt(paths, by_hand=True) == NotAdopted("there is no server: steplog serve, or steplog login")


@pytest.mark.parametrize("text", [None, b"{", b'{"version": 2}'])
def test_a_run_whose_manifest_cannot_be_read_stays_and_keeps_no_lock(process, text):
    paths, lock = left(process)
    lock.release()
    path = paths.manifest() / "manifest"
    path.unlink() if text is None else path.write_bytes(text)
    found = process.adopter.adopt(paths, by_hand=True)
    assert isinstance(found, NotAdopted)
    assert ("no manifest" if text is None else "damaged") in found.why
    assert FileLock.is_free(paths.lock)


def test_nobody_adopts_a_run_of_which_a_part_is_removed(process, monkeypatch):
    """Its lock went before its manifest: it was delivered once more, below a lock that was made anew and stayed."""
    paths, lock = left(process)
    lock.release()
    removed = process.adopter.adopt(paths, by_hand=True)
    assert not isinstance(removed, NotAdopted)
    seen: list[Any] = []
    rmtree = shutil.rmtree

    def remove(directory: Path, **more: Any) -> None:
        if (directory / "lock").exists():
            (directory / "lock").unlink()
            seen.append(process.adopter.adopt(paths, by_hand=True))
        rmtree(directory, **more)

    with monkeypatch.context() as removing:
        removing.setattr(shutil, "rmtree", remove)
        removed[0].remove()
    (found,) = seen
    assert isinstance(found, NotAdopted)
    assert not any(directory.exists() for directory in paths.directories())


def test_nobody_makes_the_lock_of_a_run_by_looking_at_it(process):
    paths, lock = left(process, base_url="http://127.0.0.1:10")
    lock.release()
    paths.lock.unlink()
    assert isinstance(process.adopter.adopt(paths, by_hand=True), NotAdopted)
    assert not paths.lock.exists()


def test_every_run_that_can_be_sent_is_adopted_but_those_that_are_held(process):
    roots = []
    for more in ({}, {"mode": "offline"}, {}, {}):
        paths, lock = left(process, **more)
        lock.release()
        roots.append(paths)
    found = list(process._adopt({roots[0].local_id}))
    assert {lease.paths.local_id for lease, _ in found} == {roots[2].local_id, roots[3].local_id}
    for lease, _ in found:
        lease.release()
