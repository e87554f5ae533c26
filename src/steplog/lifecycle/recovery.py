"""``journals``, ``sync``, ``clean``: what waits on this machine, delivered or removed by hand."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from steplog.blobs.waiting_files import WaitingFiles
from steplog.delivery.lease import Lease
from steplog.delivery.loss_report import LossReport
from steplog.delivery.quarantine import kept_aside
from steplog.errors import FormatError
from steplog.file_lock import FileLock
from steplog.journal import manifest as manifests
from steplog.journal.directories import RunPaths, new_id
from steplog.journal.journal import Journal
from steplog.journal.manifest import Manifest
from steplog.journal.memory import media_bytes, used_bytes
from steplog.lifecycle.adoption import NotAdopted
from steplog.lifecycle.journal_view import OtherDelivery, counted_journal
from steplog.lifecycle.kept import called
from steplog.lifecycle.process import Process, current
from steplog.lifecycle.run_stats import lost_files
from steplog.private_files import remove_at_once
from steplog.settings import check_directories

if TYPE_CHECKING:
    from steplog.client import LocalServers

__all__ = ["Synced", "WaitingRun", "clean", "journals", "sync"]

_HELD = "another process delivers it"
_WAIT_S = 0.25
_REMOVE_S = 30.0
_STALLED_EXCHANGES = 10  # as long as that nothing of a run may arrive


@dataclass(frozen=True)
class WaitingRun:
    """A run with a journal on this host, or another host's on the same disk.

    Attributes:
        id: the local id, for ``sync`` and ``clean``.
        run: the uuid; "" until the server has created it.
        key: the id that ``init`` was given.
        name, namespace, project, url: its names, and its server.
        status: to be sent; None if undecided.
        pending: records written and not delivered.
        logged, dropped, abandoned, lost: as in ``Report``.
        at_risk: values that a kill of the processes that write them would lose, at most; None: nobody knows.
        files: that the server does not have; ``files_lost``: that it never will have, as in ``Report``.
        size_bytes: of the journal and the files, in memory and on disk.
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
    key: str = ""
    logged: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    abandoned: int = 0
    lost: int | None = 0
    at_risk: int | None = 0
    files: int = 0
    files_lost: int = 0


