"""A run that is open in this process.

The process that holds the run's lock delivers it. Any other is a worker, as is a forked child from its first ``log``
on: it appends, and follows the cursor.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from steplog.blobs.waiting_files import WaitingFiles
from steplog.delivery.agent import BUSY_DISK_S, DISK_S, WAITING_S
from steplog.delivery.backlog import SLOTS_MAX
from steplog.delivery.exchange import Transport
from steplog.delivery.lease import Lease
from steplog.delivery.verdicts import Judgement
from steplog.errors import RunFinishedError, SteplogError
from steplog.file_lock import FileLock
from steplog.journal import manifest as manifests
from steplog.journal.directories import new_id
from steplog.journal.manifest import Manifest
from steplog.journal.open_writer import OpenWriter, open_writer
from steplog.lifecycle import messages, run_stats
from steplog.lifecycle.exit_progress import ExitProgress
from steplog.lifecycle.places import others_live, places_of, url_of, waiting_files
from steplog.lifecycle.process import Process, claim_in_time, current
from steplog.lifecycle.provenance import Collection
from steplog.lifecycle.takeover import OwnTakeover, has_living_owner, stored_status
from steplog.lifecycle.waits import GRACE_S, wait_for_cursor, wait_for_disk, wait_for_files, wait_for_manifest
from steplog.reentrant_lock import ReentrantLock
from steplog.report import Stats

if TYPE_CHECKING:
    from steplog.client import TellurioClient
    from steplog.delivery.creation import Made

__all__ = ["Holder", "OpenRun", "open_runs"]

_REMOVAL_MAX_S = 2.0
_SOON_S = 0.75  # with the grace of a removal, a second
_log = logging.getLogger("steplog")
_opening = ReentrantLock()


class Holder(Protocol):
    """The user's ``Run``."""

    def told(self, uuid: str, name: str) -> None:
        """What the server calls the run."""

    def ended(self, status: str) -> None:
        """The run ended with the program: ``finish`` has nothing more to do."""


