"""When a run began and ended, how long it took, and when it was last heard of. Pure.

A run is its JSON; dates are ISO 8601. ``started``, ``ended`` and ``last_point`` are the run's own, ``seen`` is when the
server last heard of it. A stock server has ``date_created`` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

__all__ = [
    "SILENT_S",
    "ago",
    "as_date",
    "began",
    "duration",
    "ended",
    "is_cause",
    "last_point",
    "sort_key",
    "span",
    "status",
]

SILENT_S = 300.0  # an agent asks for its run once a minute
_RUNNING = "RUNNING"
_CRASHED = "CRASHED"
_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
_Run = Mapping[str, Any]


def as_date(date: object) -> datetime | None:
    """A date of the server's; None for anything else. UTC without a zone."""
    if not isinstance(date, str):
        return None
    try:
        parsed = datetime.fromisoformat(date.replace("Z", "+00:00"))
        return parsed.astimezone(timezone.utc) if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)
    except (ValueError, OverflowError):
        return None


def began(run: _Run) -> str:
    """When it started, as the server says it; "" if it does not."""
    return str(run.get("started") or run.get("date_created") or "")


def sort_key(run: _Run) -> tuple[float, str]:
    """By when it started; what has no date comes first."""
    first = as_date(began(run))
    return (float("-inf") if first is None else first.timestamp(), began(run))


def ended(run: _Run) -> str:
    """When it ended; "" if it has not, or if nobody knows."""
    return "" if run.get("status") == _RUNNING else str(run.get("ended") or "")


def duration(run: _Run, now: datetime) -> str:
    """How long it took, or has taken so far; "" if nobody knows."""
    first = as_date(began(run))
    last = now if run.get("status") == _RUNNING else as_date(ended(run))
    return "" if first is None or last is None else span((last - first).total_seconds())


def last_point(run: _Run, now: datetime) -> str:
    """When a run that has not ended last logged something: ``2 s ago``; "" of another, or if nobody knows."""
    last = as_date(run.get("last_point"))
    return "" if last is None or run.get("status") != _RUNNING else ago((now - last).total_seconds())


def status(run: _Run, now: datetime) -> str:
    """Its status; of one that should be heard of and is not, since when."""
    seen, words = as_date(run.get("seen")), str(run.get("status"))
    silent_s = 0.0 if seen is None or words != _RUNNING else (now - seen).total_seconds()
    return f"{words}, not heard of for {span(silent_s, 1)}" if silent_s > SILENT_S else words


def is_cause(run: _Run, date: object) -> bool:
    """Whether an exception recorded at ``date`` ended it: a run that was resumed since may have crashed otherwise."""
    generation, recorded, began = run.get("generation"), as_date(date), as_date(run.get("generation_began"))
    resumed = isinstance(generation, int) and generation > 1
    before = resumed and recorded is not None and began is not None and recorded < began
    return run.get("status") == _CRASHED and not before


def ago(seconds: float) -> str:
    """``2 s ago``; ``now`` for less than a second, or for what is ahead."""
    return f"{span(seconds, 1)} ago" if seconds >= 1 else "now"


def span(seconds: float, parts: int = 2) -> str:
    """A time in words, cut to its greatest units: ``3 h 5 min``."""
    left = max(0, int(seconds))
    words: list[str] = []
    for unit, unit_s in _UNITS:
        count, left = divmod(left, unit_s)
        if count or words or unit == "s":
            words.append(f"{count} {unit}" if count or not words else "")
        if len(words) == parts:
            break
    return " ".join(filter(None, words))
