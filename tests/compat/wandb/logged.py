"""What a run of this process has logged, as the reading API gives it."""

from __future__ import annotations

from typing import Any

import steplog

__all__ = ["points", "rows"]

_ASIDE = ("compat/", "summary/", "system/")


def rows(run: Any) -> dict[int, dict[str, Any]]:
    """Step by step, what the script has logged."""
    table = steplog.open(run.steplog_run).history()
    found = {
        row["step"]: {
            name: value
            for name, value in row.items()
            if name not in ("step", "time") and value is not None and not name.startswith(_ASIDE)
        }
        for row in table
    }
    return {step: row for step, row in found.items() if row}


def points(run: Any, name: str) -> list[tuple[int, Any]]:
    """Every point of one metric."""
    table = steplog.open(run.steplog_run).history(name, form="long")
    return [(row["step"], row["value"] if row["json"] is None else row["json"]) for row in table]
