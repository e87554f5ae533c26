"""Unpacked ranges: stored as they came, in table ``log``, and packed later.

A chunk costs some 30 µs whatever its size, and a range of 10,000 names has three records of each. Such ranges are
packed together at ``BYTES_MAX``, at ``POINTS_A_NAME`` records a name, or before a read or a packed write, so that
arrivals and steps stay in order. Each record has a step, so packing cannot fail.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from steplog.journal.range import Range, decode
from steplog.server.records.batch import Batch

__all__ = ["BYTES_MAX", "POINTS_A_NAME", "UnpackedTotals", "any_left", "take"]

BYTES_MAX = 16 * 1024 * 1024  # of slots and payloads
POINTS_A_NAME = 256


@dataclass(slots=True)
class UnpackedTotals:
    """Totals of a run's unpacked ranges; ``names`` is the maximum."""

    records: int = 0
    size_bytes: int = 0
    names: int = 0

    @property
    def is_due(self) -> bool:
        """Whether it is worth packing."""
        return self.size_bytes >= BYTES_MAX or self.records >= POINTS_A_NAME * self.names > 0

    @classmethod
    def read(cls, connection: sqlite3.Connection, run_id: int) -> UnpackedTotals:
        """Read it from the database."""
        totals = "coalesce(sum(records), 0), coalesce(sum(bytes), 0), coalesce(max(names), 0)"
        return cls(*connection.execute(f"SELECT {totals} FROM log WHERE run = ?", (run_id,)).fetchone())  # noqa: S608

    def add(self, connection: sqlite3.Connection, run_id: int, batch: Batch, first_arrival: int) -> None:
        """Store one more range."""
        source = batch.source
        size_bytes, names = len(source.slots) + len(source.payloads), len(source.names)
        connection.execute(
            "INSERT INTO log (run, first_arrival, records, bytes, names, body) VALUES (?, ?, ?, ?, ?, ?)",
            (run_id, first_arrival, batch.records, size_bytes, names, batch.body),
        )
        self.records += batch.records
        self.size_bytes += size_bytes
        self.names = max(self.names, names)


def any_left(connection: sqlite3.Connection, run_id: int, below: int | None = None) -> bool:
    """Whether an unpacked range begins below arrival ``below`` (None: at all)."""
    query = "SELECT 1 FROM log WHERE run = ? AND first_arrival < ? LIMIT 1"
    return connection.execute(query, (run_id, 2**63 - 1 if below is None else below)).fetchone() is not None


def take(connection: sqlite3.Connection, run_id: int) -> Iterator[Range]:
    """Delete a run's unpacked ranges and yield them in order, joined by writer."""
    rows = connection.execute("SELECT body FROM log WHERE run = ? ORDER BY id", (run_id,)).fetchall()
    connection.execute("DELETE FROM log WHERE run = ?", (run_id,))
    group: list[Range] = []
    names: dict[int, str] = {}
    for (body,) in rows:
        records = decode(body)
        # A steplog writer never reuses a name's number; another client might.
        if group and (
            group[0].writer != records.writer
            or any(names.get(number, name) != name for number, name in records.names.items())
        ):
            yield _joined(group, names)
            group, names = [], {}
        group.append(records)
        names.update(records.names)
    if group:
        yield _joined(group, names)


def _joined(group: list[Range], names: dict[int, str]) -> Range:
    """Ranges of one writer as one, ignoring gaps."""
    slots = b"".join([records.slots for records in group])
    payloads = b"".join([records.payloads for records in group])
    first = group[0].first
    return Range(group[0].writer, first, first + sum(r.end - r.first for r in group), names, slots, payloads)
