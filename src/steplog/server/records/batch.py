"""A batch: the records of a range, grouped by metric and packed into chunks.

Pure. The CPU-bound work is done here, in parallel, before the single writing thread, which adds what it alone knows:

- the place in the run: arrivals count from 0 and are shifted (``Chunk.shifted``);
- missing steps: a metric with none counts from 0 and is shifted too (``stepless``); one with some stays points
  (``mixed``).

A range of many names with few records each stays as it came (``body``, see ``unpacked``).

What records say about the run itself is taken from them here (``run_fields``). Those of ``NOT_STORED`` then count as
positions without a record.
"""

from __future__ import annotations

import math
import re
import struct
from array import array
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, compress, pairwise
from typing import Any

import msgspec

from steplog.errors import FormatError
from steplog.journal import slot
from steplog.journal.range import Range
from steplog.server.records.chunk import POINTS_MAX, Chunk, Points, encode
from steplog.server.records.columns import words_of
from steplog.server.records.log_row import points_by_name, stored_part
from steplog.server.records.run_fields import NOT_STORED, RESERVED, Changes, changes_of

__all__ = ["Batch", "MetricBatch", "check_json", "from_range", "is_logged", "metric_batch", "pack", "point_from_json"]

_JSON_DEPTH_MAX = 500
_DIGITS_MAX = 4300  # of Python's json: sys.int_info.default_max_str_digits
_MANY_NAMES, _FEW_POINTS = 256, 128  # at least this many names, fewer points each: not packed
_PAYLOAD_BYTES_MAX = 256 * 1024  # in a chunk, unless a single payload is longer
_WORDS = slot.SLOT_BYTES // 8
_OWN_PREFIXES = ("steplog/", "system/")
_OWN_RECORDS_MAX = 64  # looked at for one that is not of such a name
_TIME_AND_NAME = struct.Struct("<16xqI4x")
_NO_STEP_TOP = 0x80  # the highest byte of NO_STEP
_NON_FINITE = {b'"NaN"': math.nan, b'"Infinity"': math.inf, b'"-Infinity"': -math.inf}
_STRING = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
_STRINGS = re.compile(_STRING, re.DOTALL)
_STRINGS_AND_BRACKETS = re.compile(_STRING + rb"|[\[{]|[\]}]", re.DOTALL)
_DIGITS_AS_0 = bytes(48 if chr(byte).isdigit() else byte for byte in range(128)) + bytes(range(128, 256))
_LONG_NUMBER = b"0" * (_DIGITS_MAX + 1)


class MetricBatch(msgspec.Struct, frozen=True):
    """The records of one metric: chunks, or ``mixed`` points with some steps missing."""

    name: str
    last_time_ns: int  # of the last record
    chunks: Sequence[Chunk]
    stepless: bool = False
    mixed: Points | None = None

    @property
    def records(self) -> int:
        """Their number."""
        return len(self.mixed.kinds) if self.mixed else sum(chunk.count for chunk in self.chunks)


class Batch(msgspec.Struct, frozen=True):
    """The records of the range ``source``: packed in ``metrics``, or unpacked in ``body``."""

    source: Range
    records: int  # stored
    metrics: Sequence[MetricBatch]
    body: bytes = b""
    changes: Changes | None = None
    applied: int = 0  # records that are not stored
    last_time_ns: int | None = None  # of the last record that the program logged

    def above(self, mark: int) -> Batch:
        """The records from position ``mark`` on."""
        return from_range(self.source.part(mark, self.source.end))


def from_range(records: Range, body: bytes = b"") -> Batch:
    """The batch of a range, left unpacked where that pays and its encoded ``body`` is given.

    Raises FormatError for invalid JSON, or a bool other than 0 and 1.
    """
    if not RESERVED.isdisjoint(records.names.values()):
        stored, changes = _without_changes(records)
        batch = _from_stored(stored, body)
        applied = records.records - stored.records
        return msgspec.structs.replace(batch, source=records, changes=changes, applied=applied)
    return _from_stored(records, body)


def _without_changes(records: Range) -> tuple[Range, Changes]:
    """A range without its records of ``NOT_STORED``, and what its records change."""
    by_name = {number: name for number, name in records.names.items() if name in RESERVED}
    places = slot.named(records.slots, set(by_name))
    spans = {index: (start, end) for index, start, end in records.payload_spans() if index in places}
    said = []
    unstored = {number for number, name in by_name.items() if name in NOT_STORED}
    for index, (start, end) in spans.items():
        time_ns, number = _TIME_AND_NAME.unpack_from(records.slots, index * slot.SLOT_BYTES)
        text = records.payloads[start:end]
        _check_payload(index, text)
        said.append((by_name[number], time_ns, records.first + index, text))
    kinds = slot.kinds_of(records.slots)
    gone = {index for index in slot.named(records.slots, unstored) if kinds[index]}
    if not gone:
        return records, changes_of(said)
    kept = [records.payloads[start:end] for index, start, end in records.payload_spans() if index not in gone]
    slots = slot.emptied(records.slots, gone)
    return replace(records, slots=slots, payloads=b"".join(kept), deflated=None), changes_of(said)


