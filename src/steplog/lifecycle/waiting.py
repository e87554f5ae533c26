"""Waiting where there is no agent of ours to wake: for what another process marks, and for the disk."""

from __future__ import annotations

import time

from steplog.delivery.doorbell import RING_INTERVAL_S, Doorbell
from steplog.delivery.manifest_store import ManifestStore
from steplog.journal.open_writer import OpenWriter

__all__ = ["GRACE_S", "OFFLINE_FINISH_S", "REMOVAL_MAX_S", "for_cursor", "for_disk", "for_manifest", "for_removal"]

OFFLINE_FINISH_S = 5.0  # to have an offline run on disk; its memory survives the process anyway
GRACE_S = 0.25  # for a disk that is well to take a manifest
REMOVAL_MAX_S = 2.0
_INTERVAL_S = 0.02
_SOON_S = 0.001


def for_cursor(own: OpenWriter, timeout_s: float) -> bool:
    """A worker's way: look at what the run's agent, in another process, has marked; whether all is delivered."""
    journal, doorbell = own.journal, Doorbell(None if own.directory is None else own.directory.parent)
    end, deadline, ring_at = journal.written(), time.monotonic() + timeout_s, 0.0
    own.publish()
    while True:
        own.follow()
        if journal.cursor.delivered >= end or journal.census(journal.cursor.delivered, end) == 0:
            return True
        now = time.monotonic()
        if now >= deadline:
            return False
        if now >= ring_at:
            ring_at = now + RING_INTERVAL_S
            doorbell.ring()
        time.sleep(_INTERVAL_S)


def for_disk(own: OpenWriter, written: ManifestStore, timeout_s: float) -> bool:
    """Offline: wait until everything is on disk. Nothing is delivered, by a server's word, so: False."""
    end, deadline = own.journal.written(), time.monotonic() + min(timeout_s, OFFLINE_FINISH_S)
    while (own.journal.cursor.durable < end or written.owed) and time.monotonic() < deadline:
        time.sleep(_INTERVAL_S)
    return False


def for_removal(deadline: float) -> float:
    """How long to wait until a run that is delivered is removed: it is tidy, and worth no more than that."""
    return max(GRACE_S, min(deadline - time.monotonic(), REMOVAL_MAX_S))


def for_manifest(written: ManifestStore, timeout_s: float = GRACE_S) -> bool:
    """Wait until the disk has the manifest, but not for a disk that stalls. False, as of the records."""
    deadline = time.monotonic() + timeout_s
    while written.owed and time.monotonic() < deadline:
        time.sleep(_SOON_S)
    return False
