"""A batch: a range that was checked, with what the server has to know of it to store it as it came.

Pure. Nothing is packed here: the range is stored as a log row (``log_row``), and whatever could refuse it is checked
before: nothing is refused once it is answered 200. What that costs is linear in its bytes.

What records say about the run itself is taken from them here (``run_fields``). Those of ``NOT_STORED`` count as
positions without a record.
"""

from __future__ import annotations

import math
import re
import struct
from itertools import chain, compress
from typing import Any, NamedTuple

import msgspec

from steplog.errors import FormatError
from steplog.journal import slot
from steplog.journal.range import Range, encode
from steplog.records.by_name import about_the_run, is_logged
from steplog.records.points import words_of
from steplog.records.run_fields import NOT_STORED, RESERVED, Changes, changes_of

__all__ = ["VALUE_BYTES_MAX", "Batch", "NumberedPoint", "SinglePoint", "check_json", "from_range"]

VALUE_BYTES_MAX = 2 * 1024 * 1024 - 8192  # of a single point: more is not a range
_JSON_DEPTH_MAX = 500
_DIGITS_MAX = 4300  # of Python's json: sys.int_info.default_max_str_digits
_WORDS = slot.SLOT_BYTES // 8
_OWN_RECORDS_MAX = 64  # looked at for one that is not of such a name
_NO_WRITER = "-"  # of a single point
_SLOT = struct.Struct("<qqqQ")
_TIME_AND_NAME = struct.Struct("<16xqI4x")
_NON_FINITE = {b'"NaN"': math.nan, b'"Infinity"': math.inf, b'"-Infinity"': -math.inf}
_STRING = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
_STRINGS = re.compile(_STRING, re.DOTALL)
_STRINGS_AND_BRACKETS = re.compile(_STRING + rb"|[\[{]|[\]}]", re.DOTALL)
_DIGITS_AS_0 = bytes(48 if chr(byte).isdigit() else byte for byte in range(128)) + bytes(range(128, 256))
_LONG_NUMBER = b"0" * (_DIGITS_MAX + 1)


class Batch(msgspec.Struct, frozen=True):
    """The range ``source``, whose encoded ``body`` is stored."""

    source: Range
    body: bytes
    records: int  # stored
    changes: Changes | None = None
    applied: int = 0  # records that are not stored
    last_time_ns: int | None = None  # of the last record that the program logged

    @property
    def size_bytes(self) -> int:
        """Of slots and payloads."""
        return len(self.source.slots) + len(self.source.payloads)

    def above(self, mark: int) -> Batch:
        """The records from position ``mark`` on."""
        return from_range(self.source.part(mark, self.source.end))


def from_range(records: Range, body: bytes = b"") -> Batch:
    """The batch of a range, whose encoded ``body`` it is (b"": not encoded yet).

    Raises FormatError for invalid JSON, or a bool other than 0 and 1.
    """
    kinds = slot.kinds_of(records.slots)
    _check_values(records, kinds)
    changes, applied = None, 0
    if not RESERVED.isdisjoint(records.names.values()):
        changes, applied = changes_of(about_the_run(records)), _unstored(records, kinds)
    count = len(kinds) - kinds.count(slot.KIND_NONE) - applied
    return Batch(records, body or encode(records), count, changes, applied, _last_time(records, kinds))


def _unstored(records: Range, kinds: bytes) -> int:
    unstored = slot.named(records.slots, {number for number, name in records.names.items() if name in NOT_STORED})
    return sum(kinds[index] != slot.KIND_NONE for index in unstored)


def _last_time(records: Range, kinds: bytes) -> int | None:
    looked = 0
    for index in range(len(kinds) - 1, -1, -1):
        if kinds[index] != slot.KIND_NONE:
            time_ns, number = _TIME_AND_NAME.unpack_from(records.slots, index * slot.SLOT_BYTES)
            if is_logged(records.names[number]):
                return int(time_ns)
            looked += 1
            if looked == _OWN_RECORDS_MAX:
                break
    return None


def _check_values(records: Range, kinds: bytes) -> None:
    for index, start, end in records.payload_spans():
        try:
            check_json(records.payloads[start:end])
        except FormatError as error:
            raise FormatError(f"record {index} of the range: {error}") from None
    if slot.KIND_BOOL in kinds:
        bools = compress(words_of(records.slots)[1::_WORDS], [kind == slot.KIND_BOOL for kind in kinds])
        if any(word not in (0, 1) for word in bools):
            raise FormatError("a bool must be 0 or 1")


class SinglePoint(msgspec.Struct, frozen=True):
    """A point that came alone: its value is ``text``, valid JSON of at most ``VALUE_BYTES_MAX``."""

    name: str
    text: bytes
    step: int | None
    time_ns: int

    def numbered(self, step: int) -> NumberedPoint:
        """Its batch, with this step."""
        kind, word, payload = _word(self.text)
        slots = _SLOT.pack(step, word, self.time_ns, slot.key_of(0, kind))
        source = Range(_NO_WRITER, 0, 1, {0: self.name}, slots, payload)
        last_time_ns = self.time_ns if is_logged(self.name) else None
        return NumberedPoint(step, Batch(source, encode(source), 1, last_time_ns=last_time_ns))


class NumberedPoint(NamedTuple):
    """A single point's step, and the batch that has it."""

    step: int
    batch: Batch


def _word(text: bytes) -> tuple[int, int, bytes]:
    """Kind, 64-bit word and payload of a value."""
    if text in (b"true", b"false"):
        return slot.KIND_BOOL, text == b"true", b""
    value: Any = _NON_FINITE.get(text)
    if value is None and text[:1] in b"-0123456789":
        try:
            value = msgspec.json.decode(text)
        except msgspec.MsgspecError:
            value = None  # beyond a float's range: kept as text
    if isinstance(value, float):
        return slot.KIND_FLOAT, words_of(struct.pack("<d", value))[0], b""
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return slot.KIND_INT, value, b""
    return slot.KIND_JSON, len(text) << 32, text


def check_json(text: bytes) -> None:
    """Raise FormatError unless ``text`` is a JSON value that any parser accepts.

    UTF-8, at most ``_JSON_DEPTH_MAX`` deep, numbers of at most 4,300 digits: one bad value would make a run unreadable.
    """
    try:
        text.decode()
        msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise FormatError(f"not JSON: {error}") from None
    # Quotes are balanced from here on.
    if text.count(b"[") + text.count(b"{") > _JSON_DEPTH_MAX and _is_too_deep(text):
        raise FormatError(f"JSON nested deeper than {_JSON_DEPTH_MAX}")
    if len(text) > _DIGITS_MAX and _has_long_number(text):
        raise FormatError(f"a number of more than {_DIGITS_MAX} digits")


# Both are linear, and loop in Python where a single call of ``re`` would hold up the other threads.


def _is_too_deep(text: bytes) -> bool:
    depth = 0
    for found in _STRINGS_AND_BRACKETS.finditer(text):
        first = text[found.start()]
        if first in b"[{":
            depth += 1
            if depth > _JSON_DEPTH_MAX:
                return True
        elif first in b"]}":
            depth -= 1
    return False


def _has_long_number(text: bytes) -> bool:
    if _LONG_NUMBER not in text.translate(_DIGITS_AS_0):
        return False
    bounds = chain((0,), chain.from_iterable(found.span() for found in _STRINGS.finditer(text)), (len(text),))
    return any(
        _LONG_NUMBER in text[start:end].translate(_DIGITS_AS_0) for start, end in zip(bounds, bounds, strict=True)
    )
