"""The steps that a run has come to: read from the journal when somebody asks, so that ``log`` keeps no account.

1. Each look reads what this process has logged since the last one. What has left memory in between is delivered: then
   the server is asked, for two seconds at most.
2. Of a run that goes on here the server is asked at the first look, and the other journals on this host are read.
3. A record without a step counts as the server numbers it: one more than the largest of its name.
4. Without an answer, what is known is all there is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from functools import partial
from typing import Any

from steplog.delivery import wire
from steplog.journal import slot
from steplog.lifecycle.journal_view import is_living, journal_of
from steplog.lifecycle.local_records import ranges_of
from steplog.lifecycle.open_run import OpenRun
from steplog.lifecycle.run_state import get
from steplog.reentrant_lock import ReentrantLock

__all__ = ["Steps"]

_OTHERS = ("steplog/", "system/")  # records that are not of the training
_ROUNDS = 3  # of asking, while records are being delivered


class Steps:
    """Of one run, as this process sees it; ``is_new``: it was begun here, and there was nothing before."""

    def __init__(self, is_new: bool) -> None:
        self._lock = ReentrantLock()
        self._asks = not is_new
        self._last: dict[str, int] = {}
        self._most: dict[str, int] = {}
        self._writer = b""
        self._position = 0  # in this process's journal: what is below has been looked at

    def last(self, opened: OpenRun, name: str) -> int | None:
        """The step of the last record of a name."""
        with self._lock:
            self._look(opened)
            return self._last.get(name)

    def greatest(self, opened: OpenRun) -> int | None:
        """The largest step of all names."""
        with self._lock:
            self._look(opened)
            known = self._most.copy().items()  # a signal handler may ask, too, and learn of more
            return max((step for name, step in known if not name.startswith(_OTHERS)), default=None)

    def _look(self, opened: OpenRun) -> None:
        if opened.process is not None and opened.opened.writer.id != self._writer:
            self._writer, self._position = opened.opened.writer.id, 0
        if self._asks or (opened.process is not None and opened.opened.writer.head.header.base > self._position):
            self._ask(opened)
        if opened.process is not None:
            self._read_own(opened)

    def _read_own(self, opened: OpenRun) -> None:
        segment = opened.opened.writer.head
        while True:
            base, end = segment.header.base, segment.end()
            start = max(0, self._position - base)
            reached = segment.view().readable(start, segment.header.capacity if end is None else end)
            if reached > start and len(segment.memory):
                names = {key & (slot.UNCOUNTED * 2 - 1): name for name, key in segment.names.copy().items()}
                first = segment.offset_of(start)
                self._learn(bytes(segment.memory[first : segment.offset_of(reached)]), names)
                self._position = base + reached
            if segment.successor.get(0) is None or (end is not None and reached < end):
                return  # the rest is being written
            segment = segment.successor[0]

    def _learn(self, slots: bytes, names: dict[int, str]) -> None:
        last, most = self._last, self._most
        for number, given in zip(*slot.names_and_steps(slots), strict=True):
            name = names.get(number)
            if name is None or number >= slot.UNCOUNTED:  # no record, or none of the user's
                continue
            step = most.get(name, -1) + 1 if given == slot.NO_STEP else given
            last[name] = step
            if step > most.get(name, slot.NO_STEP):
                most[name] = step

    def _ask(self, opened: OpenRun) -> None:
        """Learn what the server has, and what the other journals here hold beyond that."""
        cursor = opened.opened.journal.cursor
        for _ in range(_ROUNDS):
            rows, before = _rows(opened), cursor
            cursor = opened.opened.journal.cursor
            if cursor.delivered == before.delivered:
                break
        for name, last, most in rows or ():
            self._last[name], self._most[name] = last, max(most, self._most.get(name, most))
        if rows is not None and opened.process is not None:
            self._position = max(self._position, before.delivered)
        for writer in opened.paths.writers() if self._asks else ():
            if bytes.fromhex(writer) == opened.opened.writer.id:
                continue
            with contextlib.suppress(OSError):
                view = partial(journal_of, opened.paths, writer, partial(is_living, opened.paths, writer))
                journal = view()
                for batch in ranges_of(journal, view, 0 if rows is None else journal.cursor.delivered):
                    self._learn(batch.slots, batch.names)
        self._asks = False


def _rows(opened: OpenRun) -> list[tuple[str, int, int]] | None:
    """Name, last and largest step of each metric; of a stock server from the list of all its metrics."""
    answer = get(opened, "series")
    if answer is not None and answer.status in (404, 405):
        answer = get(opened, "metrics")
    if answer is None or answer.status != 200 or wire.is_too_long(answer.body):
        return None
    told = wire.read(answer.body, list[dict[str, Any]])
    return None if told is None else list(_each(told))


def _each(rows: Iterable[dict[str, Any]]) -> Iterable[tuple[str, int, int]]:
    last: dict[str, int] = {}
    most: dict[str, int] = {}
    for row in rows:
        name, step = row.get("name"), row.get("last_step", row.get("step"))
        if isinstance(name, str) and isinstance(step, int):
            largest = row.get("max_step")
            last[name] = step
            most[name] = max(largest if isinstance(largest, int) else step, most.get(name, slot.NO_STEP))
    return ((name, step, most[name]) for name, step in last.items())
