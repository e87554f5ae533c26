"""What is printed about a run: at most two lines when it begins, one when it ends.

::

    steplog: run brave_pasta_123 in me/mnist
    steplog: http://127.0.0.1:8787/me/projects/mnist/runs/brave-pasta-123/
    steplog: run brave_pasta_123: 2,001 delivered

They go to the logger ``steplog`` where the program has set up ``logging`` (a handler there or at the root; levels count
as ever), and to standard error where it has not. ``quiet`` silences them. Nothing else than these is printed; what goes
wrong in between is said by ``logging`` alone.

The address of a page of the embedded server carries what a browser needs to read there. That is shown on a terminal,
and to nobody who reads the log later.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import TYPE_CHECKING

from steplog.report import Report, Stats

if TYPE_CHECKING:
    from steplog.lifecycle.open_run import OpenRun
    from steplog.settings import Settings

__all__ = ["became", "began", "ended", "kept_from_the_start", "say"]

_log = logging.getLogger("steplog")
_SENT_BY = {  # by the run's mode
    "online": "the next run on this machine sends it; or type: steplog sync",
    "offline": "to send it, type: steplog sync",
    "unconfigured": "to send it, type: steplog serve; or: steplog login, and then: steplog sync",
}


def say(settings: Settings, level: int, text: str, shown: str = "") -> None:
    """Print a line, unless ``quiet``; ``shown`` is what stands there instead on a terminal. Never raises."""
    if settings.quiet:
        return
    if _log.hasHandlers():
        _log.log(level, "steplog: %s", text)
        return
    with contextlib.suppress(Exception):  # closed, full, none, or in the middle of a write that a signal interrupted
        sys.stderr.write(f"steplog: {shown if shown and sys.stderr.isatty() else text}\n")
        sys.stderr.flush()


def began(opened: OpenRun) -> None:
    """The run is on the server: its name, its address."""
    manifest, url = opened.manifest, opened.url() or ""
    say(opened.settings, logging.INFO, f"run {opened.name()} in {manifest.namespace}/{manifest.project}")
    say(opened.settings, logging.INFO, url.partition("#")[0], url)


def kept_from_the_start(opened: OpenRun, level: int, why: str) -> None:
    """The run is on no server yet: where it is until then."""
    where = "on this machine" if _survives(opened) or opened.paths.on_disk else "in this process alone"
    say(opened.settings, level, f"run {opened.name()} is kept {where}{why}")


def ended(opened: OpenRun) -> None:
    """The run is over here: what became of its records, and what sends those that are left."""
    stats = opened.stats()
    told, kept = became(stats), _kept(opened, stats)
    expected = not kept or opened.transport is None
    said = "; ".join(part for part in (told, kept) if part)
    say(opened.settings, logging.INFO if expected else logging.WARNING, f"run {opened.name()}: {said}")


def _kept(opened: OpenRun, stats: Stats) -> str:
    """What is left of the run, and where, and what sends it; "" where nothing is."""
    if not stats.pending and (opened.lease is None or opened.lease.outbox.status_sent):
        return ""
    why = f" ({stats.last_error})" if stats.last_error else ""
    lost = 0 if _survives(opened) else min(stats.pending, _unsaved(opened))
    losing = (
        f"{_records(lost)} lost, which neither shared memory nor the disk takes{why}; set STEPLOG_DIR" if lost else ""
    )
    if lost and lost == stats.pending:
        return losing
    kept = _records(stats.pending - lost) if stats.pending else "it is"
    paths = opened.paths.memory or opened.paths.spool
    return f"{kept} kept in {paths}{why}; {_SENT_BY[opened.manifest.mode]}{f'; {losing}' if lost else ''}"


def _survives(opened: OpenRun) -> bool:
    """Whether memory outlives the process."""
    return opened.opened.directory is not None


def _unsaved(opened: OpenRun) -> int:
    """How many records of this process are neither delivered nor on disk."""
    journal = opened.opened.journal
    done = max(journal.cursor.delivered, journal.cursor.durable)
    return journal.census(done, max(done, journal.written()))


def _records(number: int) -> str:
    return "1 record is" if number == 1 else f"{number:,} records are"


def became(report: Report) -> str:
    """The counts in words: what is delivered, and whatever else is not zero; what is pending is told with its place."""
    counts = [
        (report.rejected, "refused by the server and set aside"),
        (report.ambiguous, "sent twice, perhaps"),
        (report.coerced, "logged as their repr"),
        (report.abandoned, "lost in memory"),
        *((calls, f"dropped ({reason})") for reason, calls in report.dropped.items()),
        (report.faults, "errors in steplog itself, see the log"),
    ]
    delivered = [] if report.pending and not report.delivered else [f"{report.delivered:,} delivered"]
    return ", ".join(delivered + [f"{number:,} {words}" for number, words in counts if number])
