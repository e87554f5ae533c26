"""From the address to the charts: how long it takes until all charts in view are drawn, beside other dashboards.

Each is filled with the same values, shows all runs, and is visited in turn by the same browser, its cache empty, then
again with what it keeps. How "drawn" is judged, alike for all, is in ``page_drawing``.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figure import Figure, over, quantile
from benchmarks.page_peers import DASHBOARDS, Size

from benchmarks.page_drawing import Drawn, WatchingBrowser, draw  # isort: skip - finds the tests' browser by the one above
from benchmarks.stage import Stage

__all__ = ["figures"]

GROUP = "page_load"
DEADLINE_S = 150.0
KIB = 1024


def figures(stage: Stage) -> Iterator[Figure]:
    """Ours in shares of the others', then what each visit costs."""
    size = Size(60, 40, 1000) if not stage.quick else Size(20, 12, 300)
    rounds = stage.pick(7, 3)
    with contextlib.ExitStack() as stack:
        urls, missing = _served(stage, size, stack)
        browser = stack.enter_context(WatchingBrowser(stage.new_directory()))
        cold: dict[str, list[Drawn]] = {name: [] for name in urls}
        warm: dict[str, list[Drawn]] = {name: [] for name in urls}
        for number in range(rounds):
            for name in list(urls):
                picture = stage.directory / f"{name}.png"
                try:
                    for visits, empty in ((cold, True), (warm, False)):
                        visits[name].append(_visit(browser, urls, name, empty, picture))
                except TimeoutError as error:
                    missing[name] = f"{error}"
                    del urls[name]
                    break
            print(f"  page_load: {number + 1} of {rounds} rounds", file=sys.stderr)
    for words, visits in (("the first visit", cold), ("the next", warm)):
        yield from _told(size, words, {name: each for name, each in visits.items() if name not in missing})
    for name, why in missing.items():
        yield Figure(group=GROUP, name=f"{name}, {size}", unit="ms", value=None, note=why)


def _visit(browser: WatchingBrowser, urls: dict[str, str], name: str, cold: bool, picture: Path) -> Drawn:
    return draw(browser, urls[name], DASHBOARDS[name].script, cold=cold, deadline_s=DEADLINE_S, picture=picture)


def _served(stage: Stage, size: Size, stack: contextlib.ExitStack) -> tuple[dict[str, str], dict[str, str]]:
    """The URLs of those that are installed, and why others are not there."""
    urls, missing = {}, {}
    for name, dashboard in DASHBOARDS.items():
        try:
            urls[name] = stack.enter_context(dashboard.serve(stage, size, dashboard.python(stage, name)))
        except (OSError, RuntimeError) as error:
            missing[name] = str(error)[-200:]
    return urls, missing


def _told(size: Size, words: str, visits: dict[str, list[Drawn]]) -> Iterator[Figure]:
    ours = [each.ms for each in visits.get("steplog", [])]
    for name, found in visits.items():
        last = found[-1]
        received = quantile([each.received_bytes for each in found], 0.5)
        note = f"{last.charts} charts in view, {last.requests} requests, heap {last.heap_bytes / KIB / KIB:.0f} MiB"
        took = [each.ms for each in found]
        yield over(took, group=GROUP, name=f"{name}, {words}, {size}", unit="ms", note=note)
        must = 1.5e6 if name == "steplog" else None
        yield Figure(group=GROUP, name=f"{name}, {words}, bytes received", unit="B", value=received, must=must)
        if name != "steplog" and ours:
            shares = [a / b for a, b in zip(ours, took, strict=True)]
            must, reach = (0.2, 0.1) if name == "tensorboard" else (None, None)
            yield over(shares, group=GROUP, name=f"steplog, {words}", unit=f"× {name}", must=must, reach=reach)
