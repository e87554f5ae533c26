"""A lease: a run whose lock this process holds, and which it therefore delivers.

The holder looks after every writer of the run on this host, living or dead: it finds the journals and stores the
manifest. A run that has an owner, no status, and no living writer was killed: the holder decides that it is CRASHED,
unless the server has a status that ends it: the owner may have sent that, and died before it could store so.
A process without the lock that takes up a run whose owner is gone leaves a *takeover* (``manifest``), which the holder
honours. Once all is delivered, the status is sent, and nobody can append, the directories are removed.

``look``, ``write``, ``spool`` and ``remove`` touch files: maintenance alone calls them, and they take the agent's lock
only to decide. The rest is called under that lock and looks at memory alone.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from msgspec import structs

from steplog.blobs.entries import ArtifactEntry, FileEntry
from steplog.blobs.waiting_files import WaitingFiles
from steplog.delivery.creation import Creation
from steplog.delivery.deferred_log import deferred_log
from steplog.delivery.doorbell import Doorbell
from steplog.delivery.generations import Generations, date
from steplog.delivery.kept_files import keep_files, kept_directory
from steplog.delivery.manifest_store import ManifestStore
from steplog.delivery.options import DeliveryOptions
from steplog.delivery.outbox import Outbox
from steplog.delivery.quarantine import QuarantineFile, kept_aside
from steplog.delivery.tickets import Action, RunAddress, Store
from steplog.delivery.verdicts import Judgement
from steplog.delivery.waiter import Waiter
from steplog.descriptors import lent
from steplog.file_lock import FileLock
from steplog.journal import manifest as manifests
from steplog.journal.directories import RunPaths, Unchanged
from steplog.journal.manifest import Generation, Manifest, Plan, Takeover
from steplog.journal.open_journal import OpenJournal, open_journal
from steplog.journal.open_writer import OpenWriter
from steplog.journal.spooling import Disk
from steplog.printable import printable
from steplog.private_files import remove_at_once
from steplog.report import losses_in_words

__all__ = ["Kept", "Lease"]

_LOOKS_MAX = 3  # at files, while some are removed
_KILLED = "CRASHED"  # the status of a run whose owner has died without one


class Kept(NamedTuple):
    """How many files were moved where, since the run's server keeps none."""

    number: int
    directory: Path


