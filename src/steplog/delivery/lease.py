"""Custody: a run whose lock this process holds, and which it therefore delivers.

Whoever holds the lock looks after every writer of the run on this host, living or dead. It finds the journals,
reads the manifest, and decides one thing by itself: a run that has an owner, no status, and no living writer was
killed, and is CRASHED. When all is delivered, the status is sent, and nobody can append any more, the directories
go.

The thread that keeps the run (``keeper``) does all that is done with its files: ``look``, ``write``, ``spool`` and
``remove`` take the lock of whoever delivers only to decide, and never while they wait for the disk. What others call
under that lock looks at nothing but memory.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial

from msgspec import structs

from steplog.delivery.creation import Creation
from steplog.delivery.doorbell import Doorbell
from steplog.delivery.manifest_store import ManifestStore
from steplog.delivery.order import RunAddress
from steplog.delivery.outbox import DeliveryOptions, Outbox, Waiter
from steplog.delivery.quarantine import QuarantineFile, kept_aside
from steplog.file_lock import FileLock
from steplog.journal import manifest as manifests
from steplog.journal.directories import RunPaths, Unchanged
from steplog.journal.manifest import Manifest
from steplog.journal.open_journal import OpenJournal, open_journal
from steplog.journal.open_writer import OpenWriter
from steplog.journal.spooling import Disk
from steplog.private_files import remove_tree

__all__ = ["Lease"]


class Lease:
    """A run that is ours to deliver; ``own`` is this process's writer, None for an adopted run."""

    def __init__(
        self,
        paths: RunPaths,
        lock: FileLock,
        manifest: Manifest,
        disk: Disk,
        options: DeliveryOptions,
        source: random.Random,
        own: OpenWriter | None = None,
    ) -> None:
        self.paths = paths
        self.manifest_store = ManifestStore(paths, manifest, disk.files)
        self.own = own
        self.doorbell = Doorbell(paths.memory)
        self.shared = False  # another process writes to it, too
        self._visitor = Waiter(lambda: None)
        self._locks = [lock, *paths.show_agent(None if own is None or own.directory is None else own.directory.name)]
        self._disk = disk
        self._journals: dict[str, OpenJournal] = {}
        self._on_wanted: Callable[[], None] = lambda: None
        self._unchanged = Unchanged(paths.directories())
        self.on_made: Callable[[Manifest], None] = lambda manifest: None  # the server has made the run
        self._aside = QuarantineFile(paths.spool, disk.files)
        if paths.on_disk:
            self._aside.open()
        self.outbox = Outbox(
            RunAddress(manifest.namespace, manifest.project, manifest.run),
            self._aside,
            options,
            source,
            manifest.account or None if own is None else None,
            Creation(manifest.plan, self._creating) if manifest.plan is not None and not manifest.run else None,
        )
        if own is not None:
            self._add(own.open_journal)
        self.look(nullcontext())
        if manifest.status is not None:
            self.outbox.end_with(manifest.status)
            self.outbox.status_sent = manifest.status_sent

    @property
    def manifest(self) -> Manifest:
        """What is decided of the run."""
        return self.manifest_store.manifest

    def look(self, lock: AbstractContextManager[object]) -> None:
        """See who else has come to write, whether memory still has the manifest, and whether the run was killed."""
        found = [] if self._unchanged() else self._look_around()
        self.follow(lock)
        with lock:
            for opened in found:
                self._add(opened)
            self.shared = any(opened.alive_elsewhere for opened in self._journals.values())
            if self.manifest.owner and self.manifest.status is None and not self._living():
                self.decide("CRASHED")

    def _look_around(self) -> list[OpenJournal]:
        if self.paths.memory is not None and not (self.paths.memory / "manifest").exists():
            self.manifest_store.lost()
        new = [name for name in self.paths.writers(self._disk.files.names) if name not in self._journals]
        found = [open_journal(self.paths, name, self._disk) for name in new]
        if None in found:
            self._unchanged.invalidate()
        return [opened for opened in found if opened is not None]

    def follow(self, lock: AbstractContextManager[object]) -> bool:
        """See what workers without shared memory have written since; whether there is something new."""
        found = [opened.follow(lock) for opened in list(self._journals.values())]
        return any(found)

    def decide(self, status: str) -> None:
        """Write down which status the run is to get, and send it after the records."""
        self.store(self.manifest.but(status=status, status_sent=False))
        self.outbox.end_with(status)
        self.outbox.status_sent = False

    def _creating(self) -> None:
        """Write down that the run may be on the server from now on."""
        if self.manifest.plan is not None:
            self.store(self.manifest.but(plan=structs.replace(self.manifest.plan, creating=True)))

    def hurry(self) -> None:
        """Somebody in another process waits for what is written by now."""
        self.outbox.wait(self._visitor)
        self.outbox.release_waits()

    def settle(self) -> None:
        """Write down what has been achieved."""
        address = self.outbox.address
        if address.run != self.manifest.run:
            self.store(self.manifest.but(run=address.run, namespace=address.namespace, name=self.outbox.name))
            self.on_made(self.manifest)
        if self.outbox.status_sent and not self.manifest.status_sent:
            self.store(self.manifest.but(status_sent=True))

    def done(self) -> bool:
        """Whether nothing is left, and nobody can add to it."""
        open_end = self.manifest.owner and not self.manifest.status_sent
        return not open_end and not self._living() and self.outbox.idle()

    def remove(self) -> None:
        """Remove the run from this host; all of it is on the server."""
        files, spool = self._disk.files, self.paths.spool
        self.manifest_store.removed = True
        clean = [opened.remove() for opened in self._journals.values()]
        remove_tree(self.paths.memory)
        if all(clean) and not kept_aside(spool):  # that is nobody's to delete
            files.remove_tree(spool)
        else:  # nobody is to deliver it once more
            with suppress(OSError):
                files.rename(spool / "manifest", spool / manifests.DELIVERED_NAME)
        self._let_go()

    def release(self) -> None:
        """Let somebody else deliver it."""
        for opened in self._journals.values():
            if self.own is None or opened.directory != self.own.directory:
                opened.release()
        self._let_go()

    def _let_go(self) -> None:
        for lock in self._locks:
            lock.release()

    def memory_bytes(self) -> int:
        """What the journals take in memory."""
        return sum(opened.memory_bytes() for opened in self._journals.values())

    def spool_bytes(self) -> int:
        """What they take on disk."""
        return sum(opened.spool_bytes() for opened in self._journals.values())

    def dropped(self) -> int:
        """How many calls other processes have dropped because there was no room."""
        return sum(o.dropped() for o in self._journals.values() if self.own is None or o is not self.own.open_journal)

    def trouble(self) -> str | None:
        """Why the disk does not take them, if it does not."""
        return next((o.spooling.trouble for o in self._journals.values() if o.spooling.trouble is not None), None)

    def spool(self, lock: AbstractContextManager[object], pressed: bool) -> None:
        """One spool interval is over; ``pressed``: memory is short."""
        with lock:
            self.manifest_store.retry()
        self._write_manifest(lock)
        for opened in list(self._journals.values()):
            opened.spool(lock, pressed, partial(self.outbox.give_up, opened.journal.writer))
        if self.spool_bytes():
            self.manifest_store.sync()

    def wakes(self, maintenance: Callable[[], None]) -> None:
        """Call this from now on when something is owed to the disk, or wanted from it."""
        self.manifest_store.on_owed = self._aside.on_owed = self._on_wanted = maintenance

    def write(self, lock: AbstractContextManager[object], clock: Callable[[], float]) -> bool:
        """Have on disk what is owed there, and here what is wanted from there; whether anything waited for that."""
        fetched = [opened.fetch(lock) for opened in list(self._journals.values())]
        set_aside = self._aside.write(lock, clock)
        if set_aside:
            with lock:
                self.outbox.release_waits()
        return self._write_manifest(lock) or set_aside or any(fetched)

    def _write_manifest(self, lock: AbstractContextManager[object]) -> bool:
        if not self.manifest_store.owed:
            return False
        self.manifest_store.write(lock)
        with lock:
            held_back, self.outbox.held_back = self.outbox.held_back, not self.manifest_store.safe
        return held_back

    def _living(self) -> bool:
        return any(opened.journal.alive for opened in self._journals.values())

    def _add(self, opened: OpenJournal) -> None:
        self._journals[opened.journal.writer] = opened
        self.outbox.add(opened.journal)
        opened.read_elsewhere(self._wants)

    def _wants(self) -> None:
        self._on_wanted()

    def store(self, manifest: Manifest) -> None:
        """Write the manifest down: in shared memory now, on disk soon."""
        self.manifest_store.change(manifest)
        self.outbox.held_back = not self.manifest_store.safe
