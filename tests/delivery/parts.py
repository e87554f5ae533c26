"""Parts for the tests of delivery: writers in plain memory, and a line from a consignment to a server in memory.

``Line`` drives the real sender with a clock of its own: each exchange takes ``round_trip_s``, and time goes straight to
when the next one is due.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from simulation.pens import FakeQuarantine, Fuse, Marked, Pool, number_in
from steplog.delivery.exchange import Answer
from steplog.delivery.generations import Generations
from steplog.delivery.options import DeliveryOptions
from steplog.delivery.outbox import Outbox
from steplog.delivery.sender import InFlight, Sender, StoreFirst
from steplog.delivery.tickets import Action, Quarantine, RunAddress
from steplog.errors import ServerUnavailableError
from steplog.journal.journal import Journal
from steplog.journal.locked_writer import writer_type
from steplog.journal.sources import OwnSource
from steplog.testing.memory_server import MemoryRun, MemoryServer

POLL_S = 0.5


class Book:
    """A writer, and its journal as an agent opens it; values are 1, 2, 3, …"""

    def __init__(self, number: int = 0, size: int = 64 * 1024) -> None:
        self.writer = writer_type()(Pool(size), number.to_bytes(16, "big"), value_bytes_max=1 << 20)  # type: ignore[arg-type]
        self.cursor = Marked(Fuse())
        self.living = True
        self.count = 0
        self.journal = self.opened()

    def opened(self) -> Journal:
        return Journal(self.writer.id.hex(), OwnSource(self.writer), self.cursor, lambda: self.living)

    def write(self, count: int = 1, names: tuple[str, ...] = ("loss",), step: bool = False) -> Book:
        for _ in range(count):
            self.count += 1
            name = names[self.count % len(names)]
            self.writer.append.log(name, float(self.count), self.count if step else None)
        return self

    def leave_a_hole(self) -> Book:
        self.writer.append.segment.claim()
        return self


class Line:
    """A run with its consignment, from ``books`` to a server in memory."""

    def __init__(self, *books: Book, batch: bool = True, knows: bool = True, lanes: int = 1, **more: Any) -> None:
        self.server = more.pop("server", None) or MemoryServer(batch=batch)
        self.run: MemoryRun = self.server.add_run("me", "demo")
        self.quarantine = FakeQuarantine(Fuse())
        self.disk: Callable[[Callable[[float], None]], None] = lambda write: write(self.now)
        self.books = books
        self.now = 1000.0
        self.round_trip_s = 0.01
        self.lanes = lanes
        self.stored = 0  # times that a manifest was to be stored before a request
        self.sent: list[tuple[float, InFlight, Answer | str]] = []
        self.sender = Sender(random.Random(1))
        self.generations = more.pop("generations", Generations)
        self.outbox = self.opened(**more)
        if knows:
            self.outbox.knows(batch)

    def opened(self, account: str | None = None, batch_age_s: float = 0.5) -> Outbox:
        address = RunAddress("me", "demo", self.run.uuid)
        options = DeliveryOptions(batch_age_s, self.lanes)
        given = address, self.quarantine.positions, options, random.Random(2), account
        outbox = Outbox(*given, generations=self.generations())
        for book in self.books:
            outbox.add(book.journal)
        self.sender.add(self.now, outbox, self.server, account is not None)
        return outbox

    def another(self, *books: Book) -> Outbox:
        """One more run of the same agent, to the same server."""
        address = RunAddress("me", "demo", self.server.add_run("me", "demo").uuid)
        outbox = Outbox(address, self.quarantine.positions, DeliveryOptions(0.5, self.lanes), random.Random(4))
        for book in books:
            outbox.add(book.journal)
        self.sender.add(self.now, outbox, self.server)
        outbox.knows(self.server.batch)
        return outbox

    def again(self) -> None:
        """Another agent takes over, with what the first one has stored."""
        self.sender = Sender(random.Random(3))
        for book in self.books:
            book.journal = book.opened()
        self.outbox = self.opened()

    def step(self, lane: int = 0) -> bool:
        """One exchange, if one is due by now; whether there was one."""
        flight = self.next(lane)
        if not isinstance(flight, InFlight):
            return False
        answer = self.exchange(flight)
        self.now += self.round_trip_s
        self.answer(flight, answer)
        return True

    def next(self, lane: int = 0) -> InFlight | float | None:
        """What is due; what is to be stored first is."""
        while isinstance(found := self.sender.next(self.now, lane), StoreFirst):
            self.stored += 1
        return found

    def exchange(self, flight: InFlight) -> Answer | str:
        try:
            return self.server.exchange(flight.request, 30.0)
        except ServerUnavailableError as error:
            return str(error)

    def answer(self, flight: InFlight, answer: Answer | str) -> None:
        self.sent.append((self.now, flight, answer))
        for action in self.sender.answered(self.now, flight, answer):
            self.act(flight.outbox, action)
        flight.outbox.release_waiters()

    def act(self, outbox: Outbox, action: Action) -> None:
        """What a lease does."""
        if isinstance(action, Quarantine):
            self.quarantine.put(action)
            self.disk(lambda now: outbox.quarantined(now, self.quarantine.write(action)))

    def deliver(self, limit_s: float = 3600.0) -> int:
        """Go on until nothing is left, or for so long; how many exchanges it took."""
        end, before = self.now + limit_s, len(self.sent)
        while self.now < end and not self.idle():
            if sum(self.step(lane) for lane in range(self.lanes)):
                continue
            dues = [due for lane in range(self.lanes) if isinstance(due := self.next(lane), float)]
            self.now = min([self.now + 3600.0 if dues else self.now + POLL_S, *(max(due, self.now) for due in dues)])
        return len(self.sent) - before

    def idle(self) -> bool:
        return self.outbox.idle()

    def values(self) -> list[int]:
        """What arrived, in order."""
        return [number_in(row.value) for row in self.server.runs[self.run.uuid].rows]

    def set_aside(self) -> list[int]:
        return sorted(number_in(value) for kept in self.quarantine.kept.values() for value in kept.values())

    def poison(self, *values: int, status: int = 400) -> None:
        self.server.refuses = lambda name, value: status if number_in(value) in values else None


def asked(line: Line) -> list[str]:
    """Method and the last part of the path of each request."""
    return [f"{due.request.method} {due.request.path.rstrip('/').split('/')[-1]}" for _, due, _ in line.sent]