@dataclass(frozen=True)
class Synced:
    """What became of a run since ``sync`` began.

    Attributes:
        id, name: of the run.
        delivered, pending, why: records that arrived, whoever delivered them, records that are left, and why.
        files_delivered, files: the same of files; ``files_lost``: as in ``Report``.
        files_kept: where files were moved to, as the server keeps none; "" if none were.
        logged, dropped, abandoned, lost: as in ``Report``, whoever delivered the run.
        gone: of a run that was made anew, how many values the server had confirmed that are not here any more.
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
    gone: int = 0
    files_delivered: int = 0
    files: int = 0
    files_lost: int = 0
    files_kept: str = ""


_Progress = Callable[[Synced], None] | None


def journals() -> list[WaitingRun]:
    """The runs with a journal on this host or its disk, oldest first.

    Raises ConfigurationError where a directory of theirs is another user's, or open to others.
    """
    process = _process()
    roots, local = process.roots, process.adopter.local_servers()
    found = [*roots.runs(), *roots.of_other_hosts()]
    described = [_described(paths, local) for paths in found if not _is_empty(paths)]
    # One that another process has delivered meanwhile is not here any more.
    return sorted((run for run in described if run.path.exists() or run.size_bytes), key=lambda run: run.since)


def sync(
    run: str | None = None,
    *,
    follow: bool = False,
    offline: bool = True,
    wait: bool = True,
    recreate: bool = False,
    progress: Callable[[Synced], None] | None = None,
) -> Iterator[Synced]:
    """Deliver what waits here, a run at a time, the oldest first; or one: by id, uuid, beginning of one, or name.

    A run that another process delivers comes after the others. It is waited for until all that was written by then has
    arrived; if that process dies, it is delivered here. Another host's run is taken only by name, without its shared
    memory, and not while that host delivers it.

    Args:
        run: None: all runs of this host.
        follow: wait for a server that is away, also for one of this machine, instead of giving the run up; and for a
            run that another process delivers, also when nothing of it has arrived for ``exchange_timeout_s``.
        offline: include runs with ``mode="offline"``, and other hosts'.
        wait: for what another process delivers; False: skip that.
        recreate: make the run on the server anew, which has lost it, from what is still here; of ``run`` alone.
        progress: called four times a second.

    Raises:
        ValueError: there is no such run; or with ``recreate``, none is named, several are, or a process has it.
        ConfigurationError: a directory is another user's, or open to others.
    """
    process = _process()
    process.roots.sweep()
    held = []
    chosen = _chosen(process, run, of_others=offline)
    if recreate:
        yield _recreate(process, run, chosen, follow, progress)
        return
    local = process.adopter.local_servers()
    # This process's agent adopts and removes runs as well, before their turn here.
    begun = [(paths, _described(paths, local)) for paths in chosen if not _is_empty(paths)]
    for paths, begin in begun:
        found = _take(process, paths, offline, local)
        while isinstance(found, NotAdopted) and found.server_away and follow and not found.held:
            if progress is not None:
                progress(_not_adopted(paths, found, local))
            time.sleep(_WAIT_S)
            local = process.adopter.local_servers()
            found = _take(process, paths, offline, local)
        if isinstance(found, Lease):
            yield _deliver(process, found, follow, progress, begin)
        elif not any(directory.exists() for directory in paths.directories()):
            if begin.pending or begin.files:  # it was delivered meanwhile, here or by another process
                yield _left(begin, begin.pending, 0, "", begin.files, 0)
        elif found.held and wait and paths.other_host is None:  # what is in another host's memory is not seen here
            held.append((paths, begin))
        else:
            yield _not_adopted(paths, found, local)
    for paths, begin in held:
        yield _wait_for(process, paths, offline, follow, progress, begin)


def clean(run: str | None = None) -> list[str]:
    """Remove delivered runs from this host; or one run, as ``sync`` takes it, delivered or not. Returns their ids.

    Records that were set aside go only with a run that is named. A run that a process delivers stays.
    Raises ValueError if there is no such run, ConfigurationError as ``journals`` does.
    """
    process = _process()
    process.roots.sweep()
    removed = []
    for paths in _chosen(process, run):
        if run is None and (not _is_delivered(paths) or _open_end(paths) or kept_aside(paths.spool)):
            continue
        is_empty = _is_empty(paths)
        try:
            lock = FileLock.take(paths.lock)
        except OSError:  # another process has removed it meanwhile
            continue
        if lock is not None:
            for directory in filter(None, (paths.memory, paths.spool)):
                remove_at_once(directory)
            lock.release()
            if run is not None or not is_empty:
                removed.append(paths.local_id)
    return removed


def _process() -> Process:
    """This process, with the directories as they are now. Raises ConfigurationError where they are not ours."""
    process = current()
    check_directories(process.settings)
    process.find_memory()
    return process


def _left(run: WaitingRun, delivered: int, pending: int, why: str, files_delivered: int, files: int) -> Synced:
    """What became of a run that is delivered elsewhere, or not at all."""
    losses = run.logged, run.dropped, run.abandoned, run.lost
    return Synced(run.id, run.name, delivered, pending, why, *losses, 0, files_delivered, files, run.files_lost)


def _recreate(process: Process, run: str | None, chosen: list[RunPaths], follow: bool, progress: _Progress) -> Synced:
    if run is None or len(chosen) > 1:
        raise ValueError("name the one run that is to be made anew, by its id")
    (paths,), local = chosen, process.adopter.local_servers()
    found = process.adopter.adopt(paths, by_hand=True, local=local)
    if isinstance(found, NotAdopted):
        raise ValueError(f"the run is not made anew: {found.why}")
    lease, _ = found
    try:
        if lease.has_living_writer():
            raise ValueError("the run is not made anew: a process still writes to it")
        gone = lease.recreate(new_id())
    finally:
        lease.release()
    taken = _take(process, paths, True, local)
    if isinstance(taken, Lease):
        return replace(_deliver(process, taken, follow, progress), gone=gone)
    return replace(_not_adopted(paths, taken, local), gone=gone)


def _wait_for(
    process: Process, paths: RunPaths, by_hand: bool, follow: bool, progress: _Progress, begin: WaitingRun
) -> Synced:
    """Wait until another process has delivered a run; deliver it here if that process dies.

    ``begin``: the run as it was when the command began.
    """
    local, other = process.adopter.local_servers(), OtherDelivery(paths)
    described = _described(paths, local)
    if described.logged < begin.logged:  # some of it, or all, is delivered and removed
        described = begin
    left, files = other.left(), other.files_left()
    before, files_before = max(begin.pending, left), max(begin.files, files)
    most_s = process.settings.exchange_timeout_s
    stalled_at = time.monotonic() + most_s
    while True:
        now_left, now_files = other.left(), other.files_left()
        if other.is_over():
            return _left(described, before, 0, "", files_before, 0)
        found = _take(process, paths, by_hand, local)
        if isinstance(found, Lease):
            synced = _deliver(process, found, follow, progress)
            delivered, files = max(0, before - now_left), max(0, files_before - now_files)
            files += synced.files_delivered
            return replace(synced, delivered=delivered + synced.delivered, files_delivered=files)
        if (now_left, now_files) != (left, files) or follow:
            left, files, stalled_at = now_left, now_files, time.monotonic() + most_s
        stalled = time.monotonic() >= stalled_at
        why = f"another process delivers it; nothing of it has arrived for {most_s:g} s" if stalled else _HELD
        arrived = max(0, before - left), left, why if found.held else found.why
        so_far = _left(described, *arrived, max(0, files_before - files), files)
        if stalled or not found.held:
            return so_far
        if progress is not None:
            progress(so_far)
        other.ask()
        time.sleep(_WAIT_S)


def _take(process: Process, paths: RunPaths, by_hand: bool, local: LocalServers) -> Lease | NotAdopted:
    """Take over a run, unless this process's agent has done so already."""
    with process.agent.lock:
        adopted = [lease for lease in process.agent.leases.values() if lease.own is None]
    for lease in adopted:
        if lease.paths.local_id == paths.local_id:
            return lease
    found = process.adopter.adopt(paths, by_hand=by_hand, local=local)
    if isinstance(found, NotAdopted):
        return found
    process.agent.deliver(*found, adopted=True)
    return found[0]


