"""Statements in the words of PostgreSQL.

Its JSON has no NUL. In a tag it is the two code points that ``texts`` makes of it; in the name of a reason in a report,
which is not looked at here, it is left out.
"""

# ruff: noqa: S608 - constants

from __future__ import annotations

from steplog.server.sql.dialect import Dialect

__all__ = ["POSTGRESQL"]

_NUL = r"'(?<!\\)((?:\\\\)*)\\u0000', '\1\\udbff\\udfff\\udbff\\udffe', 'g'"
_TAGS = r"""
json_array_elements_text(
    CASE WHEN strpos({0}, '\u0000') > 0 THEN regexp_replace({0}, NUL) ELSE {0} END::json
) AS tags (value)
""".replace("NUL", _NUL)
_REPORT = r"replace(replace({0}, '\\', ''), '\u0000', '')::json AS report"
_REPORTED = "(report ->> '{0}')::numeric".format

POSTGRESQL = Dialect(
    kind=None,
    contains="strpos({0}, ?) > 0",
    cell_contains="({0}).kind = 1 AND position((?).words IN ({0}).words) > 0",
    texts=_TAGS,
    joined="string_agg({0}, '\n')",
    seconds="extract(epoch FROM ({1})::timestamp - ({0})::timestamp)",
    lost=(
        f"(SELECT {_REPORTED('abandoned')} + {_REPORTED('rejected')}"
        " + coalesce((SELECT sum(value::numeric) FROM json_each_text(report -> 'dropped')), 0)"
        f" + coalesce({_REPORTED('lost')}, 'Infinity') FROM (SELECT {_REPORT}) AS of_run WHERE {{0}} IS NOT NULL)"
    ),
    unfilled=None,
    count_pack="INSERT INTO changes (project, part, number) VALUES (?, 'packs', 1)",
)
