"""``journals``, ``sync``, ``clean``: what waits on this machine, delivered or removed by hand."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from steplog.delivery.lease import Lease
from steplog.delivery.quarantine import kept_aside
from steplog.errors import FormatError
from steplog.file_lock import FileLock
from steplog.journal import manifest as manifests
from steplog.journal.cursor import CURSOR_BYTES
from steplog.journal.directories import RunPaths, new_id
from steplog.journal.journal import Journal
from steplog.journal.manifest import Manifest
from steplog.journal.memory import used_bytes
from steplog.journal.sources import DirectorySource
from steplog.journal.spool import Spool
from steplog.lifecycle.adoption import NotAdopted
from steplog.lifecycle.journal_view import OtherDelivery
from steplog.lifecycle.process import Process, current
from steplog.private_files import remove_tree

__all__ = ["Synced", "WaitingRun", "clean", "journals", "sync"]

_HELD = "another process delivers it"
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


@dataclass(frozen=True)
class Synced:
    """Records that arrived while ``sync`` was at a run, records left, and why.

    ``gone``: of a run that was made anew, how many values the server had confirmed that are not here any more.
    """

    id: str
    name: str
    delivered: int
    pending: int
    why: str
    gone: int = 0


_Progress = Callable[[Synced], None] | None


def journals() -> list[WaitingRun]:
    """The runs with a journal on this host or its disk, oldest first."""
    roots = current().roots
    found = [*roots.runs(), *roots.of_other_hosts()]
    described = [_described(paths) for paths in found]
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
    """Deliver what waits here, a run at a time, the oldest first; or one run, by id, uuid or name.

    A run that another process delivers comes after the others. It is waited for until all that was written by then has
    arrived; if that process dies, it is delivered here. Another host's run is taken only by name, without its shared
    memory, and not while that host delivers it.

    Args:
        run: None: all runs of this host.
        follow: wait for a server that is away, instead of giving the run up; and for a run that another process
            delivers, also when nothing of it has arrived for ``exchange_timeout_s``.
        offline: include runs with ``mode="offline"``, and other hosts'.
        wait: for what another process delivers; False: skip that.
        recreate: make the run on the server anew, which has lost it, from what is still here; of ``run`` alone.
        progress: called four times a second.

    Raises:
        ValueError: there is no such run; or with ``recreate``, none is named, several are, or a process has it.
    """
    process = current()
    held = []
    chosen = _chosen(process, run, of_others=offline)
    if recreate:
        yield _recreate(process, run, chosen, follow, progress)
        return
    for paths in chosen:
        found = _take(process, paths, by_hand=offline)
        if isinstance(found, Lease):
            yield _deliver(process, found, follow, progress)
        elif not any(directory.exists() for directory in paths.directories()):
            continue  # another process has delivered it meanwhile
        elif found.held and wait and paths.other_host is None:  # what is in another host's memory is not seen here
            held.append(paths)
        else:
            described = _described(paths)
            yield Synced(described.id, described.name, 0, described.pending, found.why)
    for paths in held:
        yield _wait_for(process, paths, offline, follow, progress)


def clean(run: str | None = None) -> list[str]:
    """Remove delivered runs from this host; or one run, by id, uuid or name, delivered or not. Returns their ids.

    Records that were set aside go only with a run that is named. A run that a process delivers stays.
    Raises ValueError if there is no such run.
    """
    removed = []
    for paths in _chosen(current(), run):
        if run is None and (_described(paths).pending or _open_end(paths) or kept_aside(paths.spool)):
            continue
        lock = FileLock.take(paths.lock)
        if lock is not None:
            remove_tree(paths.memory)
            remove_tree(paths.spool)
            lock.release()
            removed.append(paths.local_id)
    return removed


def _recreate(process: Process, run: str | None, chosen: list[RunPaths], follow: bool, progress: _Progress) -> Synced:
    if run is None or len(chosen) > 1:
        raise ValueError("name the one run that is to be made anew, by its id")
    (paths,) = chosen
    found = process.adopter.adopt(paths, by_hand=True)
    if isinstance(found, NotAdopted):
        raise ValueError(f"the run is not made anew: {found.why}")
    lease, _ = found
    try:
        if lease.has_living_writer():
            raise ValueError("the run is not made anew: a process still writes to it")
        gone = lease.recreate(new_id())
    finally:
        lease.release()
    taken = _take(process, paths, by_hand=True)
    if isinstance(taken, Lease):
        return replace(_deliver(process, taken, follow, progress), gone=gone)
    described = _described(paths)
    return Synced(described.id, described.name, 0, described.pending, taken.why, gone)


def _wait_for(process: Process, paths: RunPaths, by_hand: bool, follow: bool, progress: _Progress) -> Synced:
    """Wait until another process has delivered a run; deliver it here if that process dies."""
    described, other = _described(paths), OtherDelivery(paths)
    before = left = other.left()
    most_s = process.settings.exchange_timeout_s
    stalled_at = time.monotonic() + most_s
    while True:
        now_left = other.left()
        if not (now_left or other.owes_status()):
            return Synced(described.id, described.name, before, 0, "")
        found = _take(process, paths, by_hand)
        if isinstance(found, Lease):
            synced = _deliver(process, found, follow, progress)
            return replace(synced, delivered=max(0, before - now_left) + synced.delivered)
        if now_left != left or follow:
            left, stalled_at = now_left, time.monotonic() + most_s
        stalled = time.monotonic() >= stalled_at
        why = f"another process delivers it; nothing of it has arrived for {most_s:g} s" if stalled else _HELD
        so_far = Synced(described.id, described.name, max(0, before - left), left, why if found.held else found.why)
        if stalled or not found.held:
            return so_far
        if progress is not None:
            progress(so_far)
        other.ask()
        time.sleep(_WAIT_S)


def _take(process: Process, paths: RunPaths, by_hand: bool) -> Lease | NotAdopted:
    """Take over a run, unless this process's agent has done so already."""
    with process.agent.lock:
        adopted = [lease for lease in process.agent.leases.values() if lease.own is None]
    for lease in adopted:
        if lease.paths.local_id == paths.local_id:
            return lease
    found = process.adopter.adopt(paths, by_hand=by_hand)
    if isinstance(found, NotAdopted):
        return found
    process.agent.deliver(*found, adopted=True)
    return found[0]


