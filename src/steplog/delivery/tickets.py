"""What goes between the outbox and whoever drives it: tickets, events and actions. Pure.

The outbox is a core as h11's connection is: ``next`` gives a ``Send``, a request with a *ticket* that says what it is
for; the answer comes back with that ticket and gives *actions*. No closure waits in between, so all state is in the
outbox, and a test can replay any order of events.
"""

from __future__ import annotations

import msgspec

from steplog.delivery import wire
from steplog.delivery.exchange import Request
from steplog.journal.range import Range

__all__ = [
    "Action",
    "Batch",
    "Edit",
    "EmptyBatch",
    "EmptyPatch",
    "Metric",
    "Quarantine",
    "Quarantined",
    "RunAddress",
    "Sample",
    "Send",
    "Status",
    "Store",
    "Ticket",
]


class RunAddress:
    """Where a run is on its server, and the paths of its routes."""

    def __init__(self, namespace: str, project: str, run: str) -> None:
        self.namespace, self.project, self.run = namespace, project, run
        self.run_path = wire.api_path(namespace, "projects", project, "runs", run)
        self.metrics_path = f"{self.run_path}metrics/"
        self.batch_path = f"{self.metrics_path}batch/"


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """What a request is for. ``suspect``: a server fault (500) would be the record's own, and not the server's."""

    suspect: bool = False

    def confirms(self, body: bytes) -> bool:
        """Whether the body of a success confirms what was asked."""
        raise NotImplementedError


class Batch(Ticket, frozen=True):
    """A range of records. ``reach``: how far earlier ranges reached whose answers were lost.

    ``covered``: how many of steplog's own it has no record of, since this server takes none.
    """

    range: Range
    reach: int
    covered: int = 0

    def confirms(self, body: bytes) -> bool:
        """An acknowledgement repeats the range."""
        return wire.acknowledges(body, self.range.writer, self.range.first, self.range.end)


class Sample(Ticket, frozen=True, kw_only=True):
    """A range of system metrics, which no journal has."""

    range: Range
    suspect: bool = True  # by it nobody knows how the server is with records

    def confirms(self, body: bytes) -> bool:
        """An acknowledgement repeats the range."""
        return wire.acknowledges(body, self.range.writer, self.range.first, self.range.end)


class EmptyBatch(Ticket, frozen=True):
    """The control of a poison test: an empty range where the suspect one begins."""

    writer: str
    position: int

    def confirms(self, body: bytes) -> bool:
        """An acknowledgement repeats the range."""
        return wire.acknowledges(body, self.writer, self.position, self.position)


class Metric(Ticket, frozen=True):
    """One record, to a stock server, on a lane."""

    writer: str
    lane: int
    position: int
    name: str

    def confirms(self, body: bytes) -> bool:
        """The answer is a JSON object that names no other metric."""
        told = wire.read(body, _Named)
        return told is not None and told.name in (self.name, None)


class EmptyPatch(Ticket, frozen=True):
    """The control of a poison test on a stock server: a PATCH of the run that changes nothing."""

    writer: str
    lane: int
    position: int
    run: str

    def confirms(self, body: bytes) -> bool:
        """The answer describes the run."""
        return wire.status_of(body, self.run) is not None


class Edit(Ticket, frozen=True):
    """A name or description that was set, in the PATCH ``patch``, to a server that takes no records of edits."""

    writer: str
    lane: int
    position: int
    run: str
    patch: bytes

    def confirms(self, body: bytes) -> bool:
        """The answer describes the run."""
        return wire.status_of(body, self.run) is not None


class Status(Ticket, frozen=True):
    """The status of the run, after all records; ``generation``: of the owner that decided it, 0: not numbered.

    ``files_pending``: how many files are still to come; None: the server is not told.
    """

    run: str
    status: str
    generation: int = 0
    files_pending: int | None = None

    def confirms(self, body: bytes) -> bool:
        """The answer repeats the status, or shows that a later owner's counts."""
        return wire.status_of(body, self.run) == self.status or self.overruled(body)

    def overruled(self, body: bytes) -> bool:
        """Whether the run has gone on to a later generation."""
        return max(1, self.generation) < wire.generation_of(body, self.run)


class Send(msgspec.Struct, frozen=True):
    """Exchange this now."""

    request: Request
    ticket: Ticket


class Store(msgspec.Struct, frozen=True):
    """Store in the manifest what has become of the run."""


class Quarantine(msgspec.Struct, frozen=True):
    """Keep the one record of a range, with the server's words; until ``Quarantined`` says so it is not sent again."""

    record: Range
    words: str


class Quarantined(msgspec.Struct, frozen=True):
    """Whether the record of a range is safe in quarantine."""

    record: Range
    safe: bool


Action = Store | Quarantine


class _Named(msgspec.Struct):
    name: str | None = None
