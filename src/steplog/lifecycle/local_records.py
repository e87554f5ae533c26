"""``read_journal``: the records of runs that have a journal on this host, read without changing it.

What another process writes meanwhile may be in it or not. What it delivers meanwhile may be missing.
"""

from __future__ import annotations

import contextlib
import errno
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from steplog.delivery import wire
from steplog.delivery.quarantine import quarantined_lines
from steplog.errors import FormatError
from steplog.journal import manifest as manifests
from steplog.journal.directories import RunPaths
from steplog.journal.journal import Journal
from steplog.journal.manifest import Manifest
from steplog.journal.range import Range
from steplog.lifecycle.journal_view import is_living, journal_of
from steplog.lifecycle.kept import called
from steplog.lifecycle.process import current
from steplog.settings import check_directories

__all__ = ["JournalRecord", "ranges_of", "read_journal"]

_POSITIONS = 8192  # read at once
_OUT_OF = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_log = logging.getLogger("steplog")


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """One record of a run.

    Attributes:
        id: the local id of the run.
        run: its name; "" if it has none yet.
        writer: the process that logged it, in hexadecimal; position: its number there.
        name, step, value: what was logged; a float may be NaN or infinite, anything but a number or bool is from JSON.
        time_ns: when, in nanoseconds since the epoch.
        state: "waiting"; "delivered": the server has confirmed it; "quarantined": the server has refused it.
        refusal: the words of the server, if it was refused.
    """

    id: str
    run: str
    writer: str
    position: int
    name: str
    step: int | None
    value: Any
    time_ns: int
    state: str = "waiting"
    refusal: str = ""


def read_journal(run: str | None = None) -> Iterator[JournalRecord]:
    """The records that are on this host: of all runs, or of one, as ``sync`` takes it; run by run, writer by writer.

    Those that wait to be delivered, those that the server has confirmed and that are still here, and those that it has
    refused. Changes nothing, and works while other processes write and deliver.

    Raises:
        ValueError: there is no such run.
        ConfigurationError: a directory is another user's, or open to others.
    """
    process = current()
    check_directories(process.settings)
    process.find_memory()
    roots, found = process.roots, dict[RunPaths, Manifest | None]()
    for paths in (*roots.runs(), *roots.of_other_hosts()):
        found[paths] = None
        with contextlib.suppress(FormatError):
            found[paths] = manifests.load(paths.manifest()) or manifests.load(paths.spool, manifests.DELIVERED_NAME)
    chosen = list(found) if run is None else called(run, found.items())
    names = {paths: "" if manifest is None else manifest.name for paths, manifest in found.items()}
    return (record for paths in chosen for record in _of_run(paths, names[paths]))


def _of_run(paths: RunPaths, run: str) -> Iterator[JournalRecord]:
    refused: dict[str, set[int]] = {}
    for line in quarantined_lines(paths.spool):
        refused.setdefault(line.writer, set()).add(line.position)
        what = line.name, line.step, _special(line.value), line.time_ns
        yield JournalRecord(paths.local_id, run, line.writer, line.position, *what, "quarantined", line.server)
    for writer in paths.writers():
        view = partial(journal_of, paths, writer, partial(is_living, paths, writer))
        journal = view()
        delivered, done = journal.cursor.delivered, journal.cursor.done
        for record in (record for batch in ranges_of(journal, view) for record in wire.records(batch)):
            if record.position in refused.get(writer, ()):
                continue
            beyond = record.position - delivered
            state = "delivered" if beyond < 0 or done >> beyond & 1 else "waiting"
            value = msgspec.json.decode(record.value) if isinstance(record.value, bytes) else record.value
            what = record.name, record.step, value, record.time_ns
            yield JournalRecord(paths.local_id, run, writer, record.position, *what, state)


def ranges_of(journal: Journal, reopen: Callable[[], Journal], first: int = 0) -> Iterator[Range]:
    """What can be read of a journal from ``first`` on; ``reopen`` gives it as it is by now.

    What the disk does not give is left out, with a warning. Raises OSError where nothing can be opened now.
    """
    position, end, reopened_at = max(first, journal.cursor.begin), journal.written(), -1
    while position < end:
        readable, failure = position, None
        try:
            seen = min(end, journal.readable(position, _POSITIONS))
            batch = journal.read(position, seen)
            readable = batch.end
        except OSError as error:
            if error.errno in _OUT_OF:
                raise
            failure = None if isinstance(error, (BlockingIOError, FileNotFoundError)) else error
        if readable > position:
            yield batch
            position = batch.end
        elif reopened_at < position:  # its segment has moved to the disk, or was delivered
            journal, reopened_at = reopen(), position
        else:
            unread, position = position, _next_begin(journal, position, end)
            if failure is not None:
                note = "steplog cannot read the records %d to %d of a process (%s); they are left out: %s"
                _log.warning(note, unread, position - 1, journal.writer[:8], failure)


def _next_begin(journal: Journal, position: int, end: int) -> int:
    """Where something can be read again, beyond what cannot."""
    sources = (journal.memory, journal.disk)
    bases = [extent.base for source in sources if source is not None for extent in source.extents()]
    return min((base for base in bases if base > position), default=end)


def _special(value: Any) -> Any:
    """A float of the quarantine, where it is JSON."""
    return float(value) if value in ("NaN", "Infinity", "-Infinity") else value
