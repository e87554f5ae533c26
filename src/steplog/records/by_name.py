"""The records of a range by name. Pure.

Usually the names repeat in the same order each training step, so the records of a name are a strided slice.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from itertools import compress
from operator import itemgetter

import msgspec

from steplog.journal import slot
from steplog.journal.range import Range
from steplog.records.points import Points, words_of
from steplog.records.run_fields import NOT_STORED, RESERVED

__all__ = ["about_the_run", "is_logged", "points_by_name", "stored_part"]

_OWN_PREFIXES = ("steplog/", "system/")
_TIME_AND_NAME = struct.Struct("<16xqI4x")
_PERIOD_TRIES = 4
_WORDS = slot.SLOT_BYTES // 8


def is_logged(name: str) -> bool:
    """Whether metrics of this name are what the program logs, not what steplog adds."""
    return not name.startswith(_OWN_PREFIXES)


def about_the_run(records: Range) -> list[tuple[str, int, int, bytes]]:
    """``(name, time_ns, position, JSON text)`` of each record that says something about the run (``run_fields``)."""
    by_name = {number: name for number, name in records.names.items() if name in RESERVED}
    places = slot.named(records.slots, set(by_name))
    said = []
    for index, start, end in records.payload_spans() if places else ():
        if index in places:
            time_ns, number = _TIME_AND_NAME.unpack_from(records.slots, index * slot.SLOT_BYTES)
            said.append((by_name[number], time_ns, records.first + index, records.payloads[start:end]))
    return said


def stored_part(records: Range) -> Range:
    """A range without its empty slots and its records of ``NOT_STORED``, so without a slot for each position."""
    kinds = slot.kinds_of(records.slots)
    unstored = {number for number, name in records.names.items() if name in NOT_STORED}
    gone = slot.named(records.slots, unstored)
    if not gone and slot.KIND_NONE not in kinds:
        return records
    kept = [kind != slot.KIND_NONE and index not in gone for index, kind in enumerate(kinds)]
    payloads = records.payloads
    if gone and payloads:
        payloads = b"".join([payloads[start:end] for index, start, end in records.payload_spans() if kept[index]])
    slots = b"".join(compress(_split(records.slots), kept))
    return msgspec.structs.replace(records, slots=slots, payloads=payloads, deflated=None)


def points_by_name(stored: Range, first_arrival: int, names: Collection[str] | None = None) -> dict[str, Points]:
    """The points of each of these names (None: of all), in order of first arrival; some steps may be ``NO_STEP``.

    ``stored`` is as ``stored_part`` has it; its first record arrived as ``first_arrival``.
    """
    numbers = {number for number, name in stored.names.items() if names is None or name in names}
    if not stored.slots or not numbers:
        return {}
    spans = {index: (start, end) for index, start, end in stored.payload_spans()}
    grouped = _by_period(stored, numbers, first_arrival) or _by_number(stored, numbers, first_arrival)
    return {name: _with_payloads(points, stored.payloads, spans, first_arrival) for name, points in grouped}


def _by_period(stored: Range, numbers: Collection[int], first_arrival: int) -> list[tuple[str, Points]] | None:
    """The points of each name, if the names repeat with a period."""
    words = words_of(stored.slots)
    keys = words[3::_WORDS]  # name and kind
    total, first, period = len(keys), keys[0], 0
    for _ in range(_PERIOD_TRIES):
        try:
            period = keys.index(first, period + 1)
        except ValueError:
            period = total
        if keys[period:] == keys[:-period]:
            break
    else:
        return None
    # A writer may have declared a name twice.
    names = [stored.names[key & 0xFFFF_FFFF] for key in keys[:period]]
    if len(set(names)) < period:
        return None

    grouped = []
    for place, name in enumerate(names):
        if keys[place] & 0xFFFF_FFFF in numbers:
            steps, values, times = (words[_WORDS * place + column :: _WORDS * period] for column in range(3))
            kinds = bytes((keys[place] >> 48,)) * len(steps)
            arrivals = range(first_arrival + place, first_arrival + total, period)
            grouped.append((name, Points(kinds, values, steps, times, arrivals)))
    return grouped


def _by_number(stored: Range, numbers: Collection[int], first_arrival: int) -> Iterator[tuple[str, Points]]:
    places: dict[str, list[int]] = {}
    by_number: dict[int, list[int]] = {}
    for place, key in enumerate(words_of(stored.slots)[3::_WORDS]):
        number = key & 0xFFFF_FFFF
        at = by_number.get(number)
        if at is None:
            at = by_number[number] = places.setdefault(stored.names[number], []) if number in numbers else []
        at.append(place)
    slots = list(_split(stored.slots))
    for name, indices in places.items():
        taken = b"".join(itemgetter(*indices)(slots)) if len(indices) > 1 else slots[indices[0]]
        words = words_of(taken)
        arrivals = array("q", [first_arrival + index for index in indices] if first_arrival else indices)
        yield name, Points(slot.kinds_of(taken), words[1::_WORDS], words[0::_WORDS], words[2::_WORDS], arrivals)


def _with_payloads(points: Points, payloads: bytes, spans: Mapping[int, tuple[int, int]], first_arrival: int) -> Points:
    """Points whose words of JSON are spans, not the places that slots have."""
    if not spans or slot.KIND_JSON not in points.kinds:
        return points
    words, texts = points.words, []
    for at, arrival in enumerate(points.arrivals):
        span = spans.get(arrival - first_arrival)
        if span is not None:
            words[at] = span[1] - span[0]
            texts.append(payloads[span[0] : span[1]])
    return replace(points, payloads=b"".join(texts))


def _split(slots: bytes) -> Iterator[bytes]:
    return (slots[at : at + slot.SLOT_BYTES] for at in range(0, len(slots), slot.SLOT_BYTES))
