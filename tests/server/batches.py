"""Ranges for tests, and what a server must return for them."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from typing import Any

from steplog.journal import slot
from steplog.journal.range import Range

NONE = object()  # a position without a record


BEGAN_NS = 1_700_000_000_000_000_000


def range_of(records: Sequence[Any], first: int = 0, writer: str = "w", began_ns: int = BEGAN_NS) -> Range:
    """The range of ``(name, value, step)`` or ``(name, value)``; NONE for an empty position, bytes for JSON text.

    Records are a nanosecond apart, from ``began_ns`` on.
    """
    names: dict[str, int] = {}
    slots, payloads = bytearray(), bytearray()
    for at, record in enumerate(records):
        if record is NONE:
            slots += bytes(slot.SLOT_BYTES)
            continue
        name, value, *step = record
        given = slot.NO_STEP if not step or step[0] is None else step[0]
        kind, word = _word(value)
        slots += struct.pack("<q8sqIHH", given, word, began_ns + at, names.setdefault(name, len(names)), 0, kind)
        payloads += value if isinstance(value, bytes) else b""
    return Range(
        writer, first, first + len(records), {n: name for name, n in names.items()}, bytes(slots), bytes(payloads)
    )


def _word(value: Any) -> tuple[int, bytes]:
    if isinstance(value, bytes):
        return slot.KIND_JSON, struct.pack("<II", 0, len(value))
    if isinstance(value, bool):
        return slot.KIND_BOOL, struct.pack("<q", value)
    if isinstance(value, int):
        return slot.KIND_INT, struct.pack("<q", value)
    return slot.KIND_FLOAT, struct.pack("<d", value)


def shown(value: Any) -> Any:
    """A value as the API returns it."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def held(records: Iterable[Any]) -> list[dict[str, Any]]:
    """The response of ``GET …/metrics/`` after those records."""
    next_step: dict[str, int] = {}
    listed = []
    for record in records:
        if record is NONE:
            continue
        name, value, *given = record
        step = given[0] if given and given[0] is not None else next_step.get(name, 0)
        next_step[name] = max(next_step.get(name, 0), step + 1)
        listed.append({"name": name, "value": shown(value), "step": step})
    return listed