class OpenRun:
    """Opens the run of ``manifest``; with ``owner`` as its owner, if it has no living one here.

    A run that exists enters its next generation so; without ``begins`` it stays in the present one. Where another
    process delivers it, it is taken over (``takeover``).

    Without a ``transport`` it stays in the journal. Raises OSError or ConfigurationError without a place for that.
    """

    def __init__(
        self, manifest: Manifest, transport: Transport | None, *, owner: bool = True, begins: bool = True
    ) -> None:
        process = current()
        self.holder: Holder | None = None
        self.process: Process | None = process  # None in a forked child, until it logs
        self.transport = transport
        self.settings = process.settings
        self.uid = process.uid
        process.find_memory(make=True)
        self.paths, lock = process.roots.claim(manifest.local_id, claim_in_time)
        self.opened = self._open_writer(worker=lock is None)
        self._files = waiting_files(process, self.paths, self.opened)
        self.lease: Lease | None = None
        self.takeover: OwnTakeover | None = None  # to a run that another process delivers
        self.manifest = manifest
        self._finished: str | None = None
        self._provenance: Collection | None = None
        self.leaves_status = False  # its end has not been that of the run,
        self.found_status = "RUNNING"  # whose status is this, as far as it is known here
        self.left = False  # Ctrl-C ended the wait of finish(): the end of the process does not wait again
        if lock is not None:
            self._deliver(process, lock, transport, owner, begins)
        else:
            process.agent.keep(self.opened)
            if owner and not has_living_owner(self.paths):
                takeover = OwnTakeover(self.paths, self.opened.writer.id.hex())
                self.takeover = takeover if takeover.made else None
        self._register(process)

    @property
    def decides(self) -> bool:
        """Whether the end of this process is that of the run."""
        return self.takeover is not None or (self.lease is not None and self._owns(self.lease))

    def _register(self, process: Process) -> None:
        process.writers[id(self)] = self.opened
        _open[id(self)] = self

    @property
    def files(self) -> WaitingFiles:
        """Its files on this machine. In a forked child this joins the run, as ``log`` does."""
        self._rejoin()
        return self._files

    def _open_writer(self, append: Any = None, *, worker: bool) -> OpenWriter:
        process, root = current(), None if self.paths.memory is None else self.paths.memory.parent
        return open_writer(
            self.paths,
            root,
            process.disk,
            memory_bytes_max=self.settings.memory_bytes_max,
            value_bytes_max=self.settings.value_bytes_max,
            append=append,
            usage=process.usage if root == process.roots.memory else None,
            worker=worker,
            strict=self.settings.strict,
            use_client=self.use,
            take_over=self._take_over,
            move_on=self._move_on,
        )

    def _take_over(self) -> None:
        if self.lease is None and self.process is not None and not self.opened.closed:
            found = self.process.adopter.succeed(self.paths)
            if found is not None:
                lock, self.transport = found
                self.opened.follow()
                self._deliver(self.process, lock, self.transport, owner=False)

    def _deliver(
        self, process: Process, lock: FileLock, transport: Transport | None, owner: bool, begins: bool = False
    ) -> None:
        stored, own = manifests.load(self.paths.manifest()), self.opened.writer.id.hex()
        manifest = stored or self.manifest
        begins = begins and (stored is not None or bool(manifest.run))
        if owner and not begins:
            manifest = manifest.but(owner=own, status=None, status_sent=False, resumed=bool(manifest.run))
        self.lease = process.lease(self.paths, lock, manifest, self.opened, self._made, self._move_on, self._files)
        self.opened.deliver_here()
        if owner and begins and not self.lease.has_living_owner():
            self.lease.begin(own, new_id(), time.time_ns())
        else:
            self.lease.store(self.lease.manifest)
        self.manifest = self.lease.manifest
        process.agent.deliver(self.lease, transport)
        wait_for_manifest(self.lease.manifest_store, GRACE_S if owner else 0.0)

    def made(self, client: TellurioClient, made: Made, namespace: str, takes_ranges: bool) -> None:
        """The server has created the run: deliver it."""
        if self.lease is not None and self.process is not None:
            self.process.agent.made(self.lease, made, namespace, takes_ranges)
        self.use(client)

    def discard(self) -> None:
        """The server refuses to create the run: remove it."""
        self.finish_in_background(None)
        lease, process = self.lease, self.process
        if lease is not None and process is not None:
            process.agent.change(lease, owner="")
            process.agent.dismiss(lease)

    def _made(self, manifest: Manifest) -> None:
        self.manifest = manifest
        if self.holder is not None:
            self.holder.told(manifest.run, manifest.name)

    @property
    def log(self) -> Any:
        """The hot path."""
        return self.opened.writer.append.log

    def use(self, client: Any) -> None:
        """Deliver over ``client`` from now on, if given."""
        lease, process = self.lease, self.process
        if client is None or lease is None or process is None:
            return
        from steplog.given_client import as_client

        transport = as_client(client).transport
        if transport is self.transport:
            return
        self.transport = transport
        process.agent.deliver(lease, transport)

    def forked(self) -> None:
        """In a forked child: give up what is the parent's."""
        self.process = self.lease = self.transport = self.takeover = None
        self.opened.writer.forked(self._reopen)

    def _reopen(self, name: Any, value: Any, step: Any) -> Any:
        self._rejoin()
        return self.opened.writer.append.log(name, value, step)

    def _rejoin(self) -> None:
        with _opening:
            append = self.opened.writer.append
            if self.process is None:
                self.process = current()
                if self.process.uid != self.uid and self._join_as_user(append):
                    return
                self.opened = self._open_writer(append, worker=True)
                self._files = waiting_files(self.process, self.paths, self.opened)
                self._register(self.process)
                # Without a thread, as in an exit hook, log() makes its segments itself.
                if not sys.is_finalizing():  # a thread would not start any more, and be waited for
                    with contextlib.suppress(RuntimeError):
                        self.process.agent.keep(self.opened)

    def _join_as_user(self, append: Any) -> bool:
        """After the rights were given up: go on in the directories of this user; False where that cannot be."""
        process, self.uid = current(), os.geteuid()
        self.settings, self.manifest = process.settings, self.manifest.but(owner="", status=None, status_sent=False)
        try:
            process.find_memory(make=True)
            self.paths, lock = process.roots.claim(self.manifest.local_id, claim_in_time)
            self.transport = process.adopter.configured_transport(self.manifest) if lock is not None else None
        except (OSError, SteplogError, ImportError) as error:  # Python itself may be out of reach now
            _log.warning("steplog: user %d cannot join run %s: %s", self.uid, self.name(), error)
            return False
        if lock is None:  # another process of this user delivers it
            return False
        self.opened = self._open_writer(append, worker=False)
        self._files = waiting_files(process, self.paths, self.opened)
        self._register(process)
        self._deliver(process, lock, self.transport, owner=False)
        return True

    def _move_on(self) -> None:
        """Another process has the run, or this writer, as its locks were closed: go on as a worker with a new one."""
        with _opening:
            old, process, self.lease = self.opened, self.process, None
            if process is None:
                return
            if not self.ends():
                append = old.writer.append
                old.writer.end(self._wait_for_writer)
                self.opened = self._open_writer(append, worker=True)
                self.opened.before = [*old.before, old]
                self._files.hand_over()
                self._files = waiting_files(process, self.paths, self.opened)
                self._register(process)
                process.agent.keep(self.opened)
            old.hand_over()
            process.agent.keep(old)

    def _wait_for_writer(self, name: Any, value: Any, step: Any) -> None:
        with _opening:
            append = self.opened.writer.append
        append.log(name, value, step)

    def collect_provenance(self, returned: threading.Event) -> None:
        """As the owner, log where this process was started and from what, once ``returned`` is set."""
        if self.decides:
            self._provenance = Collection(self.log, returned)

    def flush(self, timeout_s: float, status: str | None = None, progress: ExitProgress | None = None) -> bool:
        """Wait until what is written by now is delivered, and ``status`` set if given; return whether it is."""
        with _opening:  # else it may be about to go on as a worker
            process, lease, opened, deadline = self.process, self.lease, self.opened, time.monotonic() + timeout_s
        if process is None:
            return True
        if lease is None:
            ids = self._files.ids()
            done = wait_for_cursor(opened, timeout_s, self.ends())
            return wait_for_files(self._files, ids, deadline) and done
        done = self._flush_here(process, lease, timeout_s, status, progress)
        was_taken = not done and self.lease is None  # by another process, which is to be waited for then
        return self.flush(deadline - time.monotonic()) if was_taken else done

    def _flush_here(
        self, process: Process, lease: Lease, timeout_s: float, status: str | None, progress: ExitProgress | None
    ) -> bool:
        if self.transport is not None:
            server, quiet = self.transport.base_url, self.settings.quiet
            shown = partial(process.agent.progress, lease)
            watches = [] if progress is None else [progress.watch(self.name(), server, quiet, shown)]
            waits = partial(process.agent.wait, lease, timeout_s, status, afresh=self.ends())
            try:
                return waits(goes_on=lambda: self.lease is lease and all(watch() for watch in watches))
            except KeyboardInterrupt:
                self.left = self.left or progress is not None
                raise
            finally:
                if progress is not None:
                    progress.clear()
        if status is not None:
            process.agent.decide(lease, status)
        if timeout_s > 0.0:
            process.agent.store(lease, min(timeout_s, DISK_S))  # else it waits for the next interval
        return wait_for_disk(self.opened, lease.manifest_store, self._files, timeout_s)

    def finish(self, status: str, timeout_s: float, progress: ExitProgress | None = None) -> Judgement | None:
        """End the writer, deliver, and send the status if this is the owner; return the judgement of a refusal.

        Ctrl-C ends the waiting, as the deadline does.
        """
        if self._provenance is not None:
            self._provenance.end()
        self._finished, deadline = status, time.monotonic() + timeout_s
        self.opened.writer.end(self._refuse)
        self.opened.close_ledger()
        self._secure_files(timeout_s)
        lease, process = self.lease, self.process
        if lease is None and self.takeover is not None:
            self.takeover.end(status)
            with contextlib.suppress(KeyboardInterrupt):
                self.flush(timeout_s)
                self.takeover.wait(deadline)
        elif lease is None or process is None or not self._owns(lease):
            stored = stored_status(self.paths) if lease is None else lease.manifest.status
            self.leaves_status, self.found_status = True, stored or self.found_status
            messages.left(self.settings.quiet, self.name(), self.found_status)
            with contextlib.suppress(KeyboardInterrupt):
                self.flush(timeout_s)
        else:
            with contextlib.suppress(KeyboardInterrupt):
                self.flush(timeout_s, status, progress)
            with process.agent.lock:
                refused = lease.take_back()
            if refused is not None:
                self._finished = None
                self.opened.reopen()
                return refused
        self.opened.closed = True
        if lease is not None and process is not None:
            owned = self._owns(lease)
            self._let_go(process, lease, deadline)
            if owned:
                self.say_ended()
        elif self.takeover is not None:
            self.say_ended()
        self._close()
        return None

    def ends(self) -> bool:
        """Whether its end has begun."""
        return self._finished is not None or self.opened.closed

    def _owns(self, lease: Lease) -> bool:
        """Whether this process decides the status."""
        return lease.manifest.owner == self.opened.writer.id.hex()

    def _let_go(self, process: Process, lease: Lease, deadline: float) -> bool:
        if self.transport is None:
            process.agent.release(lease)
            self.opened.release()
            return True
        removal_s = max(GRACE_S, min(deadline - time.monotonic(), _REMOVAL_MAX_S))
        return process.agent.dismiss(lease, removal_s) or wait_for_manifest(lease.manifest_store)

    def finish_in_background(self, status: str | None) -> None:
        """End the writer, and send the status, if given, after the records."""
        if self._finished is None:  # else finish() is under way, and has decided
            if self._provenance is not None:
                self._provenance.end()
            self.opened.writer.end(lambda name, value, step: self.opened.writer.count("finished"))
            self.opened.close_ledger()
            lease, process = self.lease, self.process
            if status is not None and lease is None and self.takeover is not None:
                self.takeover.end(status)
            elif status is not None and lease is not None and process is not None and self._owns(lease):
                process.agent.decide(lease, status)
        self.opened.closed = True
        self._close()

    def settle(self, timeout_s: float, progress: ExitProgress | None = None) -> bool:
        """After ``finish_in_background``: wait until nothing is left here, and return whether so."""
        lease, process, deadline = self.lease, self.process, time.monotonic() + timeout_s
        self._secure_files(timeout_s)
        if lease is None and self.takeover is not None:
            return self.flush(timeout_s) and self.takeover.wait(deadline)
        if lease is None or process is None:
            return self.opened.publish()
        status = None if self.is_status_sent() else lease.manifest.status
        delivered = self.flush(timeout_s, status, progress)
        if delivered:
            self._let_go(process, lease, deadline)
        return delivered

    def settle_soon(self) -> bool:
        """``settle``, if the server is well and has one range at most to take; within a second in all."""
        if self.lease is None or self.process is None or self.transport is None:
            return False
        seen = self.process.agent.progress(self.lease)
        if seen.why() is not None or seen.left > SLOTS_MAX or seen.files or not self.is_made():
            return False
        return self.settle(_SOON_S)

    def _secure_files(self, timeout_s: float) -> None:
        if self.process is not None and self._files.at_risk():
            with contextlib.suppress(KeyboardInterrupt):
                self.process.agent.secure(self._files, min(timeout_s / 2, BUSY_DISK_S))

    def is_made(self) -> bool:
        """Whether the server has the run."""
        return self.lease is not None and self.lease.outbox.creation is None

    def is_status_sent(self) -> bool:
        """Whether no status is left to send."""
        lease = self.lease
        if lease is None and self.takeover is not None:
            return self.takeover.settled()
        if lease is None or not lease.manifest.owner:  # nobody on this host decides it
            return True
        return lease.outbox.status_sent

    def _close(self) -> None:
        _open.pop(id(self), None)
        if self.process is not None:
            self.process.writers.pop(id(self), None)

    def _refuse(self, name: Any, value: Any, step: Any) -> None:
        raise RunFinishedError(
            f"the run is finished ({self._finished}) and takes no more metrics; "
            "init() makes another one, attach(uuid, owner=True) resumes it"
        )

    def name(self) -> str:
        """For messages."""
        return self.manifest.name or self.manifest.local_id[:8]

    def url(self) -> str | None:
        """The address of the run's page."""
        return url_of(self.manifest, self.settings.dir, self.transport)

    def stats(self, silent_s: float = WAITING_S) -> Stats:
        """The counts; a server that has not answered for ``silent_s`` is an error."""
        if self.process is None:
            return Stats()
        agent, lease = self.process.agent, self.lease
        files = run_stats.files_of(self._files, lease, self.opened, agent.lock)
        if lease is None:
            return run_stats.of_writer(self.opened, agent.faults, files)
        error = agent.progress(lease).why(silent_s)
        with agent.lock:
            return run_stats.of_run(lease, self.opened, error, agent.faults, files)

    def say_began(self, told: Mapping[str, Any] | None = None, *, resumed: bool = False) -> None:
        """Print it. ``told``: the server's description of a run that goes on, which says since when there is one."""
        quiet, manifest, url = self.settings.quiet, self.manifest, self.url() or ""
        place = f"{manifest.namespace}/{manifest.project}"
        messages.began(quiet, self.name(), place, messages.since(manifest, told) if resumed else None)
        if not self.decides:
            words = f"run {self.name()} is open in another process, which decides its status; this one adds to it"
            messages.say(quiet, logging.WARNING, words)
        messages.say(quiet, logging.INFO, url.partition("#")[0], url)  # the fragment is for terminals alone

    def say_kept(self, why: str, *, resumed: bool = False) -> None:
        """Print it; ``resumed``: the run was here before."""
        survives = self.opened.directory is not None or self.paths.on_disk
        where = "on this machine" if survives else "in this process alone"
        level = logging.INFO if self.manifest.mode == "offline" else logging.WARNING
        messages.kept(self.settings.quiet, level, self.name(), f"{where}{why}", resumed=resumed)

    def say_ended(self) -> None:
        """Print it."""
        stats, left = self.stats(0.0), None
        kept = None if self.lease is None else self.lease.kept
        if stats.pending or stats.files_pending or kept is not None or not self.is_status_sent():
            gone = self.paths.local_id if self.lease is not None and self.lease.outbox.gone else ""
            delivers, lock = self.transport is not None, None if self.process is None else self.process.agent.lock
            with contextlib.nullcontext() if lock is None else lock:  # the sender reads the others' journals, too
                places, others = places_of(self.paths, self.lease, self.opened), others_live(self.lease, self.opened)
            left = messages.Left(stats.at_risk, places, self.manifest.mode, delivers, gone, others, kept)
        messages.ended(self.settings.quiet, self.name(), stats, left)


_open: dict[int, OpenRun] = {}


def open_runs() -> list[OpenRun]:
    """The runs that are open in this process."""
    return [run for run in list(_open.values()) if run.process is not None and run.process.pid == os.getpid()]


def _after_fork_in_child() -> None:
    global _opening
    _opening = ReentrantLock()
    runs = list(_open.values())
    _open.clear()
    for run in runs:
        run.forked()


os.register_at_fork(after_in_child=_after_fork_in_child)
