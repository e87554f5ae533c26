"""Packing a run of a store now, as the packer would."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from steplog.server.sql import packing
from steplog.server.sqlite.schema import connect
from steplog.server.sqlite.store import SqliteStore
from steplog.server.store_types import RunRow


def pack(store: SqliteStore, run: RunRow, chunk_points: int = packing.CHUNK_POINTS) -> None:
    """Pack all of its log; a series with ``chunk_points`` goes to chunks."""
    (_, _, path) = store.database.read(lambda connection: connection.execute("PRAGMA database_list").fetchone())
    with pytest.MonkeyPatch.context() as patch, closing(connect(Path(path), existing=True)) as connection:
        patch.setattr(packing, "CHUNK_POINTS", chunk_points)
        while packing.pack_run(connection, run.id):
            pass
