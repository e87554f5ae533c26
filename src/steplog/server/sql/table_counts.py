"""How many runs a table has, counted again only where what the conditions are about has changed (see versions).

The page asks with each poll. While runs log, their points change the table, but seldom how many runs there are.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from steplog.filters import Condition
from steplog.server.sql import table_query
from steplog.server.sql.connection import Connection
from steplog.server.sql.versions import Versions
from steplog.server.store_types import TablePage, TableQuery

__all__ = ["TableCounts"]

_KEPT_MAX = 1000


class TableCounts:
    """The counts of this process's tables."""

    def __init__(self, versions: Versions) -> None:
        self._versions = versions
        self._kept: dict[tuple[int, Sequence[Condition]], tuple[str, int]] = {}

    def page(self, connection: Connection, project_id: int, query: TableQuery) -> TablePage:
        """See ``table_query.page``."""
        if not query.counted:
            return table_query.page(connection, project_id, query)
        conditions = tuple(query.conditions)
        version = self._versions.of_table(connection, project_id, [each.field for each in conditions])
        kept = self._kept.get((project_id, conditions))
        if kept is not None and kept[0] == version:
            page = table_query.page(connection, project_id, msgspec.structs.replace(query, counted=False))
            return msgspec.structs.replace(page, count=kept[1])
        page = table_query.page(connection, project_id, query)
        if version is not None and page.count is not None:
            if len(self._kept) >= _KEPT_MAX:
                self._kept.clear()
            self._kept[project_id, conditions] = version, page.count
        return page
