"""A batch: the records of a range, by metric name, packed and ready to be stored.

Pure, and all that costs processor time happens here, before the one thread that writes is asked. The records
of a name keep the order of their positions. What only that thread knows is left open, and cheap to add:

- where in its run the batch lands: arrivals count from 0 at the batch's first record (``Chunk.moved``);
- the steps that the server gives. A name whose records all lack a step is *numbered*: its chunks count from 0
  and are moved too. A name with and without steps is handed over as points, and packed when they have steps.

A range of many names with few records each is not packed at all: its ``body`` is kept as it came (``unpacked``).

In most batches the names come around in the same order with each step of the training, so that the records of
each name are every k-th slot: slices with a stride, without a look at a single record.
"""

from __future__ import annotations

import re
import sys
from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import compress, pairwise
from operator import itemgetter

import msgspec

from steplog.errors import FormatError
from steplog.journal import slot
from steplog.journal.range import Range
from steplog.server.chunk import POINTS_MAX, Chunk, Points, encode

__all__ = ["JSON_DEPTH_MAX", "Batch", "MetricBatch", "check_json", "from_range", "metric_batch", "pack"]

JSON_DEPTH_MAX = 500
_DIGITS_MAX = 4300  # what Python's own reader of JSON takes, sys.int_info.default_max_str_digits
_PERIOD_TRIES = 4
_MANY_NAMES, _FEW_POINTS = 256, 128  # of a range that is not worth packing by itself
_PAYLOAD_BYTES_MAX = 256 * 1024  # of a chunk's payloads, unless a single one is longer
_WORDS = slot.SLOT_BYTES // 8
_NO_STEP_TOP = 0x80  # the highest byte of NO_STEP
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_LONG_NUMBER = re.compile(rb"[0-9]{%d}" % (_DIGITS_MAX + 1))


@dataclass(frozen=True, slots=True)
class MetricBatch:
    """The records of one name: chunks, or points whose steps are not all known yet."""

    name: str
    chunks: Sequence[Chunk]
    stepless: bool = False
    mixed: Points | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """The records of a range, by name; ``source`` is the range itself.

    ``body``, if there is one, is the range as it came: it may wait, and has no parts until it is ``packed``.
    """

    source: Range
    records: int
    parts: Sequence[MetricBatch]
    body: bytes = b""

    def packed(self) -> Batch:
        """The same batch with its parts."""
        return from_range(self.source) if self.body else self

    def rest(self, mark: int) -> Batch:
        """The same batch without what lies below ``mark``, which is inside its range."""
        return from_range(self.source.part(mark, self.source.end))


def from_range(records: Range, body: bytes = b"") -> Batch:
    """The batch of a range, which came as ``body``.

    Raises FormatError where a payload is not JSON, or a bool is neither 0 nor 1.
    """
    count = records.records
    if not count:
        return Batch(records, 0, ())
    live = records
    if count < records.end - records.first:
        live = replace(records, slots=b"".join(compress(_each(records.slots), slot.kinds_of(records.slots))))
    payloads = {index: live.payloads[a:b] for index, a, b in live.payload_spans()}
    _check_values(live, payloads)
    some_lack_steps = _NO_STEP_TOP in live.slots[7 :: slot.SLOT_BYTES]
    if body and not some_lack_steps and len(live.names) >= _MANY_NAMES and count < _FEW_POINTS * len(live.names):
        return Batch(records, count, (), body)
    grouped = None if payloads else _by_period(live)
    if grouped is None:
        grouped = _by_name(live, payloads)
    return Batch(records, count, [metric_batch(name, points, some_lack_steps) for name, points in grouped])


def _check_values(live: Range, payloads: dict[int, bytes]) -> None:
    for index, payload in payloads.items():
        try:
            check_json(payload)
        except FormatError as error:
            raise FormatError(f"record {index} of the range: {error}") from None
    kinds = slot.kinds_of(live.slots)
    if slot.KIND_BOOL in kinds:
        bools = compress(_words(live.slots)[1::_WORDS], [kind == slot.KIND_BOOL for kind in kinds])
        if any(word not in (0, 1) for word in bools):
            raise FormatError("a bool that is neither 0 nor 1")


def metric_batch(name: str, points: Points, some_lack_steps: bool = True) -> MetricBatch:
    """The part of one name; ``some_lack_steps`` may be False where each point is known to have a step."""
    missing = points.steps.count(slot.NO_STEP) if some_lack_steps else 0
    if not missing:
        return MetricBatch(name, pack(points))
    if missing < len(points.steps):
        return MetricBatch(name, (), mixed=points)
    return MetricBatch(name, pack(replace(points, steps=range(missing))), stepless=True)


