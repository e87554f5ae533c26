"""A disk that does not answer does not keep a run from beginning."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import ClassVar

import pytest

from polling import wait_until
from steplog.file_lock import FileLock
from steplog.journal.directories import JournalRoots, new_id
from steplog.lifecycle.process import claim_in_time

SPARE_S = 0.5
DEADLINE_S = 30.0


class SlowPlaces(JournalRoots):
    """Whose disk answers once ``answers`` is set."""

    answers = threading.Event()
    given: ClassVar[list[FileLock | None]] = []

    def _claim_on_disk(self, paths):
        assert self.answers.wait(DEADLINE_S)
        lock = super()._claim_on_disk(paths)
        self.given.append(lock)
        return lock


@pytest.fixture
def roots(tmp_path: Path) -> SlowPlaces:
    (tmp_path / "memory").mkdir(mode=0o700)
    SlowPlaces.answers.clear()
    SlowPlaces.given.clear()
    return SlowPlaces(tmp_path / "memory", tmp_path / "spool", "0" * 16)


def test_a_disk_that_stalls_is_done_without_and_what_it_gives_later_is_given_back(roots: SlowPlaces, caplog):
    """``init`` waited for it without end."""
    began = time.monotonic()
    paths, lock = roots.claim(new_id(), lambda claim: claim_in_time(claim, 0.2))
    assert time.monotonic() - began < 0.2 + SPARE_S
    assert (paths.on_disk, lock is not None, paths.lock.parent) == (False, True, paths.memory)
    assert "steplog goes without a disk: it does not answer within 0.2 s." in caplog.text
    roots.answers.set()
    wait_until(lambda: roots.given and FileLock.is_free(paths.spool / "lock") is not False, DEADLINE_S)


def test_attach_joins_as_worker_while_the_disk_stalls(roots: SlowPlaces):
    """Memory shows it; the lock in memory, which nobody has, would have made two agents."""
    roots.answers.set()
    paths, lock = roots.claim(new_id(), claim_in_time)
    held = paths.show_agent(None)
    assert paths.on_disk
    assert lock is not None
    roots.answers.clear()
    joined, other = roots.claim(paths.local_id, lambda claim: claim_in_time(claim, 0.1))
    roots.answers.set()
    assert (joined.on_disk, other) == (False, None)
    assert len(held) == 1


def test_what_a_disk_that_is_well_gives_or_raises_is_passed_on(roots: SlowPlaces, tmp_path: Path, caplog):
    roots.answers.set()
    (tmp_path / "spool").write_text("a file")
    paths, _ = roots.claim(new_id(), claim_in_time)
    assert not paths.on_disk
    assert "is not a directory of its own" in caplog.text
