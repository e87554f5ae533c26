"""Edits of a run, records ``steplog/run``, on their way to a server. Pure.

A server with the feature ``run`` takes them as they are, in ranges. Any other never gets them: their positions are
covered without a record; a name and a description that were set go by PATCH when their turn comes. What else was set,
and what of it the server refuses, is said once a run.
"""

from __future__ import annotations

from typing import Any

import msgspec

from steplog.delivery import wire
from steplog.delivery.deferred_log import deferred_log
from steplog.delivery.exchange import Request
from steplog.delivery.tickets import Edit, RunAddress, Send
from steplog.delivery.verdicts import Judgement, Verdict
from steplog.journal.range import Range
from steplog.journal.reserved import RESERVED, RUN_NAME

__all__ = ["RunEdits"]

_PATCHED = ("name", "description")
_NOT_KEPT = ("tags", "group", "job_type", "notes")  # of what a user sets
_JSON = {"Content-Type": "application/json"}


class _Renamed(msgspec.Struct):
    run: dict[str, Any] | None = None


class RunEdits:
    """Of one run, by all its writers. ``name``: what the server calls it, since one of them has arrived."""

    def __init__(self) -> None:
        self.takes_records = False  # the server has the feature
        self.name: str | None = None
        self._said: set[str] = set()

    def own_in(self, batch: Range) -> dict[int, bytes | None]:
        """The positions in a range of records that are steplog's own; of an edit what is to be PATCHed, if anything."""
        if RESERVED.isdisjoint(batch.names.values()):
            return {}
        own = (record for record in wire.records(batch) if record.name in RESERVED)
        return {record.position: self._patch_of(record) for record in own}

    def _patch_of(self, record: wire.Record) -> bytes | None:
        fields = wire.read(record.value, dict[str, Any]) if isinstance(record.value, bytes) else None
        if fields is None or record.name != RUN_NAME:
            return None
        kept_here = [name for name in _NOT_KEPT if fields.get(name)]
        if kept_here and self._is_first("fields"):
            what = ", ".join(kept_here).replace("_", " ")
            deferred_log.warning("steplog: this server keeps no %s of a run.", what)
        patch = {name: fields[name] for name in _PATCHED if isinstance(fields.get(name), str)}
        return msgspec.json.encode(patch) if patch else None

    def send(self, address: RunAddress, writer: str, lane: int, position: int, patch: bytes) -> Send:
        """The PATCH of one edit."""
        return Send(Request("PATCH", address.run_path, patch, _JSON), Edit(writer, lane, position, address.run, patch))

    def answered(self, ticket: Edit, judgement: Judgement, body: bytes) -> None:
        """A PATCH is done with: accepted, or refused for good."""
        if judgement.verdict is not Verdict.ACCEPTED:
            if self._is_first("refused"):
                deferred_log.warning(
                    "steplog: the server does not take a name or description of the run: %s", judgement.words
                )
            return
        wanted, told = wire.read(ticket.patch, dict[str, Any]) or {}, wire.read(body, dict[str, Any]) or {}
        if isinstance(told.get("name"), str):
            self.name = told["name"]
        unheard = [name for name in wanted if name in told and not _is_heard(wanted[name], told[name])]
        if unheard and self._is_first("unheard"):
            deferred_log.warning("steplog: this server does not change the %s of a run.", " or ".join(unheard))

    def acknowledged(self, batch: Range, body: bytes) -> bool:
        """A range has arrived; whether the answer tells what the run is called now."""
        if RUN_NAME not in batch.names.values():
            return False
        told = wire.read(body, _Renamed)
        name = told.run.get("name") if told is not None and told.run is not None else None
        if isinstance(name, str):
            self.name = name
        return isinstance(name, str)

    def _is_first(self, what: str) -> bool:
        is_first = what not in self._said
        self._said.add(what)
        return is_first


def _is_heard(wanted: str, told: Any) -> bool:
    """Whether the answer has what was sent; a name that is taken gets a suffix."""
    return told == wanted or (isinstance(told, str) and told.startswith(f"{wanted}_"))
