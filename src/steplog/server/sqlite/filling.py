"""Filling in what tables of runs are read from, for the runs of an older database (see ``sql.table``)."""

from __future__ import annotations

import time

from slugify import slugify

from steplog.server.records.totals import Totals
from steplog.server.sql.connection import Connection
from steplog.server.sql.table import LAST_OF_SERIES, put_entries, put_lasts

__all__ = ["fill"]

_ROWS_A_STEP = 256
_SLICE_S = 0.01
_CONFIG = """
SELECT key, value FROM config WHERE run = :run AND (:key IS NULL OR key > :key) ORDER BY key LIMIT :limit
"""


def fill(connection: Connection, slice_s: float = _SLICE_S) -> bool:
    """Fill in some of the runs of an older database; whether more are left."""
    stop_at = time.monotonic() + slice_s
    while (
        found := connection.execute('SELECT first, name, key FROM filling WHERE first < "end"').fetchone()
    ) is not None:
        _fill_some(connection, *found)
        if time.monotonic() >= stop_at:
            return True
    return False


def _fill_some(connection: Connection, run_id: int, name: str, key: str | None) -> None:
    """Fill in a step of a run: its metrics beyond ``name``, then its config beyond ``key``, then its slug."""
    run = connection.execute("SELECT name, slug FROM runs WHERE id = ?", (run_id,)).fetchone()
    rows = connection.execute(
        f"SELECT s.name, s.count, {LAST_OF_SERIES}, s.low, s.high FROM series s"  # noqa: S608 - a constant
        " WHERE s.run = ? AND s.name > ? ORDER BY s.name LIMIT ?",
        (run_id, name, _ROWS_A_STEP),
    ).fetchall()
    if run is not None and rows:
        found = [(name, Totals(count, last=last, low=low, high=high)) for name, count, last, low, high in rows if count]
        put_lasts(connection, run_id, found)
        connection.execute("UPDATE filling SET name = ?", (rows[-1][0],))
        return
    config = connection.execute(_CONFIG, {"run": run_id, "key": key, "limit": _ROWS_A_STEP}).fetchall()
    if run is not None and config:
        put_entries(connection, run_id, {}, dict(config))
        connection.execute("UPDATE filling SET key = ?", (config[-1][0],))
        return
    if run is not None and run[1] is None:
        connection.execute("UPDATE runs SET slug = ? WHERE id = ?", (slugify(run[0]), run_id))
    following = '(SELECT coalesce(min(id), filling."end") FROM runs WHERE id > filling.first)'
    connection.execute(f"UPDATE filling SET first = {following}, name = '', key = NULL")  # noqa: S608 - a constant
