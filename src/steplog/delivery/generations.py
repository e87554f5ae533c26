"""Generations of ownership, as the server numbers them. Pure.

::

    made by us ──────────────▶ number 1
    resumed: maker, began ──▶ POST generations/ ── 201 n ─────────────▶ number n: this owner's status counts
                                  │ 200 n ────────────────────────────▶ n as well: it was asked before, or comes late,
                                                                        and belongs to a generation that is over
    joined, without an owner ──▶ the run's GET ───────────────────────▶ the number that the run has now

1. A request to begin one names its maker, so that it may be sent again, and ``began``, so that one delivered late takes
   nothing from an owner that began after it.
2. Nothing of a writer is sent before its generation has a number, since the server keeps the first that it sees.
3. A server without the feature is told nothing of it. One that itself refuses to number a generation ``FAILURES_MAX``
   times in a row, or fails at it, gets the records without. A refusal of a proxy's, which is no JSON, is an outage.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone

import msgspec

from steplog.delivery import wire
from steplog.delivery.deferred_log import deferred_log
from steplog.delivery.exchange import Request
from steplog.delivery.tickets import RunAddress, Send, Ticket
from steplog.delivery.verdicts import REFUSALS, Judgement, Verdict
from steplog.journal.manifest import Generation, Manifest

__all__ = ["FAILURES_MAX", "Begin", "Generations", "date"]

FAILURES_MAX = 20  # some ten minutes of back-off
_JSON = {"Content-Type": "application/json"}
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class _Begun(msgspec.Struct):
    generation: int


class Begin(Ticket, frozen=True):
    """The ticket of a generation that is to begin."""

    maker: str

    def confirms(self, body: bytes) -> bool:
        """The answer has a number."""
        told = wire.read(body, _Begun)
        return told is not None and told.generation >= 1


class Generations:
    """Of one run: ``begun`` on this host, the present one last, and ``writers`` of earlier ones, by their maker."""

    def __init__(self, begun: tuple[Generation, ...] = (), writers: Mapping[str, str] | None = None) -> None:
        self.begun = begun
        self.writers = writers or {}
        self.offered = False  # whether the server numbers generations
        self._refused: set[str] = set()
        self._failures = 0  # in a row

    def take(self, manifest: Manifest) -> None:
        """Another owner has begun one."""
        self.begun, self.writers = manifest.generations, manifest.writers

    @property
    def maker(self) -> str:
        """The present owner's; "": there is none on this host."""
        return self.begun[-1].maker if self.begun else ""

    def is_open(self) -> bool:
        """Whether an owner on this host has taken up the run and may have to tell the server."""
        return any(one.maker and not one.number for one in self.begun)

    @property
    def number(self) -> int:
        """Of the present generation; 0: the server has given none."""
        return self.begun[-1].number if self.begun and self.offered else 0

    def due(self) -> Generation | None:
        """The next one that the server has to number."""
        return next(filter(self._is_due, self.begun), None)

    def waits(self, writer: str) -> bool:
        """Whether nothing of this writer may be sent yet."""
        one = self._of(writer)
        return one is not None and self._is_due(one)

    def _is_due(self, one: Generation) -> bool:
        return self.offered and bool(one.maker) and not one.number and one.maker not in self._refused

    def signed(self, send: Send, writer: str = "") -> Send:
        """A range with the generation of its writer, or the present one."""
        one = self._of(writer) if self.offered else None
        if one is None or not one.number:
            return send
        headers = {**send.request.headers, "Steplog-Generation": str(one.number)}
        return Send(msgspec.structs.replace(send.request, headers=headers), send.ticket)

    def _of(self, writer: str) -> Generation | None:
        maker = self.writers.get(writer)
        if maker is None:
            return self.begun[-1] if self.begun else None
        return next((one for one in self.begun if one.maker == maker), None)

    def of_status(self, ended: int) -> dict[str, object]:
        """What goes with a status that was decided at ``ended``, in ns; 0: nobody knows when."""
        number = self.number
        return {"generation": number, **({"ended": date(ended)} if ended else {})} if number else {}

    def send(self, address: RunAddress, one: Generation) -> Send:
        """The request that begins one."""
        body = msgspec.json.encode({"began": date(one.began)})
        path = f"{address.run_path}generations/"
        return Send(Request("POST", path, body, _JSON | {"Steplog-Maker": one.maker}), Begin(one.maker))

    def made(self, maker: str) -> None:
        """The run was made by this one, which begins its first generation."""
        self._number(maker, 1)

    def found(self, number: int) -> None:
        """The run is in this generation: one that was joined without an owner belongs to it."""
        if number >= 1 and any(not one.maker and not one.number for one in self.begun):
            self._number("", number)

    def answered(self, ticket: Begin, judgement: Judgement, body: bytes) -> bool:
        """Learn from the answer to ``Begin``; whether a number is to be stored."""
        is_servers = judgement.verdict is Verdict.FAULT or wire.read(body, dict[str, object]) is not None
        failed = is_servers and judgement.verdict in (Verdict.FAULT, Verdict.MISSING, *REFUSALS)
        self._failures = self._failures + failed if judgement.verdict is not Verdict.ACCEPTED else 0
        if self._failures >= FAILURES_MAX:
            deferred_log.warning("steplog: the server does not take up the run: %s", judgement.words)
            self._refused.add(ticket.maker)
        if judgement.verdict is not Verdict.ACCEPTED or (told := wire.read(body, _Begun)) is None:
            return False
        self._number(ticket.maker, told.generation)
        return True

    def _number(self, maker: str, number: int) -> None:
        self.begun = tuple(
            msgspec.structs.replace(one, number=number) if one.maker == maker and not one.number else one
            for one in self.begun
        )


def date(ns: int) -> str:
    """A time since the epoch in ISO 8601."""
    return (_EPOCH + timedelta(microseconds=ns // 1000)).isoformat(timespec="microseconds").replace("+00:00", "Z")
