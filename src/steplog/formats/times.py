"""Times in files of others: seconds, milliseconds, microseconds or nanoseconds since the epoch, or ISO 8601. Pure.

The unit of a number is told by its size: below 10¹¹ it is seconds, which lasts until the year 5138; below 10¹⁴
milliseconds, below 10¹⁷ microseconds. A date without a zone is in UTC.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from functools import lru_cache

__all__ = ["time_ns", "time_ns_of_text", "times_ns"]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_EXACT = "2026-11-27T05:11:27.000000000Z"
_UNITS = ((1e11, 10**9), (1e14, 10**6), (1e17, 10**3))
_DATE = re.compile(
    r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?\s*(Z|z|UTC|[+-]\d\d(?::?\d\d)?)?|(\d{4}-\d\d-\d\d)"
)


def time_ns(number: float) -> int | None:
    """Nanoseconds since the epoch; None for what is no number."""
    if not math.isfinite(number):
        return None
    for below, factor in _UNITS:
        if abs(number) < below:
            if isinstance(number, int):
                return number * factor
            whole = math.floor(number)
            return whole * factor + round((number - whole) * factor)
    return int(number)


def time_ns_of_text(text: str) -> int | None:
    """The same of a date, or of a number as text; None for what is neither."""
    found = _DATE.fullmatch(text)
    if found is None:
        return _time_ns_of_number(text)
    minute, second, fraction, zone, day = found.groups()
    try:
        minutes = _minutes(minute or f"{day}T00:00")
    except ValueError:
        return None
    seconds = minutes * 60 + int(second or 0) - _offset_s(zone or "Z")
    return seconds * 10**9 + int((fraction or "").ljust(9, "0"))


def times_ns(texts: Sequence[str]) -> Iterable[int | None]:
    """``time_ns_of_text`` of each."""
    if {len(text) for text in texts} != {len(_EXACT)}:
        return map(time_ns_of_text, texts)
    seconds = _Seconds()
    try:  # as steplog writes them
        return [seconds[text[:20]] + int(text[20:29]) if text[29] == "Z" else time_ns_of_text(text) for text in texts]
    except ValueError:
        return map(time_ns_of_text, texts)


class _Seconds(dict[str, int]):
    """Dates with a dot behind the second as nanoseconds, as they are asked for. Raises ValueError."""

    def __missing__(self, text: str) -> int:
        found = time_ns_of_text(text[:19]) if text[19] == "." else None
        if found is None:
            raise ValueError(text)
        self[text] = found
        return found


def _time_ns_of_number(text: str) -> int | None:
    try:
        return time_ns(int(text) if text.strip().isdecimal() else float(text))
    except ValueError:
        return None


@lru_cache(maxsize=1024)  # the points of a run lie close together
def _minutes(text: str) -> int:
    moment = datetime.fromisoformat(text.replace(" ", "T")).replace(tzinfo=timezone.utc)
    return (moment - _EPOCH) // timedelta(minutes=1)


@lru_cache(maxsize=64)
def _offset_s(zone: str) -> int:
    if zone in ("Z", "z", "UTC"):
        return 0
    hours, minutes = zone[1:3], zone[3:].lstrip(":") or "0"
    return (-1 if zone[0] == "-" else 1) * (3600 * int(hours) + 60 * int(minutes))
