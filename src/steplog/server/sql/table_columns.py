"""What may be a column of a table of runs: a project's metrics and config entries, and what the metrics hold.

Packed ones are in ``lasts`` and ``configs`` (see table), one look a name, however many runs have it. Those that came
since are looked for in the log of the newest runs, within ``_LOG_BYTES_MAX``.

The newest ``_RUNS_A_KIND`` runs that have a metric tell its kind: it has *numbers* (NaN, infinities and bools too) if
the least or the last value of a run is one, and *others* if the last value of a run is none.
"""

# ruff: noqa: S608 - statements are made of the names in this module; what a request says is bound

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from steplog.journal import slot
from steplog.journal.range import Range
from steplog.records.cells import Cell
from steplog.records.cells import entries as entries_of
from steplog.records.points import words_of
from steplog.server.sql.connection import Connection
from steplog.server.sql.reading import log_rows
from steplog.server.sql.table import LAST_OF_SERIES, Unfilled, unfilled
from steplog.server.store_types import ColumnNames, MetricKind

__all__ = ["column_names", "unpacked"]

_LOG_BYTES_MAX = 16 * 1024 * 1024
_NEWEST_RUNS = 20
_RUNS_A_KIND = 20
_OWN = "steplog/"  # such metrics are shown elsewhere
_IS_THERE = "r.project = ? AND r.deleted IS NULL"
_NUMBERS, _OTHERS = 1, 2
_KINDS: Mapping[int, MetricKind] = {_NUMBERS: "numbers", _OTHERS: "others", _NUMBERS | _OTHERS: "both"}
# A query says what a cell is by comparing it: numbers sort before texts, texts before bytes.
_IS_NUMBER = "(last < ? OR last IN (?, ?, ?))"
_KIND = (
    f"max(CASE WHEN NOT low IS NULL OR {_IS_NUMBER} THEN {_NUMBERS} ELSE 0 END)"
    f" + max(CASE WHEN {_IS_NUMBER} THEN 0 ELSE {_OTHERS} END)"
)
_OF_KIND: tuple[Cell, ...] = ("", b"NaN", b"true", b"false") * 2  # the values of _KIND
_KEY_WORDS = slot.SLOT_BYTES // 8


def column_names(connection: Connection, project_id: int, part: str, limit: int) -> ColumnNames:
    """The metrics and the config entries of a project with ``part`` in their names, each by name, up to ``limit``."""
    left = unfilled(connection)
    fresh_metrics = _fresh_metrics(connection, project_id, left)
    metrics = dict(_metrics(connection, project_id, part, limit + 1))
    for name, kind in fresh_metrics.items():
        if part.lower() in name.lower() and not name.startswith(_OWN):
            metrics[name] = metrics.get(name, 0) | kind
    entries = set(_entries(connection, project_id, part, limit + 1))
    entries.update(name for name in _fresh_entries(connection, project_id, left) if part.lower() in name.lower())
    shown = sorted(metrics)[:limit]
    is_more = max(len(metrics), len(entries)) > limit
    return ColumnNames(sorted(entries)[:limit], shown, [_KINDS[metrics[name]] for name in shown], is_more)


def unpacked(connection: Connection, project_id: int, limit: int, bytes_max: int) -> Iterator[tuple[int, int]]:
    """Number, and the first arrival in the log, of the newest runs that have points there."""
    rows = connection.execute("SELECT run, packed, log_bytes FROM progress WHERE packed < arrivals").fetchall()
    logs = {run: (packed, size_bytes) for run, packed, size_bytes in rows}
    are_some, numbers = connection.among(list(logs))
    query = f"SELECT r.id FROM runs r WHERE r.id {are_some} AND {_IS_THERE} ORDER BY r.id DESC LIMIT ?"
    for (run,) in connection.execute(query, (*numbers, project_id, limit)).fetchall() if logs else ():
        packed, size_bytes = logs[run]
        bytes_max -= size_bytes
        if bytes_max >= 0:
            yield run, packed


