"""Statements in the words of SQLite."""

# ruff: noqa: S608 - constants

from __future__ import annotations

from steplog.server.sql.dialect import Dialect

__all__ = ["SQLITE"]

_MICROSECONDS = "(strftime('%s', substr({0}, 1, 19)) * 1000000 + substr({0}, 21, 6))"
_REPORTED = "json_extract({{0}}, '$.{0}')".format

SQLITE = Dialect(
    kind="({0} >= '') + ({0} >= x'')",
    contains="instr({0}, ?) > 0",
    cell_contains="typeof({0}) = 'text' AND instr({0}, ?) > 0",
    texts="json_each({0})",
    joined="group_concat({0}, '\n')",
    seconds=f"({_MICROSECONDS.format('{1}')} - {_MICROSECONDS.format('{0}')}) / 1e6",
    lost=(
        f"CASE WHEN {{0}} IS NOT NULL THEN {_REPORTED('abandoned')} + {_REPORTED('rejected')}"
        " + coalesce((SELECT sum(value) FROM json_each({0}, '$.dropped')), 0)"
        f" + coalesce({_REPORTED('lost')}, 9e999) END"
    ),
    unfilled='SELECT first, "end" FROM filling',
    count_pack="UPDATE projects SET packs = packs + 1 WHERE id = ?",
)
