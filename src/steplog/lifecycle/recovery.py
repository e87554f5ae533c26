"""``journals``, ``sync``, ``clean``: what waits on this machine, delivered or removed by hand."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from steplog.delivery.lease import Lease
from steplog.delivery.loss_report import LossReport
from steplog.delivery.quarantine import kept_aside
from steplog.errors import FormatError
from steplog.file_lock import FileLock
from steplog.journal import manifest as manifests
from steplog.journal.cursor import CURSOR_BYTES
from steplog.journal.directories import RunPaths
from steplog.journal.journal import Journal
from steplog.journal.losses import LOSSES_BYTES, LOSSES_NAME, LossLedger
from steplog.journal.manifest import Manifest
from steplog.journal.memory import used_bytes
from steplog.journal.open_journal import begin_ledger
from steplog.journal.sources import DirectorySource
from steplog.journal.spool import Spool
from steplog.lifecycle.adoption import NotAdopted
from steplog.lifecycle.process import Process, current
from steplog.private_files import read_private, remove_tree
from steplog.settings import check_directories

if TYPE_CHECKING:
    from steplog.client import LocalServers

__all__ = ["Synced", "WaitingRun", "clean", "journals", "sync"]

_WAIT_S = 0.25
_REMOVE_S = 30.0


@dataclass(frozen=True)
class WaitingRun:
    """A run with a journal on this host, or another host's on the same disk.

    Attributes:
        id: the local id, for ``sync`` and ``clean``.
        run: the uuid; "" until the server has created it.
        name, namespace, project, url: its names, and its server.
        status: to be sent; None if undecided.
        pending: records written and not delivered.
        logged, dropped, abandoned, lost: as in ``Report``.
        at_risk: values that a kill of the processes that write them would lose, at most; None: nobody knows.
        size_bytes: of the journal, in memory and on disk.
        since: when it began.
        why: what keeps it here, or is damaged.
        path: the journal on disk.
        other_host: a hash of its host, if not this one.
    """

    id: str
    run: str
    name: str
    namespace: str
    project: str
    url: str
    status: str | None
    pending: int
    size_bytes: int
    since: datetime
    why: str
    path: Path
    other_host: str | None = None
    logged: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    abandoned: int = 0
    lost: int | None = 0
    at_risk: int | None = 0


@dataclass(frozen=True)
class Synced:
    """What ``sync`` did with a run.

    Attributes:
        id, name: of the run.
        delivered, pending, why: records that it delivered, records that are left, and why.
        logged, dropped, abandoned, lost: as in ``Report``, whoever delivered the run.
    """

    id: str
    name: str
    delivered: int
    pending: int
    why: str
    logged: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    abandoned: int = 0
    lost: int | None = 0


def journals() -> list[WaitingRun]:
    """The runs with a journal on this host or its disk, oldest first.

    Raises ConfigurationError where a directory of theirs is another user's, or open to others.
    """
    process = _process()
    roots, local = process.roots, process.adopter.local_servers()
    found = [*roots.runs(), *roots.of_other_hosts()]
    return sorted((_described(paths, local) for paths in found), key=lambda run: run.since)


def sync(
    run: str | None = None,
    *,
    follow: bool = False,
    offline: bool = True,
    progress: Callable[[Synced], None] | None = None,
) -> Iterator[Synced]:
    """Deliver what waits here, a run at a time; or one run, by id, uuid or name.

    A run that another process delivers is skipped. Another host's is taken only by name, without its shared memory.

    Args:
        run: None: all runs of this host.
        follow: wait for a server that is away, also for one of this machine, instead of giving the run up.
        offline: include runs with ``mode="offline"``, and other hosts'.
        progress: called four times a second.

    Raises:
        ValueError: there is no such run.
        ConfigurationError: a directory is another user's, or open to others.
    """
    process = _process()
    local = process.adopter.local_servers()
    for paths in _chosen(process, run, of_others=offline):
        found = process.adopter.adopt(paths, by_hand=offline, local=local)
        while isinstance(found, NotAdopted) and found.server_away and follow:
            if progress is not None:
                progress(_not_adopted(paths, found, local))
            time.sleep(_WAIT_S)
            local = process.adopter.local_servers()
            found = process.adopter.adopt(paths, by_hand=offline, local=local)
        if isinstance(found, NotAdopted):
            yield _not_adopted(paths, found, local)
            continue
        lease, transport = found
        process.agent.deliver(lease, transport, adopted=True)
        yield _deliver(process, lease, follow, progress)


def clean(run: str | None = None) -> list[str]:
    """Remove delivered runs from this host; or one run, by id, uuid or name, delivered or not. Returns their ids.

    Records that were set aside go only with a run that is named. A run that a process delivers stays.
    Raises ValueError if there is no such run, ConfigurationError as ``journals`` does.
    """
    process = _process()
    removed, local = [], process.adopter.local_servers()
    for paths in _chosen(process, run):
        if run is None and (_described(paths, local).pending or _open_end(paths) or kept_aside(paths.spool)):
            continue
        lock = FileLock.take(paths.lock)
        if lock is not None:
            remove_tree(paths.memory)
            remove_tree(paths.spool)
            lock.release()
            removed.append(paths.local_id)
    return removed


def _process() -> Process:
    """This process, with the directories as they are now. Raises ConfigurationError where they are not ours."""
    process = current()
    check_directories(process.settings)
    process.find_memory()
    return process


def _deliver(process: Process, lease: Lease, follow: bool, progress: Callable[[Synced], None] | None) -> Synced:
    before = _synced(process, lease, 0).pending
    while not process.agent.wait(lease, _WAIT_S, whole=True):
        so_far = _synced(process, lease, before)
        if progress is not None:
            progress(so_far)
        if lease.outbox.gone or (so_far.why and not follow):
            break
    synced = _synced(process, lease, before)
    if not process.agent.dismiss(lease, _REMOVE_S):
        process.agent.release(lease)
    return synced


def _not_adopted(paths: RunPaths, found: NotAdopted, local: LocalServers) -> Synced:
    left = _described(paths, local)
    counts = left.logged, left.dropped, left.abandoned, left.lost
    return Synced(left.id, left.name, 0, left.pending, found.why, *counts)


def _synced(process: Process, lease: Lease, before: int) -> Synced:
    with process.agent.lock:
        pending, losses = lease.outbox.pending(), lease.outbox.losses()
        records = sum(journal.cursor.records for journal in lease.outbox.journals.values())
    gone = "the run is not on the server any more" if lease.outbox.gone else ""
    why = process.agent.progress(lease).trouble or gone
    counts = losses.logged(records, pending), losses.dropped, losses.abandoned, losses.lost
    return Synced(lease.paths.local_id, lease.manifest.name, max(0, before - pending), pending, why, *counts)


def _chosen(process: Process, run: str | None, of_others: bool = False) -> list[RunPaths]:
    roots = list(process.roots.runs())
    if run is None:
        return roots
    if of_others:
        roots += process.roots.of_other_hosts()
    chosen = []
    for paths in roots:
        with contextlib.suppress(FormatError):
            manifest = _known(paths)
            if run == paths.local_id or (manifest is not None and run in (manifest.run, manifest.name)):
                chosen.append(paths)
    if not chosen:
        raise ValueError(f"no run on this host is called {run!r}; `steplog ls` shows what there is")
    return chosen


def _open_end(paths: RunPaths) -> bool:
    with contextlib.suppress(FormatError):
        manifest = manifests.load(paths.manifest())
        return manifest is not None and bool(manifest.owner) and not manifest.status_sent
    return True


def _known(paths: RunPaths) -> Manifest | None:
    """The manifest; also where only records set aside are left. Raises FormatError."""
    return manifests.load(paths.manifest()) or manifests.load(paths.spool, manifests.DELIVERED_NAME)


def _why(paths: RunPaths, manifest: Manifest | None, pending: int, local: LocalServers) -> str:
    aside = kept_aside(paths.spool)
    if aside and not pending and (manifest is None or manifest.status_sent):
        return f"delivered, but for what was set aside in {aside[0]}"
    if manifest is None:
        return "it has no manifest"
    if not pending and manifest.status_sent:
        return "delivered: steplog clean"
    if paths.other_host is not None:
        return f"other host {paths.other_host[:8]}…: that one delivers it, or steplog sync RUN if it is gone for good"
    if manifest.mode == "offline":
        return "it was started offline: steplog sync"
    way = current().adopter.transport_for(manifest, local)
    return way.why if isinstance(way, NotAdopted) else "the next init() or steplog sync"


def _described(paths: RunPaths, local: LocalServers) -> WaitingRun:
    journals = [_journal(paths, writer) for writer in paths.writers()]
    pending = sum(_pending(journal) for journal in journals)
    losses, at_risk = LossReport.of(journals), [_at_risk(journal) for journal in journals]
    try:
        manifest = _known(paths)
        why = _why(paths, manifest, pending, local)
    except FormatError as error:
        manifest, why = None, str(error)
    try:
        if not FileLock.is_free(paths.lock):
            why = "it is being delivered"
    except OSError as error:
        why = str(error)
    return WaitingRun(
        id=paths.local_id,
        run=manifest.run if manifest is not None else "",
        name=manifest.name if manifest is not None else "",
        namespace=manifest.namespace if manifest is not None else "",
        project=manifest.project if manifest is not None else "",
        url=manifest.base_url if manifest is not None else "",
        status=manifest.status if manifest is not None else None,
        pending=pending,
        size_bytes=sum(used_bytes(directory) for directory in paths.directories()),
        since=datetime.fromtimestamp(_began(paths), timezone.utc),
        why=why,
        path=paths.spool,
        other_host=paths.other_host,
        logged=losses.logged(sum(journal.cursor.records for journal in journals), pending),
        dropped=losses.dropped,
        abandoned=losses.abandoned,
        lost=losses.lost,
        at_risk=None if None in at_risk else sum(filter(None, at_risk)),
    )


def _journal(paths: RunPaths, writer: str) -> Journal:
    """A journal as it is, which is not changed; with what its writer lost, if that is dead."""
    directory = None if paths.memory is None else paths.memory / writer
    spool = Spool(paths.spool / writer, writer)
    stored, losses = bytearray(CURSOR_BYTES), bytearray(LOSSES_BYTES)
    if directory is not None:
        with contextlib.suppress(OSError):
            _fill(stored, read_private(directory / "marks", 0, CURSOR_BYTES))
            _fill(losses, read_private(directory / LOSSES_NAME, 0, LOSSES_BYTES))
    ledger = LossLedger(losses)
    if ledger.is_new:
        begin_ledger(ledger, spool, stored, in_memory=directory is not None and directory.is_dir())
    journal = Journal(writer, DirectorySource(directory), stored, lambda: True, spool, ledger)
    on_disk = spool.load_cursor()
    if on_disk is not None and on_disk.delivered > journal.cursor.delivered:
        journal.set_cursor(on_disk)
    if _is_dead(paths, writer):
        journal.count_lost()
    return journal


def _fill(memory: bytearray, data: bytes) -> None:
    memory[:] = data.ljust(len(memory), b"\0")[: len(memory)]


def _is_dead(paths: RunPaths, writer: str) -> bool:
    for directory in paths.directories():
        if (directory / writer / "alive").exists():
            with contextlib.suppress(OSError):
                return FileLock.is_free(directory / writer / "alive")
            return False
    return True


def _pending(journal: Journal) -> int:
    delivered = journal.cursor.delivered
    return journal.census(delivered, max(delivered, journal.written()))


def _at_risk(journal: Journal) -> int | None:
    """What a kill of a living writer would lose, at most."""
    losses = journal.ledger.losses
    return 0 if losses.settled or losses.lost is None else journal.lost(losses)


def _began(paths: RunPaths) -> float:
    try:
        return paths.lock.stat().st_mtime
    except OSError:
        return time.time()
