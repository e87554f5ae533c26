"""Whether a run meets a condition. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from steplog.filters.dates import date_text, moment_of
from steplog.filters.fields import MISSING, NOT_FINITE, SEARCHED, Condition, Field, Value

__all__ = ["holds", "matches", "value_of"]


def value_of(
    field: Field, run: Mapping[str, Any], metrics: Mapping[str, Mapping[str, Any]], now: datetime | None = None
) -> Any:
    """A run's value of a field; MISSING if there is none.

    Args:
        field: what is asked for.
        run: the run as the API has it in JSON.
        metrics: by name, as the API has a row of ``series/``.
        now: until when a run that goes on has lasted; None: its duration is null.
    """
    if field.kind == "metric":
        name, aggregate = field.path
        found = metrics.get(name, {}).get(aggregate)
        if found is None and (aggregate != "last" or name not in metrics):
            return MISSING
        return NOT_FINITE.get(found, found) if isinstance(found, str) else found
    if field.kind == "config":
        value: Any = run.get("config")
        for key in field.path:
            if not isinstance(value, Mapping) or key not in value:
                return MISSING
            value = value[key]
        return value
    derived = _OF_RUN.get(field.path[0])
    return run.get(field.path[0]) if derived is None else derived(run, now)


def matches(
    conditions: Sequence[Condition],
    run: Mapping[str, Any],
    metrics: Mapping[str, Mapping[str, Any]],
    now: datetime | None = None,
) -> bool:
    """Whether a run meets all conditions; see ``value_of``."""
    return all(holds(condition, value_of(condition.field, run, metrics, now)) for condition in conditions)


def holds(condition: Condition, found: Any) -> bool:
    """Whether a value, as of ``value_of``, meets a condition."""
    field, operator, wanted = condition
    if (field.kind == "metric" or field == _LOST) and isinstance(wanted, str) and operator != "~":
        wanted = NOT_FINITE.get(wanted, wanted)
    if operator == "!=":
        return not holds(condition._replace(operator="="), found)
    if field == _TAG:
        return any(wanted == tag if operator == "=" else str(wanted) in tag for tag in found)
    if field == _SEARCHED:
        return str(wanted).casefold() in found
    if operator == "=":
        return _is_equal(found, wanted)
    numbers = _is_number(found) and _is_number(wanted)
    texts = isinstance(found, str) and isinstance(wanted, str)
    return ((numbers and operator != "~") or texts) and _COMPARE[operator](found, wanted)


def _is_equal(found: Any, wanted: Value) -> bool:
    if _is_number(found) and _is_number(wanted):
        return found == wanted or (found != found and wanted != wanted)  # only NaN differs from itself
    return type(found) is type(wanted) and bool(found == wanted)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": lambda found, wanted: found < wanted,
    "<=": lambda found, wanted: found <= wanted,
    ">": lambda found, wanted: found > wanted,
    ">=": lambda found, wanted: found >= wanted,
    "~": lambda found, wanted: wanted in found,
}
_TAG = Field("run", ("tag",))
_LOST = Field("run", ("lost",))
_SEARCHED = Field("run", (SEARCHED,))


def _started(run: Mapping[str, Any], _now: datetime | None = None) -> str | None:
    return date_text(run.get("started") or run.get("date_created"))


def _duration(run: Mapping[str, Any], now: datetime | None) -> Any:
    started = moment_of(run.get("started") or run.get("date_created"))
    ended = now if run.get("status") == "RUNNING" else moment_of(run.get("ended"))
    return None if started is None or ended is None else (ended - started) / timedelta(seconds=1)


def _username(run: Mapping[str, Any], _now: datetime | None) -> Any:
    user = run.get("user")
    return user.get("username") if isinstance(user, Mapping) else None


def _searched(run: Mapping[str, Any], _now: datetime | None) -> str:
    """The texts that users give a run, and its user, a line each."""
    texts = [run.get(name) for name in ("name", "id", "group", "job_type", "description", "notes")]
    lines = "".join(f"{text}\n" for text in (*texts, _username(run, None)) if text is not None)
    return (lines + "\n".join(run.get("tags") or [])).casefold()


def _lost(run: Mapping[str, Any], _now: datetime | None) -> int | float | None:
    """At most how many values the server will not have, by the report of the run's client."""
    report: Any = run.get("report")
    try:
        dropped, abandoned, lost, rejected = (report[name] for name in ("dropped", "abandoned", "lost", "rejected"))
        known = sum(dropped.values()) + abandoned + rejected
        return math.inf if lost is None else int(known + lost)
    except (TypeError, KeyError, AttributeError):  # none, or not one that is known here
        return None


_OF_RUN: Mapping[str, Callable[[Mapping[str, Any], datetime | None], Any]] = {
    "tag": lambda run, _: run.get("tags") or [],
    "user": _username,
    SEARCHED: _searched,
    "started": _started,
    "ended": lambda run, _: date_text(run.get("ended")),
    "seen": lambda run, _: date_text(run.get("seen")),
    "last_point": lambda run, _: date_text(run.get("last_point")),
    "lost": _lost,
    "duration": _duration,
}
