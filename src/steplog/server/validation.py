"""Validation of JSON bodies and query strings, with the messages of Django REST framework. Pure.

``Fields`` collects all errors: 400 ``{"field": ["reason", …]}``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlencode

import msgspec

from steplog.errors import FormatError
from steplog.journal.range import NAME_BYTES_MAX
from steplog.records.run_fields import (
    DESCRIPTION_CHARACTERS_MAX,
    FIELDS,
    TEXT_CHARACTERS_MAX,
    FieldError,
    field_value,
)
from steplog.server.records.batch import check_json

__all__ = [
    "Fields",
    "ValidationError",
    "next_page",
    "pagination",
]

_LIMIT_MAX = 100_000
_EXACT = 2.0**53  # floats up to here are exact
_NANOSECONDS = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_MOMENT = re.compile(
    r"(?P<second>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.(?P<fraction>[0-9]{1,9}))?"
    r"(?P<offset>Z|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_TIME_MIN_NS, _TIME_MAX_NS = -(2**63), 2**63 - 1
_FIELD_BYTES_MAX = 12 * DESCRIPTION_CHARACTERS_MAX + 2  # as JSON with every character escaped


class ValidationError(Exception):
    """Invalid input; ``errors`` by field is the response."""

    def __init__(self, errors: Mapping[str, Any]) -> None:
        super().__init__(errors)
        self.errors = errors


class Fields:
    """The fields of a request. A getter returns None for a missing, null or invalid one."""

    def __init__(self, raw: Mapping[str, msgspec.Raw | str]) -> None:
        self._raw = raw
        self._errors: dict[str, list[str]] = {}

    def add_error(self, field: str, reason: str) -> None:
        """Record an error."""
        self._errors.setdefault(field, []).append(reason)

    def check(self) -> None:
        """Raise ValidationError if there was any error."""
        if self._errors:
            raise ValidationError(self._errors)

    def text(self, field: str, *, required: bool = False, characters_max: int = TEXT_CHARACTERS_MAX) -> str | None:
        """A string that is not empty."""
        value = self._value(field, required)
        if value is None or (isinstance(value, str) and 0 < len(value) <= characters_max):
            return value
        if not isinstance(value, str):
            self.add_error(field, "Not a valid string.")
        elif not value:
            self.add_error(field, "This field may not be blank.")
        else:
            self.add_error(field, f"Ensure this field has no more than {characters_max} characters.")
        return None

    def texts(self, field: str, count_max: int) -> list[str]:
        """A list of 1 to ``count_max`` strings that are not empty; required."""
        raw = self._raw.get(field)
        value = None
        if raw is not None:
            with suppress(msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
                value = msgspec.json.decode(raw)
        if raw is None:
            self.add_error(field, "This field is required.")
        elif not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
            self.add_error(field, "Not a list of strings.")
        elif not value:
            self.add_error(field, "This list may not be empty.")
        elif len(value) > count_max:
            self.add_error(field, f"Ensure this field has no more than {count_max} elements; there are {len(value)}.")
        else:
            return value
        return []

    def flag(self, field: str) -> bool:
        """True or false; false without it."""
        value = self._value(field, required=False)
        if value is None or isinstance(value, bool):
            return bool(value)
        self.add_error(field, "Must be a valid boolean.")
        return False

    def choice(self, field: str, choices: Sequence[str], *, required: bool = False) -> str | None:
        """One of ``choices``."""
        value = self._value(field, required)
        if value is None or (isinstance(value, str) and value in choices):
            return value
        self.add_error(field, f'"{str(value)[:TEXT_CHARACTERS_MAX]}" is not a valid choice.')
        return None

    def integer(self, field: str, low: int, high: int) -> int | None:
        """An integer in [low, high]; in JSON 3.0 is one."""
        value = self._value(field, False)
        if isinstance(value, str) and len(value) <= 20 and value.isascii():
            with suppress(ValueError):
                value = int(value)
        if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT:
            value = int(value)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool):
            self.add_error(field, "A valid integer is required.")
        elif value < low:
            self.add_error(field, f"Ensure this value is greater than or equal to {low}.")
        elif value > high:
            self.add_error(field, f"Ensure this value is less than or equal to {high}.")
        else:
            return value
        return None

    def metric_name(self, field: str) -> str | None:
        """The name of a metric: 1 to ``NAME_BYTES_MAX`` bytes of UTF-8."""
        name = self.text(field, required=True)
        if name is not None and len(name.encode()) > NAME_BYTES_MAX:
            self.add_error(field, f"Ensure this field has no more than {NAME_BYTES_MAX} bytes of UTF-8.")
        return name

    def date(self, field: str, *, required: bool = False) -> str | None:
        """A date, as the store keeps it."""
        raw = self._raw.get(field)
        if raw is None and required:
            self.add_error(field, "This field is required.")
        if raw is None:
            return None
        try:
            value = field_value("started", raw.encode() if isinstance(raw, str) else raw)
        except FieldError as error:
            self.add_error(field, str(error))
            return None
        if value is None and required:
            self.add_error(field, "This field may not be null.")
        return value

    def time_ns(self, field: str) -> int | None:
        """A time in a query, in ns since the epoch: such a number, or ISO 8601 with Z or an offset."""
        text = self._raw.get(field)
        if not isinstance(text, str):
            return None
        if _NANOSECONDS.fullmatch(text) and _TIME_MIN_NS <= int(text) <= _TIME_MAX_NS:
            return int(text)
        found = _MOMENT.fullmatch(text)
        with suppress(ValueError, OverflowError):
            if found is not None:
                moment = datetime.fromisoformat(found["second"] + found["offset"].replace("Z", "+00:00"))
                time_ns = (moment - _EPOCH) // timedelta(seconds=1) * 10**9 + int(
                    (found["fraction"] or "").ljust(9, "0")
                )
                if _TIME_MIN_NS <= time_ns <= _TIME_MAX_NS:
                    return time_ns
        self.add_error(
            field, "Use YYYY-MM-DDThh:mm:ss[.fraction] with Z or an offset (+ as %2B), or ns since the epoch."
        )
        return None

    def run_fields(self, known: Collection[str] = FIELDS.keys()) -> dict[str, str | None]:
        """The fields of a run that are given, as ``run_fields.field_value`` has them; None empties one.

        A name and a report cannot be emptied: null is as if they were not given.
        """
        found: dict[str, str | None] = {}
        for field in known:
            raw = self._raw.get(field)
            if raw is None:
                continue
            text = raw.encode() if isinstance(raw, str) else bytes(raw)
            if text == b"null" and field in ("name", "report"):
                continue
            try:
                check_json(text)
                found[field] = field_value(field, text)
            except (FormatError, FieldError) as error:
                self.add_error(field, str(error))
        return found

    def json(self, field: str) -> bytes | None:
        """The JSON text of any value, null included."""
        raw = self._raw.get(field)
        if raw is None:
            self.add_error(field, "This field is required.")
            return None
        text = bytes(raw) if isinstance(raw, msgspec.Raw) else raw.encode()
        try:
            check_json(text)
        except FormatError as error:
            self.add_error(field, str(error))
            return None
        return text

    def _value(self, field: str, required: bool) -> Any:
        raw = self._raw.get(field)
        if raw is None:
            if required:
                self.add_error(field, "This field is required.")
            return None
        if isinstance(raw, str):
            return raw
        try:
            if len(bytes(raw)) > _FIELD_BYTES_MAX:
                raise msgspec.ValidationError
            value = msgspec.json.decode(raw)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            self.add_error(field, "Not a valid value.")
            return None
        if value is None and required:
            self.add_error(field, "This field may not be null.")
        return value


def pagination(query: Mapping[str, str]) -> tuple[int, int | None]:
    """``?after=`` (entries to skip) and ``?limit=`` (None: all)."""
    fields = Fields(query)
    offset = fields.integer("after", 0, 2**62) or 0
    limit = fields.integer("limit", 1, _LIMIT_MAX)
    fields.check()
    return offset, limit


def next_page(query: Mapping[str, str], after: str) -> dict[str, str]:
    """The header that leads to the page after this entry (https://www.rfc-editor.org/rfc/rfc8288)."""
    return {"Link": f'<?{urlencode(dict(query) | {"after": after})}>; rel="next"'}
