"""Generations of ownership: whose status counts.

A run's *generation* is the number of the present one. Creation begins the first, each resume one more, which is the
owner's from then on; the run is RUNNING again. In the table a generation has its maker, the ``Steplog-Maker`` of the
request, and ``began``, when the owner's process did, by its own clock.

- ``began`` never decreases with the number: one that began before the present one gets no generation of its own but the
  number of that in whose time it began, as if it had been in time. So what was delivered late takes no ownership.
- A maker that asks again gets the number it was given, also when another has begun since.
- A status of an earlier generation, or without a number once there is a second, changes nothing.
"""

from __future__ import annotations

from steplog.server.sql import runs
from steplog.server.sql.connection import Connection
from steplog.server.sql.run_changes import PUT_FIELD
from steplog.server.store_types import RunRow

__all__ = ["add", "begin", "counts"]

_BEGAN = """
SELECT number, coalesce(began, (SELECT coalesce(started, date_created) FROM runs WHERE id = run)), maker
FROM generations WHERE run = ? ORDER BY number
"""


def add(connection: Connection, run_id: int, number: int, maker: str | None, began: str | None) -> None:
    """Note a generation; of the first, ``began`` may be unknown until the run has a ``started``."""
    connection.execute(
        "INSERT INTO generations (run, number, maker, began) VALUES (?, ?, ?, ?)", (run_id, number, maker, began)
    )


def begin(connection: Connection, run_id: int, maker: str, began: str) -> tuple[int, bool]:
    """Begin a generation, unless it has begun or is late; its number, and whether it was begun now."""
    run = runs.by_id(connection, run_id)
    known = connection.execute(_BEGAN, (run_id,)).fetchall()
    given = [number for number, _, its_maker in known if its_maker == maker]
    earlier = [number for number, its_began, _ in known if its_began <= began]
    if given:
        return given[-1], False
    if known and began < known[-1][1]:
        return max(earlier, default=1), False
    number = run.generation + 1
    add(connection, run_id, number, maker, began)
    now = runs.now_text()
    connection.execute(
        "UPDATE runs SET generation = ?, status = 'RUNNING', ended = NULL, date_updated = ? WHERE id = ?",
        (number, now, run_id),
    )
    runs.note_seen(connection, run_id, now)
    connection.execute(PUT_FIELD, (run_id, "ended", number, 0, "", 0))
    return number, True


def counts(run: RunRow, number: int | None) -> bool:
    """Whether a status of this generation counts; None: of a client that knows of none."""
    return (1 if number is None else number) >= run.generation