class Lease:
    """``own`` is this process's writer, None for an adopted run.

    ``wake`` is called when something is owed to the disk or wanted from it, ``on_made`` once the server has the run,
    ``on_lost`` where another process has taken it over.
    ``tells``: what an adopted run lost is logged once it is delivered; who does it by hand is told otherwise.
    """

    def __init__(
        self,
        paths: RunPaths,
        lock: FileLock,
        manifest: Manifest,
        disk: Disk,
        options: DeliveryOptions,
        source: random.Random,
        own: OpenWriter | None = None,
        *,
        wake: Callable[[], None] = lambda: None,
        on_made: Callable[[Manifest], None] = lambda manifest: None,
        on_lost: Callable[[], None] = lambda: None,
        tells: bool = False,
        files: WaitingFiles | None = None,
    ) -> None:
        self.paths = paths
        self.manifest_store = ManifestStore(paths, manifest, disk.files)
        self.own = own
        self.files = WaitingFiles(paths, files=disk.files) if files is None else files
        self.files.hold()
        self.doorbell = Doorbell(paths.memory)
        self.kept: Kept | None = None  # files that its server does not keep
        self.shared = False  # another process writes to it, too
        self._remote_waiter = Waiter(lambda: None)
        self._locks = [lock, *paths.show_agent(None if own is None or own.directory is None else own.directory.name)]
        self._disk = disk
        self._journals: dict[str, OpenJournal] = {}
        self._wake = wake
        self._on_made = on_made
        self.on_lost = on_lost
        self._tells = tells
        self._unchanged = Unchanged(paths.directories())
        self._quarantine = QuarantineFile(paths.spool, disk.files)
        if paths.on_disk:
            self._quarantine.open()
        address = RunAddress(manifest.namespace, manifest.project, manifest.run)
        account = manifest.account or None if own is None else None
        plan = manifest.plan if not manifest.run else None
        began = date(manifest.generations[0].began) if manifest.generations else ""
        creation = None if plan is None else Creation(plan, manifest.account, began)
        generations = Generations(manifest.generations, manifest.writers)
        self.outbox = Outbox(address, self._quarantine.positions, options, source, account, creation, generations)
        self.outbox.resumed = manifest.resumed
        if own is not None:
            self._add(own.open_journal)
        self.look(nullcontext())
        if manifest.status is not None:
            presumed = own is None and manifest.status == _KILLED
            self.outbox.end_with(manifest.status, manifest.status_sent, presumed=presumed, ended=manifest.ended)

    @property
    def manifest(self) -> Manifest:
        """What is decided of the run."""
        return self.manifest_store.manifest

    def look(self, lock: AbstractContextManager[object]) -> bool:
        """Find new writers, a manifest that memory has lost, and a run that was killed; whether there is more to send.

        Also reads what workers without shared memory have written since.
        """
        found, takeovers = ([], []) if self._unchanged() else self._look_around()
        followed = [opened.follow(lock) for opened in list(self._journals.values())]
        self.look_at_files(lock)
        with lock:
            self.outbox.look_at_all()
            for opened in found:
                self._add(opened)
            self.shared = any(opened.alive_elsewhere for opened in self._journals.values())
            for takeover in takeovers:
                self._honour(takeover)
            was_killed = self._was_killed()
        if was_killed:
            takeovers = manifests.takeovers(self.paths.manifest())  # the last word of a process that has just ended
            with lock:
                for takeover in takeovers:
                    self._honour(takeover)
                if self._was_killed():
                    self.decide(_KILLED, presumed=True)
        return bool(found) or any(followed)

    def look_at_files(self, lock: AbstractContextManager[object]) -> None:
        """Find files that are to be sent, and what is known of them."""
        uploads, files = self.outbox.uploads, self.files
        for _ in range(_LOOKS_MAX):
            epoch, ids = uploads.epoch, files.ids()
            with lock:
                if uploads.epoch != epoch:  # some were removed meanwhile
                    continue
                uploads.see(ids)
                is_behind = uploads.is_behind()
            if not is_behind:
                return
            known: list[FileEntry | ArtifactEntry] = list(files.entries())
            for artifact, members in files.artifacts():
                known += [artifact, *members]
            with lock:
                if uploads.epoch == epoch:
                    uploads.take(entry for entry in known if entry.id in ids)
                    return

    def _was_killed(self) -> bool:
        manifest = self.manifest
        return bool(manifest.owner) and manifest.status is None and not self.has_living_writer()

    def _look_around(self) -> tuple[list[OpenJournal], list[Takeover]]:
        takeovers = manifests.takeovers(self.paths.manifest())  # first: a writer is there before its takeover
        if self.paths.memory is not None and not os.path.lexists(self.paths.memory / "manifest"):
            self.manifest_store.lost()
        new = [name for name in self.paths.writers(self._disk.files.names) if name not in self._journals]
        found = [open_journal(self.paths, name, self._disk) for name in new]
        if None in found:
            self._unchanged.invalidate()
        return [opened for opened in found if opened is not None], takeovers

    def _honour(self, takeover: Takeover) -> None:
        """Have that process be the owner, unless there is a living one or it came later; and take over its status."""
        manifest = self.manifest
        if takeover.writer != manifest.owner:
            is_over = any(one.maker == takeover.maker for one in manifest.generations)
            began = manifest.generations[-1].began if manifest.generations else 0
            if is_over or takeover.began < began or self.has_living_owner():
                return
            self.begin(takeover.writer, takeover.maker, takeover.began)
        if takeover.status is not None and takeover.status != self.manifest.status:
            self.decide(takeover.status, ended=takeover.ended)

    def has_living_owner(self) -> bool:
        """Whether the process that decides the status is there."""
        owner = self._journals.get(self.manifest.owner)
        return owner is not None and owner.journal.alive

    def begin(self, owner: str, maker: str, began: int) -> None:
        """Another owner takes up the run."""
        others = [writer for writer in self._journals if writer != owner]
        manifest = self.manifest.begun(maker, began, others)
        resumed = self.outbox.resumed = bool(manifest.run)
        self.store(manifest.but(owner=owner, status=None, status_sent=False, ended=0, resumed=resumed))
        self.outbox.generations.take(self.manifest)
        self.outbox.reopen()

    def holds(self) -> bool:
        """Whether this process still has the run; take locks again whose descriptors the program has closed."""
        locks = [opened.alive_lock for opened in self._journals.values() if opened.alive_lock is not None]
        held = True
        for lock in (*self._locks, *locks):
            with suppress(OSError):  # look again in the next round
                held = lock.regain() and held
        return held

    def decide(self, status: str, presumed: bool = False, ended: int = 0) -> None:
        """Store which status the run gets, and send it after the records; as ``Outbox.end_with``."""
        self.store(self.manifest.but(status=status, status_sent=False, ended=ended))
        self.outbox.end_with(status, presumed=presumed, ended=ended)

    def take_back(self) -> Judgement | None:
        """The server's refusal of the status, which is undecided again."""
        refused, self.outbox.refused = self.outbox.refused, None
        if refused is not None:
            self.outbox.status = None
            self.store(self.manifest.but(status=None))
        return refused

    def ring_answered(self) -> None:
        """Another process waits for what is written by now."""
        self._remote_waiter.afresh = self.doorbell.ends
        if self.doorbell.ends:
            self.outbox.uploads.try_again()
        self.outbox.wait(self._remote_waiter)
        self.outbox.release_waiters()

    def act(self, action: Action) -> None:
        """Do what the outbox asks for."""
        if isinstance(action, Store):
            self.settle()
        else:
            self._quarantine.put(action)
            self._wake()

    def settle(self) -> None:
        """Store in the manifest what has become of the run."""
        outbox, manifest = self.outbox, self.manifest_store.manifest
        creation, plan = outbox.creation, manifest.plan
        if creation is not None and plan is not None and creation.posted and not plan.creating:
            self.store(manifest.but(plan=structs.replace(plan, creating=True)))
        if outbox.address.run != manifest.run:
            address = outbox.address
            key = manifest.key if outbox.key is None else outbox.key
            self.store(manifest.but(run=address.run, namespace=address.namespace, name=outbox.name, key=key))
            self._on_made(self.manifest)
        begun = outbox.generations.begun
        if begun != self.manifest.generations or outbox.resumed != self.manifest.resumed:
            self.store(self.manifest.but(generations=begun, resumed=outbox.resumed))
        name = outbox.edits.name
        if name is not None and name != self.manifest.name:
            self.store(self.manifest.but(name=name))
            self._on_made(self.manifest)
        if outbox.status_sent and not manifest.status_sent:
            self.store(self.manifest.but(status=outbox.status, status_sent=True))
            self._tell_losses()

    def recreate(self, local_id: str) -> int:
        """Have the next lease make the run on the server anew, from what is here, as ``local_id``. Raises OSError.

        How many records that the server had confirmed are not here any more.
        """
        gone = sum(it.restart(self._quarantine.positions(writer)) for writer, it in self._journals.items())
        manifest = self.manifest
        plan = manifest.plan or Plan(
            local_id=local_id, namespace="", project=manifest.project, project_name=manifest.project, name=None
        )
        # Nobody on this host ends a run that was joined: what is here of it has no end that is known.
        status = plan.status if manifest.owner else manifest.status or "CRASHED"
        plan = structs.replace(
            plan,
            local_id=local_id,
            namespace=manifest.namespace or plan.namespace,
            name=manifest.name or plan.name,
            status=status,
            creating=False,
            key=manifest.key,
            resume="never" if manifest.key else None,
        )
        first = (Generation(maker=local_id, began=manifest.generations[0].began),) if manifest.generations else ()
        anew = manifest.but(run="", plan=plan, status_sent=False, generations=first, writers={}, resumed=False)
        self.manifest_store.change(anew)
        self.manifest_store.write(nullcontext())
        return gone

    def has_living_writer(self) -> bool:
        """Whether a process can still append."""
        return any(opened.journal.alive for opened in self._journals.values())

    def done(self) -> bool:
        """Whether nothing is left and nobody can append."""
        manifest = self.manifest_store.manifest
        open_end = manifest.owner and not manifest.status_sent
        return not open_end and not self.has_living_writer() and self.outbox.idle()

    def remove(self) -> None:
        """Remove the run from this host; all of it is on the server."""
        files, memory, spool = self._disk.files, self.paths.memory, self.paths.spool
        self.manifest_store.removed = True
        self.files.end()
        self._tell_losses()
        with lent():
            clean = [opened.remove() for opened in self._journals.values()]
            memory_gone = memory is None or remove_at_once(memory)
            # What was set aside is nobody's to delete.
            spool_gone = all(clean) and not kept_aside(spool) and files.remove_tree(spool)
        # Where that is left, nobody is to deliver it once more, or send another status.
        with suppress(OSError):
            if memory is not None and not memory_gone and memory.exists():
                files.unlink(memory / "manifest")
        with suppress(OSError):
            if not spool_gone and files.exists(spool):
                files.rename(spool / "manifest", spool / manifests.DELIVERED_NAME)
        with suppress(OSError):  # an empty one, which needs no descriptor
            spool.rmdir()
        self._let_go()

    def keeps_files(self) -> bool:
        """Whether all that is left are files, and the server keeps none."""
        outbox, manifest = self.outbox, self.manifest_store.manifest
        if outbox.takes_files() is not False or outbox.uploads.is_empty() or outbox.uploads.is_behind():
            return False
        open_end = manifest.owner and not manifest.status_sent
        return not open_end and not self.has_living_writer() and outbox.has_sent_records()

    def keep_files(self, lock: AbstractContextManager[object]) -> None:
        """Move the files to where a person finds them, or try again later."""
        manifest, name = self.manifest_store.manifest, self.manifest_store.manifest.name
        directory = kept_directory(self.paths.spool.parent, manifest.project, name, self.paths.local_id)
        try:
            count = keep_files(self.files, directory)
        except (OSError, ValueError) as error:
            with lock:
                self.outbox.uploads.trouble = str(error)
            return
        self.look_at_files(lock)
        with lock:
            self.kept = Kept(count, directory)
        if self._tells:
            name = printable(name or self.paths.local_id[:8])
            deferred_log.warning(
                "steplog: run %s: its server keeps no files; %d files of it are kept in %s.", name, count, directory
            )

    def remove_delivered(self) -> None:
        """Remove the run, unless files have turned up that the disk had not shown: leave it to another process then."""
        if self.files.ids():
            self.release()
        else:
            self.remove()

    def _tell_losses(self) -> None:
        tells, self._tells = self._tells, False
        if not tells:
            return
        losses = self.outbox.losses()
        logged = losses.logged(sum(journal.cursor.records for journal in self.outbox.journals.values()), pending=0)
        if words := losses_in_words(losses.dropped, losses.abandoned, losses.lost, logged):
            name = printable(self.manifest.name or self.paths.local_id[:8])
            deferred_log.warning("steplog has delivered what the run %s left here: %s.", name, words)

    def release(self) -> None:
        """Let another process deliver it."""
        for opened in self._journals.values():
            opened.left = True
            if self.own is None or opened.directory != self.own.directory:
                opened.release()
        self._let_go()

    def _let_go(self) -> None:
        self.files.leave()
        for lock in self._locks:
            lock.release()

    def memory_bytes(self) -> int:
        """Memory that the journals take."""
        return sum(opened.memory_bytes() for opened in self._journals.values())

    def spool_bytes(self) -> int:
        """Disk that the journals take."""
        return sum(opened.spool_bytes() for opened in self._journals.values())

    def trouble(self) -> str | None:
        """Why the disk refuses the journals; None while it does not."""
        return next((o.spooling.trouble for o in self._journals.values() if o.spooling.trouble is not None), None)

    def spool(self, lock: AbstractContextManager[object], pressed: bool) -> None:
        """Write to disk what is due after an interval; ``pressed``: memory is short."""
        with lock:
            self.manifest_store.retry()
        if self.manifest_store.owed:
            self._write_manifest(lock)
        for opened in list(self._journals.values()):
            opened.spool(lock, pressed, partial(self.outbox.give_up, opened.journal.writer))
        if self.spool_bytes():
            self.manifest_store.sync()

    def write(self, lock: AbstractContextManager[object], clock: Callable[[], float]) -> bool:
        """Write what is owed to the disk, read what is wanted from it; whether anything waited for that."""
        fetched = [opened.fetch(lock) for opened in list(self._journals.values())]
        events = self._quarantine.write(lock) if self._quarantine.owed else []
        if events:
            with lock:
                for event in events:
                    self.outbox.quarantined(clock(), event)
                self.outbox.release_waiters()
        stored = self.manifest_store.owed and self._write_manifest(lock)
        return stored or bool(events) or any(fetched)

    def _write_manifest(self, lock: AbstractContextManager[object]) -> bool:
        self.manifest_store.write(lock)
        with lock:
            held_back, self.outbox.held_back = self.outbox.held_back, not self.manifest_store.safe
        return held_back

    def _add(self, opened: OpenJournal) -> None:
        self._journals[opened.journal.writer] = opened
        self.outbox.add(opened.journal)
        opened.read_elsewhere(self._wake)

    def store(self, manifest: Manifest) -> None:
        """Store the manifest: in shared memory now, on disk soon."""
        self.manifest_store.change(manifest)
        self.outbox.held_back = not self.manifest_store.safe
        self._wake()