def _deliver(process: Process, lease: Lease, follow: bool, progress: _Progress) -> Synced:
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


def _synced(process: Process, lease: Lease, before: int) -> Synced:
    with process.agent.lock:
        pending = lease.outbox.pending()
    gone = "the run is not on the server any more" if lease.outbox.gone else ""
    why = process.agent.progress(lease).trouble or gone
    return Synced(lease.paths.local_id, lease.manifest.name, max(0, before - pending), pending, why)


def _chosen(process: Process, run: str | None, of_others: bool = False) -> list[RunPaths]:
    roots = list(process.roots.runs())
    if run is None:
        return sorted(roots, key=_began)
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
    return sorted(chosen, key=_began)


def _open_end(paths: RunPaths) -> bool:
    with contextlib.suppress(FormatError):
        manifest = manifests.load(paths.manifest())
        return manifest is not None and bool(manifest.owner) and not manifest.status_sent
    return True


def _known(paths: RunPaths) -> Manifest | None:
    """The manifest; also where only records set aside are left. Raises FormatError."""
    return manifests.load(paths.manifest()) or manifests.load(paths.spool, manifests.DELIVERED_NAME)


def _why(paths: RunPaths, manifest: Manifest | None, pending: int) -> str:
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
    if manifest.mode == "unconfigured":
        return "no server was configured: steplog serve; or steplog login, and then steplog sync"
    return "the next init() or steplog sync"


def _described(paths: RunPaths) -> WaitingRun:
    pending = sum(_pending(paths, writer) for writer in paths.writers())
    try:
        manifest = _known(paths)
        why = _why(paths, manifest, pending)
    except FormatError as error:
        manifest, why = None, str(error)
    with contextlib.suppress(OSError):  # its directories are gone: another process has delivered it meanwhile
        if not FileLock.is_free(paths.lock):
            why = "it is being delivered"
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
    )


def _pending(paths: RunPaths, writer: str) -> int:
    """Undelivered records of a journal, which is not changed."""
    directory = None if paths.memory is None else paths.memory / writer
    stored = bytearray(CURSOR_BYTES)
    if directory is not None:
        with contextlib.suppress(OSError):
            stored[:] = (directory / "marks").read_bytes().ljust(CURSOR_BYTES, b"\0")[:CURSOR_BYTES]
    spool = Spool(paths.spool / writer, writer)
    journal = Journal(writer, DirectorySource(directory), stored, lambda: True, spool)
    delivered = max(journal.cursor.delivered, (spool.load_cursor() or journal.cursor).delivered)
    return journal.census(delivered, max(delivered, journal.written()))


def _began(paths: RunPaths) -> float:
    try:
        return paths.lock.stat().st_mtime
    except OSError:
        return time.time()