def _deliver(
    process: Process, lease: Lease, follow: bool, progress: _Progress, begin: WaitingRun | None = None
) -> Synced:
    """Deliver a run; ``begin``: as it was when the command began."""
    first = _synced(process, lease)
    before = max(first.pending, 0 if begin is None else begin.pending)
    files = max(first.files, 0 if begin is None else begin.files)
    most_s, why = _STALLED_EXCHANGES * process.settings.exchange_timeout_s, ""
    left, stalled_at = (-1, -1, -1), 0.0
    while not (arrived := process.agent.wait(lease, _WAIT_S, whole=True)):
        so_far, left_before = _synced(process, lease, before, files), left
        left = so_far.pending, so_far.files, process.agent.progress(lease).file_bytes
        if left != left_before or follow:
            stalled_at = time.monotonic() + most_s
        if progress is not None:
            progress(so_far)
        why = _over(process, lease) or ("" if follow else so_far.why)
        if not why and time.monotonic() >= stalled_at:
            why = f"nothing of it has arrived for {most_s:g} s"
        if why or lease.keeps_files():
            break
    synced = _synced(process, lease, before, files)
    if not process.agent.dismiss(lease, _REMOVE_S):
        process.agent.release(lease)
    if lease.kept is not None:
        return replace(synced, files=0, files_delivered=0, why="", files_kept=str(lease.kept.directory))
    return replace(synced, why="" if arrived else synced.why or why)


def _over(process: Process, lease: Lease) -> str:
    """Why nothing more of a run arrives, however long somebody waits; "": nothing is known of that."""
    with process.agent.lock:
        outbox, held = lease.outbox, lease.outbox in process.agent.leases or lease.done()
        gone, refused, status = outbox.gone, outbox.refused, outbox.status
    if gone:
        return "the run is not on the server any more: steplog sync --recreate"
    if refused is not None:
        return f"the server refuses the status {status}: {refused.words}"
    return "" if held else "it was left to another process: steplog sync"


def _not_adopted(paths: RunPaths, found: NotAdopted, local: LocalServers) -> Synced:
    left = _described(paths, local)
    return _left(left, 0, left.pending, found.why, 0, left.files)


