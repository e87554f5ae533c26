"""Applies what records and requests say about a run (``run_fields``) to the tables ``runs``, ``fields`` and ``config``.

- A change counts if its order is greater than that of what is there, whenever it arrives.
- What is set at the server itself (a PATCH, a single metric) counts over what is there.
- A name that another run of the project has gets a suffix.
- A config has at most ``CONFIG_KEYS_MAX`` keys and ``CONFIG_BYTES_MAX``, the first by name. ``CONFIG_KEYS_KEPT`` are
  kept, removed ones included, so that the others are counted.
- A change of one key costs one row, however large the config.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from itertools import islice

import msgspec
from slugify import slugify

from steplog.records.run_fields import CONFIG_KEYS_KEPT, CONFIG_KEYS_MAX, Order, merge, order_now
from steplog.server.sql import runs, table
from steplog.server.sql.connection import NO_LIMIT, Connection
from steplog.server.store_types import RunConfig

__all__ = ["CONFIG_BYTES_MAX", "PUT_FIELD", "apply_config", "apply_fields", "configs", "set_config", "set_fields"]

CONFIG_BYTES_MAX = 1024 * 1024  # of keys and values
_LIST_BYTES_MAX = 8 * CONFIG_BYTES_MAX
_FIELD_ORDERS = "SELECT field, generation, time, writer, position FROM fields WHERE run = ?"
_KEY_ORDER = "SELECT generation, time, writer, position FROM config WHERE run = ? AND key = ?"
PUT_FIELD = """
INSERT INTO fields (run, field, generation, time, writer, position) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (run, field) DO UPDATE SET generation = excluded.generation, time = excluded.time,
    writer = excluded.writer, position = excluded.position
"""
_PUT_KEY = """
INSERT INTO config (run, key, value, generation, time, writer, position) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (run, key) DO UPDATE SET value = excluded.value, generation = excluded.generation, time = excluded.time,
    writer = excluded.writer, position = excluded.position
WHERE (excluded.generation, excluded.time, excluded.writer, excluded.position)
    > (config.generation, config.time, config.writer, config.position)
"""
_COUNT_FROM = "SELECT count(*) FROM config WHERE run = ? AND key >= ? AND value IS NOT NULL"
_KEYS_BEYOND = "SELECT key, value FROM config WHERE run = ? ORDER BY key LIMIT ? OFFSET ?"
_KEYS_A_QUERY = 500
_RUNS_A_QUERY = 100


def apply_fields(connection: Connection, run_id: int, changes: Sequence[tuple[str, Order, str | None]]) -> None:
    """Set the fields whose change counts, and the run's date of change."""
    counting = merge(_field_orders(connection, run_id), changes)
    if not counting:
        return
    connection.executemany(PUT_FIELD, [(run_id, field, *order) for field, (order, _) in counting.items()])
    values = {field: value for field, (_, value) in counting.items()} | {"date_updated": runs.now_text()}
    if values.get("name"):
        project_id, old = connection.execute("SELECT project, name FROM runs WHERE id = ?", (run_id,)).fetchone()
        name = runs.free_name(connection, project_id, str(values["name"]), run_id)
        if name != old:
            runs.release_name(connection, project_id, old)
        values |= {"name": name, "slug": slugify(name)}
    columns = ", ".join(f'"{field}" = ?' for field in values)  # names of FIELDS, and of other columns
    connection.execute(f"UPDATE runs SET {columns} WHERE id = ?", (*values.values(), run_id))  # noqa: S608


def set_fields(connection: Connection, run_id: int, values: Mapping[str, str | None], generation: int) -> None:
    """Set fields now, in the run's present generation."""
    present, now_ns = _field_orders(connection, run_id), time.time_ns()
    orders = {field: order_now(present.get(field), generation, now_ns) for field in values}
    apply_fields(connection, run_id, [(field, orders[field], value) for field, value in values.items()])


