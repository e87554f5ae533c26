"""Which runs are meant: conditions on their fields, config and metrics. Pure.

::

    filter     condition ("and" condition)*
    condition  field operator value
    field      status | name | id | tag | group | job_type | user | started | ended | duration
               config.PATH                 loss: config.lr, config.optim.lr, config."a.b"
               METRIC.last|min|max|count   split at the last dot: train/loss.last, "p(a<b)".max
    operator   = != < <= > >= ~            "~": contains
    value      number | true | false | null | JSON string | [A-Za-z0-9_.:-]+

In a field, what is outside ``[A-Za-z0-9_./-]`` is a JSON string. A filter is also a JSON array of triples
``[field, operator, value]``.

- Types are never coerced: numbers compare with numbers, texts with texts (by code point); true, false and null are
  equal to themselves alone. A value of another type matches only ``!=``.
- What is missing matches only ``!=``. A field that the run's JSON has as null is null.
- ``tag``: some tag is (``=``), none is (``!=``), some tag contains (``~``).
- ``started`` and ``ended`` are dates in UTC; a day is its start. ``duration`` is in seconds, of a run that goes on
  until now.
- A metric's NaN and infinities are numbers, written as the texts NaN, Infinity and -Infinity. NaN is equal to itself.

Reading is linear in the length of the text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import Any, NamedTuple

from steplog.errors import FilterError

__all__ = [
    "AGGREGATES",
    "CHARACTERS_MAX",
    "CONDITIONS_MAX",
    "MISSING",
    "OPERATORS",
    "RUN_FIELDS",
    "Condition",
    "Field",
    "Value",
    "filter_of",
    "holds",
    "matches",
    "parse_field",
    "parse_fields",
    "parse_filter",
    "value_of",
]

RUN_FIELDS = ("status", "name", "id", "tag", "group", "job_type", "user", "started", "ended", "duration")
AGGREGATES = ("last", "min", "max", "count")
OPERATORS = ("=", "!=", "<", "<=", ">", ">=", "~")
CHARACTERS_MAX = 64 * 1024
CONDITIONS_MAX = 100

Value = int | float | str | bool | None

_DATES = ("started", "ended")
_INT64_END = 2**63
_WORDS: Mapping[str, Value] = {"true": True, "false": False, "null": None}
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_SPACE = re.compile(r"[ \t\r\n]*")
_BARE = re.compile(r"[A-Za-z0-9_./-]+")
_SEGMENT = re.compile(r"[A-Za-z0-9_/-]+")
_QUOTED = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_OPERATOR = re.compile(r"!=|<=|>=|=|<|>|~")
_NUMBER = re.compile(r"-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![A-Za-z0-9_.:+-])")
_PLAIN = re.compile(r"[A-Za-z0-9_.:-]+")
_DATE = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,6})\d*)?)?(?:([Zz])|([+-])(\d\d):?(\d\d))?)?",
    re.ASCII,
)


class _Missing(Enum):
    MISSING = "missing"


MISSING = _Missing.MISSING


class Field(NamedTuple):
    """What is compared, sorted by, or shown.

    Attributes:
        kind: "run", "config" or "metric".
        path: the field's name; the keys from the top of the config; or the metric's name and one of AGGREGATES.
    """

    kind: str
    path: tuple[str, ...]

    def __str__(self) -> str:
        """As ``parse_field`` reads it."""
        if self.kind == "run":
            return self.path[0]
        if self.kind == "config":
            return ".".join(("config", *map(_segment, self.path)))
        name, aggregate = self.path
        bare = _BARE.fullmatch(name) and not name.startswith(("config.", "-")) and name != "config"
        return f"{name if bare else _quoted(name)}.{aggregate}"


class Condition(NamedTuple):
    """A field compared with a value."""

    field: Field
    operator: str
    value: Value

    def __str__(self) -> str:
        """As ``parse_filter`` reads it."""
        return f"{self.field}{self.operator}{_value_text(self.value)}"


def parse_filter(text: str) -> tuple[Condition, ...]:
    """The conditions of a filter, or of a JSON array of triples; none of a blank text. Raises FilterError."""
    if len(text) > CHARACTERS_MAX:
        raise FilterError(f"a filter has at most {CHARACTERS_MAX} characters", CHARACTERS_MAX + 1)
    if text.lstrip(" \t\r\n").startswith("["):
        try:
            triples = json.loads(text)
        except json.JSONDecodeError as error:
            raise FilterError(f"not a JSON array: {error.msg}", error.pos + 1) from None
        except (RecursionError, ValueError):
            raise FilterError("not a JSON array of triples [field, operator, value]", 1) from None
        return filter_of(triples)
    reader = _Reader(text)
    found = [] if reader.is_at_end() else [reader.take_condition()]
    while not reader.is_at_end():
        reader.take_and()
        if len(found) == CONDITIONS_MAX:
            raise FilterError(f"a filter has at most {CONDITIONS_MAX} conditions", reader.column)
        found.append(reader.take_condition())
    return tuple(found)


def filter_of(triples: object) -> tuple[Condition, ...]:
    """The conditions of a decoded array of triples. Raises FilterError."""
    if not isinstance(triples, list):
        raise FilterError("expected an array of triples [field, operator, value]")
    if len(triples) > CONDITIONS_MAX:
        raise FilterError(f"a filter has at most {CONDITIONS_MAX} conditions")
    found = []
    for number, triple in enumerate(triples, 1):
        try:
            found.append(_condition_of(triple))
        except FilterError as error:
            raise FilterError(f"condition {number}: {error.reason}", error.column) from None
    return tuple(found)


def parse_field(text: str) -> Field:
    """One field. Raises FilterError."""
    return parse_fields(text, at_most=1)[0]


def parse_fields(text: str, at_most: int = CONDITIONS_MAX) -> tuple[Field, ...]:
    """Fields with commas between them. Raises FilterError."""
    if len(text) > CHARACTERS_MAX:
        raise FilterError(f"at most {CHARACTERS_MAX} characters", CHARACTERS_MAX + 1)
    reader = _Reader(text)
    found = [reader.take_field()]
    while not reader.is_at_end():
        reader.take_comma()
        if len(found) == at_most:
            raise FilterError(f"at most {at_most} fields", reader.column)
        found.append(reader.take_field())
    return tuple(found)


def value_of(
    field: Field, run: Mapping[str, Any], metrics: Mapping[str, Mapping[str, Any]], now: datetime | None = None
) -> Any:
    """A run's value of a field; MISSING if there is none.

    Args:
        field: what is asked for.
        run: the run as the API has it in JSON.
        metrics: by name, as the API has a row of ``series/``.
        now: until when a run that goes on has lasted; None: its duration is missing.
    """
    if field.kind == "metric":
        name, aggregate = field.path
        found = metrics.get(name, {}).get(aggregate)
        if found is None and (aggregate != "last" or name not in metrics):
            return MISSING
        return _NOT_FINITE.get(found, found) if isinstance(found, str) else found
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
    if field.kind == "metric" and isinstance(wanted, str) and operator != "~":
        wanted = _NOT_FINITE.get(wanted, wanted)
    if operator == "!=":
        return not holds(condition._replace(operator="="), found)
    if field == _TAG:
        return any(wanted == tag if operator == "=" else str(wanted) in tag for tag in found)
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


def _started(run: Mapping[str, Any], _now: datetime | None = None) -> str | None:
    return _date_text(run.get("started") or run.get("date_created"))


def _duration(run: Mapping[str, Any], now: datetime | None) -> Any:
    started = _moment(run.get("started") or run.get("date_created"))
    ended = now if run.get("status") == "RUNNING" else _moment(run.get("ended"))
    return MISSING if started is None or ended is None else (ended - started) / timedelta(seconds=1)


def _username(run: Mapping[str, Any], _now: datetime | None) -> Any:
    user = run.get("user")
    return user.get("username") if isinstance(user, Mapping) else None


_OF_RUN: Mapping[str, Callable[[Mapping[str, Any], datetime | None], Any]] = {
    "tag": lambda run, _: run.get("tags") or [],
    "user": _username,
    "started": _started,
    "ended": lambda run, _: _date_text(run.get("ended")),
    "duration": _duration,
}


class _Reader:
    """Takes one part of a text after the other."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    @property
    def column(self) -> int:
        """Where it is, from 1."""
        return self._at + 1

    def is_at_end(self) -> bool:
        """Whether there is nothing but space to come."""
        self._match(_SPACE)
        return self._at == len(self._text)

    def take_and(self) -> None:
        """The word between two conditions."""
        at, word = self._at, self._match(_PLAIN)
        if word != "and":
            known = f"{word} is not known here" if word in ("or", "not") else f"found {self._shown(at)}"
            raise FilterError(f'expected "and" between conditions; {known}', at + 1)
        self._match(_SPACE)

    def take_comma(self) -> None:
        """A comma between two fields."""
        if not self._text.startswith(",", self._at):
            raise FilterError(f"expected a comma; found {self._shown(self._at)}", self.column)
        self._at += 1

    def take_condition(self) -> Condition:
        """A field, an operator and a value."""
        field = self.take_field()
        self._match(_SPACE)
        operator = self._match(_OPERATOR)
        if operator is None:
            raise FilterError(f"expected one of {' '.join(OPERATORS)}; found {self._shown(self._at)}", self.column)
        self._match(_SPACE)
        at = self._at
        return _condition(field, operator, self._value(), at + 1)

    def take_field(self) -> Field:
        """A field: parts in quotes or not, with nothing between them."""
        self._match(_SPACE)
        at = self._at
        parts: list[tuple[str, bool]] = []  # the text, and whether it was in quotes
        while True:
            if (bare := self._match(_BARE)) is not None:
                parts.append((bare, False))
            elif self._text.startswith('"', self._at):
                parts.append((self._string(), True))
            else:
                break
        if not parts:
            raise FilterError(f"expected a field; found {self._shown(at)}", at + 1)
        return _field(parts, at + 1)

    def _value(self) -> Value:
        at = self._at
        if self._text.startswith('"', at):
            return self._string()
        number = self._match(_NUMBER)
        if number is not None:
            return _number(number, at + 1)
        plain = self._match(_PLAIN)
        if plain is None:
            raise FilterError(f"expected a value; found {self._shown(at)}", at + 1)
        return _WORDS.get(plain, plain)

    def _string(self) -> str:
        at = self._at
        quoted = self._match(_QUOTED)
        if quoted is None:
            raise FilterError("a string that does not end, or has a control character in it", at + 1)
        try:
            return _storable(json.loads(quoted))
        except ValueError:
            raise FilterError("not a JSON string", at + 1) from None

    def _match(self, form: re.Pattern[str]) -> str | None:
        if (match := form.match(self._text, self._at)) is None:
            return None
        self._at = match.end()
        return match[0]

    def _shown(self, at: int) -> str:
        return json.dumps(self._text[at : at + 20]) if at < len(self._text) else "the end"


