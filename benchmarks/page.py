"""Puts what was measured into a page: between ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->``, nothing else.

The regions are ``figures``, ``peers`` and ``summary``; a page has those that it wants. What one run has not measured
stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.figure import short

__all__ = ["filled", "summary"]


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


def summary(told: Mapping[str, Any]) -> str:
    """A short table, for the README, of what ``figures.json`` holds."""
    chosen = {
        "log() c, 1 a step, p50": "`log()`, compiled, against `deque.append` in a method",
        "log() pure, 1 a step, p50": "`log()`, Python alone, against the same",
        "log() c p99.9 above the no-op's, server hang": "p99.9 while the server hangs, above an empty function's",
        "log() of 1, p50 of the peer that is fastest that survives SIGKILL": "the fastest peer that survives SIGKILL",
        "metrics a second": "metrics a second into the embedded server",
        "bytes a metric on the wire": "bytes a metric on the wire",
        "init() above import requests": "`import` and `init`, above `import requests`",
    }
    lines = ["| figure | measured | beside |", "|---|---|---|"]
    for begin, words in chosen.items():
        figure = next((f for f in told["figures"] if f["name"].startswith(begin) and f["value"] is not None), None)
        if figure is not None:
            lines.append(f"| {words} | {short(figure['value'])} {figure['unit']} | {figure['note']} |")
    machine = told["machine"]
    words = [machine["machine"], f"Python {machine['python']}", machine["date"], machine["commit"]]
    lines += ["", f"{'; '.join(words)}; load {machine['load']}."]
    return "\n".join(lines)
