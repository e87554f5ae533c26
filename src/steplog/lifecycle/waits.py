"""Waiting, to a deadline, for what is looked at again and again: a cursor, files, the disk, a manifest."""

from __future__ import annotations

import time

from steplog.blobs.waiting_files import WaitingFiles
from steplog.delivery.doorbell import RING_INTERVAL_S, Doorbell
from steplog.delivery.manifest_store import ManifestStore
from steplog.journal.journal import Journal
from steplog.journal.open_writer import OpenWriter
from steplog.loaded import loaded

__all__ = ["GRACE_S", "in_event_loop", "wait_for_cursor", "wait_for_disk", "wait_for_files", "wait_for_manifest"]

_OFFLINE_FINISH_S = 5.0  # an offline run may survive in memory
GRACE_S = 0.25
_CURSOR_INTERVAL_S = 0.02
_FILES_INTERVAL_S = 0.05
_MANIFEST_INTERVAL_S = 0.001


def in_event_loop() -> bool:
    """Whether this thread runs an event loop, which is to go on."""
    asyncio = loaded("asyncio")
    if asyncio is None:
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def wait_for_cursor(own: OpenWriter, timeout_s: float, ends: bool = False, offline: bool = False) -> bool:
    """Wait until another process has delivered what is written by now; whether it has. ``ends``: the run ends.

    ``offline``: it delivers nothing; wait until it is on disk.
    """
    doorbell = Doorbell(None if own.directory is None else own.directory.parent)
    left = [(one, one.journal.written()) for one in (*own.before, own)]
    deadline, ring_at = time.monotonic() + (min(timeout_s, _OFFLINE_FINISH_S) if offline else timeout_s), 0.0
    ended_ns = time.time_ns() if ends else 0
    own.publish()
    while True:
        for one, _ in left:
            one.follow()
        left = [(one, end) for one, end in left if not _is_done(one.journal, end, offline)]
        if not left:
            return not offline
        now = time.monotonic()
        if now >= deadline:
            return False
        if now >= ring_at:
            ring_at = now + RING_INTERVAL_S
            doorbell.ring(ended_ns)
        time.sleep(_CURSOR_INTERVAL_S)


def _is_done(journal: Journal, end: int, offline: bool) -> bool:
    done = max(journal.cursor.delivered, journal.cursor.durable if offline else 0)
    return done >= end or (journal.census(done, end) == 0 and not journal.gaps(done, end))


def wait_for_files(files: WaitingFiles, ids: set[str], deadline: float) -> bool:
    """Wait until another process has delivered these files; whether it has."""
    while not ids.isdisjoint(files.ids()):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_FILES_INTERVAL_S)
    return True


def wait_for_disk(own: OpenWriter, store: ManifestStore, files: WaitingFiles, timeout_s: float) -> bool:
    """Wait until an offline run is on disk, with its files. False: nothing is delivered."""
    end, deadline = own.journal.written(), time.monotonic() + min(timeout_s, _OFFLINE_FINISH_S)
    kept = own.open_journal.keeps_losses
    while own.journal.cursor.durable < end or store.owed or not kept() or files.has_work():
        if time.monotonic() >= deadline:
            break
        time.sleep(_CURSOR_INTERVAL_S)
    return False


def wait_for_manifest(store: ManifestStore, timeout_s: float = GRACE_S) -> bool:
    """Wait until the disk has the manifest. False: nothing is removed."""
    deadline = time.monotonic() + timeout_s
    while store.owed and time.monotonic() < deadline:
        time.sleep(_MANIFEST_INTERVAL_S)
    return False
