"""A storm of real signals over log(): who calls it is interrupted at random instants, and half of the handlers raise.

    PYTHONPATH=src:tests python -m journal.storm --signals 100000 [--kind pure|c] [--size BYTES]

A timer of some microseconds, at random, sends the signals, so that they come at any instruction. The main thread logs
and is interrupted; the handler logs too, and raises KeyboardInterrupt every second time; two threads log beside it; a
fourth does what the agent does: makes segments, closes holes, reads, and frees what it has read. Every call has a
value of its own, and whoever called keeps a ledger of the calls that returned.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import random
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from itertools import count
from types import FrameType
from typing import Any

from journal.appends import KINDS, TINY, Reader, writer_of
from steplog.journal.holes import HoleWatch

BESIDE = 2  # threads that log undisturbed
DEPTH_MAX = 3  # handlers that interrupt each other
INTERVAL_S = (2e-6, 150e-6)
DEADLOCK_S = 60


@dataclass
class Ledger:
    """The calls of one caller: begun and returned."""

    caller: str
    begun: int = 0
    returned: list[int] = field(default_factory=list)


class Storm:
    """One writer, everybody who logs to it, and what they got back."""

    def __init__(self, kind: str, size: int, signals: int) -> None:
        self.writer = writer_of(kind, size, bytes_max=1 << 60)
        self.signals = signals
        self.handled = self.raised = 0
        self.armed = False
        self.over = threading.Event()
        self.reader = Reader.of(self.writer)
        self.watch = HoleWatch(self.writer)
        self.ledgers = [Ledger("main"), Ledger("handler"), *(Ledger(f"thread {n}") for n in range(BESIDE))]
        self._numbers = count()

    def call(self, ledger: Ledger) -> None:
        number = next(self._numbers)  # one C call, as handlers come in between
        ledger.begun += 1
        self.writer.append.log(*call_of(ledger.caller, number))
        ledger.returned.append(number)

    def handle(self, signal_number: int, frame: FrameType | None) -> None:
        if not self.over.is_set():
            signal.setitimer(signal.ITIMER_REAL, random.uniform(*INTERVAL_S))
        self.handled += 1
        if _handlers(frame) >= DEPTH_MAX:  # more are on their way than can be handled
            return
        self.call(self.ledgers[1])
        if self.armed and 2 * self.raised < self.handled:
            self.armed = False
            self.raised += 1
            raise KeyboardInterrupt

    def main(self) -> None:
        while self.handled < self.signals:
            try:
                self.armed = True
                self.call(self.ledgers[0])
                self.armed = False
            except KeyboardInterrupt:
                pass
        self.over.set()

    def beside(self, ledger: Ledger) -> None:
        while not self.over.is_set():
            for _ in range(20):
                self.call(ledger)
            self.over.wait(0.002)  # the storm is over the main thread

    def keep(self) -> None:
        while not self.over.is_set():
            self.round()
            self.over.wait(0.002)

    def round(self) -> int:
        self.writer.prepare()
        self.watch.look()
        return self.reader.read()

    def run(self) -> None:
        callbacks, gc.callbacks[:] = gc.callbacks[:], []  # an exception that is raised in one goes nowhere
        threads = [threading.Thread(target=self.beside, args=(ledger,)) for ledger in self.ledgers[2:]]
        threads.append(threading.Thread(target=self.keep))
        before = signal.signal(signal.SIGALRM, self.handle)
        faulthandler.dump_traceback_later(DEADLOCK_S + self.signals / 500, exit=True)
        try:
            for thread in threads:
                thread.start()
            signal.setitimer(signal.ITIMER_REAL, 0.001)
            self.main()
        finally:
            self.over.set()
            signal.setitimer(signal.ITIMER_REAL, 0)
            for thread in threads:
                thread.join()
            faulthandler.cancel_dump_traceback_later()
            signal.signal(signal.SIGALRM, before)
            gc.callbacks[:] = callbacks
        journal = self.reader.journal
        for _ in range(1000):  # a look sees the holes of one segment, the next one closes them
            self.writer.append.log("end", -1.0)
            self.round()
            if journal.cursor.delivered == journal.written():
                break

    def check(self) -> None:
        """Raises AssertionError."""
        journal, found = self.reader.journal, self.reader.found
        assert journal.cursor.delivered == journal.written(), "what is left cannot be read"
        assert journal.cursor.abandoned == 0
        assert self.writer.dropped == {"memory full": 0, "finished": 0}
        positions = [record.position for record in found]
        assert positions == sorted(set(positions))
        for ledger in self.ledgers:
            numbers = [number_in(record.value) for record in found if record.name.startswith(ledger.caller)]
            assert len(set(numbers)) == len(numbers), f"{ledger.caller}: a call is there twice"
            missing = set(ledger.returned) - set(numbers)
            assert not missing, f"{ledger.caller}: returned and lost: {sorted(missing)[:10]}"
            assert len(numbers) <= ledger.begun
            if ledger.caller != "handler":  # its calls interrupt each other
                assert numbers == sorted(numbers), f"{ledger.caller}: out of order"
        for record in found:
            if record.name != "end":
                number = number_in(record.value)
                assert (record.name, record.value, record.step) == call_of(record.name.rpartition(".")[0], number)


def call_of(caller: str, number: int) -> tuple[str, Any, int | None]:
    """The arguments of call ``number``: all kinds of values, and now and then a new name."""
    value = [float(number), float(number), float(number), number, str(number), [number]][number % 6]
    name = number % 5 if number % 11 else number // 5000 % 100
    return f"{caller}.{name}", value, number if number % 2 else None


def number_in(value: Any) -> int:
    return int(value[0] if isinstance(value, list) else value)


def _handlers(frame: FrameType | None) -> int:
    """How many handlers there are on the stack."""
    number = 0
    while frame is not None:
        number += frame.f_code is Storm.handle.__code__
        frame = frame.f_back
    return number


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--signals", type=int, default=20_000)
    parser.add_argument("--kind", choices=KINDS, default=KINDS[0])
    parser.add_argument("--size", type=int, default=TINY)
    arguments = parser.parse_args()
    storm = Storm(arguments.kind, arguments.size, arguments.signals)
    begun = time.monotonic()
    storm.run()
    storm.check()
    calls = sum(ledger.begun for ledger in storm.ledgers)
    print(
        f"{sys.version.split()[0]} {arguments.kind}: {storm.handled} signals, {storm.raised} raised, {calls} calls, "
        f"{len(storm.reader.found)} records, {storm.watch.closed} holes closed, {time.monotonic() - begun:.1f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
