"""How far a project's runs, and their points, have changed, by any server."""

from __future__ import annotations

from collections.abc import Collection

from steplog.filters import Field
from steplog.server.sql.connection import Connection
from steplog.server.sql.versions import Versions

__all__ = ["SharedVersions"]


class SharedVersions(Versions):
    """The versions of all projects."""

    def of_table(self, connection: Connection, project_id: int, fields: Collection[Field]) -> str | None:
        """None: another server may have changed it."""
        return None
