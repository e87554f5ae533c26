"""Points of one metric in order of arrival, as arrays. Pure.

``kinds`` has the kind of each (slot.KIND_*), ``words`` the 64 bits of each value: float64, int64, 0 or 1, or the length
of its JSON text, which is in ``payloads``. *Arrival* is a point's index in its run, in order of storage.
"""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import msgspec

from steplog.journal import slot

__all__ = ["NO_POINTS", "Number", "Points", "concatenate", "number_range", "words_of"]

Number = int | float
_NUMBERED = ("steps", "times", "arrivals")


@dataclass(frozen=True, slots=True)
class Points:
    """Decoded points of one metric: one entry each in every field but ``payloads``."""

    kinds: bytes
    words: array[int]
    steps: Sequence[int]
    times: Sequence[int]
    arrivals: Sequence[int]
    payloads: bytes = b""

    @property
    def kind(self) -> int | None:
        """The kind of all points; None if they differ or there are none."""
        kinds = self.kinds
        return kinds[0] if kinds and kinds.count(kinds[0]) == len(kinds) else None

    def part(self, first: int, end: int) -> Points:
        """The points ``[first, end)``."""
        start, stop = (self._payload_bytes(0, first), self._payload_bytes(0, end)) if self.payloads else (0, 0)
        return Points(
            self.kinds[first:end],
            self.words[first:end],
            self.steps[first:end],
            self.times[first:end],
            self.arrivals[first:end],
            self.payloads[start:stop],
        )

    def select(self, wanted: Sequence[bool]) -> Points:
        """The points for which ``wanted`` is true."""
        texts = [value for value in self.values() if isinstance(value, msgspec.Raw)] if self.payloads else []
        kept = compress(texts, [want for want, kind in zip(wanted, self.kinds, strict=True) if kind == slot.KIND_JSON])
        words, steps, times, arrivals = (
            array("q", compress(column, wanted)) for column in (self.words, self.steps, self.times, self.arrivals)
        )
        payloads = b"".join(bytes(text) for text in kept)
        return Points(bytes(compress(self.kinds, wanted)), words, steps, times, arrivals, payloads)

    def _payload_bytes(self, first: int, end: int) -> int:
        pairs = zip(self.kinds[first:end], self.words[first:end], strict=True)
        return sum(word for kind, word in pairs if kind == slot.KIND_JSON)

    def floats(self) -> array[float]:
        """The words as float64, whatever their kind."""
        return array("d", self.words.tobytes())

    def values(self) -> list[Any]:
        """The values: float, int, bool, or ``msgspec.Raw`` with JSON text."""
        kind = self.kind
        if kind == slot.KIND_FLOAT:
            return self.floats().tolist()
        if kind == slot.KIND_INT:
            return self.words.tolist()
        values: list[Any] = self.words.tolist()
        floats = self.floats()
        start = 0
        for index, kind in enumerate(self.kinds):
            if kind == slot.KIND_FLOAT:
                values[index] = floats[index]
            elif kind == slot.KIND_BOOL:
                values[index] = bool(values[index])
            elif kind == slot.KIND_JSON:
                end = start + values[index]
                values[index] = msgspec.Raw(self.payloads[start:end])
                start = end
        return values

    def numbers(self) -> Sequence[Number | None]:
        """The values as numbers; None for JSON text."""
        kind = self.kind
        if kind == slot.KIND_FLOAT:
            return self.floats()
        if kind in (slot.KIND_INT, slot.KIND_BOOL):
            return self.words
        return [None if isinstance(value, msgspec.Raw) else value for value in self.values()]


NO_POINTS = Points(b"", array("q"), (), (), ())


def words_of(content: bytes | bytearray) -> array[int]:
    """Little-endian 64-bit words as an array."""
    words = array("q")
    words.frombytes(content)
    if sys.byteorder == "big":
        words.byteswap()
    return words


def concatenate(parts: Sequence[Points]) -> Points:
    """Concatenate points."""
    if len(parts) == 1:
        return parts[0]
    words = array("q")
    for part in parts:
        words.extend(part.words)
    steps, times, arrivals = (_joined([getattr(part, column) for part in parts]) for column in _NUMBERED)
    kinds = b"".join([part.kinds for part in parts])
    return Points(kinds, words, steps, times, arrivals, b"".join([part.payloads for part in parts]))


def _joined(columns: Sequence[Sequence[int]]) -> Sequence[int]:
    """One after the other; ranges that go on where the one before ends are one, and take no time."""
    first = columns[0] if columns else ()
    if isinstance(first, range) and len(first) > 1:
        end, step = first.start, first.step
        for column in columns:
            if not isinstance(column, range) or column.start != end or (column.step != step and len(column) != 1):
                break
            end += step * len(column)
        else:
            return range(first.start, end, step)
    whole = array("q")
    for column in columns:
        whole.extend(column)
    return whole


def number_range(numbers: Sequence[Number | None]) -> tuple[Number | None, Number | None]:
    """The minimum and maximum, ignoring NaN and None."""
    # The sum of an array with a NaN is NaN; that of opposite infinities is too, which only takes the slower way.
    if isinstance(numbers, array) and not (numbers.typecode == "d" and math.isnan(sum(numbers))):
        return min(numbers), max(numbers)
    # Only NaN differs from itself.
    real = [number for number in numbers if number is not None and number == number]
    return (min(real), max(real)) if real else (None, None)
