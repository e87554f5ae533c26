"""Puts what was measured into a page: between ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->``, nothing else.

The regions are ``figures``, ``peers`` and ``summary``; a page has those that it wants. What was never measured leaves
its region as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from benchmarks.figure import Figure, as_table, short
from benchmarks.groups import CHAPTERS, GROUPS
from benchmarks.peers import report
from benchmarks.results import Results

__all__ = ["chapters", "costs", "filled", "measured", "regions", "summary"]

SUMMARY = {  # group, the beginning of the figure's name: words and unit
    ("log_cost", "log() c, 1 a step"): ("`log()` of one float, median", "× `deque.append` in a method"),
    ("tails", "log() c, server hanging"): ("`log()` while the server hangs, p99.9", "µs above an empty function"),
    (report.GROUP, "log() of 1, the fastest that keeps all"): (
        "the fastest other logger that survives SIGKILL",
        "× ours",
    ),
    ("throughput", "metrics a second"): ("into the embedded server", "thousand metrics a second"),
}


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


def regions(results: Results) -> dict[str, str]:
    """What there is to fill into a page."""
    found = {}
    if results.groups():
        found["figures"] = "\n\n".join(chapters(results))
    if results.peers:
        against = as_table(results.peer_figures())
        tables = report.as_tables(results.peers["rounds"])
        where = f"`python -m benchmarks --peers`{_duration(', ', results.peers['took_s'])}."
        found["peers"] = f"{where} {measured(results.peers['run'])}\n\n{against}\n\n{tables}"
    if lines := summary(results):
        found["summary"] = lines
    return found


def chapters(results: Results, level: int = 2) -> Iterator[str]:
    """Headings and tables, a table a group; of when and what it was measured, once where it is all the same."""
    groups = results.groups()
    said = {measured(results.run(group)) for group in groups}
    if len(said) == 1:
        yield from said
    for chapter in CHAPTERS:
        of_chapter = [group for group in groups if GROUPS[group].chapter == chapter]
        if of_chapter:
            yield f"{'#' * level} {chapter}"
        for group in of_chapter:
            yield f"{'#' * (level + 1)} {GROUPS[group].heading}"
            where = "" if len(said) == 1 else f" {measured(results.run(group))}"
            yield GROUPS[group].about
            yield f"`python -m benchmarks {group}`{_duration(', ', results.took_s(group))}.{where}"
            yield as_table(results.figures(group))


def _duration(before: str, seconds: float | None) -> str:
    if seconds is None:
        return ""
    return before + (f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min")


def measured(run: Mapping[str, str]) -> str:
    """Where, when and what was measured, as a page says it."""
    quick = ", with `--quick`" if run.get("quick") else ""
    return f"{run['machine']}. Measured {run['date']}{quick}, steplog {run['steplog']}, commit {run['commit']}."


def summary(results: Results) -> str:
    """Four lines, for the README; nothing where none of them was measured."""
    lines, runs = ["| | |", "|---|---|"], dict[str, None]()
    for (group, begin), (words, unit) in SUMMARY.items():
        peers = group == report.GROUP
        figure = _first(results.peer_figures() if peers else results.figures(group), begin)
        if figure is not None:
            lines.append(f"| {words} | {short(figure.value)} {unit} |")
            runs[measured(results.peers["run"] if peers else results.run(group))] = None
    return "\n".join([*lines, "", *runs]) if runs else ""


def _first(figures: Iterable[Figure], begin: str) -> Figure | None:
    return next((each for each in figures if each.name.startswith(begin) and each.value is not None), None)


def costs(results: Results) -> dict[str, float]:
    """The median call with one value in µs, of the peers, or of ours beside its controls: for the chart."""
    if results.peers:
        rows = results.peers["rows"]
        return {name: row["p50_1"]["median"] for name, row in rows.items() if "p50_1" in row}
    return {name: ns / 1000 for figure in results.figures("log_cost") for name, ns in figure.beside.items()}
