"""The long runs in ``results.jsonl`` as docs/guarantees.md publishes them: every one of them, and their sum.

A line is written where a run ends, also where something was not stored once. One that says ``amiss`` without saying
``why`` is an error.
"""

from __future__ import annotations

import json
from typing import Any

__all__ = ["published"]

_HEAD = ("day", "commit", "disturbed by", "points", "ranges", "kills", "lost or twice")


def published(results: str) -> str:
    """The sum and the table of all runs, from the text of ``results.jsonl``."""
    runs = [json.loads(line) for line in results.splitlines()]
    for run in runs:
        if run["amiss"] and not run.get("why"):
            raise ValueError(f"{run['disturbed by']}, seed {run['seed']}: its line does not say why it went wrong")
    points, ranges, kills = (sum(run[name] for run in runs) for name in ("points", "ranges", "kills"))
    amiss = sum(run["amiss"] for run in runs)
    notes = [run["why"] for run in runs if run["amiss"]]
    lines = [
        f"{points:,} points in {ranges:,} acknowledged ranges, {kills:,} kills: {amiss} of {len(runs)} runs amiss.",
        "",
        f"| {' | '.join(_HEAD)} |",
        f"| {' | '.join(['---'] * len(_HEAD))} |",
        *(f"| {' | '.join(_row(run, notes))} |" for run in runs),
        *(("", *(f"{number}. {why}." for number, why in enumerate(notes, 1))) if notes else ()),
        "",
        *dict.fromkeys(f"{run['machine']}, Linux {run['kernel']}, Python {run['python']}." for run in runs),
    ]
    return "\n".join(lines) + "\n"


def _row(run: dict[str, Any], notes: list[str]) -> tuple[str, ...]:
    commit = f"`{run['commit'][:7]}{'+' * run['commit'].endswith('+')}`"
    counts = (f"{run[name]:,}" for name in ("points", "ranges", "kills"))
    outcome = f"yes ({notes.index(run['why']) + 1})" if run["amiss"] else "none"
    return run["time"][:10], commit, run["disturbed by"], *counts, outcome
