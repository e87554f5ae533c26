"""What ``wandb.Api().runs`` is asked: filters as MongoDB writes them, and orders. Pure.

::

    key of wandb                                 column of steplog.runs
    name                                         id, else uuid
    display_name                                 name
    state                                        status
    tags, group, jobType, notes, description     tag, group, job_type, notes, description
    username                                     user
    created_at, heartbeat_at, duration           started, seen, duration
    config.lr, config.lr.value                   config.lr
    summary_metrics.loss                         summary/loss.last, else loss.last

    operators    $eq $ne $gt $gte $lt $lte $in $nin $exists $regex $and $or $nor $not

1. ``Filter.where`` is what steplog's filter can say of it, so that a server leaves out most runs that are not meant;
   ``Filter.matches`` decides.
2. A key is written with underscores or as ``jobType``; another one is a ValueError that says which there are.
3. Values compare as in steplog's filters: numbers with numbers, texts with texts; true is not 1. Of ``tags`` one must
   match. What is missing is null.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple

from steplog.filters import Field
from steplog.filters.dates import moment_of

__all__ = ["STATES", "Filter", "Order", "filter_of", "order_of", "state_of"]

STATES = {"RUNNING": "running", "COMPLETED": "finished", "CRASHED": "crashed", "FAILED": "failed"}

_FIELDS = {
    "name": ("id", "uuid"),
    "display_name": ("name",),
    "state": ("status",),
    "tags": ("tag",),
    "group": ("group",),
    "job_type": ("job_type",),
    "notes": ("notes",),
    "description": ("description",),
    "username": ("user",),
    "created_at": ("started",),
    "heartbeat_at": ("seen",),
    "updated_at": ("seen",),
    "duration": ("duration",),
}
_DATES = ("started", "seen")
_PUSHED = {"$eq": "=", "$ne": "!=", "$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_SUMMARIES = ("summary_metrics.", "summary.")
_MISSING: Any = None  # null and missing are one
_Row = Mapping[str, Any]
_Test = Callable[[Any], bool]


class _Key(NamedTuple):
    """``columns``: of which the first that a row has counts."""

    columns: tuple[str, ...]

    def of(self, row: _Row) -> Any:
        """A row's value, as wandb has it."""
        found = next((row[column] for column in self.columns if row.get(column) is not None), _MISSING)
        return state_of(found) if self.columns == ("status",) else found


