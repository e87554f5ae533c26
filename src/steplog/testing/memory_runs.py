"""Runs as the server in memory keeps them, and as its answers describe them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

__all__ = ["MemoryRun", "Row", "shown_project", "shown_row", "shown_run"]

_DATE = "2026-01-01T00:00:00Z"


class Row(NamedTuple):
    """One metric; on the batch path also who wrote it and where in its journal."""

    name: str
    value: Any
    step: int
    writer: str = ""
    position: int = -1


@dataclass
class MemoryRun:
    """A run on the server; ``statuses`` are those it was given by PATCH, in order."""

    uuid: str
    name: str
    namespace: str
    project: str
    description: str = ""
    status: str = "RUNNING"
    rows: list[Row] = field(default_factory=list)
    marks: dict[str, int] = field(default_factory=dict)
    statuses: list[str] = field(default_factory=list)
    next_steps: dict[str, int] = field(default_factory=dict)

    def copy(self) -> MemoryRun:
        """The run as it is now."""
        return replace(
            self,
            rows=list(self.rows),
            marks=dict(self.marks),
            statuses=list(self.statuses),
            next_steps=dict(self.next_steps),
        )

    def add(self, name: str, value: Any, step: int | None, writer: str = "", position: int = -1) -> Row:
        """Store one metric; without a step it gets the next one of its name."""
        number = self.next_steps.get(name, 0) if step is None else step
        self.next_steps[name] = max(self.next_steps.get(name, 0), number + 1)
        row = Row(name, value, number, writer, position)
        self.rows.append(row)
        return row


def shown_project(namespace: str, slug: str, name: str) -> dict[str, Any]:
    """A project, as an answer describes it."""
    return {
        "uuid": f"{namespace}/{slug}",
        "display_name": name,
        "slug": slug,
        "date_created": _DATE,
        "last_run_date": None,
        "visibility": "RESTRICTED",
    }


def shown_run(run: MemoryRun) -> dict[str, Any]:
    """A run, as an answer describes it."""
    return {
        "uuid": run.uuid,
        "name": run.name,
        "description": run.description,
        "status": run.status,
        "date_created": _DATE,
        "date_updated": _DATE,
        "project": {"uuid": run.project, "display_name": run.project, "slug": run.project},
        "user": {"uuid": "1", "username": run.namespace, "slug": run.namespace},
    }


def shown_row(row: Row) -> dict[str, Any]:
    """A metric, as an answer lists it; what JSON has no number for is a string."""
    value = row.value
    if isinstance(value, float) and not math.isfinite(value):
        value = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return {"name": row.name, "value": value, "step": row.step}
