"""The conditions that a text says, in time linear in its length. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence

from steplog.errors import FilterError
from steplog.filters.dates import date_text
from steplog.filters.fields import (
    AGGREGATES,
    BARE,
    CHARACTERS_MAX,
    CONDITIONS_MAX,
    DATE_FIELDS,
    NUMBER,
    NUMBER_FIELDS,
    OPERATORS,
    PLAIN,
    RUN_FIELDS,
    SEARCHED,
    WORDS,
    Condition,
    Field,
    Value,
    quoted,
    value_text,
)

__all__ = ["filter_of", "parse_field", "parse_fields", "parse_filter"]

_UNITS = {"duration": " of seconds"}
_INT64_END = 2**63
_SPACE = re.compile(r"[ \t\r\n]*")
_QUOTED = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_OPERATOR = re.compile(r"!=|<=|>=|=|<|>|~")


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
    """Fields with commas between them, which can be shown and sorted by. Raises FilterError."""
    found = _fields(text, at_most)
    if any(field == Field("run", (SEARCHED,)) for field in found):
        raise FilterError(f"{SEARCHED} can only be looked for, by {SEARCHED}~…")
    return found


def _fields(text: str, at_most: int) -> tuple[Field, ...]:
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
        at, word = self._at, self._match(PLAIN)
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
            if (bare := self._match(BARE)) is not None:
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
        number = self._match(NUMBER)
        if number is not None:
            return _number(number, at + 1)
        plain = self._match(PLAIN)
        if plain is None:
            raise FilterError(f"expected a value; found {self._shown(at)}", at + 1)
        return WORDS.get(plain, plain)

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
    if not is_quoted and len(parts) == 1 and (first in RUN_FIELDS or first == SEARCHED):
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
    example = "" if value is None or isinstance(value, str) else f": write {quoted(value_text(value))}"
    if operator == "~" and not isinstance(value, str):
        raise FilterError(f"~ takes a text{example}", column)
    if name == SEARCHED and operator != "~":
        raise FilterError(f"{SEARCHED} takes ~", column)
    if name == "tag" and operator not in ("=", "!=", "~"):
        raise FilterError("tag takes =, != and ~", column)
    if name in NUMBER_FIELDS:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if value is not None and not is_number and not (name == "lost" and value == "Infinity"):
            raise FilterError(f"{name} is compared with a number{_UNITS.get(name, '')}", column)
    elif name in DATE_FIELDS and operator != "~":
        text = date_text(value)
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
    return _condition(_fields(field, at_most=1)[0], operator, value, None)


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
