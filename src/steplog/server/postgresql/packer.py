"""Which runs of a database are due for packing, and packing them, beside the servers and the packers of others."""

from __future__ import annotations

from collections.abc import Callable

import psycopg

from steplog.server.postgresql.connection import PostgresqlConnection
from steplog.server.postgresql.links import Link, conninfo_of, store_error
from steplog.server.sql.packing import pack_run

__all__ = ["Packer"]

_DUE = "SELECT run FROM progress WHERE packed < arrivals ORDER BY run"


class Packer:
    """Packs what is due in a database."""

    def __init__(self, url: str, say: Callable[[str], None]) -> None:
        """``say`` takes a line for a person. Raises ConfigurationError."""
        self._say = say
        self._link = Link(conninfo_of(url))
        self._told: set[int] = set()  # runs

    def work(self) -> bool:
        """Pack what is due. Raises StoreError."""
        try:
            connection = PostgresqlConnection(self._link.get())
            for (run_id,) in connection.execute(_DUE).fetchall():
                pack_run(connection, run_id, on_sealed=self._on_sealed)
        except psycopg.Error as error:
            self._link.close()
            raise store_error(error) from error
        return False

    def _on_sealed(self, run_id: int, records: int, error: str) -> None:
        if run_id not in self._told:
            self._told.add(run_id)
            self._say(f"{records} records of run {run_id} cannot be read ({error}); they are kept as they are")
