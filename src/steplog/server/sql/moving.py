"""What a database consists of, for ``server.moving``, which copies one into another.

``CATALOGUE`` is copied whole each time, ``BY_RUN`` run by run. The tables of ``BY_KEY`` have most of the bytes: a row
of them does not change without another key, size or count, so that what is there already is not copied again.
"""

from __future__ import annotations

from typing import NamedTuple

from steplog.server.sql.chunk_ids import SERIES_SHIFT

__all__ = ["BY_KEY", "BY_RUN", "CATALOGUE", "NOT_MOVED", "RunTable"]

_CHUNKS = (
    f"series s CROSS JOIN {{}} t ON t.id >= s.id << {SERIES_SHIFT} AND t.id < s.id + 1 << {SERIES_SHIFT}"
    " WHERE s.run = :run"
)


class RunTable(NamedTuple):
    """A table with rows of runs, ``t`` in its statements.

    Attributes:
        origin: where the rows of one run are in SQLite.
        key: what a row is known by in its run.
        row: where the row of a key is in SQLite.
    """

    name: str
    origin: str
    key: tuple[str, ...] = ()
    row: str = ""


def _plain(name: str, *key: str) -> RunTable:
    origin = f"{name} t WHERE t.run = :run"
    return RunTable(name, origin, key, " AND ".join((origin, *(f"t.{column} = :{column}" for column in key))))


def _of_series(name: str) -> RunTable:
    return RunTable(name, _CHUNKS.format(name), ("id",), f"{name} t WHERE t.id = :id")


# Those that others refer to come first.
CATALOGUE = (
    "users", "namespaces", "projects", "members", "keys", "sessions", "runs", "views", "suffixes", "tombstones",
    "contents", "project_contents", "content_totals", "artifacts", "artifact_files", "artifact_aliases",
    "artifact_uses",
)  # fmt: skip
BY_KEY = (
    _plain("log", "first_arrival"),
    _plain("blocks", "first_arrival"),
    _plain("sealed", "first_arrival"),
    _of_series("chunks"),
    _of_series("points"),
    RunTable(
        "summaries",
        "series s CROSS JOIN summaries t ON t.series = s.id WHERE s.run = :run",
        ("series", "level", "number"),
        "summaries t WHERE t.series = :series AND t.level = :level AND t.number = :number",
    ),
)
BY_RUN = (
    *(_plain(name) for name in ("progress", "marks", "config", "fields", "generations", "files")),
    RunTable(
        "lasts",
        "series s CROSS JOIN runs r ON r.id = s.run CROSS JOIN lasts t"
        " ON t.project = r.project AND t.name = s.name AND t.run = s.run WHERE s.run = :run",
    ),
    _plain("series"),
)
# ``configs`` is made of ``config``, what ``filling`` says is done before, and ``changes`` are those of one database.
NOT_MOVED = ("about", "configs", "filling", "changes")
