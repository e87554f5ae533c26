"""Bugs planted in the spool, to see whether the tests of it would find them: a failing disk, a power cut."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from journal import test_journal_disk, test_spool_power
from steplog.journal import spool as spools
from steplog.journal.directories import JournalRoots
from steplog.journal.files import Files
from steplog.journal.journal import Journal
from steplog.journal.spool import CursorFile, Spool
from steplog.journal.spooling import Spooling

Patch = pytest.MonkeyPatch


def sync_retried_on_the_same_file(patch: Patch) -> None:
    def sync(self: Any) -> None:
        if self._open is None or not self._fresh:
            return
        try:
            self._files.sync(self._open[1])
        except OSError:
            self._files.sync(self._open[1])
        self._set_entries((*self._entries, *self._fresh))
        self._fresh = []

    patch.setattr(Spool, "sync", sync)


def durable_before_synced(patch: Patch) -> None:
    original = Spooling._sync

    def early(self: Any, lock: Any, end: int) -> None:
        sync, self.spool.sync = self.spool.sync, lambda: None
        try:
            original(self, lock, end)
        finally:
            self.spool.sync = sync
        sync()

    patch.setattr(Spooling, "_sync", early)


def directories_not_synced(patch: Patch) -> None:
    original = Spool._create

    def create(self: Any, first: int) -> Any:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(self._files, "sync_directory", lambda path: None)
            return original(self, first)

    patch.setattr(Spool, "_create", create)


def manifest_not_synced(patch: Patch) -> None:
    patch.setattr(Files, "exists", lambda self, path: path.name != "manifest" and path.exists())


def short_write_not_cut_back(patch: Patch) -> None:
    patch.setattr(Spool, "_cut", lambda self, file, descriptor: None)


def first_marks_not_synced(patch: Patch) -> None:
    original = CursorFile._write
    patch.setattr(CursorFile, "_write", lambda self, descriptor, data, sync: original(self, descriptor, data, False))


def failed_frames_count(patch: Patch) -> None:
    """What was written before a sync that failed is taken for durable."""

    def sync(self: Any) -> None:
        if self._open is None or not self._fresh:
            return
        try:
            self._files.sync(self._open[1])
        except OSError:
            self._close()
        self._set_entries((*self._entries, *self._fresh))
        self._fresh = []

    patch.setattr(Spool, "sync", sync)


def evicted_by_acknowledgement(patch: Patch) -> None:
    """The files are removed by whoever acknowledges, not by whoever writes."""
    original = Journal.ack

    def ack(self: Any, end: int, records: int, set_aside: int = 0) -> None:
        original(self, end, records, set_aside)
        self.disk.tidy(self.cursor.delivered)

    patch.setattr(Journal, "ack", ack)


def read_given_up_at_once(patch: Patch) -> None:
    patch.setattr(spools, "_READS", 1)
    patch.setattr(spools, "_ROUNDS", 0)


BUGS: list[Callable[[Patch], None]] = [
    sync_retried_on_the_same_file,
    durable_before_synced,
    directories_not_synced,
    manifest_not_synced,
    short_write_not_cut_back,
    first_marks_not_synced,
    failed_frames_count,
    evicted_by_acknowledgement,
    read_given_up_at_once,
]


@pytest.mark.parametrize(
    "bug", [BUGS[0], *(pytest.param(bug, marks=pytest.mark.slow) for bug in BUGS[1:])], ids=lambda bug: bug.__name__
)
def test_a_planted_bug_is_found(roots: JournalRoots, bug: Callable[[Patch], None], caplog: Any, monkeypatch: Patch):
    bug(monkeypatch)
    assert spools.Spool is Spool
    for test in (
        lambda: test_journal_disk.test_the_kth_operation_fails_once_for_every_k(roots, 5, True),
        lambda: test_journal_disk.test_every_operation_from_the_kth_on_fails_for_every_k(roots, 5, True, caplog),
        lambda: test_journal_disk.test_writes_that_are_cut_short_again_and_again_leave_no_damage(roots),
        lambda: test_spool_power.test_after_a_power_cut_at_every_operation_nothing_that_was_durable_is_missing(roots),
        lambda: test_journal_disk.test_what_is_acknowledged_while_its_file_is_being_written_takes_no_file(roots),
        *(
            lambda seed=seed: test_spool_power.test_after_a_power_cut_nothing_that_was_durable_is_missing(roots, seed)
            for seed in range(40)
        ),
    ):
        try:
            test()
        except (AssertionError, OSError):
            return
    pytest.fail("every test passes with this bug")
