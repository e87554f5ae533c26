"""Adopting runs: those of this host that nobody delivers any more.

A run can be adopted when its lock can be taken, its manifest can be read, and there is a key for the server that it
goes to. A run that was started offline on purpose goes by hand alone (``steplog sync``); one that was offline because
nothing was configured goes with whatever comes next.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from steplog.delivery.exchange import Transport
from steplog.delivery.lease import Lease
from steplog.errors import ConfigurationError, FormatError
from steplog.file_lock import FileLock
from steplog.journal import manifest as manifests
from steplog.journal.directories import RunPaths
from steplog.journal.manifest import Manifest

if TYPE_CHECKING:
    from steplog.lifecycle.process import Process

__all__ = ["NotAdopted", "adopt", "adopt_all", "succeed", "transport_for"]

_log = logging.getLogger("steplog")


@dataclass(frozen=True, slots=True)
class NotAdopted:
    """Why a run stays where it is, in words."""

    why: str


def adopt(process: Process, paths: RunPaths, *, by_hand: bool) -> tuple[Lease, Transport] | NotAdopted:
    """Take a run over, if it can be delivered from here; or why not."""
    lock: FileLock | None = None
    try:
        manifest = manifests.load(paths.manifest())
        if manifest is None:
            return NotAdopted("it has no manifest")
        if manifest.mode == "offline" and not by_hand:
            return NotAdopted("it was started offline: steplog sync")
        transport = transport_for(process, manifest)
        if transport is None:
            where = f"no API key for {manifest.base_url}: " if manifest.base_url else "no server: steplog serve, or "
            return NotAdopted(f"there is {where}steplog login")
        lock = FileLock.take(paths.lock)
        if lock is None:
            return NotAdopted("another process delivers it")
        manifest = manifests.load(paths.manifest()) or manifest  # as its last agent left it
        return Lease(paths, lock, manifest, process.disk, process.options, process.agent.random), transport
    except (OSError, FormatError) as error:
        if lock is not None:
            lock.release()
        return NotAdopted(str(error))


def adopt_all(process: Process, held: set[str]) -> Iterator[tuple[Lease, Transport]]:
    """Take over every run of this host that can be delivered from here; what is wrong with another is said once."""
    for paths in process.roots.runs(but=held):
        found = adopt(process, paths, by_hand=False)
        if not isinstance(found, NotAdopted):
            yield found


def succeed(process: Process, paths: RunPaths) -> tuple[FileLock, Transport | None] | None:
    """For a worker: the lock of a run whose agent is gone, and the way to its server; None while it has an agent."""
    unseen = paths.memory is None and not paths.on_disk
    lock = None if unseen or paths.has_agent() else FileLock.take(paths.lock)
    if lock is None:
        return None
    manifest = manifests.load(paths.manifest())
    return lock, None if manifest is None or manifest.mode == "offline" else transport_for(process, manifest)


def transport_for(process: Process, manifest: Manifest) -> Transport | None:
    """How to reach the server that a run goes to, if there is a key for it; a run without one goes to the default."""
    from steplog.client import client_for, get_default_client

    if manifest.base_url:
        client = client_for(process.settings, manifest.base_url)
        return None if client is None else client.transport
    try:
        return get_default_client(process.settings).transport
    except ConfigurationError:
        return None
