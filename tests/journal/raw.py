"""A writer of either kind, its records as plain tuples, and a segment as the compiled append sees one."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from journal.appends import chosen
from steplog.journal import compiled, slot
from steplog.journal.append import Segment
from steplog.journal.locked_writer import writer_type
from steplog.journal.memory import MemoryPool
from steplog.journal.writer import Writer

needs_c = pytest.mark.skipif(not compiled._built, reason="the extension is not built here (no C compiler)")


class Ticks:
    """A clock that counts, so that records say when their call looked at it."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000_000_000

    def __call__(self) -> int:
        self.now += 1
        return self.now


def writer_of(kind: str, *, segment_bytes: int = 1 << 19, clock: Callable[[], int] = time.time_ns) -> Writer:
    pool = MemoryPool(None, None, 1 << 30)
    pool.segment_bytes = lambda: segment_bytes  # type: ignore[method-assign]
    with chosen(kind):
        writer = writer_type()(pool, b"w" * 16, value_bytes_max=1000, clock=clock)
    assert writer.append.kind == kind
    return writer


def segments(first: Segment) -> Iterator[tuple[Segment, int]]:
    """Each segment and how many of its slots count."""
    segment: Segment | None = first
    while segment is not None:
        following = segment.successor.get(0)
        count = segment.view().written() if following is None else following.header.base - segment.header.base
        yield segment, min(count, segment.header.capacity)
        segment = following


def records(first: Segment) -> list[tuple[str, int, bytes, int, int]]:
    """Name, kind, value, step and time of each record, in the order of their positions."""
    found = []
    for segment, end in segments(first):
        read = segment.view().read(0, end)
        assert read.unreadable == 0
        payloads = iter(read.payloads)
        for step, value, stamp, name, spare, kind in struct.iter_unpack("<q8sqIHH", read.slots):
            if kind != slot.KIND_NONE:
                assert spare == 0
                value = next(payloads) if kind == slot.KIND_JSON else value
                found.append((read.names[name], kind, value, step, stamp))
    return found


def outcome(call: Callable[..., None], *arguments: Any, **named: Any) -> tuple[str, str] | None:
    try:
        call(*arguments, **named)
    except Exception as error:  # noqa: BLE001 - whatever it is, both raise it
        return type(error).__name__, str(error)
    return None


class Stub:
    """A segment as the compiled append sees it."""

    def __init__(self, names: Any, claim: Any) -> None:
        self.names = names
        self.claim = claim
