"""A run that is open in this process: what ``Run`` does its work with.

The process that holds the run's lock delivers it (``custody``); any other is a worker, which only appends, and
waits for the other one's marks. A forked child is a worker with a writer of its own, made at its first ``log``.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from steplog.delivery.exchange import Transport
from steplog.delivery.lease import Lease
from steplog.delivery.verdicts import Judgement
from steplog.errors import RunFinishedError
from steplog.file_lock import FileLock
from steplog.journal import manifest as manifests
from steplog.journal.manifest import Manifest
from steplog.journal.open_writer import OpenWriter, open_writer
from steplog.lifecycle import claiming, messages, run_stats, waiting
from steplog.lifecycle.adoption import succeed
from steplog.lifecycle.exit_progress import ExitProgress
from steplog.lifecycle.process import Process, current
from steplog.lifecycle.web_address import page_of
from steplog.report import Report, Stats

if TYPE_CHECKING:
    from steplog.client import TellurioClient
    from steplog.delivery.creation import Made
    from steplog.run import Run

__all__ = ["OpenRun"]

_log = logging.getLogger("steplog")
_opening = threading.RLock()


class OpenRun:
    """Opens the run that ``manifest`` names, in this process; as its owner, if it has no living one here.

    Without a ``transport`` it stays in the journal.
    Raises OSError or ConfigurationError when there is no place for the journal.
    """

    def __init__(self, manifest: Manifest, transport: Transport | None, *, owner: bool = True) -> None:
        process = current()
        self.run: Run | None = None
        self.process: Process | None = process
        self.transport = transport
        self.local_id = manifest.local_id
        self.settings = process.settings
        self.paths, lock = process.roots.claim(manifest.local_id, claiming.in_time)
        self.opened = self._open_writer(worker=lock is None)
        self.lease: Lease | None = None
        self.manifest = manifest
        self._finished: str | None = None
        if lock is not None:
            self._deliver(process, lock, transport, owner)
        else:
            process.agent.keep(self.opened)
        process.runs[id(self)] = self

    def _open_writer(self, append: Any = None, *, worker: bool) -> OpenWriter:
        return open_writer(
            self.paths,
            current().roots.memory,
            current().disk,
            memory_bytes_max=self.settings.memory_bytes_max,
            value_bytes_max=self.settings.value_bytes_max,
            append=append,
            usage=current().usage,
            worker=worker,
            strict=self.settings.strict,
            use_client=self._use_client,
            take_over=self._take_over,
        )

    def _take_over(self) -> None:
        """A worker whose run's agent is gone becomes the agent."""
        if self.lease is None and self.process is not None and not self.opened.closed:
            found = succeed(self.process, self.paths)
            if found is not None:
                lock, self.transport = found
                self.opened.follow()
                self._deliver(self.process, lock, self.transport, owner=False)

    def _deliver(self, process: Process, lock: FileLock, transport: Transport | None, owner: bool) -> None:
        manifest = manifests.load(self.paths.manifest()) or self.manifest
        if owner:
            manifest = manifest.but(owner=self.opened.writer.id.hex(), status=None, status_sent=False)
        self.manifest = manifest
        source = process.agent.random
        self.lease = Lease(self.paths, lock, manifest, process.disk, process.options, source, self.opened)
        self.lease.on_made = self._made
        self.opened.deliver_here()
        self.lease.store(manifest)
        if transport is None:
            process.agent.hold(self.lease)
        else:
            process.agent.deliver(self.lease, transport)
        waiting.for_manifest(self.lease.manifest_store, waiting.GRACE_S if owner else 0.0)

    def made(self, client: TellurioClient, made: Made, namespace: str, takes_ranges: bool) -> None:
        """The server has made the run that was opened as a plan: deliver it from now on."""
        if self.lease is not None:
            self.lease.outbox.made(made, namespace, takes_ranges)
            self.lease.settle()
        self._use_client(client)

    def discard(self) -> None:
        """The server will not have the run that was opened as a plan: leave nothing of it."""
        self.finish_in_background(None)
        if self.lease is not None and self.process is not None:
            self.lease.store(self.lease.manifest.but(owner=""))
            self.process.agent.dismiss(self.lease)

    def _made(self, manifest: Manifest) -> None:
        """The server has made the run that was begun without it."""
        self.manifest = manifest
        if self.run is not None:
            self.run.uuid, self.run.name = manifest.run, manifest.name

    # -- logging --------------------------------------------------------------------------------------------------

    @property
    def log(self) -> Any:
        """The hot path."""
        return self.opened.writer.append.log

    def _use_client(self, client: Any) -> None:
        if self.lease is not None and self.process is not None and client.transport is not self.transport:
            self.transport = client.transport
            self.process.agent.deliver(self.lease, client.transport)

    def use(self, client: Any) -> None:
        """Deliver over this client from now on; None: as before."""
        if client is not None:
            self._use_client(client)

    def forked(self) -> None:
        """In a forked child: what was the parent's is not ours."""
        global _opening
        _opening = threading.RLock()
        self.process = self.lease = self.transport = None
        self.opened.writer.forked(self._reopen)

    def _reopen(self, name: Any, value: Any, step: Any) -> None:
        with _opening:
            append = self.opened.writer.append
            if self.process is None:
                self.process = current()
                self.opened = self._open_writer(append, worker=True)
                self.process.runs[id(self)] = self
                # Without a thread, as in an exit hook, log() makes its segments itself.
                with contextlib.suppress(RuntimeError):
                    self.process.agent.keep(self.opened)
        append.log(name, value, step)

    # -- waiting --------------------------------------------------------------------------------------------------

    def flush(self, timeout_s: float) -> bool:
        """Wait until what is written by now is delivered; whether it is."""
        return self._wait(timeout_s)

    def _wait(self, timeout_s: float, status: str | None = None, exit_progress: ExitProgress | None = None) -> bool:
        lease, process = self.lease, self.process
        if lease is None or process is None:
            return self.process is None or waiting.for_cursor(self.opened, timeout_s)
        if self.transport is not None:
            if exit_progress is None:
                return process.agent.wait(lease, timeout_s, status)
            goes_on = exit_progress.watch(self, lambda: process.agent.progress(lease))
            try:
                return process.agent.wait(lease, timeout_s, status, goes_on=goes_on)
            finally:
                exit_progress.clear()
        if status is not None:
            process.agent.decide(lease, status)
        return waiting.for_disk(self.opened, lease.manifest_store, timeout_s)

    def finish(self, status: str, timeout_s: float, exit_progress: ExitProgress | None = None) -> Judgement | None:
        """Take no more records, deliver those there are, then send the status; the judgement if that is refused.

        The first Ctrl-C ends the waiting, as the deadline does. Only the run's owner sends a status.
        """
        self._finished, deadline = status, time.monotonic() + timeout_s
        self.opened.writer.end(self._refuse)
        lease, process = self.lease, self.process
        if lease is None or process is None or not self._owns(lease, claim=True):
            _log.warning("steplog: run %s has its owner in another process; its status is not changed.", self.name())
            with contextlib.suppress(KeyboardInterrupt):
                self._wait(timeout_s)
        else:
            with contextlib.suppress(KeyboardInterrupt):
                self._wait(timeout_s, status, exit_progress)
            refused = process.agent.look(lease, _taken_back)
            if refused is not None:
                self._finished = None
                self.opened.writer.reopen()
                return refused
        self.opened.closed = True
        if lease is not None and process is not None:
            owned = self._owns(lease)
            self._let_go(process, lease, deadline)
            if owned:
                messages.ended(self)
        self._close()
        return None

    def _owns(self, lease: Lease, claim: bool = False) -> bool:
        """Whether this process decides the status; with ``claim`` also in the place of an owner that is dead."""
        owner, own = lease.manifest.owner, self.opened.writer.id.hex()
        if claim and owner and owner != own:
            journal = lease.outbox.journals.get(owner)
            if journal is None or not journal.alive:
                lease.store(lease.manifest.but(owner=own))
                return True
        return owner == own

    def _let_go(self, process: Process, lease: Lease, deadline: float) -> bool:
        """Remove what is delivered; what has nowhere to go from here is left to somebody else."""
        if self.transport is None:
            process.agent.release(lease)
            self.opened.release()
            return True
        return process.agent.dismiss(lease, waiting.for_removal(deadline)) or waiting.for_manifest(lease.manifest_store)

    def finish_in_background(self, status: str | None) -> None:
        """Take no more records, write the status down, if there is one, and have it sent after the records."""
        if self._finished is None:  # else finish() is under way, and has decided
            self.opened.writer.end(self._count)
            if status is not None and self.lease is not None and self.process is not None and self._owns(self.lease):
                self.process.agent.decide(self.lease, status)
        self.opened.closed = True
        self._close()

    def settle(self, timeout_s: float, exit_progress: ExitProgress | None = None) -> bool:
        """After ``finish_in_background``, as the process ends: wait until nothing is left of the run; whether so."""
        lease, process, deadline = self.lease, self.process, time.monotonic() + timeout_s
        if lease is None or process is None:
            # A worker's records are safe then, and the agent, which lives elsewhere, delivers them.
            return self.opened.publish()
        status = None if lease.outbox.status_sent else lease.manifest.status
        delivered = self._wait(timeout_s, status, exit_progress)
        if delivered:
            self._let_go(process, lease, deadline)
        return delivered

    def url(self) -> str | None:
        """The web address of the run, which a browser on this machine can open; None while it has none."""
        return page_of(self.manifest, self.settings)

    def name(self) -> str:
        """What to call it in a message."""
        return self.manifest.name or self.local_id[:8]

    def _close(self) -> None:
        if self.process is not None:
            self.process.runs.pop(id(self), None)

    def _refuse(self, name: Any, value: Any, step: Any) -> None:
        raise RunFinishedError(
            f"the run is finished ({self._finished}) and takes no more metrics; "
            "init() makes another one, attach(uuid, owner=True) resumes it"
        )

    def _count(self, name: Any, value: Any, step: Any) -> None:
        self.opened.writer.count("finished")

    def stats(self) -> Stats:
        """The counts, now."""
        if self.process is None:
            return Stats()
        agent = self.process.agent
        if self.lease is None:
            return run_stats.of_writer(self.opened, agent.faults)
        error = agent.trouble(self.lease)
        return agent.look(self.lease, lambda lease: run_stats.of_run(lease, self.opened, error, agent.faults))

    def report(self) -> Report:
        """The counts alone."""
        return run_stats.report(self.stats())


def _taken_back(lease: Lease) -> Judgement | None:
    """The server's refusal of the status, if it has refused it; then none is decided any more."""
    refused, lease.outbox.refused = lease.outbox.refused, None
    if refused is not None:
        lease.outbox.status = None
        lease.store(lease.manifest.but(status=None))
    return refused
