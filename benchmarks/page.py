"""Puts what was measured into a page: between ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->``, nothing else.

The regions are ``figures``, ``peers`` and ``summary``; a page has those that it wants. What one run has not measured
stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.figure import short

__all__ = ["filled", "measured", "summary"]


def filled(page: str, regions: Mapping[str, str]) -> str:
    """The page with these regions filled. Raises ValueError where it has none of them, or one without an end."""
    found = False
    for name, text in regions.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        if begin not in page:
            continue
        before, _, rest = page.partition(begin)
        _, there, after = rest.partition(end)
        if not there:
            raise ValueError(f"the page has no {end}")
        page = f"{before}{begin}\n{text.strip()}\n{end}{after}"
        found = True
    if regions and not found:
        raise ValueError(f"the page has no region of {', '.join(regions)}")
    return page


def measured(machine: Mapping[str, str]) -> str:
    """Where, when and what was measured, as a page says it."""
    return (
        f"{machine['machine']}. Measured {machine['date']}, steplog {machine['steplog']}, commit {machine['commit']}."
    )


def summary(told: Mapping[str, Any]) -> str:
    """Four lines, for the README, of what ``figures.json`` holds."""
    chosen = {
        "log() c, 1 a step, p50": ("`log()` of one float, median", "× `deque.append` in a method"),
        "log() c p99.9 above the no-op's, server hang": (
            "`log()` while the server hangs, p99.9",
            "µs above an empty function",
        ),
        "log() of 1, p50 of the peer that is fastest that survives SIGKILL": (
            "the fastest other logger that survives SIGKILL",
            "× ours",
        ),
        "metrics a second": ("into the embedded server", "thousand metrics a second"),
    }
    lines = ["| | |", "|---|---|"]
    for begin, (words, unit) in chosen.items():
        figure = next((f for f in told["figures"] if f["name"].startswith(begin) and f["value"] is not None), None)
        if figure is not None:
            lines.append(f"| {words} | {short(figure['value'])} {unit} |")
    return "\n".join([*lines, "", measured(told["machine"])])