def pack(points: Points) -> list[Chunk]:
    """The chunks of points, of about the same size each."""
    count = len(points.kinds)
    pieces = max(-(-count // POINTS_MAX), min(count, -(-len(points.payloads) // _PAYLOAD_BYTES_MAX)))
    if pieces == 1:
        return [encode(points)]
    cuts = [count * piece // pieces for piece in range(pieces + 1)]
    return [encode(points.part(a, b)) for a, b in pairwise(cuts)]


def _by_period(live: Range) -> Iterator[tuple[str, Points]] | None:
    """The points of each name where the names repeat with a period; None where they do not."""
    words = _words(live.slots)
    keys = words[3::_WORDS]  # name and kind
    count, first, period = len(keys), keys[0], 0
    for _ in range(_PERIOD_TRIES):
        try:
            period = keys.index(first, period + 1)
        except ValueError:
            period = count
        if keys[period:] == keys[:-period]:
            break
        if period == count:
            return None
    else:
        return None
    # Two numbers may stand for one name, when a writer declared it twice.
    names = [live.names[key & 0xFFFF_FFFF] for key in keys[:period]]
    if len(set(names)) < period:
        return None

    def slices() -> Iterator[tuple[str, Points]]:
        stride = _WORDS * period
        for place, name in enumerate(names):
            steps = words[_WORDS * place :: stride]
            kind = keys[place] >> 48
            yield (
                name,
                Points(
                    bytes((kind,)) * len(steps),
                    words[_WORDS * place + 1 :: stride],
                    steps,
                    words[_WORDS * place + 2 :: stride],
                    range(place, count, period),
                ),
            )

    return slices()


def _by_name(live: Range, payloads: dict[int, bytes]) -> Iterator[tuple[str, Points]]:
    """The points of each name, whatever their order."""
    numbers = array("I")
    numbers.frombytes(live.slots)
    if sys.byteorder == "big":
        numbers.byteswap()
    places: defaultdict[str, list[int]] = defaultdict(list)
    by_number = {number: places[name] for number, name in live.names.items()}
    for place, number in enumerate(numbers[6 :: slot.SLOT_BYTES // 4]):
        by_number[number].append(place)
    slots = list(_each(live.slots))
    for name, indices in places.items():
        if not indices:
            continue
        taken = b"".join(itemgetter(*indices)(slots)) if len(indices) > 1 else slots[indices[0]]
        words = _words(taken)
        kinds = slot.kinds_of(taken)
        values = words[1::_WORDS]
        texts = []
        if slot.KIND_JSON in kinds:
            for at, place in enumerate(indices):
                if place in payloads:
                    values[at] = len(payloads[place])
                    texts.append(payloads[place])
        times, arrivals = words[2::_WORDS], array("q", indices)
        yield name, Points(kinds, values, words[0::_WORDS], times, arrivals, b"".join(texts))


def _words(slots: bytes) -> array[int]:
    words = array("q")
    words.frombytes(slots)
    if sys.byteorder == "big":
        words.byteswap()
    return words


def _each(slots: bytes) -> Iterator[bytes]:
    return (slots[at : at + slot.SLOT_BYTES] for at in range(0, len(slots), slot.SLOT_BYTES))


def check_json(text: bytes) -> None:
    """Raise FormatError unless ``text`` is one JSON value that any reader of JSON can take.

    Nested at most ``JSON_DEPTH_MAX`` deep, no number of more than 4,300 digits, valid UTF-8: one value that
    is not would make the whole list of a run's metrics unreadable.
    """
    try:
        text.decode()
        msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise FormatError(f"not JSON: {error}") from None
    # From here on each quote has its partner.
    if text.count(b"[") + text.count(b"{") > JSON_DEPTH_MAX and _depth(text) > JSON_DEPTH_MAX:
        raise FormatError(f"JSON nested deeper than {JSON_DEPTH_MAX}")
    if len(text) > _DIGITS_MAX and _LONG_NUMBER.search(_STRINGS.sub(b"", text)):
        raise FormatError(f"a number of more than {_DIGITS_MAX} digits")


def _depth(text: bytes) -> int:
    depth = deepest = 0
    for byte in _STRINGS.sub(b"", text):
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest
