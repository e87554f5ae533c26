"""The command: runs the groups that were asked for, prints their tables, writes JSON, a chart, and pages."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks import chart, page
from benchmarks.figure import Figure, as_table, short
from benchmarks.groups import GROUPS, chosen
from benchmarks.machine import machine_line
from benchmarks.peers import measure, report
from benchmarks.peers.adapters import PEERS
from benchmarks.peers.environments import directory_of
from benchmarks.results import Results
from benchmarks.stage import Stage

HERE = Path(__file__).resolve().parent
BY_PYTHON = ("log_cost", "free_threading")  # groups that can be measured in another interpreter


def main() -> int:
    """0 when everything that was asked for was measured and every ``must`` is met."""
    parser = _parser()
    options = parser.parse_args()
    try:
        groups = chosen(options.groups, quick=options.quick, peers=options.peers)
    except ValueError as error:
        parser.error(f"no such group: {error}")
    options.python = [os.path.abspath(path) if os.sep in path else path for path in options.python]
    results = Results(options.out / ("quick.json" if options.quick else "figures.json"))
    found: list[Figure] = []
    if not options.only_write:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers and directories go
        run = _run(options.quick)
        with Stage(options.quick, directory_of(options.peers_in, options.out)) as stage:
            if options.peers:
                found += _peers(stage, run, results)
            for group in groups:
                begun = time.monotonic()
                figures = _measured(stage, group, options.python)
                results.put(group, run, time.monotonic() - begun, figures)
                found += figures
        _print(run, groups, results, peers=options.peers)
        _draw(options.out / "log.svg", results)
    for path in options.write:
        _write_page(path, results)
    return int(any(figure.verdict in ("short", "not measured") for figure in found))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Every figure, beside what it is compared with."
    )
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"some of {' '.join(GROUPS)}; or all")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="fewer rounds and smaller sizes; without GROUP two minutes: "
        + " ".join(name for name, group in GROUPS.items() if group.quick),
    )
    parser.add_argument("--peers", action="store_true", help="the peers; ours too only where groups are named")
    parser.add_argument(
        "--peers-in", type=Path, metavar="DIR", help="where the peers are installed; without it below benchmarks/out"
    )
    parser.add_argument(
        "--write",
        action="append",
        type=Path,
        default=[],
        metavar="PAGE",
        help="fill PAGE's marked regions, and a chart, with all that figures.json has, also of earlier runs",
    )
    parser.add_argument("--only-write", action="store_true", help="measure nothing; --write what is there")
    parser.add_argument(
        "--python",
        action="append",
        default=[],
        help=f"another interpreter for {' and '.join(BY_PYTHON)}; may be repeated",
    )
    parser.add_argument("--out", type=Path, default=HERE / "out", help="where figures.json and log.svg are")
    return parser


def _peers(stage: Stage, run: dict[str, str], results: Results) -> list[Figure]:
    """Stored after each round, so that a run that is cut short leaves something."""
    rounds: dict[str, list[dict[str, Any]]] = {}
    figures: list[Figure] = []
    begun = time.monotonic()
    for name, told in measure.rounds(stage, stage.peers):
        rounds.setdefault(name, []).append(told)
        if len(rounds) == len(PEERS) and len({len(each) for each in rounds.values()}) == 1:
            figures = list(report.figures(rounds))
            results.put_peers(run, time.monotonic() - begun, figures, report.rows(rounds), rounds)
    return figures


def _measured(stage: Stage, group: str, pythons: Sequence[str]) -> list[Figure]:
    """What a group gives; where it fails, what it gave before, and why it failed."""
    print(f"{group} …", file=sys.stderr)
    begun = time.monotonic()
    found: list[Figure] = []
    try:
        module = importlib.import_module(f"benchmarks.{group}")
        more = {"pythons": tuple(pythons)} if group in BY_PYTHON else {}
        for figure in module.figures(stage, **more):
            found.append(figure)
            print(f"  {figure.name}: {short(figure.value) or '–'} {figure.unit} {figure.verdict}", file=sys.stderr)
    except Exception as error:  # noqa: BLE001 - one group that fails leaves the others their table
        print(f"{group} failed: {error}", file=sys.stderr)
        why = (str(error).strip() or type(error).__name__).splitlines()[-1][:100]
        found.append(Figure(group=group, name="failed", unit="", value=None, note=why))
    print(f"{group} took {time.monotonic() - begun:.0f} s", file=sys.stderr)
    return found


def _print(run: dict[str, str], groups: Sequence[str], results: Results, *, peers: bool) -> None:
    print("\n".join(f"{what}: {words}" for what, words in run.items()))
    for group in groups:
        print(f"\n{group}: {GROUPS[group].heading}\n\n{as_table(results.figures(group))}")
    if peers and results.peers:
        print(f"\n{as_table(results.peer_figures())}\n\n{report.as_tables(results.peers['rounds'])}")


def _draw(path: Path, results: Results) -> None:
    if costs := page.costs(results):
        bars = [(name, cost, name.startswith("steplog")) for name, cost in costs.items()]
        path.write_text(chart.bars("One log() of one scalar: the median call, back to back", "µs", bars), "utf-8")


def _write_page(path: Path, results: Results) -> None:
    """The regions of a page that there are results for, and the chart beside it."""
    text = page.filled(path.read_text("utf-8"), page.regions(results))
    path.write_text(text, "utf-8")
    if results.peers and path.with_suffix(".svg").name in text:
        _draw(path.with_suffix(".svg"), results)


def _run(quick: bool) -> dict[str, str]:
    try:
        installed = version("steplog")
    except PackageNotFoundError:
        installed = "not installed, from the sources"
    return {
        "machine": machine_line(),
        "steplog": installed,
        "date": time.strftime("%Y-%m-%d"),
        "commit": _commit(),
        "load": f"{os.getloadavg()[0]:.1f} at the start",  # for whoever judges the run; no page has it
    } | ({"quick": "yes"} if quick else {})


def _commit() -> str:
    command = ["git", "-C", str(HERE), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "no commit"


if __name__ == "__main__":
    sys.exit(main())
