"""Dates as the server keeps and tells them: ISO 8601 in UTC, to the microsecond, with a Z. Pure.

As texts they sort by time.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from functools import lru_cache

__all__ = ["date_of", "exact_date_of", "utc_text"]

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - in UTC, as all here


def utc_text(moment: datetime) -> str:
    """An aware datetime. Raises OverflowError where its year in UTC is not 1 to 9999."""
    return moment.astimezone(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


def date_of(time_ns: int) -> str:
    """An int64 of nanoseconds since the epoch."""
    second, microsecond = divmod(time_ns // 1000, 1_000_000)
    return f"{_second(second)}.{microsecond:06}Z"


def exact_date_of(time_ns: int) -> str:
    """The same with all nine digits of the second's fraction."""
    second, fraction = divmod(time_ns, 1_000_000_000)
    return f"{_second(second)}.{fraction:09}Z"


@lru_cache(maxsize=1024)  # thousands of series have their last points within a few seconds
def _second(second: int) -> str:
    return (_EPOCH + timedelta(seconds=second)).isoformat()