class Order(NamedTuple):
    """By which columns runs are sorted."""

    columns: tuple[str, ...]
    descending: bool

    def sorted(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Numbers and dates, then texts, then what has no such value; ``rows`` has the newest first."""
        key, kinds = _Key(self.columns), ([], [], [])  # type: tuple[_Key, tuple[list[Any], list[Any], list[Any]]]
        for row in rows if self.descending else reversed(rows):
            value = key.of(row)
            kinds[1 if isinstance(value, str) else 0 if _is_ordered(value) else 2].append(row)
        for kind in kinds[:2]:
            kind.sort(key=key.of, reverse=self.descending)
        return [row for kind in kinds for row in kind]


class Filter(NamedTuple):
    """Which runs are meant.

    Attributes:
        matches: whether a row is.
        columns: what a row must have for that.
        where: conditions, all of which a run meets that is meant.
    """

    matches: Callable[[_Row], bool]
    columns: tuple[str, ...]
    where: list[tuple[str, str, Any]]


def state_of(status: Any) -> Any:
    """As wandb calls a status."""
    return STATES.get(str(getattr(status, "value", status)), status)


def order_of(text: str | None) -> Order:
    """Of ``+created_at``, ``-summary_metrics.loss``. Raises ValueError."""
    text = text or "+created_at"
    return Order(_key(text.lstrip("+-")).columns, text.startswith("-"))


def filter_of(filters: Mapping[str, Any] | None) -> Filter:
    """Raises ValueError for what cannot be read."""
    columns: dict[str, None] = {}
    matches = _all_of(filters or {}, columns)
    return Filter(matches, tuple(columns), list(_pushed(filters or {})))


def _all_of(filters: Any, columns: dict[str, None]) -> Callable[[_Row], bool]:
    if not isinstance(filters, Mapping):
        raise ValueError(f"a filter of runs is a dict, as MongoDB has it, not {type(filters).__name__}")
    tests = [_one_of(key, wanted, columns) for key, wanted in filters.items()]
    return lambda row: all(test(row) for test in tests)


def _one_of(key: str, wanted: Any, columns: dict[str, None]) -> Callable[[_Row], bool]:
    if key in ("$and", "$or", "$nor"):
        if not isinstance(wanted, (list, tuple)):
            raise ValueError(f"{key} of a filter takes a list, not {type(wanted).__name__}")
        parts = [_all_of(each, columns) for each in wanted]
        if key == "$and":
            return lambda row: all(part(row) for part in parts)
        return lambda row: any(part(row) for part in parts) == (key == "$or")
    if key == "$not":
        inner = _all_of(wanted, columns)
        return lambda row: not inner(row)
    if key.startswith("$"):
        raise ValueError(f"a filter of runs has no {key}")
    found = _key(key)
    columns.update(dict.fromkeys(found.columns))
    test = _test(wanted)
    return lambda row: test(found.of(row))


def _key(text: str) -> _Key:
    if text.startswith("config."):
        path = [each for each in text.removeprefix("config.").split(".") if each not in ("value", "")]
        return _Key((str(Field("config", tuple(path))),) if path else _unknown(text))
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", text.partition(".")[0]).lower() + "".join(text.partition(".")[1:])
    for prefix in _SUMMARIES:
        if snake.startswith(prefix):
            name = snake.removeprefix(prefix)
            return _Key(tuple(str(Field("metric", (each, "last"))) for each in (f"summary/{name}", name)))
    return _Key(_FIELDS.get(snake.removeprefix("user.")) or _unknown(text))


def _unknown(text: str) -> tuple[str, ...]:
    keys = ", ".join(_FIELDS)
    raise ValueError(f"runs have no {text!r} to filter or order by; they have {keys}, config.KEY, summary_metrics.NAME")


def _test(wanted: Any) -> _Test:
    """Whether a value is as wanted."""
    if isinstance(wanted, Mapping) and any(str(key).startswith("$") for key in wanted):
        options = str(wanted.get("$options", ""))
        tests = [_operator(name, value, options) for name, value in wanted.items() if name != "$options"]
        return lambda found: all(test(found) for test in tests)
    return _operator("$eq", wanted, "")


def _operator(name: str, wanted: Any, options: str) -> _Test:
    if name in ("$in", "$nin"):
        tests = [_operator("$eq", each, "") for each in wanted]
        return lambda found: any(test(found) for test in tests) == (name == "$in")
    if name in ("$ne", "$not"):
        test = _test(wanted) if name == "$not" else _operator("$eq", wanted, "")
        return lambda found: not test(found)
    if name == "$exists":
        return lambda found: (found is not _MISSING) == bool(wanted)
    if name == "$regex":
        pattern = re.compile(wanted, re.IGNORECASE if "i" in options else 0)
        return lambda found: any(isinstance(each, str) and pattern.search(each) for each in _each(found))
    compare = _COMPARE.get(name)
    if compare is None:
        raise ValueError(f"a filter of runs has no {name}")
    return lambda found: any(compare(*pair) for pair in _pairs(found, wanted))


def _pairs(found: Any, wanted: Any) -> Iterator[tuple[Any, Any]]:
    """What is compared with what; nothing of two types."""
    for each in _each(found) if not isinstance(wanted, (list, tuple)) else (found,):
        if isinstance(each, datetime):
            moment = wanted.astimezone(timezone.utc) if isinstance(wanted, datetime) else moment_of(wanted)
            if moment is not None:
                yield each, moment
        elif (_is_number(each) and _is_number(wanted)) or type(each) is type(wanted):
            yield each, wanted


def _each(found: Any) -> tuple[Any, ...]:
    return tuple(found) if isinstance(found, (list, tuple)) else (found,)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_ordered(value: Any) -> bool:
    return isinstance(value, (int, float, datetime)) and value == value  # NaN has no place in an order


_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "$eq": lambda found, wanted: bool(found == wanted),
    "$gt": lambda found, wanted: _is_comparable(found) and found > wanted,
    "$gte": lambda found, wanted: _is_comparable(found) and found >= wanted,
    "$lt": lambda found, wanted: _is_comparable(found) and found < wanted,
    "$lte": lambda found, wanted: _is_comparable(found) and found <= wanted,
}


def _is_comparable(value: Any) -> bool:
    return isinstance(value, (str, datetime)) or _is_number(value)


def _pushed(filters: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """What steplog's filter can say: comparisons of one column with one value that all must meet."""
    for key, wanted in filters.items():
        if key == "$and":
            for each in wanted:
                yield from _pushed(each)
        elif not key.startswith("$"):
            columns = _key(key).columns
            given = wanted if isinstance(wanted, Mapping) else {"$eq": wanted}
            for name, value in given.items():
                said = _said(columns, value)
                if name in _PUSHED and said is not None and (name in ("$eq", "$ne") or _is_number(value)):
                    yield columns[0], _PUSHED[name], said


def _said(columns: tuple[str, ...], value: Any) -> Any:
    """The value as steplog's filter has it; None: it cannot say it."""
    if len(columns) > 1 or columns[0] in (*_DATES, "duration"):
        return None
    if columns == ("status",):
        return next((status for status, state in STATES.items() if state == value), None)
    number = _is_number(value) and value == value and abs(value) != float("inf")
    plain = isinstance(value, (str, bool)) or number
    return value if plain and (columns[0].startswith("config.") or isinstance(value, str)) else None
