"""Fields: what a request may say, checked as Django REST framework checks it, and how values are shown.

``Fields`` takes fields out of a JSON object one by one and gathers what is wrong with each, so that a client
hears all of it at once: 400 ``{"field": ["what is wrong"]}``.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from steplog.errors import FormatError
from steplog.journal import slot
from steplog.journal.range import NAME_BYTES_MAX
from steplog.server.batch import check_json
from steplog.server.chunk import Points
from steplog.server.request_body import ValidationError

__all__ = ["DESCRIPTION_CHARACTERS_MAX", "TEXT_CHARACTERS_MAX", "Fields", "point", "shown"]

TEXT_CHARACTERS_MAX = 256
DESCRIPTION_CHARACTERS_MAX = 64 * 1024
_NOT_FINITE = {b'"NaN"': math.nan, b'"Infinity"': math.inf, b'"-Infinity"': -math.inf}


class Fields:
    """The fields of a request's JSON body or of its query."""

    def __init__(self, raw: Mapping[str, msgspec.Raw | str]) -> None:
        self._raw = raw
        self._errors: dict[str, list[str]] = {}

    def refuse(self, field: str, reason: str) -> None:
        """Note what is wrong with a field."""
        self._errors.setdefault(field, []).append(reason)

    def check(self) -> None:
        """Raise InvalidError if anything was wrong."""
        if self._errors:
            raise ValidationError(self._errors)

    def text(self, field: str, *, required: bool = False, characters_max: int = TEXT_CHARACTERS_MAX) -> str | None:
        """A string that is not blank; None where it is missing or null."""
        value = self._value(field, required)
        if value is None:
            return None
        if not isinstance(value, str):
            self.refuse(field, "Not a valid string.")
        elif not value:
            self.refuse(field, "This field may not be blank.")
        elif len(value) > characters_max:
            self.refuse(field, f"Ensure this field has no more than {characters_max} characters.")
        else:
            return value
        return None

    def choice(self, field: str, choices: Sequence[str], *, required: bool = False) -> str | None:
        """One of ``choices``; None where it is missing or null."""
        value = self._value(field, required)
        if value is None:
            return None
        if isinstance(value, str) and value in choices:
            return value
        self.refuse(field, f'"{value}" is not a valid choice.')
        return None

    def integer(self, field: str, low: int, high: int) -> int | None:
        """An integer in [low, high]; None where it is missing or null."""
        value = self._value(field, False)
        if isinstance(value, str):
            try:
                value = int(value) if len(value) <= 20 and value.isascii() else None
            except ValueError:
                value = None
            if value is None:
                self.refuse(field, "A valid integer is required.")
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool):
            self.refuse(field, "A valid integer is required.")
        elif value < low:
            self.refuse(field, f"Ensure this value is greater than or equal to {low}.")
        elif value > high:
            self.refuse(field, f"Ensure this value is less than or equal to {high}.")
        else:
            return value
        return None

    def metric_name(self, field: str) -> str | None:
        """The name of a metric: 1 to 256 bytes of UTF-8, any characters."""
        name = self.text(field, required=True)
        if name is not None and len(name.encode()) > NAME_BYTES_MAX:
            self.refuse(field, f"Ensure this field has no more than {NAME_BYTES_MAX} bytes of UTF-8.")
        return name

    def json(self, field: str) -> bytes | None:
        """The JSON text of a field that may hold anything, null included; None where it is missing or bad."""
        raw = self._raw.get(field)
        if raw is None:
            self.refuse(field, "This field is required.")
            return None
        text = bytes(raw) if isinstance(raw, msgspec.Raw) else raw.encode()
        try:
            check_json(text)
        except FormatError as error:
            self.refuse(field, str(error))
            return None
        return text

    def _value(self, field: str, required: bool) -> Any:
        raw = self._raw.get(field)
        if raw is None:
            if required:
                self.refuse(field, "This field is required.")
            return None
        if isinstance(raw, str):
            return raw
        try:
            value = msgspec.json.decode(raw)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            self.refuse(field, "Not a valid value.")
            return None
        if value is None and required:
            self.refuse(field, "This field may not be null.")
        return value


def point(text: bytes, step: int | None, time_ns: int) -> Points:
    """One point, whose value is given as JSON text."""
    kind, word, payload = _word(text)
    steps = array("q", [slot.NO_STEP if step is None else step])
    return Points(bytes((kind,)), word, steps, array("q", [time_ns]), range(1), payload)


def _word(text: bytes) -> tuple[int, array[int], bytes]:
    """A value's kind, its eight bytes and its payload."""
    if text in (b"true", b"false"):
        return slot.KIND_BOOL, array("q", [text == b"true"]), b""
    value: Any = _NOT_FINITE.get(text)
    if value is None and text[:1] in b"-0123456789":
        try:
            value = msgspec.json.decode(text)
        except msgspec.MsgspecError:
            value = None  # beyond a float's range: kept as it was written
    if isinstance(value, float):
        word = array("q")
        word.frombytes(array("d", [value]).tobytes())
        return slot.KIND_FLOAT, word, b""
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return slot.KIND_INT, array("q", [value]), b""
    return slot.KIND_JSON, array("q", [len(text)]), text


def shown(value: Any) -> Any:
    """A value as JSON can hold it: NaN and the infinities are strings."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
