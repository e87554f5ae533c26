"""Writers in the simulation: the real ``Writer`` and ``Journal`` over memory that survives the agent.

``Fuse`` is what kills: every store to persistent memory, before and after it, may be the last thing that an agent does.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from steplog.delivery import wire
from steplog.delivery.tickets import Quarantine, Quarantined
from steplog.journal.append import Segment
from steplog.journal.cursor import CURSOR_BYTES
from steplog.journal.journal import Journal
from steplog.journal.memory import Block
from steplog.journal.sources import OwnSource
from steplog.journal.writer import Writer


class Killed(BaseException):
    """The agent's process is dead."""


class Fuse:
    """Counts down at each place where a kill makes a difference; None: not lit."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.burnt = 0  # kills at a store

    def burn(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.left = None
                self.burnt += 1
                raise Killed


class Marked:
    """Memory for marks, with a fuse at each store."""

    def __init__(self, fuse: Fuse) -> None:
        self._bytes = bytearray(CURSOR_BYTES)
        self._fuse = fuse

    def __len__(self) -> int:
        return len(self._bytes)

    def __getitem__(self, key: slice) -> bytearray:
        return self._bytes[key]

    def __setitem__(self, key: slice, value: bytes) -> None:
        self._fuse.burn()
        self._bytes[key] = value
        self._fuse.burn()


class Pool:
    """Small segments of plain memory, so that a short life sees many of them."""

    bytes_max = 1 << 30
    directory = None

    def __init__(self, size: int) -> None:
        self._size = size

    def measure(self) -> int:
        return 0

    def segment_bytes(self) -> int:
        return self._size

    def allocate(self, size: int) -> Block:
        return Block(bytearray(size), None)  # type: ignore[arg-type]

    def free(self, block: Block) -> None:
        pass


class FakeQuarantine:
    """The quarantine of one run, which outlives its agents; ``full`` while the disk takes nothing.

    ``leaving`` is what the disk has not taken yet.
    """

    def __init__(self, fuse: Fuse) -> None:
        self._fuse = fuse
        self.kept: dict[str, dict[int, Any]] = {}
        self.leaving: set[int] = set()
        self.twice = 0
        self.full = False

    def positions(self, writer: str) -> set[int]:
        return set(self.kept.get(writer, ()))

    def put(self, action: Quarantine) -> None:
        self.leaving |= {number_in(value_of(item)) for item in wire.records(action.record)}

    def write(self, action: Quarantine) -> Quarantined:
        record = action.record
        self._fuse.burn()
        for item in () if self.full else wire.records(record):
            of_writer = self.kept.setdefault(record.writer, {})
            self.twice += item.position in of_writer
            of_writer[item.position] = value_of(item)
        self._fuse.burn()
        self.leaving -= {number_in(value_of(item)) for item in wire.records(record)}
        return Quarantined(record, not self.full)


def value_of(record: wire.Record) -> Any:
    import msgspec

    return msgspec.json.decode(record.value) if isinstance(record.value, bytes) else record.value


def number_in(value: Any) -> int:
    """The number of the record that carries this value."""
    return int(value["n"] if isinstance(value, dict) else value)


@dataclass
class Entry:
    """A record whose ``log`` has returned."""

    number: int
    name: str
    step: int | None
    position: int


@dataclass(eq=False)
class Pen:
    """One writer, what it has accepted, and whether its process lives."""

    fuse: Fuse
    source: random.Random
    id: bytes
    size: int
    clock: Callable[[], int]
    living: bool = True
    entries: list[Entry] = field(default_factory=list)
    torn: list[tuple[Segment, int]] = field(default_factory=list)  # claimed and not written yet
    holes: int = 0  # claimed when the process died

    def __post_init__(self) -> None:
        self.writer = Writer(Pool(self.size), self.id, value_bytes_max=1 << 20, clock=self.clock)  # type: ignore[arg-type]
        self.cursor = Marked(self.fuse)
        self.names = [f"m{index}" for index in range(self.source.choice((1, 1, 2, 5, 9)))]
        self.with_step = self.source.random() < 0.5
        self._position = 0

    @property
    def name(self) -> str:
        return self.id.hex()

    def journal(self) -> Journal:
        """The journal as a new agent opens it."""
        return Journal(self.name, OwnSource(self.writer), self.cursor, lambda: self.living)

    def write(self, number: int) -> Entry:
        """One call of ``log``; the number can be read from the value."""
        name = self.source.choice(self.names)
        step = len(self.entries) if self.with_step else None
        kind = self.source.random()
        value: Any = number if kind < 0.3 else number + 0.5
        if kind > 0.9:
            value = {"n": number, "pad": "x" * self.source.choice((0, 10, 300))}
        self.writer.append.log(name, value, step)
        segment = self.writer.append.segment
        position = segment.header.base + segment.view().written() - 1
        entry = Entry(number, name, step, position)
        self.entries.append(entry)
        return entry

    def claim(self) -> None:
        """A call that is interrupted between its claim and its store."""
        segment = self.writer.append.segment
        index = segment.index_of(segment.claim())
        if 0 <= index < segment.header.capacity:
            self.torn.append((segment, index))

    def bury(self) -> None:
        """The process closes its holes."""
        for segment, index in self.torn:
            segment.write_tombstone(segment.offset_of(index))
        self.torn.clear()

    def die(self) -> None:
        """The process ends; what it was in the middle of stays a hole."""
        if self.living:
            self.living = False
            self.holes = len(self.torn)
            self.torn.clear()
