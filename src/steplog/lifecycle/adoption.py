"""Adoption of runs of this host that no process delivers.

A run is adopted if its lock is free, its manifest is readable, and there is a key for its server; one with
``mode="offline"`` only by hand.

A manifest names an embedded server of this machine by its database (``address.local_url``). One of 0.1 has its address
at that time instead. Such a run is delivered to the server that has this address now, else to one that has the run.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from steplog.address import endpoint, is_loopback, local_instance
from steplog.delivery.exchange import Transport
from steplog.delivery.lease import Lease
from steplog.delivery.options import DeliveryOptions
from steplog.delivery.wire import api_path
from steplog.errors import ConfigurationError, FormatError
from steplog.file_lock import FileLock
from steplog.fork_lock import importing
from steplog.journal import manifest as manifests
from steplog.journal.directories import RunPaths
from steplog.journal.manifest import Manifest
from steplog.journal.spooling import Disk
from steplog.settings import Settings

if TYPE_CHECKING:
    from steplog.client import LocalServers, TellurioClient

__all__ = ["Adopter", "NotAdopted"]


class NotAdopted(msgspec.Struct, frozen=True):
    """Why a run is not adopted.

    ``held``: another process delivers it. ``server_away``: its server, which was one of this machine, does not run.
    """

    why: str
    server_away: bool = False
    held: bool = False


class Adopter(msgspec.Struct, frozen=True):
    """Takes over runs."""

    settings: Settings
    disk: Disk
    options: DeliveryOptions
    source: random.Random
    wake: Callable[[], None]

    def local_servers(self) -> LocalServers:
        """The embedded servers of this machine, to look for them once for many runs."""
        with importing:
            from steplog.client import LocalServers

        return LocalServers(self.settings)

    def adopt(
        self, paths: RunPaths, *, by_hand: bool, local: LocalServers | None = None
    ) -> tuple[Lease, Transport] | NotAdopted:
        """Take over a run."""
        lock: FileLock | None = None
        try:
            manifest = manifests.load(paths.manifest())
            if manifest is None:
                return NotAdopted("it has no manifest")
            if manifest.mode == "offline" and not by_hand:
                return NotAdopted("it was started offline: steplog sync")
            transport = self.transport_for(manifest, local)
            if isinstance(transport, NotAdopted):
                held = by_hand and not FileLock.is_free(paths.lock)
                return replace(transport, held=held)
            lock = FileLock.take(paths.lock)
            if lock is None:
                return NotAdopted("another process delivers it", held=True)
            manifest = manifests.load(paths.manifest())  # as its last agent left it
            if manifest is None:
                lock.release()
                return NotAdopted("it has no manifest")
            shared = self.disk, self.options, self.source
            return Lease(paths, lock, manifest, *shared, wake=self.wake, tells=not by_hand), transport
        except (OSError, FormatError) as error:
            if lock is not None:
                lock.release()
            return NotAdopted(str(error))

    def adopt_all(self, runs: Iterable[RunPaths]) -> Iterator[tuple[Lease, Transport]]:
        """Take over those that can be delivered from here."""
        local = self.local_servers()
        for paths in runs:
            found = self.adopt(paths, by_hand=False, local=local)
            if not isinstance(found, NotAdopted):
                yield found

    def succeed(self, paths: RunPaths) -> tuple[FileLock, Transport | None] | None:
        """For a worker, the lock and transport of its run; None while that has an agent."""
        unseen = paths.memory is None and not paths.on_disk
        lock = None if unseen or paths.has_agent() else FileLock.take(paths.lock)
        if lock is None:
            return None
        manifest = manifests.load(paths.manifest())
        found = None if manifest is None or manifest.mode == "offline" else self.transport_for(manifest)
        return lock, None if isinstance(found, NotAdopted) else found

    def configured_transport(self, manifest: Manifest) -> Transport | None:
        """To the server that a run names, unless it is offline; asks nobody. Raises ConfigurationError."""
        if not manifest.base_url or manifest.mode == "offline":
            return None
        with importing:
            from steplog.client import client_for

        client = client_for(self.settings, manifest.base_url)
        return None if client is None else client.transport

    def transport_for(self, manifest: Manifest, local: LocalServers | None = None) -> Transport | NotAdopted:
        """The way to a run's server, or why there is none."""
        with importing:
            from steplog.client import client_for

        local = local or self.local_servers()
        if not manifest.base_url:
            try:
                return local.default().transport
            except ConfigurationError:
                return NotAdopted("there is no server: steplog serve, or steplog login")
        client = client_for(self.settings, manifest.base_url, local) or _holder(manifest, local)
        return _no_way(manifest.base_url) if client is None else client.transport


def _no_way(url: str) -> NotAdopted:
    if local_instance(url) is not None:
        return NotAdopted("its server on this machine does not run: steplog serve", server_away=True)
    words = f"there is no API key for {url}: steplog login"
    if url.startswith("http:") and is_loopback(url):
        return NotAdopted(f"{words}; or if that was steplog serve: steplog serve --port {endpoint(url)[2]}", True)
    return NotAdopted(words)


def _holder(manifest: Manifest, local: LocalServers) -> TellurioClient | None:
    """Of a run that has an address of this machine, the embedded server that has the run."""
    if not manifest.run or not is_loopback(manifest.base_url):
        return None
    return local.with_path(api_path(manifest.namespace, "projects", manifest.project, "runs", manifest.run))