def _from_stored(records: Range, body: bytes) -> Batch:
    count = records.records
    if not count:
        return Batch(records, 0, ())
    live = stored_part(records)
    payloads = {index: live.payloads[a:b] for index, a, b in live.payload_spans()}
    _check_values(live, payloads)
    some_lack_steps = _NO_STEP_TOP in live.slots[7 :: slot.SLOT_BYTES]
    if body and not some_lack_steps and len(live.names) >= _MANY_NAMES and count < _FEW_POINTS * len(live.names):
        return Batch(records, count, (), body, last_time_ns=_last_time(live))
    grouped = points_by_name(live, 0)
    metrics = [metric_batch(name, points, some_lack_steps) for name, points in grouped.items()]
    return Batch(records, count, metrics, last_time_ns=_last_time(live))


def is_logged(name: str) -> bool:
    """Whether metrics of this name are what the program logs, not what steplog adds."""
    return not name.startswith(_OWN_PREFIXES)


def _last_time(live: Range) -> int | None:
    last = len(live.slots) // slot.SLOT_BYTES - 1
    for index in range(last, max(-1, last - _OWN_RECORDS_MAX), -1):
        time_ns, number = _TIME_AND_NAME.unpack_from(live.slots, index * slot.SLOT_BYTES)
        if is_logged(live.names[number]):
            return int(time_ns)
    return None


def _check_payload(index: int, payload: bytes) -> None:
    try:
        check_json(payload)
    except FormatError as error:
        raise FormatError(f"record {index} of the range: {error}") from None


def _check_values(live: Range, payloads: dict[int, bytes]) -> None:
    for index, payload in payloads.items():
        _check_payload(index, payload)
    kinds = slot.kinds_of(live.slots)
    if slot.KIND_BOOL in kinds:
        bools = compress(words_of(live.slots)[1::_WORDS], [kind == slot.KIND_BOOL for kind in kinds])
        if any(word not in (0, 1) for word in bools):
            raise FormatError("a bool must be 0 or 1")


def metric_batch(name: str, points: Points, some_lack_steps: bool = True) -> MetricBatch:
    """The batch of one metric; ``some_lack_steps=False`` skips the check for missing steps."""
    missing = points.steps.count(slot.NO_STEP) if some_lack_steps else 0
    last = points.times[-1]
    if not missing:
        return MetricBatch(name, last, pack(points))
    if missing < len(points.steps):
        return MetricBatch(name, last, (), mixed=points)
    return MetricBatch(name, last, pack(replace(points, steps=range(missing))), stepless=True)


def pack(points: Points) -> list[Chunk]:
    """Encode points as chunks of about equal size."""
    count = len(points.kinds)
    pieces = max(-(-count // POINTS_MAX), min(count, -(-len(points.payloads) // _PAYLOAD_BYTES_MAX)))
    if pieces == 1:
        return [encode(points)]
    cuts = [count * piece // pieces for piece in range(pieces + 1)]
    return [encode(points.part(a, b)) for a, b in pairwise(cuts)]


def point_from_json(text: bytes, step: int | None, time_ns: int) -> Points:
    """One point with the value ``text``, valid JSON."""
    kind, word, payload = _word(text)
    steps = array("q", [slot.NO_STEP if step is None else step])
    return Points(bytes((kind,)), word, steps, array("q", [time_ns]), range(1), payload)


def _word(text: bytes) -> tuple[int, array[int], bytes]:
    """Kind, 64-bit word and payload of a value."""
    if text in (b"true", b"false"):
        return slot.KIND_BOOL, array("q", [text == b"true"]), b""
    value: Any = _NON_FINITE.get(text)
    if value is None and text[:1] in b"-0123456789":
        try:
            value = msgspec.json.decode(text)
        except msgspec.MsgspecError:
            value = None  # beyond a float's range: kept as text
    if isinstance(value, float):
        return slot.KIND_FLOAT, array("q", array("d", [value]).tobytes()), b""
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return slot.KIND_INT, array("q", [value]), b""
    return slot.KIND_JSON, array("q", [len(text)]), text


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
