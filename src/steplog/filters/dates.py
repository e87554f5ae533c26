"""Dates as a filter has them: ISO 8601, in UTC unless they say otherwise; a day is its start. Pure."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

__all__ = ["date_text", "moment_of"]

_DATE = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,6})\d*)?)?(?:([Zz])|([+-])(\d\d):?(\d\d))?)?",
    re.ASCII,
)


def date_text(value: object) -> str | None:
    """A date as the server has it, in UTC to the microsecond; None if it is none."""
    moment = moment_of(value)
    return None if moment is None else moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def moment_of(value: object) -> datetime | None:
    """The time that a date says; None if it is none."""
    match = _DATE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    fraction, _, sign, hours, minutes = match.groups()[6:]
    try:
        moment = datetime(year, month, day, hour, minute, second, int((fraction or "").ljust(6, "0")), timezone.utc)
        offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
        return moment + offset if sign == "-" else moment - offset
    except (ValueError, OverflowError):
        return None