def _field(parts: Sequence[tuple[str, bool]], column: int) -> Field:
    first, is_quoted = parts[0]
    if not is_quoted and first.startswith("config."):
        return Field("config", _config_path([(first[len("config.") :], False), *parts[1:]], column))
    if not is_quoted and len(parts) == 1 and first in RUN_FIELDS:
        return Field("run", (first,))
    last, is_quoted = parts[-1]
    before, dot, aggregate = last.rpartition(".")
    name = "".join(text for text, _ in parts[:-1]) + before
    if is_quoted or not dot or not name or aggregate not in AGGREGATES:
        said = "".join(text for text, _ in parts)
        if said in ("and", "or", "not"):
            raise FilterError(f'{said} is not known here: conditions have "and" between them', column)
        what = f"{json.dumps(said, ensure_ascii=False)} is no field ({', '.join(RUN_FIELDS)}, config.…)"
        raise FilterError(f"{what}; the name of a metric is followed by .last, .min, .max or .count", column)
    return Field("metric", (name, aggregate))


def _config_path(parts: Sequence[tuple[str, bool]], column: int) -> tuple[str, ...]:
    path: list[str] = []
    quoted: list[bool] = []  # whether a key has a part in quotes, and so may be empty
    for index, (text, is_quoted) in enumerate(parts):
        keys = [text] if is_quoted else text.split(".")
        if index:
            path[-1] += keys[0]
            quoted[-1] |= is_quoted
            keys = keys[1:]
        path += keys
        quoted += [is_quoted] * len(keys)
    if not all(key or is_quoted for key, is_quoted in zip(path, quoted, strict=True)):
        raise FilterError("a key of the config is empty", column)
    return tuple(path)


