"""Columns of records as the body of a range, without packing each record. Pure.

A slot's fields lie in columns: a field's bytes, of all records, are packed at once, and each plane is a slice of them.
What a record cannot be is *left out*: its position has no record, and is in the count of its reason. That is

- a name that is empty, longer than ``NAME_BYTES_MAX``, or under ``steplog/`` and not of ``OWN_NAMES``
- a step beyond 64 bits
- a value of more than ``VALUE_BYTES_MAX`` as JSON, or that JSON does not have

A time beyond 64 bits is the nearest within. An integer beyond them is JSON, as ``log()`` has it.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from steplog.formats.imported import RecordBatch
from steplog.journal import slot
from steplog.journal.range import NAME_BYTES_MAX, RANGE_BYTES_MAX, encode_planes
from steplog.journal.values import Scalar, Values

__all__ = ["OWN_NAMES", "OWN_PREFIX", "VALUE_BYTES_MAX", "Encoder", "Piece", "refusal_of"]

OWN_PREFIX = "steplog/"
OWN_NAMES = frozenset(("steplog/exception",))
VALUE_BYTES_MAX = 2 * 1024 * 1024 - 8192
_NAMES_BYTES_MAX = RANGE_BYTES_MAX // 2
_INT64_MAX = 2**63 - 1


class _Nothing:
    """The value of a record that is left out."""


_NOTHING = _Nothing()
_KINDS: dict[type, int] = {
    float: slot.KIND_FLOAT,
    int: slot.KIND_INT,
    bool: slot.KIND_BOOL,
    _Nothing: slot.KIND_NONE,
}
_CODES = bytes.maketrans(
    bytes((slot.KIND_FLOAT, slot.KIND_INT, slot.KIND_BOOL, slot.KIND_JSON, slot.KIND_NONE)), b"dqqqq"
)
_UNPACKABLE = (ValueError, TypeError, OverflowError, RecursionError, struct.error)


_Packed = tuple[bytes, Sequence[bytes]]  # planes and payloads


class Piece(NamedTuple):
    """An encoded range ``[first, end)``; ``left_out`` has how many records, by reason."""

    first: int
    end: int
    body: bytes
    left_out: Counter[str]


class _Words(NamedTuple):
    """The values, eight bytes each; their kinds, one each; the payloads of those that have one."""

    words: bytes
    kinds: bytes
    payloads: Sequence[bytes] = ()


class _Numbers(dict[str, int]):
    """Numbers of names, given as names come up; that of "" is the one of an empty slot."""

    def __missing__(self, name: str) -> int:
        number = self[name] = len(self)
        return number


def refusal_of(name: str) -> str:
    """Why records of this name are left out; "" if they are not."""
    size = len(name.encode("utf-8", "replace"))
    if not size:
        return "without a name"
    if size > NAME_BYTES_MAX:
        return f"of {name[:40]}…, a name of more than {NAME_BYTES_MAX} bytes"
    if name.startswith(OWN_PREFIX) and name not in OWN_NAMES:
        return f"of {name}: names under {OWN_PREFIX} are steplog's own"
    return "" if name.isprintable() or _is_text(name) else f"of {name!r}, a name that is no text"


def _is_text(name: str) -> bool:
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False


class Encoder:
    """Of one writer; ``refusal`` says why records of a name are left out."""

    def __init__(self, writer: str, refusal: Callable[[str], str] = refusal_of) -> None:
        self.writer = writer
        self._numbers = _Numbers({"": 0})
        self._refusal = refusal
        self._refused: dict[str, str] = {"": "without a name"}
        self._values = Values(VALUE_BYTES_MAX, strict=True)

    def encode(self, first: int, batch: RecordBatch) -> list[Piece]:
        """Ranges that follow one another, of ``batch`` from position ``first`` on."""
        names = frozenset(batch.names)
        batch, left_out, (planes, payloads) = self._kept(batch, names)
        names -= self._refused.keys()
        count, payload_bytes = len(batch.names), sum(map(len, payloads))
        name_bytes = 4 * sum(map(len, names))
        if count > 1 and (len(planes) + payload_bytes > RANGE_BYTES_MAX or name_bytes > _NAMES_BYTES_MAX):
            half = count // 2
            low = self.encode(first, batch.part(0, half))
            high = self.encode(first + half, batch.part(half))
            low[0].left_out.update(left_out)
            return low + high
        declared = {self._numbers[name]: name for name in names}
        body = encode_planes(self.writer, first, first + count, declared, planes, b"".join(payloads))
        return [Piece(first, first + count, body, left_out)]

    def left_out(self, batch: RecordBatch) -> Counter[str]:
        """How many records of it are left out, by reason."""
        return self._kept(batch, frozenset(batch.names))[1]

    def kept(self, batch: RecordBatch) -> RecordBatch:
        """With "" for the name of each record that is left out."""
        return self._kept(batch, frozenset(batch.names))[0]

    def _kept(self, batch: RecordBatch, names: frozenset[str]) -> tuple[RecordBatch, Counter[str], _Packed]:
        for name in names - self._numbers.keys():
            if reason := self._refusal(name):
                self._refused[name] = reason
            self._numbers[name]  # gives it one
        if names.isdisjoint(self._refused):
            with suppress(*_UNPACKABLE):
                return batch, Counter(), self._packed(batch)
        batch, left_out = self._sifted(batch)
        return batch, left_out, self._packed(batch)

    def _packed(self, batch: RecordBatch) -> _Packed:
        """Planes and payloads. Raises one of ``_UNPACKABLE``."""
        count = len(batch.names)
        steps: Sequence[Any] = batch.steps
        if isinstance(steps, list) and None in steps:
            steps = [slot.NO_STEP if step is None else step for step in steps]
        elif isinstance(steps, list) and slot.NO_STEP in steps:
            raise OverflowError
        values = self._words(batch.values)
        numbers = _bytes_of("I", list(map(self._numbers.__getitem__, batch.names)))
        fields = ((8, _bytes_of("q", steps)), (8, values.words), (8, _bytes_of("q", batch.times)), (4, numbers))
        planes = [packed[place::size] for size, packed in fields for place in range(size)]
        nothing = bytes(count)
        return b"".join((*planes, nothing, nothing, values.kinds, nothing)), values.payloads

    def _words(self, values: Sequence[Any]) -> _Words:
        kinds = frozenset(map(type, values))
        if len(kinds) == 1 and not kinds.isdisjoint((float, int)):
            (sole,) = kinds
            try:
                words = _bytes_of("d" if sole is float else "q", values)
                return _Words(words, bytes((_KINDS[sole],)) * len(values))
            except OverflowError:
                pass
        elif kinds <= _KINDS.keys():
            try:
                kind_bytes = bytes(map(_KINDS.__getitem__, map(type, values)))
                return _Words(_struct_of(kind_bytes).pack(*(0 if v is _NOTHING else v for v in values)), kind_bytes)
            except struct.error:
                pass
        converted = list(map(self._converted, values))
        kind_bytes = bytes(kind for kind, _ in converted)
        payloads = [scalar for _, scalar in converted if isinstance(scalar, bytes)]
        numbers = [len(scalar) << 32 if isinstance(scalar, bytes) else scalar for _, scalar in converted]
        return _Words(_struct_of(kind_bytes).pack(*numbers), kind_bytes, payloads)

    def _converted(self, value: Any) -> tuple[int, Scalar]:
        if value is _NOTHING:
            return slot.KIND_NONE, 0
        if not isinstance(value, msgspec.Raw):
            return self._values.convert(value)
        if len(text := bytes(value)) > VALUE_BYTES_MAX:
            raise ValueError(f"the value takes more than {VALUE_BYTES_MAX:,} bytes as JSON")
        return slot.KIND_JSON, text

    def _sifted(self, batch: RecordBatch) -> tuple[RecordBatch, Counter[str]]:
        """With nothing in the place of each record that is left out, and how many these are."""
        left_out: Counter[str] = Counter()
        names, steps = list(batch.names), list(batch.steps)
        times = [min(max(time_ns, -_INT64_MAX), _INT64_MAX) for time_ns in batch.times]
        values = list(batch.values)
        for at, value in enumerate(values):
            if value is not _NOTHING and (reason := self._reason(names[at], steps[at], value)):
                left_out[reason] += 1
                names[at], steps[at], times[at], values[at] = "", 0, 0, _NOTHING
        return RecordBatch(names, steps, times, values), left_out

    def _reason(self, name: str, step: int | None, value: Any) -> str:
        if name in self._refused:
            return self._refused[name]
        if step is not None and not -_INT64_MAX <= step <= _INT64_MAX:
            return "with a step beyond 64 bits"
        try:
            self._converted(value)
        except _UNPACKABLE as error:
            return f"of {name}: {error}"
        return ""


def _bytes_of(typecode: str, values: Sequence[Any]) -> bytes:
    """Little-endian. Raises OverflowError, TypeError."""
    if isinstance(values, memoryview) and values.format == typecode:
        values = array(typecode, values.tobytes())
    packed = values if isinstance(values, array) and values.typecode == typecode else array(typecode, values)
    if sys.byteorder == "big":
        packed = packed[:]
        packed.byteswap()
    return packed.tobytes()


def _struct_of(kinds: bytes) -> struct.Struct:
    return struct.Struct(b"<" + kinds.translate(_CODES))
