"""What is printed about a run.

::

    steplog: run brave_pasta_123 in me/mnist
    steplog: http://127.0.0.1:8787/me/projects/mnist/runs/brave-pasta-123/
    steplog: run brave_pasta_123: 2,001 delivered

To the logger ``steplog`` if the program has set up ``logging``, else to standard error.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec

from steplog.delivery.deferred_log import deferred_log
from steplog.descriptors import OUT_OF_DESCRIPTORS
from steplog.identity import RunStatus
from steplog.journal.manifest import Manifest
from steplog.printable import printable
from steplog.report import Report, Stats, losses_in_words

__all__ = ["Left", "began", "ended", "kept", "left", "say", "say_once", "since"]

_log = logging.getLogger("steplog")
_SENT_BY = {  # by the run's mode
    "online": "the next run on this machine sends it; or type: steplog sync",
    "offline": "to send it, type: steplog sync",
    "unconfigured": "to send it, type: steplog serve; or: steplog login, and then: steplog sync",
}
_ONCE_MAX = 100
_once: dict[str, object] = {}
_OTHERS = "another process of the run sends it"
_GONE = "it is not on the server any more; to make it there again, type: steplog sync --recreate"


class Left(msgspec.Struct, frozen=True):
    """What is left of a run that is over: ``unsaved`` records are lost, the others in ``paths``.

    ``delivers``: this process was to send them. ``gone``: the id of a run that the server does not have any more.
    ``others``: another process logs to the run, and sends them. ``elsewhere``: where files were moved to, since the
    run's server keeps none, and how many.
    """

    unsaved: int
    paths: list[Path]
    mode: str
    delivers: bool
    gone: str = ""
    others: bool = False
    elsewhere: tuple[int, Path] | None = None


def say(quiet: bool, level: int, text: str, shown: str = "") -> None:
    """Print a line; on a terminal ``shown``, if given. Never raises."""
    if quiet:
        return
    text, shown = printable(text), printable(shown)
    if _log.hasHandlers():
        _log.log(level, "steplog: %s", text)
        return
    with contextlib.suppress(Exception):  # closed, full, None, or reentered from a signal
        sys.stderr.write(f"steplog: {shown if shown and sys.stderr.isatty() else text}\n")
        sys.stderr.flush()


def say_once(quiet: bool, text: str) -> None:
    """Print a warning, once a process."""
    mine = object()
    if len(_once) < _ONCE_MAX and _once.setdefault(text, mine) is mine:  # of several threads, one says it
        say(quiet, logging.WARNING, text)


def ended(quiet: bool, name: str, stats: Stats, left: Left | None) -> None:
    """The run is over, and what was to be logged of it is logged: the program may end before a thread comes to it."""
    with contextlib.suppress(Exception):  # a logging handler's
        deferred_log.tell()
    losses = losses_in_words(stats.dropped, stats.abandoned, stats.lost, stats.logged)
    moved = "" if left is None or left.elsewhere is None else _moved(*left.elsewhere)
    kept = "" if left is None or (moved and not stats.pending and not stats.files_pending) else _kept(stats, left)
    parts = (_became(stats, left), kept, moved, losses, _lost_files(stats.files_lost))
    level = logging.WARNING if losses or stats.files_lost or (left is not None and left.delivers) else logging.INFO
    say(quiet, level, f"run {name}: {'; '.join(part for part in parts if part)}")


def began(quiet: bool, name: str, place: str, since: str | None) -> None:
    """A run begins; ``since``: since when there is one that is resumed, or "" if nobody knows."""
    if since is None:
        say(quiet, logging.INFO, f"run {name} in {place}")
    else:
        say(quiet, logging.INFO, f"run {name} is resumed in {place}{f'; it began {since}' if since else ''}")


def kept(quiet: bool, level: int, name: str, why: str, *, resumed: bool) -> None:
    """A run begins, or is resumed, and cannot be sent."""
    if resumed:
        say(quiet, level, f"run {name} is resumed, and kept {why}")
    else:
        say(quiet, level, f"run {name} is kept {why}")


def left(quiet: bool, name: str, found: str) -> None:
    """A process that has joined a run has finished; ``found``: the status that the run has."""
    if found == RunStatus.RUNNING.value:
        _log.warning("steplog: run %s has its owner in another process; its status is not changed.", name)
    else:
        again = "attach(uuid, owner=True) resumes it"
        say(quiet, logging.INFO, f"run {name} has ended {found}, and stays so; {again}")


def since(manifest: Manifest, told: Mapping[str, Any] | None) -> str:
    """Since when there is a run, in local time: the earlier of what is known here and there; "": unknown."""
    begun = manifest.generations[:1] if manifest.plan is not None else ()  # of a run that was joined: since when it is
    known = [datetime.fromtimestamp(one.began / 1e9, timezone.utc) for one in begun]
    for date in () if told is None else (told.get("started"), told.get("date_created")):
        with contextlib.suppress(ValueError):  # another server's idea of a date
            known.append(datetime.fromisoformat(str(date).replace("Z", "+00:00")).astimezone(timezone.utc))
    return f"{min(known).astimezone():%Y-%m-%d %H:%M:%S}" if known else ""


def _kept(stats: Stats, left: Left) -> str:
    why = f" ({stats.last_error})" if stats.last_error else ""
    lost = min(stats.pending, left.unsaved)
    advice = "" if OUT_OF_DESCRIPTORS in why else "; set STEPLOG_DIR"
    losing = f"{_records(lost)} lost, which neither shared memory nor the disk takes{why}{advice}"
    if lost and lost == stats.pending and not stats.files_pending:
        return losing
    kept = _what(stats.pending - lost, stats.files_pending) or ("its status is" if stats.delivered else "it is")
    where = " and ".join(map(str, left.paths))
    sent_by = _OTHERS if left.others and left.mode == "online" else _SENT_BY[left.mode]
    sent_by = f"{_GONE} {left.gone}" if left.gone else sent_by
    return f"{kept} kept in {where}{why}; {sent_by}{f'; {losing}' if lost else ''}"


def _records(number: int) -> str:
    return "1 record is" if number == 1 else f"{number:,} records are"


def _what(records: int, files: int) -> str:
    """What is kept, with its verb; "" if nothing."""
    number = f"{files:,} file{'' if files == 1 else 's'}"
    if records and files:
        return f"{records:,} record{'' if records == 1 else 's'} and {number} are"
    return _records(records) if records else f"{number} {'is' if files == 1 else 'are'}" if files else ""


def _moved(number: int, directory: Path) -> str:
    files = "1 file is" if number == 1 else f"{number:,} files are"
    return f"its server keeps no files: {files} in {directory}"


def _lost_files(number: int) -> str:
    return "" if not number else "1 file was lost" if number == 1 else f"{number:,} files were lost"


def _became(report: Report, left: Left | None) -> str:
    """The counts, without ``pending`` and without losses."""
    moved = 0 if left is None or left.elsewhere is None else left.elsewhere[0]
    files = max(0, report.files - report.files_pending - report.files_lost - moved)
    counts = [
        (files, "file" if files == 1 else "files"),
        (report.rejected, "refused by the server and set aside"),
        (report.ambiguous, "sent twice, perhaps"),
        (report.coerced, "logged as their repr"),
        (report.faults, f"{'error' if report.faults == 1 else 'errors'} in steplog itself, see the log"),
    ]
    delivered = [] if report.pending and not report.delivered else [f"{report.delivered:,} delivered"]
    return ", ".join(delivered + [f"{number:,} {words}" for number, words in counts if number])