def _synced(process: Process, lease: Lease, before: int = 0, files_before: int = 0) -> Synced:
    files, lost = min(lease.files.left(), lease.outbox.uploads.count_left(lease.files.ids())), lease.files.lost()
    with process.agent.lock:
        pending, losses = lease.outbox.pending(), lease.outbox.losses()
        records = sum(journal.cursor.records for journal in lease.outbox.journals.values())
    why = process.agent.progress(lease).trouble or _over(process, lease)
    counts = losses.logged(records, pending), losses.dropped, losses.abandoned, losses.lost
    arrived, name = max(0, files_before - files - lost), lease.manifest.name
    delivered = max(0, before - pending)
    return Synced(lease.paths.local_id, name, delivered, pending, why, *counts, 0, arrived, files, lost)


def _chosen(process: Process, run: str | None, of_others: bool = False) -> list[RunPaths]:
    roots = list(process.roots.runs())
    if run is None:
        return sorted(roots, key=_began)
    if of_others:
        roots += process.roots.of_other_hosts()
    known = []
    for paths in roots:
        with contextlib.suppress(FormatError):
            known.append((paths, _known(paths)))
    return sorted(called(run, known), key=_began)


def _is_empty(paths: RunPaths) -> bool:
    """Whether there is no run in its directories: no manifest, no writer, nothing set aside."""
    with contextlib.suppress(FormatError):
        return _known(paths) is None and not paths.writers() and not kept_aside(paths.spool)
    return False


def _open_end(paths: RunPaths) -> bool:
    with contextlib.suppress(FormatError):
        manifest = manifests.load(paths.manifest())
        return manifest is not None and bool(manifest.owner) and not manifest.status_sent
    return True


def _known(paths: RunPaths) -> Manifest | None:
    """The manifest; also where only records set aside are left. Raises FormatError."""
    found = manifests.load(paths.manifest()) or manifests.load(paths.spool)  # memory goes first
    return found or manifests.load(paths.spool, manifests.DELIVERED_NAME)


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
    manifest, damaged = None, ""
    try:
        manifest = _known(paths)  # first: of a run that is removed meanwhile, nothing then seems to wait
    except FormatError as error:
        damaged = str(error)
    journals = [counted_journal(paths, writer) for writer in paths.writers()]
    pending, files = sum(_pending(journal) for journal in journals), WaitingFiles(paths)
    waiting = files.left()
    losses, at_risk = LossReport.of(journals), [_at_risk(journal) for journal in journals]
    why = damaged or _why(paths, manifest, pending + waiting, local)
    with contextlib.suppress(OSError):  # its directories are gone: another process has delivered it meanwhile
        if not FileLock.is_free(paths.lock):
            why = "it is being delivered"
    return WaitingRun(
        id=paths.local_id,
        run=manifest.run if manifest is not None else "",
        key=manifest.key if manifest is not None else "",
        name=manifest.name if manifest is not None else "",
        namespace=manifest.namespace if manifest is not None else "",
        project=manifest.project if manifest is not None else "",
        url=manifest.base_url if manifest is not None else "",
        status=manifest.status if manifest is not None else None,
        pending=pending,
        size_bytes=sum(used_bytes(directory) + media_bytes(directory) for directory in paths.directories()),
        since=datetime.fromtimestamp(_began(paths), timezone.utc),
        why=why,
        path=paths.spool,
        other_host=paths.other_host,
        logged=losses.logged(sum(journal.cursor.records for journal in journals), pending),
        dropped=losses.dropped,
        abandoned=losses.abandoned,
        lost=losses.lost,
        at_risk=None if None in at_risk else sum(filter(None, at_risk)),
        files=waiting,
        files_lost=lost_files(files, journals),
    )


def _pending(journal: Journal) -> int:
    delivered = journal.cursor.delivered
    return journal.values(delivered, max(delivered, journal.written()))


def _is_delivered(paths: RunPaths) -> bool:
    """Whether nothing is left of what was written, be it values or steplog's own, and no file."""
    journals = [counted_journal(paths, writer) for writer in paths.writers()]
    records = any(journal.census(journal.cursor.delivered, journal.written()) for journal in journals)
    return not records and not WaitingFiles(paths).ids()


def _at_risk(journal: Journal) -> int | None:
    """What a kill of a living writer would lose, at most."""
    losses = journal.ledger.losses
    return 0 if losses.settled or losses.lost is None else journal.lost(losses)


def _began(paths: RunPaths) -> float:
    try:
        return paths.lock.stat().st_mtime
    except OSError:
        return time.time()
