"""Ranges that wait to be packed: those with many names and few records of each.

A chunk costs some 30 µs whatever it holds, and a range of 10,000 names holds three records of each. So such a range is
kept as it came, in a row of its own, in the transaction that moves the mark. Once ``BYTES_MAX`` of one run wait, or
enough that each name has ``POINTS_A_NAME``, they are packed together as one long range; and before that where somebody
reads, or something comes to the run that cannot wait: arrivals and steps follow one from the other.

A range waits only if each of its records has a step (``Batch.body``): then packing can refuse nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from steplog.journal.range import Range, decode
from steplog.server.batch import Batch

__all__ = ["BYTES_MAX", "POINTS_A_NAME", "Unpacked", "any_left", "delete", "take"]

BYTES_MAX = 16 * 1024 * 1024  # of slots and payloads
POINTS_A_NAME = 256


@dataclass(slots=True)
class Unpacked:
    """What waits of one run: how many records, in how many bytes, and of how many names a range has at most."""

    records: int = 0
    size_bytes: int = 0
    names: int = 0

    @property
    def enough(self) -> bool:
        """Whether it is worth packing."""
        return self.size_bytes >= BYTES_MAX or self.records >= POINTS_A_NAME * self.names > 0

    @classmethod
    def read(cls, connection: sqlite3.Connection, run_id: int) -> Unpacked:
        """As the database has it."""
        return cls(
            *connection.execute(
                "SELECT coalesce(sum(records), 0), coalesce(sum(bytes), 0), coalesce(max(names), 0)"
                " FROM waiting WHERE run = ?",
                (run_id,),
            ).fetchone()
        )

    def keep(self, connection: sqlite3.Connection, run_id: int, batch: Batch, arrivals: int) -> None:
        """One more range, whose first record is number ``arrivals`` of its run."""
        source = batch.source
        size_bytes, names = len(source.slots) + len(source.payloads), len(source.names)
        connection.execute(
            "INSERT INTO waiting (run, first_arrival, records, bytes, names, body) VALUES (?, ?, ?, ?, ?, ?)",
            (run_id, arrivals, batch.records, size_bytes, names, batch.body),
        )
        self.records += batch.records
        self.size_bytes += size_bytes
        self.names = max(self.names, names)


def any_left(connection: sqlite3.Connection, run_id: int, below: int | None = None) -> bool:
    """Whether anything waits of a run; with ``below``, of its first so many points."""
    query = "SELECT 1 FROM waiting WHERE run = ? AND first_arrival < ? LIMIT 1"
    return connection.execute(query, (run_id, 2**63 - 1 if below is None else below)).fetchone() is not None


def take(connection: sqlite3.Connection, run_id: int) -> Iterator[Range]:
    """All that waits of a run, in the order of arrival, as few ranges; it waits no more."""
    rows = connection.execute("SELECT body FROM waiting WHERE run = ? ORDER BY id", (run_id,)).fetchall()
    delete(connection, run_id)
    group: list[Range] = []
    names: dict[int, str] = {}
    for (body,) in rows:
        records = decode(body)
        # A writer's numbers always stand for the same names, unless it is no writer of ours.
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


def delete(connection: sqlite3.Connection, run_id: int) -> None:
    """Nothing of a run is to wait any more."""
    connection.execute("DELETE FROM waiting WHERE run = ?", (run_id,))


def _joined(group: list[Range], names: dict[int, str]) -> Range:
    """Ranges one after the other, whatever was between them."""
    slots = b"".join([records.slots for records in group])
    payloads = b"".join([records.payloads for records in group])
    first = group[0].first
    return Range(group[0].writer, first, first + sum(r.end - r.first for r in group), names, slots, payloads)
