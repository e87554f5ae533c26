"""A PATCH of a run: its fields, which count over what is there (``run_changes``), and its status.

- A request with a status or an end in it carries the generation of whoever sends it. Of an earlier one it changes
  nothing, nor without a number once there is a second (``generations``).
- ``ended`` comes with the status. Where nobody has told it, CRASHED, which another process says of one that was killed,
  sets it to the last sign of life of that; any other status that ends the run sets it to now, and RUNNING clears it.
"""

from __future__ import annotations

from collections.abc import Mapping

from steplog.server.sql import generations, runs
from steplog.server.sql.connection import Connection
from steplog.server.sql.run_changes import set_fields
from steplog.server.store_types import RunRow

__all__ = ["edit"]


def edit(
    connection: Connection,
    run_id: int,
    values: Mapping[str, str | None],
    status: str | None = None,
    generation: int | None = None,
) -> RunRow:
    """Set fields (``run_fields.field_value``) and the status; the run as it is then. Raises MissingError."""
    run = runs.by_id(connection, run_id)
    if (status is not None or "ended" in values) and not generations.counts(run, generation):
        return run
    if status == "RUNNING":
        values = {"ended": None} | dict(values)
    set_fields(connection, run_id, values, run.generation)
    now = runs.now_text()
    if status is not None and status != "RUNNING":
        # Not as a field: what the run itself says of its end counts, also when it comes later.
        ended = (_last_sign(runs.by_id(connection, run_id)) if status == "CRASHED" else None) or now
        connection.execute("UPDATE runs SET ended = coalesce(ended, ?) WHERE id = ?", (ended, run_id))
    connection.execute(
        "UPDATE runs SET status = coalesce(?, status), date_updated = ? WHERE id = ?", (status, now, run_id)
    )
    runs.note_seen(connection, run_id, now)
    return runs.by_id(connection, run_id)


def _last_sign(run: RunRow) -> str | None:
    """When the present owner was last known to live: its start, or what it logged last."""
    return max(filter(None, (run.last_point, run.started, run.generation_began)), default=None)
