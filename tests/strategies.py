"""Hypothesis strategies for what the formats hold, built from the layout in the docstrings, not by the code."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from itertools import pairwise

from hypothesis import strategies as st

from steplog.journal import frame, slot
from steplog.journal.range import Range

INT64 = st.integers(-(2**63), 2**63 - 1)
WRITERS = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
NAMES = st.text(min_size=1, max_size=64).filter(lambda name: len(name.encode()) <= 256)
JSON_TEXTS = st.one_of(
    st.none(),
    st.text(max_size=20),
    st.lists(st.integers(-(2**53), 2**53), max_size=4),
    st.dictionaries(st.text(max_size=5), st.booleans(), max_size=3),
).map(lambda value: json.dumps(value).encode())


@dataclass(frozen=True)
class Logged:
    """One position of a range as a test thinks of it; kind 0 is a position without a record."""

    kind: int
    value: float | int | bool | bytes | None = None
    step: int | None = None
    time_ns: int = 0
    name: str = ""


def _logged(kind: int, values: st.SearchStrategy[object]) -> st.SearchStrategy[Logged]:
    steps = st.none() | INT64.filter(lambda step: step != slot.NO_STEP)
    return st.builds(Logged, kind=st.just(kind), value=values, step=steps, time_ns=INT64, name=NAMES)


LOGGED = st.one_of(
    st.just(Logged(slot.KIND_NONE)),
    _logged(slot.KIND_FLOAT, st.floats()),
    _logged(slot.KIND_INT, INT64),
    _logged(slot.KIND_BOOL, st.booleans()),
    _logged(slot.KIND_JSON, JSON_TEXTS),
)


def slot_of(logged: Logged, name: int, offset: int = 0) -> bytes:
    """The 32 bytes that the specification asks for."""
    step = -(2**63) if logged.step is None else logged.step
    if logged.kind == slot.KIND_NONE:
        return bytes(32)
    if logged.kind == slot.KIND_FLOAT:
        value = struct.pack("<d", logged.value)
    elif logged.kind == slot.KIND_JSON:
        value = struct.pack("<II", offset, len(logged.value))  # type: ignore[arg-type]
    else:
        value = struct.pack("<q", logged.value)
    return struct.pack("<q8sqIHH", step, value, logged.time_ns, name, 0, logged.kind)


def range_of(writer: str, first: int, entries: list[Logged], number: int = 0) -> Range:
    """A range of ``entries``, whose names get the numbers from ``number`` on."""
    numbers: dict[str, int] = {}
    slots, payloads = bytearray(), bytearray()
    for entry in entries:
        if entry.kind != slot.KIND_NONE:
            numbers.setdefault(entry.name, number + len(numbers))
        slots += slot_of(entry, numbers.get(entry.name, 0), offset=len(payloads) + 7)
        payloads += entry.value if isinstance(entry.value, bytes) else b""
    names = {key: name for name, key in numbers.items()}
    return Range(writer, first, first + len(entries), names, bytes(slots), bytes(payloads))


ENTRIES = st.lists(LOGGED, max_size=12)
RANGES = st.builds(
    range_of,
    writer=WRITERS,
    first=st.integers(0, 2**63 - 100),
    entries=ENTRIES,
    number=st.integers(0, 2**32 - 100),
)


def whole_frames(data: bytes) -> list[tuple[int, int]]:
    """Start and end of the whole frames that ``data`` begins with."""
    found = [0]
    while (end := frame._end(data, found[-1])) is not None:
        found.append(end)
    return list(pairwise(found))
