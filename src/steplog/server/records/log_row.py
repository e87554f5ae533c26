"""A log row: a batch as it came, in the table ``log`` until it is packed. Pure.

The body is that of a range (``journal.range``), checked before it was stored. Steps that were not given are missing
here, too; ``numbering`` assigns them. ``by_name`` has its points.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Mapping, Sequence
from itertools import count

from steplog.journal import slot
from steplog.journal.range import Range, decode
from steplog.records.by_name import stored_part

__all__ = ["decode_row", "join_rows"]

_WORDS = slot.SLOT_BYTES // 8
_SLOT_INTS, _NAME_INT = slot.SLOT_BYTES // 4, 6


def decode_row(body: bytes) -> Range:
    """The stored records of a log row; see ``stored_part``. Raises FormatError."""
    return stored_part(decode(body, checked=True))


def join_rows(rows: Sequence[Range]) -> Range:
    """Rows as one, of no writer: each name has one number, so that names that repeat do so from row to row."""
    names: dict[int, str] = {}
    numbers: dict[str, int] = {}
    slots = []
    seen: dict[int, str] = {}
    changed: dict[int, int] = {}
    for row in rows:
        if row.names != seen:
            seen, changed = row.names, {}
            for number, name in seen.items():
                known = numbers.get(name)
                if known is None:
                    known = number if number not in names else next(free for free in count() if free not in names)
                    numbers[name], names[known] = known, name
                if known != number:
                    changed[number] = known
        slots.append(_renumbered(row.slots, changed) if changed else row.slots)
    whole = b"".join(slots)
    return Range("", 0, len(whole) // slot.SLOT_BYTES, names, whole, b"".join([row.payloads for row in rows]))


def _renumbered(slots: bytes, numbers: Mapping[int, int]) -> bytes:
    ints = array("I", slots)
    if sys.byteorder == "big":
        ints.byteswap()
    names = ints[_NAME_INT::_SLOT_INTS]
    ints[_NAME_INT::_SLOT_INTS] = array("I", [numbers.get(name, name) for name in names])
    if sys.byteorder == "big":
        ints.byteswap()
    return ints.tobytes()