def _metrics(connection: Connection, project_id: int, part: str, limit: int) -> Iterable[tuple[str, int]]:
    """Names in ``lasts``, each with its kind."""
    newest = "SELECT low, last FROM lasts WHERE project = ? AND name = n.name ORDER BY run DESC LIMIT ?"
    kind = f"(SELECT {_KIND} FROM ({newest}) AS newest)"
    values = (*map(connection.cell, _OF_KIND), project_id, _RUNS_A_KIND)
    return connection.execute(*_names(connection, "lasts", "name", project_id, part, limit, kind, values))


def _entries(connection: Connection, project_id: int, part: str, limit: int) -> Iterator[str]:
    return (name for name, _ in connection.execute(*_names(connection, "configs", "key", project_id, part, limit, "0")))


def _names(
    connection: Connection,
    rows: str,
    column: str,
    project_id: int,
    part: str,
    limit: int,
    more: str,
    values: tuple[object, ...] = (),
) -> tuple[str, tuple[object, ...]]:
    """The query for names in ``rows`` of runs that are there, each with what ``more`` says of it."""
    following = f"SELECT min({column}) FROM {rows} WHERE project = ? AND {column} > n.name"
    of_some = (
        f"SELECT 1 FROM {rows} l CROSS JOIN runs r"
        f" WHERE r.id = l.run AND l.project = ? AND l.{column} = n.name AND {_IS_THERE} LIMIT 1"
    )
    has_part = connection.dialect.contains.format("lower(name)")
    query = (
        f"WITH RECURSIVE n (name) AS (SELECT min({column}) FROM {rows} WHERE project = ?"
        f" UNION ALL SELECT ({following}) FROM n WHERE n.name IS NOT NULL)"
        f" SELECT name, {more} FROM n WHERE {has_part}"
        f" AND substr(name, 1, {len(_OWN)}) <> '{_OWN}' AND ({of_some}) = 1 LIMIT ?"
    )
    # "lower" knows the letters of ASCII alone, as bytes do.
    lowered = part.encode().lower().decode()
    return query, (project_id, project_id, *values, lowered, project_id, project_id, limit)


def _fresh_metrics(connection: Connection, project_id: int, left: Unfilled | None) -> dict[str, int]:
    """Metrics, and their kinds, of the newest runs that are not in ``lasts`` yet."""
    found: dict[str, int] = {}
    for run, packed in unpacked(connection, project_id, _NEWEST_RUNS, _LOG_BYTES_MAX):
        for _, records in log_rows(connection, run, packed):
            for name, kind in _logged(records):
                found[name] = found.get(name, 0) | kind
    if left is not None:
        rows = f"SELECT s.name, s.low, cell_of({LAST_OF_SERIES}) AS last FROM series s WHERE s.run = ? AND s.count > 0"
        series = f"SELECT name, {_KIND} FROM ({rows}) GROUP BY name"
        for run in _newest_unfilled(connection, project_id, left):
            for name, kind in connection.execute(series, (*map(connection.cell, _OF_KIND), run)):
                found[name] = found.get(name, 0) | kind
    return found


def _logged(records: Range) -> Iterator[tuple[str, int]]:
    """Names in a log row, each with a kind that it has there."""
    for key in set(words_of(records.slots)[3::_KEY_WORDS]):
        yield records.names[key & 0xFFFF_FFFF], _OTHERS if key >> 48 == slot.KIND_JSON else _NUMBERS


def _fresh_entries(connection: Connection, project_id: int, left: Unfilled | None) -> set[str]:
    """Config entries of the newest runs that are not in ``configs`` yet."""
    found = set[str]()
    for run in () if left is None else _newest_unfilled(connection, project_id, left):
        rows = connection.execute("SELECT key, value FROM config WHERE run = ? AND value IS NOT NULL", (run,))
        for key, text in rows:
            found.update(entries_of(key, text))
    return found


def _newest_unfilled(connection: Connection, project_id: int, left: Unfilled) -> list[int]:
    query = f"SELECT r.id FROM runs r WHERE {_IS_THERE} AND r.id >= ? AND r.id < ? ORDER BY r.id DESC LIMIT ?"
    return [run for (run,) in connection.execute(query, (project_id, *left, _NEWEST_RUNS)).fetchall()]
