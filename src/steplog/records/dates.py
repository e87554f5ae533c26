"""Dates as they are kept and told: ISO 8601 in UTC, to the microsecond, with a Z. Pure.

As texts they sort by time.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from functools import lru_cache

import msgspec

__all__ = ["date_of", "exact_date_of", "exact_dates", "utc_text"]

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - in UTC, as all here
_SECONDS = [f"{second:02}." for second in range(60)]
_SECOND_NS = 1_000_000_000
_DIGITS_19 = 10**18  # the least number of so many; an int64 has no more


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


def exact_dates(times_ns: Iterable[int]) -> list[str]:
    """``exact_date_of`` of each; faster where many are of one minute, and most where many are of one second."""
    times = list(times_ns)
    if not times:
        return []
    least, minutes = min(times), _Minutes()
    if least < _DIGITS_19 or max(times) - least > len(times) * _SECOND_NS // 2:
        return [
            f"{minutes[second // 60]}{_SECONDS[second % 60]}{time_ns % _SECOND_NS:09}Z"
            for time_ns in times
            for second in (time_ns // _SECOND_NS,)
        ]
    seconds = _Seconds(minutes)
    digits = msgspec.json.encode(times)[1:-1].decode().split(",")  # 10 of the second, 9 of its fraction
    return [f"{seconds[text[:10]]}{text[10:]}Z" for text in digits]


class _Minutes(dict[int, str]):
    """Minutes since the epoch as texts, up to the seconds, as they are asked for."""

    def __missing__(self, minute: int) -> str:
        text = self[minute] = (_EPOCH + timedelta(minutes=minute)).isoformat()[:-2]
        return text


class _Seconds(dict[str, str]):
    """The same of seconds, up to their fraction."""

    def __init__(self, minutes: _Minutes) -> None:
        super().__init__()
        self._minutes = minutes

    def __missing__(self, digits: str) -> str:
        minute, second = divmod(int(digits), 60)
        text = self[digits] = self._minutes[minute] + _SECONDS[second]
        return text
