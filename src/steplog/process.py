"""What one process has of steplog: its settings, its places, its agent, and its open runs.

A forked child inherits none of it. It closes the locks that it got with the fork, forgets the agent (whose threads it
does not have), and each open run gets a writer of its own at its first ``log``.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from steplog.delivery.agent import Agent
from steplog.delivery.consignment import Terms
from steplog.delivery.custody import Custody
from steplog.delivery.exchange import Transport
from steplog.errors import FormatError
from steplog.journal import manifest as manifests
from steplog.journal.directories import Places, host_id
from steplog.journal.files import Files
from steplog.journal.locks import Lock, close_inherited
from steplog.journal.memory import default_bytes_max, used_bytes
from steplog.journal.opening import Disk
from steplog.settings import Settings, resolve

if TYPE_CHECKING:
    from steplog.opened import OpenRun

__all__ = ["Process", "current", "open_runs"]

SPOOL_BYTES_MAX = 8 * 1024 * 1024 * 1024

_log = logging.getLogger("steplog")


class Process:
    """This process; made by ``current``."""

    def __init__(self, settings: Settings) -> None:
        self.pid = os.getpid()
        self.settings = settings
        self.places = Places(_usable(settings), settings.dir, host_id())
        self.terms = Terms(settings.batch_age_s, settings.connections_max)
        self.disk = Disk(settings.spool_bytes_max or _spool_bytes_max(settings.dir))
        self.runs: dict[int, OpenRun] = {}
        self.agent = Agent(
            self.terms, settings.exchange_timeout_s, settings.spool_interval_s, self._adopt, self._memory_is_short
        )
        self._refused: set[str] = set()

    def _adopt(self, held: set[str]) -> Iterator[tuple[Custody, Transport]]:
        """The runs of this host that nobody delivers, and that we have a key for."""
        for place in self.places.runs():
            if place.local_id in held or place.local_id in self._refused:
                continue
            try:
                manifest = manifests.load(place.manifest())
                transport = None if manifest is None else _transport_for(self.settings, manifest.base_url)
                lock = None if transport is None else Lock.take(place.lock)
                if transport is None or lock is None:
                    continue
                manifest = manifests.load(place.manifest())  # as its last agent left it
            except (OSError, FormatError) as error:
                self._refused.add(place.local_id)
                _log.warning("steplog leaves the run in %s alone: %s", place.spool, error)
                continue
            if manifest is None:
                lock.release()
                continue
            yield Custody(place, lock, manifest, self.disk, self.terms, self.agent.random), transport

    def _memory_is_short(self) -> bool:
        """Whether half of what memory may take is in use."""
        bytes_max = self.settings.memory_bytes_max or default_bytes_max(self.places.memory)
        if self.places.memory is not None and 2 * used_bytes(self.places.memory) > bytes_max:
            return True
        return any(2 * run.opened.writer.pool.measure() > bytes_max for run in list(self.runs.values()))


_current: Process | None = None


def current() -> Process:
    """This process, made at the first call: settings are resolved then. Raises ConfigurationError."""
    global _current
    if _current is None or _current.pid != os.getpid():
        _current = Process(resolve())
    return _current


def open_runs() -> list[OpenRun]:
    """The runs that are open in this process."""
    return [] if _current is None or _current.pid != os.getpid() else list(_current.runs.values())


def _usable(settings: Settings) -> Path | None:
    return settings.memory_dir if settings.memory_dir.parent.is_dir() else None


def _spool_bytes_max(directory: Path) -> int:
    """8 GiB, or a tenth of what is free, if that is less."""
    while not directory.exists() and directory != directory.parent:
        directory = directory.parent
    try:
        return min(SPOOL_BYTES_MAX, Files().free_bytes(directory) // 10)
    except OSError:
        return SPOOL_BYTES_MAX


def _transport_for(settings: Settings, base_url: str) -> Transport | None:
    """How to reach a server that a run of an earlier process went to, if there is a key for it."""
    from steplog import client, keys

    if base_url == settings.url and keys.find_key(settings) is not None:
        return client.get_default_client(settings).transport
    if keys.stored_key(keys.key_path(settings.dir), base_url) is not None:
        return client.get_default_client(dataclasses.replace(settings, url=base_url, api_key=None)).transport
    local = client.find_local(settings)
    return local.transport if local is not None and local.base_url == base_url else None


def _after_fork_in_child() -> None:
    global _current
    process, _current = _current, None
    close_inherited()
    if process is not None:
        for run in process.runs.values():
            run.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
