"""What a victim writes down for whoever looks after its death: a shared mapping of a file, which no death takes along.

For each thread, how many of its calls have returned, and which of them the run may have counted as dropped; for each
thread of any kind, what it was doing (a *phase*).
"""

from __future__ import annotations

import mmap
import struct
import threading
from itertools import count
from pathlib import Path
from typing import IO

from crash.calls import THREADS

PHASES = ["nothing", "append", "rotation", "spool", "evict", "ack", "recovery"]
BYTES = 512 * 1024
SLOTS = 64
UNSURE_MAX = 40_000
_WORD = struct.Struct("<q")
_MARKS_AT = 512
_PHASES_AT = 1024
_UNSURE_AT = 4096
_UNSURE_BYTES = 8 * (UNSURE_MAX // THREADS)


class Ledger:
    """The ledger at ``path``, made if it is not there."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(BYTES))
        with open(path, "r+b") as file:
            self._memory = mmap.mmap(file.fileno(), BYTES)
        self._path = path
        self._positions: IO[bytes] | None = None
        self._local = threading.local()
        self._free = count()

    def _get(self, paths: int) -> int:
        number: int = _WORD.unpack_from(self._memory, paths)[0]
        return number

    def _set(self, paths: int, number: int) -> None:
        _WORD.pack_into(self._memory, paths, number)

    # -- calls ------------------------------------------------------------------------------------------------------

    def returned(self, thread: int, calls: int) -> None:
        """``calls`` of this thread's have returned."""
        self._set(thread * 8, calls)

    def calls(self) -> list[int]:
        return [self._get(thread * 8) for thread in range(THREADS)]

    def unsure(self, thread: int, number: int) -> None:
        """This call, or one beside it, was counted as dropped."""
        base = _UNSURE_AT + thread * _UNSURE_BYTES
        held = self._get(base)
        if 8 * (held + 2) > _UNSURE_BYTES:
            raise RuntimeError("more calls were dropped than the ledger takes")
        self._set(base + 8 * (held + 1), number)
        self._set(base, held + 1)

    def unsures(self) -> list[set[int]]:
        found = []
        for thread in range(THREADS):
            base = _UNSURE_AT + thread * _UNSURE_BYTES
            found.append({self._get(base + 8 * (index + 1)) for index in range(self._get(base))})
        return found

    # -- positions --------------------------------------------------------------------------------------------------

    def at(self, position: int) -> None:
        """The next call of thread 0 is at this position."""
        if self._positions is None:
            self._positions = open(self._path.with_suffix(".positions"), "ab", buffering=0)  # noqa: SIM115 - for life
        self._positions.write(_WORD.pack(position))

    def positions(self) -> list[int]:
        """Of each call of thread 0."""
        data = self._path.with_suffix(".positions").read_bytes()
        return [position for (position,) in _WORD.iter_unpack(data[: len(data) // 8 * 8])]

    def mark(self, name: str, position: int | None = None) -> int:
        """How far the run says that it is "delivered" or "durable"."""
        paths = _MARKS_AT + 8 * ("delivered", "durable").index(name)
        if position is not None:
            self._set(paths, position)
        return self._get(paths)

    # -- phases -----------------------------------------------------------------------------------------------------

    def enter(self, phase: int) -> int:
        """The calling thread is in this phase now; the one it was in."""
        try:
            paths = self._local.paths
        except AttributeError:
            paths = self._local.paths = _PHASES_AT + 8 * (next(self._free) % SLOTS)
        before = self._get(paths)
        self._set(paths, phase)
        return before

    def forked(self) -> None:
        """In a forked child: its threads are others."""
        self._local = threading.local()
        self._free = count(SLOTS // 2)

    def phases(self) -> set[str]:
        """What the threads are, or were when they died, in the middle of."""
        return {PHASES[self._get(_PHASES_AT + 8 * slot)] for slot in range(SLOTS)} - {"nothing"}