def _condition(field: Field, operator: str, value: Value, column: int | None) -> Condition:
    """A condition that can hold for some run; dates as the server has them. Raises FilterError."""
    name = field.path[0] if field.kind == "run" else ""
    example = "" if value is None or isinstance(value, str) else f": write {_quoted(_value_text(value))}"
    if operator == "~" and not isinstance(value, str):
        raise FilterError(f"~ takes a text{example}", column)
    if name == "tag" and operator not in ("=", "!=", "~"):
        raise FilterError("tag takes =, != and ~", column)
    if name == "duration":
        if value is not None and not _is_number(value):
            raise FilterError("duration is compared with a number of seconds", column)
    elif name in _DATES and operator != "~":
        text = _date_text(value)
        if text is None and value is not None:
            raise FilterError(f"{name} is compared with a date, such as 2026-11-01 or 2026-11-01T12:00:00Z", column)
        return Condition(field, operator, text)
    elif name and not isinstance(value, str) and (value is not None or name == "tag"):
        raise FilterError(f"{name} is compared with a text{example}", column)
    return Condition(field, operator, value)


def _condition_of(triple: object) -> Condition:
    if not isinstance(triple, list) or len(triple) != 3:
        raise FilterError("expected [field, operator, value]")
    field, operator, value = triple
    if not isinstance(field, str):
        raise FilterError("the field is a text")
    if operator not in OPERATORS:
        raise FilterError(f"expected one of {' '.join(OPERATORS)}")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = _finite(value, None)
    elif isinstance(value, str):
        try:
            value = _storable(value)
        except ValueError:
            raise FilterError("the value is not valid Unicode") from None
    elif not isinstance(value, bool) and value is not None:
        raise FilterError("the value is a number, true, false, null or a text")
    return _condition(parse_field(field), operator, value, None)


def _number(text: str, column: int) -> int | float:
    try:
        number: int | float = int(text)
    except ValueError:  # a fraction, or more digits than Python takes
        number = float(text)
    return _finite(number, column)


def _finite(number: int | float, column: int | None) -> int | float:
    """An int64 or a finite float. Raises FilterError."""
    try:
        number = number if -_INT64_END <= number < _INT64_END and isinstance(number, int) else float(number)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise FilterError("not a finite number", column)
    return number


def _storable(text: str) -> str:
    """The text. Raises ValueError for half a surrogate pair."""
    text.encode()
    return text


def _segment(key: str) -> str:
    return key if _SEGMENT.fullmatch(key) else _quoted(key)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _value_text(value: Value) -> str:
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) and value not in _WORDS and not _NUMBER.match(value)
        return value if plain else _quoted(value)
    return json.dumps(value)


def _date_text(value: object) -> str | None:
    """A date as the server has it, in UTC to the microsecond; None if it is none."""
    moment = _moment(value)
    return None if moment is None else moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _moment(value: object) -> datetime | None:
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
