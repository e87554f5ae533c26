"""Adoption of runs of this host that no process delivers.

A run is adopted if its lock is free, its manifest is readable, and there is a key for its server; one with
``mode="offline"`` only by hand.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from steplog.delivery.exchange import Transport
from steplog.delivery.lease import Lease
from steplog.delivery.outbox import DeliveryOptions
from steplog.errors import ConfigurationError, FormatError
from steplog.file_lock import FileLock
from steplog.journal import manifest as manifests
from steplog.journal.directories import RunPaths
from steplog.journal.manifest import Manifest
from steplog.journal.spooling import Disk
from steplog.settings import Settings

__all__ = ["Adopter", "NotAdopted"]


@dataclass(frozen=True, slots=True)
class NotAdopted:
    """Why a run is not adopted; ``held``: another process delivers it."""

    why: str
    held: bool = False


@dataclass(frozen=True, slots=True)
class Adopter:
    """Takes over runs."""

    settings: Settings
    disk: Disk
    options: DeliveryOptions
    source: random.Random
    wake: Callable[[], None]

    def adopt(self, paths: RunPaths, *, by_hand: bool) -> tuple[Lease, Transport] | NotAdopted:
        """Take over a run."""
        lock: FileLock | None = None
        try:
            manifest = manifests.load(paths.manifest())
            if manifest is None:
                return NotAdopted("it has no manifest")
            if manifest.mode == "offline" and not by_hand:
                return NotAdopted("it was started offline: steplog sync")
            transport = self._transport_for(manifest)
            if transport is None:
                no_key = f"no API key for {manifest.base_url}: "
                where = no_key if manifest.base_url else "no server: steplog serve, or "
                held = by_hand and not FileLock.is_free(paths.lock)
                return NotAdopted(f"there is {where}steplog login", held)
            lock = FileLock.take(paths.lock)
            if lock is None:
                return NotAdopted("another process delivers it", held=True)
            manifest = manifests.load(paths.manifest()) or manifest  # as its last agent left it
            lease = Lease(paths, lock, manifest, self.disk, self.options, self.source, wake=self.wake)
            return lease, transport
        except (OSError, FormatError) as error:
            if lock is not None:
                lock.release()
            return NotAdopted(str(error))

    def adopt_all(self, runs: Iterable[RunPaths]) -> Iterator[tuple[Lease, Transport]]:
        """Take over those that can be delivered from here."""
        for paths in runs:
            found = self.adopt(paths, by_hand=False)
            if not isinstance(found, NotAdopted):
                yield found

    def succeed(self, paths: RunPaths) -> tuple[FileLock, Transport | None] | None:
        """For a worker, the lock and transport of its run; None while that has an agent."""
        unseen = paths.memory is None and not paths.on_disk
        lock = None if unseen or paths.has_agent() else FileLock.take(paths.lock)
        if lock is None:
            return None
        manifest = manifests.load(paths.manifest())
        return lock, None if manifest is None or manifest.mode == "offline" else self._transport_for(manifest)

    def configured_transport(self, manifest: Manifest) -> Transport | None:
        """To the server that a run names, unless it is offline; asks nobody. Raises ConfigurationError."""
        if not manifest.base_url or manifest.mode == "offline":
            return None
        from steplog.client import client_for

        client = client_for(self.settings, manifest.base_url)
        return None if client is None else client.transport

    def _transport_for(self, manifest: Manifest) -> Transport | None:
        from steplog.client import client_for, get_default_client

        if manifest.base_url:
            client = client_for(self.settings, manifest.base_url)
            return None if client is None else client.transport
        try:
            return get_default_client(self.settings).transport
        except ConfigurationError:
            return None
