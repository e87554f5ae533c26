"""The rules for statements on tables of points, which one PostgreSQL does not need and a distributed one would.

A statement is judged by the plan that PostgreSQL has made of it for its values, with sequential scans out of favour:
what it reads of which table by which key, and what it writes, whatever its text looks like.

1. A table of points is read by keys that begin with the run.
2. A write is of one run, and takes nothing from other tables.
3. No statement asks tables of points and others at once: the catalogue is asked before.
4. A transaction locks runs in the order of their numbers, and reads the marks of a run that it adds to once it has
   locked it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

_SCANS = {"Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Heap Scan", "Tid Scan", "Tid Range Scan", "Sample Scan"}
_BY_RUN = re.compile(r"\brun = ")
_BY_ONE_RUN = re.compile(r"\brun = '?(\d+)'?(?:::bigint)?")
_PUTS_MARKS = ("log", "marks")

Plan = Mapping[str, Any]


class Statement(NamedTuple):
    """One that a session has executed, in a transaction of its own or with others."""

    text: str
    plan: Plan
    transaction: str


class Scan(NamedTuple):
    """How a plan reads a table, and by which condition of an index."""

    table: str
    kind: str
    key: str


def problems(statement: Statement, points: Sequence[str]) -> Iterator[str]:
    """What is wrong with a statement; ``points`` are the tables of points."""
    scans = list(_scans(statement.plan))
    writes = list(_writes(statement.plan))
    tables = {scan.table for scan in scans} | {table for table, _ in writes}
    others = tables.difference(points)
    if others and tables.intersection(points):
        yield f"asks {', '.join(sorted(others))} beside {', '.join(sorted(tables.intersection(points)))}"
    for scan in scans:
        if scan.table in points and not _BY_RUN.search(scan.key):
            yield f"reads {scan.table} without its run: {scan.kind} {scan.key}".strip()
    for table, node in writes:
        if table in points:
            yield from _problems_of_write(table, node)


def _problems_of_write(table: str, node: Plan) -> Iterator[str]:
    sources = [
        scan for below in node.get("Plans", ()) if below["Parent Relationship"] == "Outer" for scan in _scans(below)
    ]
    if node["Operation"] == "Insert":
        if sources:
            yield f"fills {table} from {', '.join(sorted({scan.table for scan in sources}))}"
    elif sources and not any(scan.table == table and _BY_ONE_RUN.search(scan.key) for scan in sources):
        yield f"writes {table} of more than one run: {'; '.join(scan.key for scan in sources)}"


def problems_of_transaction(statements: Iterable[Statement]) -> Iterator[tuple[Statement, str]]:
    """What is wrong with the order of a transaction's statements."""
    locked: list[int] = []
    early: Statement | None = None  # a look at marks before any lock
    for statement in statements:
        scans = list(_scans(statement.plan))
        if statement.plan["Node Type"] == "LockRows" and [scan.table for scan in scans] == ["progress"]:
            runs = [int(run) for scan in scans for run in _BY_ONE_RUN.findall(scan.key)]
            if len(runs) != 1:
                yield statement, "locks more than one run at a time"
            elif locked and runs[0] < max(locked):
                yield statement, f"locks run {runs[0]} after {max(locked)}"
            locked += runs
        elif not locked and any(scan.table == "marks" for scan in scans) and not list(_writes(statement.plan)):
            early = early or statement
        if any(table in _PUTS_MARKS and node["Operation"] == "Insert" for table, node in _writes(statement.plan)):
            if early is not None:
                yield early, "reads marks before it has locked the run"
            if not locked:
                yield statement, "adds to a run that it has not locked"


def _nodes(plan: Plan) -> Iterator[Plan]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from _nodes(below)


def _scans(plan: Plan) -> Iterator[Scan]:
    for node in _nodes(plan):
        if node["Node Type"] in _SCANS:
            key = str(node.get("Index Cond") or node.get("Recheck Cond") or "")
            yield Scan(str(node["Relation Name"]), str(node["Node Type"]), key)


def _writes(plan: Plan) -> Iterator[tuple[str, Plan]]:
    for node in _nodes(plan):
        if node["Node Type"] == "ModifyTable":
            yield str(node["Relation Name"]), node
