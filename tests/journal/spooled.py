"""A run on a machine of its own: one writer, what it logged, and what can be found of it by whoever comes later."""

from __future__ import annotations

import shutil
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from steplog.journal import slot
from steplog.journal.directories import JournalRoots, RunPaths, new_id
from steplog.journal.files import Files
from steplog.journal.journal import Journal
from steplog.journal.open_journal import OpenJournal, open_journal
from steplog.journal.open_writer import OpenWriter, open_writer
from steplog.journal.spooling import Disk
from steplog.private_files import make_private

LOCK = threading.RLock()
MEMORY_BYTES = 64 * 1024 * 1024
SPOOL_BYTES = 1 << 30
VALUE_BYTES = 16 * 1024 * 1024  # more than there can be
Found = dict[int, tuple[str, Any, int | None]]


class Machine:
    """``log`` notes at which position each call is; one thread, so that no two calls mix."""

    def __init__(self, roots: JournalRoots, files: Files | None = None, memory_bytes: int = MEMORY_BYTES) -> None:
        self.roots = roots
        self.files = files or Files()
        self.paths: RunPaths = roots.claim(new_id())[0]
        self.memory_bytes = memory_bytes
        self.give_up: Callable[[int], bool] = lambda end: False  # with drop_oldest, as the agent does
        self.own: OpenWriter = self._open()
        self.logged: Found = {}
        self.calls = 0

    def _open(self) -> OpenWriter:
        self.disk = Disk(SPOOL_BYTES, self.files)
        return open_writer(
            self.paths,
            self.roots.memory,
            self.disk,
            memory_bytes_max=self.memory_bytes,
            value_bytes_max=VALUE_BYTES,
        )

    @property
    def journal(self) -> Journal:
        return self.own.journal

    @property
    def spool_directory(self) -> Path:
        return self.paths.spool / self.journal.writer

    def log(self, calls: int = 1) -> None:
        """Floats, integers, texts and new names, each with a value of its own."""
        for _ in range(calls):
            number, self.calls = self.calls, self.calls + 1
            value: Any = [number + 0.5, number, f"{number} ‰" * (number % 5 + 1)][number % 3]
            name = f"new {number // 50}" if number % 7 == 6 else "loss"
            dropped = self.own.writer.dropped["memory full"]
            self.own.writer.append.log(name, value, number)
            if self.own.writer.dropped["memory full"] == dropped:
                segment = self.own.writer.append.segment
                self.logged[segment.header.base + segment.view().written() - 1] = name, value, number

    def spool(self, everything: bool = False) -> None:
        """An interval is over."""
        self.own.open_journal.spool(LOCK, everything, self.give_up)

    def ack(self, end: int) -> None:
        """The server has confirmed everything below."""
        first = self.journal.cursor.delivered
        end = min(end, self.journal.readable(first, end - first))
        if end > first:
            read = self.journal.read(first, end)
            self.journal.ack(read.end, read.records)

    def pending(self) -> Found:
        """What was logged and not delivered."""
        return {at: item for at, item in self.logged.items() if at >= self.journal.cursor.delivered}

    def die(self) -> None:
        """The process is killed."""
        self.own.closed = True
        self.own.release()
        self.own.open_journal.spooling.spool._close()

    def lose_memory(self) -> None:
        """The power is cut, as far as memory goes."""
        self.die()
        assert self.paths.memory is not None
        shutil.rmtree(self.paths.memory)

    @contextmanager
    def later(self, files: Files | None = None) -> Iterator[OpenJournal]:
        """The journal, as a later process opens it."""
        assert self.paths.memory is not None
        make_private(self.paths.memory)
        opened = open_journal(self.paths, self.journal.writer, Disk(SPOOL_BYTES, files or Files()))
        assert opened is not None
        try:
            yield opened
            self.balance(opened)
        finally:
            opened.release()
            opened.spooling.spool._close()

    def balance(self, opened: OpenJournal) -> None:
        """Each call has one end, once nothing is pending; of private memory at most what was announced is lost."""
        cursor, losses = opened.journal.cursor, opened.journal.ledger.losses
        if losses.lost is None or cursor.delivered < opened.journal.written():
            return
        ends = cursor.records + cursor.abandoned + cursor.oldest + sum(losses.dropped.values()) + losses.lost
        assert ends == self.calls or ends > self.calls > ends - losses.lost, (self.calls, cursor, losses)


def read_all(journal: Journal) -> Found:
    """Every record that is not delivered, by its position; the way the sender reads."""
    found: Found = {}
    first = journal.cursor.delivered
    while (end := journal.readable(first, 10_000)) > first:
        records = journal.read(first, end)
        payloads = {index: records.payloads[start:stop] for index, start, stop in records.payload_spans()}
        for index, (step, raw, _, name, _, kind) in enumerate(struct.iter_unpack("<q8sqIHH", records.slots)):
            if kind == slot.KIND_NONE:
                continue
            value: Any = struct.unpack("<d" if kind == slot.KIND_FLOAT else "<q", raw)[0]
            if kind == slot.KIND_JSON:
                value = msgspec.json.decode(payloads[index])
            found[records.first + index] = records.names[name], value, None if step == slot.NO_STEP else step
        first = records.end
    return found


def deliver_all(opened: OpenJournal) -> Found:
    """Read everything as the sender does, and acknowledge it."""
    found = read_all(opened.journal)
    first = opened.journal.cursor.delivered
    while (end := opened.journal.readable(first, 10_000)) > first:
        records = opened.journal.read(first, end)
        opened.journal.ack(records.end, records.records)
        first = records.end
    return found
