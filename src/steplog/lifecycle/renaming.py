"""A name that the user has set, until the server has heard of it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import msgspec

from steplog.lifecycle.open_run import OpenRun

__all__ = ["JournalEnd", "changing", "end_of", "heard", "rename"]


class JournalEnd(msgspec.Struct, frozen=True):
    """A writer, and one after its last record."""

    writer: bytes
    position: int


def changing(opened: OpenRun) -> AbstractContextManager[object]:
    """Held while a name changes: the agent tells the server's under it."""
    return nullcontext() if opened.process is None else opened.process.agent.lock


def rename(opened: OpenRun, name: str) -> None:
    """Note the name in the manifest, which ``steplog ls`` shows."""
    if opened.lease is not None and opened.process is not None:
        with opened.process.agent.lock:
            opened.lease.outbox.edits.name = None
            opened.lease.store(opened.lease.manifest.but(name=name))
            opened.manifest = opened.lease.manifest


def end_of(opened: OpenRun) -> JournalEnd:
    """How far this process has written."""
    segment = opened.opened.writer.append.segment
    return JournalEnd(opened.opened.writer.id, segment.header.base + segment.claimed())


def heard(opened: OpenRun, end: JournalEnd) -> str | None:
    """What the server calls the run since it has heard of the name that was set before ``end``; None: it has not.

    Only who delivers the run is told.
    """
    journal = opened.opened.journal
    is_delivered = end.writer == opened.opened.writer.id and journal.cursor.delivered >= end.position
    return opened.manifest.name or None if opened.lease is not None and is_delivered else None