def set_config(
    connection: Connection, run_id: int, values: Mapping[str, str | None], generation: int, rows: int | None
) -> int:
    """Set config keys now, in the run's present generation; see ``apply_config``."""
    changes, now_ns = [], time.time_ns()
    for key, value in values.items():
        row = connection.execute(_KEY_ORDER, (run_id, key)).fetchone()
        changes.append((key, order_now(Order(*row) if row else None, generation, now_ns), value))
    return apply_config(connection, run_id, changes, rows)


def apply_config(
    connection: Connection, run_id: int, changes: Sequence[tuple[str, Order, str | None]], rows: int | None
) -> int:
    """Set the config keys whose change counts.

    ``rows`` is what the last call returned, None if unknown: at least the number of keys that are kept.
    """
    keys = {key for key, _, _ in changes}
    before = _values(connection, run_id, keys)
    connection.executemany(_PUT_KEY, [(run_id, key, value, *order) for key, order, value in changes])
    table.put_entries(connection, run_id, before, _values(connection, run_id, keys))
    if rows is not None and rows + len(changes) <= CONFIG_KEYS_KEPT + CONFIG_KEYS_MAX:
        return rows + len(changes)
    cut = connection.execute(_KEYS_BEYOND, (run_id, NO_LIMIT, CONFIG_KEYS_KEPT)).fetchall()
    table.put_entries(connection, run_id, dict(cut), {key: None for key, _ in cut})
    connection.executemany("DELETE FROM config WHERE run = ? AND key = ?", [(run_id, key) for key, _ in cut])
    return int(connection.execute("SELECT count(*) FROM config WHERE run = ?", (run_id,)).fetchone()[0])


def configs(connection: Connection, run_ids: Sequence[int]) -> dict[int, RunConfig]:
    """The config of each of these runs; of all together at most ``_LIST_BYTES_MAX``, the newest runs first."""
    found = {run_id: RunConfig({}) for run_id in run_ids}
    left, left_bytes = sorted(found, reverse=True), _LIST_BYTES_MAX
    while left:
        some = left[:_RUNS_A_QUERY]
        read, left_bytes = _read_configs(connection, some, found, left_bytes)
        left = left[read:]
    return found


def _read_configs(
    connection: Connection, run_ids: Sequence[int], found: Mapping[int, RunConfig], left_bytes: int
) -> tuple[int, int]:
    """Read the configs of some runs, up to one that is cut: how many, and how many bytes are left."""
    marks = ", ".join("?" * len(run_ids))
    query = f"SELECT run, key, value FROM config WHERE run IN ({marks}) AND value IS NOT NULL ORDER BY run DESC, key"  # noqa: S608
    config, at, size_bytes, bytes_max = RunConfig({}), -1, 0, 0
    with closing(connection.execute(query, run_ids)) as rows:
        for run_id, key, text in rows:
            if at < 0 or run_id != run_ids[at]:
                left_bytes -= size_bytes
                at, config = run_ids.index(run_id, at + 1), found[run_id]
                size_bytes, bytes_max = 0, min(left_bytes, CONFIG_BYTES_MAX)
            value = text.encode()
            size_bytes += len(key.encode()) + len(value)
            if len(config.values) == CONFIG_KEYS_MAX or size_bytes > bytes_max:
                # Counted without being read: the rest may be large.
                config.omitted = connection.execute(_COUNT_FROM, (run_id, key)).fetchone()[0]
                return at + 1, left_bytes - min(size_bytes, bytes_max)
            config.values[key] = msgspec.Raw(value)
    return len(run_ids), left_bytes - size_bytes


def _values(connection: Connection, run_id: int, keys: Collection[str]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    left = iter(keys)
    while some := list(islice(left, _KEYS_A_QUERY)):
        marks = ", ".join("?" * len(some))
        query = f"SELECT key, value FROM config WHERE run = ? AND key IN ({marks})"  # noqa: S608 - question marks
        found |= dict(connection.execute(query, (run_id, *some)))
    return found


def _field_orders(connection: Connection, run_id: int) -> dict[str, Order]:
    return {field: Order(*order) for field, *order in connection.execute(_FIELD_ORDERS, (run_id,))}
