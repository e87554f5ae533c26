"""Packing a run of a store now, as the packer would."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from steplog.server.postgresql.store import PostgresqlStore
from steplog.server.sql import packing
from steplog.server.sqlite.schema import connect
from steplog.server.store import Store
from steplog.server.store_types import RunRow


def pack(store: Store, run: RunRow, chunk_points: int = packing.CHUNK_POINTS) -> None:
    """Pack all of its log; a series with ``chunk_points`` goes to chunks."""
    with pytest.MonkeyPatch.context() as patch, beside(store) as connection:
        patch.setattr(packing, "CHUNK_POINTS", chunk_points)
        while packing.pack_run(connection, run.id):
            pass


def beside(store: Any) -> Any:
    """A context with a connection to what the store has open."""
    if isinstance(store, PostgresqlStore):
        return store.database.borrow()
    (_, _, path) = store.database.read(lambda connection: connection.execute("PRAGMA database_list").fetchone())
    return closing(connect(Path(path), existing=True))
