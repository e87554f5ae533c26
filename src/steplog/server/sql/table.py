"""What a table of runs is read from: ``lasts`` and ``configs``, in which a project's runs lie side by side.

::

    lasts     by (project, metric, run): count, last, low and high of what is packed
    configs   by (project, entry, run): a value of the config, nested ones by their path (see cells)

- Whoever changes ``series`` or ``config`` changes these in the same transaction: the packer by ``put_lasts``,
  ``run_changes`` by ``put_entries``.
- They have the rows of runs in the trash, too: a reader looks at ``runs``.
- The runs of an older database are filled in run by run (``sqlite.filling``). Until then ``unfilled`` says of which a
  reader takes the rows of ``series`` and ``config`` instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from steplog.records.cells import Cell, cell_of, entries
from steplog.server.records.totals import Totals
from steplog.server.sql.chunk_ids import SERIES_SHIFT
from steplog.server.sql.connection import Connection

__all__ = [
    "LAST_OF_SERIES",
    "Unfilled",
    "forget_config",
    "forget_metric",
    "put_entries",
    "put_lasts",
    "unfilled",
]

_ROWS_A_STEP = 256
_PUT_LAST = """
INSERT INTO lasts (project, name, run, count, last, low, high) VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (project, name, run) DO UPDATE SET
    count = excluded.count, last = excluded.last, low = excluded.low, high = excluded.high
"""
_PUT_ENTRY = """
INSERT INTO configs (project, key, run, value) SELECT project, :key, id, :value FROM runs WHERE id = :run
    ON CONFLICT (project, key, run) DO UPDATE SET value = excluded.value
"""
_REMOVE_ENTRY = """
DELETE FROM configs WHERE project = (SELECT project FROM runs WHERE id = :run) AND key = :key AND run = :run
"""
LAST_OF_SERIES = f"""
CASE WHEN s.last IS NOT NULL OR s.pending > 0 THEN s.last ELSE (SELECT c.last FROM chunks c WHERE c.id = (
    SELECT max(id) FROM chunks WHERE id >= s.id << {SERIES_SHIFT} AND id < s.id + 1 << {SERIES_SHIFT})) END
"""  # noqa: S608 - a constant; series of older databases have no last value of their own


class Unfilled(NamedTuple):
    """The runs with numbers in ``[first, end)``, of which not all rows are there."""

    first: int
    end: int


def put_lasts(connection: Connection, run_id: int, totals: Iterable[tuple[str, Totals]]) -> None:
    """Set the totals of some of a run's metrics, by name."""
    (project,) = connection.execute("SELECT project FROM runs WHERE id = ?", (run_id,)).fetchone()
    cell = connection.cell
    connection.executemany(
        _PUT_LAST,
        [(project, name, run_id, of.count, cell(cell_of(of.last)), cell(of.low), cell(of.high)) for name, of in totals],
    )


def put_entries(
    connection: Connection, run_id: int, before: Mapping[str, str | None], now: Mapping[str, str | None]
) -> None:
    """Set what top-level keys of a run's config have now, JSON text or None, in place of what they had before."""
    for key, value in now.items():
        old, new = (_entries(key, each) for each in (before.get(key), value))
        connection.executemany(_REMOVE_ENTRY, [{"run": run_id, "key": entry} for entry in old.keys() - new.keys()])
        changed = [
            {"run": run_id, "key": entry, "value": connection.cell(cell)}
            for entry, cell in new.items()
            if not _is_same(old.get(entry), cell)
        ]
        connection.executemany(_PUT_ENTRY, changed)


def forget_metric(connection: Connection, run_id: int, name: str) -> None:
    """Remove a run's totals of a metric."""
    connection.execute(
        "DELETE FROM lasts WHERE project = (SELECT project FROM runs WHERE id = :run) AND name = :name AND run = :run",
        {"run": run_id, "name": name},
    )


def forget_config(connection: Connection, run_id: int) -> bool:
    """Remove a step of a run's config, and its entries; whether there was any."""
    query = "SELECT key, value FROM config WHERE run = ? ORDER BY key LIMIT ?"
    rows = connection.execute(query, (run_id, _ROWS_A_STEP)).fetchall()
    put_entries(connection, run_id, dict(rows), {key: None for key, _ in rows})
    connection.executemany("DELETE FROM config WHERE run = ? AND key = ?", [(run_id, key) for key, _ in rows])
    return bool(rows)


def unfilled(connection: Connection) -> Unfilled | None:
    """The runs of an older database that are not filled in yet."""
    statement = connection.dialect.unfilled
    row = None if statement is None else connection.execute(statement).fetchone()
    return Unfilled(*row) if row and row[0] < row[1] else None


def _entries(key: str, value: str | None) -> dict[str, Cell]:
    return {} if value is None else entries(key, value)


def _is_same(old: Cell | None, new: Cell) -> bool:
    return type(old) is type(new) and old == new
