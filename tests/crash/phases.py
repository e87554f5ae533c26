"""In a victim: what it is in the middle of is published, and can be made to be the end of it.

``watch`` puts a frame around the methods that make up a phase. A *steered* victim counts its entries into one phase,
and in the one that is to be its last it counts opcodes, and kills itself at one of them: so a kill comes at any
instruction of a phase that would take too short a time to be hit from outside.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from crash.ledger import PHASES, Ledger


class Steer:
    """Kills this process at opcode ``opcodes`` of entry ``entries`` into ``phase``."""

    def __init__(self, phase: str, entries: int, opcodes: int) -> None:
        self.phase = PHASES.index(phase)
        self._entries = entries
        self._opcodes = opcodes
        self._left = 0
        self._begin = float("inf")

    def start(self, settle_s: float = 0.0) -> None:
        """From now on, or a little later, it may."""
        self._begin = time.monotonic() + settle_s

    def call(self, original: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        self._entries -= 1
        if self._entries > 0 or time.monotonic() < self._begin:
            return original(*arguments, **named)
        self._left = self._opcodes
        before = sys.gettrace()
        sys.settrace(self._trace)
        try:
            return original(*arguments, **named)
        finally:
            sys.settrace(before)
            self._opcodes = max(1, self._opcodes // 2)  # it was shorter than that; try again

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        frame.f_trace_opcodes = True
        if event == "opcode":
            self._left -= 1
            if self._left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return self._trace


def watch(ledger: Ledger, steer: Steer | None, recovers: bool) -> None:
    """Publish the phases of everything that steplog does in this process; ``recovers`` if that is what it is for."""
    from steplog.delivery.lease import Lease
    from steplog.journal import open_journal, sources
    from steplog.journal.journal import Journal
    from steplog.journal.memory import MemoryPool
    from steplog.journal.spool import Spool
    from steplog.journal.writer import Writer

    for owner, name, phase in (
        (Writer, "_link_next", "rotation"),
        (Spool, "append", "spool"),
        (Spool, "sync", "spool"),
        (Spool, "store_cursor", "spool"),
        (Spool, "tidy", "evict"),
        (sources.OwnSource, "evict", "evict"),
        (MemoryPool, "free", "evict"),
        (sources.DirectorySource, "evict", "evict"),
        (Journal, "ack", "ack"),
        (sources.DirectorySource, "remove", "recovery"),
        (open_journal, "_recover", "recovery"),
        (Lease, "remove", "recovery"),
        *([(Lease, "__init__", "recovery"), (Lease, "look", "recovery")] if recovers else []),
    ):
        setattr(owner, name, _watched(ledger, steer, getattr(owner, name), PHASES.index(phase)))


def _watched(ledger: Ledger, steer: Steer | None, original: Any, phase: int) -> Any:
    steered = steer if steer is not None and steer.phase == phase else None

    def watched(*arguments: Any, **named: Any) -> Any:
        before = ledger.enter(phase)
        try:
            if steered is not None:
                return steered.call(original, arguments, named)
            return original(*arguments, **named)
        finally:
            ledger.enter(before)

    return watched
