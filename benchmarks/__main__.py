"""The command: runs the groups that were asked for, prints one table, writes JSON, a chart, and pages that want it."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks import chart, page
from benchmarks.figure import Figure, as_json, as_table, short
from benchmarks.machine import machine_line
from benchmarks.peers import measure
from benchmarks.stage import Stage

GROUPS = (
    "log_cost",
    "tails",
    "busy_thread",
    "slices",
    "range_path",
    "loop_tax",
    "compat",
    "kept_scripts",
    "exchange",
    "throughput",
    "server_load",
    "team",
    "stock",
    "size",
    "media",
    "file_uploads",
    "file_delivery",
    "blobs",
    "memory",
    "startup",
    "growth",
    "reading",
    "export",
    "curves",
    "tables",
    "writers",
    "floods",
    "deleting",
    "team_deleting",
    "backup",
    "importing",
    "page_load",
    "page_frames",
    "page_bytes",
)
HERE = Path(__file__).resolve().parent


def main() -> int:
    """0 when everything was measured and every ``must`` is met."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Every figure, beside what it is compared with."
    )
    parser.add_argument("groups", nargs="*", help=f"some of {' '.join(GROUPS)}; or all")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and smaller sizes: ten minutes")
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
        help="fill PAGE's marked regions, and a chart",
    )
    parser.add_argument(
        "--python", action="append", default=[], help="another interpreter for log_cost; may be repeated"
    )
    parser.add_argument("--out", type=Path, default=HERE / "out", help="where figures.json and log.svg go")
    options = parser.parse_args()
    if "all" in options.groups:
        options.groups = list(GROUPS)
    if wrong := set(options.groups) - set(GROUPS):
        parser.error(f"no such group: {', '.join(sorted(wrong))}")
    options.python = [os.path.abspath(path) if os.sep in path else path for path in options.python]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers and directories go
    chosen = options.groups or (() if options.peers else GROUPS)
    machine = _machine()
    found: list[Figure] = []
    peers: dict[str, dict[str, Any]] = {}
    directory = measure.directory_of(options.peers_in, options.out)
    with Stage(options.quick, directory) as stage:
        if options.peers:
            for name, row in measure.rows(stage, directory):
                peers[name] = row
                _write(options.out, as_json(found, machine) | {"peers": peers})
            found += measure.figures(peers)
            _write(options.out, as_json(found, machine) | {"peers": peers})
        for figure in _measure(stage, chosen, options):
            found.append(figure)
            print(
                f"  {figure.name}: {short(figure.value) or '–'} {figure.unit}",
                file=sys.stderr,
            )
            _write(options.out, as_json(found, machine) | {"peers": peers})  # so far, should it be cut short
    print("\n".join(f"{what}: {words}" for what, words in machine.items()), end="\n\n")
    print(as_table(found))
    if peers:
        print(f"\n{measure.as_table(peers)}")
    for path in options.write:
        _write_page(path, as_json(found, machine) | {"peers": peers}, found)
    return int(any(figure.verdict in ("short", "not measured") for figure in found))


def _measure(stage: Stage, groups: Sequence[str], options: argparse.Namespace) -> Iterator[Figure]:
    for group in groups:
        print(f"{group} …", file=sys.stderr)
        begun = time.monotonic()
        module = importlib.import_module(f"benchmarks.{group}")
        more = {"pythons": tuple(options.python)} if group == "log_cost" else {}
        try:
            yield from module.figures(stage, **more)
        except Exception as error:  # noqa: BLE001 - one group that fails leaves the others their row
            print(f"{group} failed: {error}", file=sys.stderr)
            yield Figure(
                group=group, name="failed", unit="", value=None, note=str(error).strip().splitlines()[-1][:100]
            )
        print(f"{group} took {time.monotonic() - begun:.0f} s", file=sys.stderr)


def _write(out: Path, told: dict[str, Any]) -> None:
    """``figures.json`` and the chart."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "figures.json").write_text(json.dumps(told, indent=1), "utf-8")
    _draw(out / "log.svg", told)


def _draw(path: Path, told: dict[str, Any]) -> None:
    costs = {name: row["p50_1"] for name, row in told["peers"].items() if "p50_1" in row}
    if not costs:
        costs = {name: ns / 1000 for figure in told["figures"] for name, ns in figure["beside"].items()}
    if costs:
        bars = [(name, cost, name.startswith("steplog")) for name, cost in costs.items()]
        path.write_text(chart.bars("One log() of one scalar: the median call, back to back", "µs", bars), "utf-8")


def _write_page(path: Path, told: dict[str, Any], found: Sequence[Figure]) -> None:
    """The regions of a page that this run can fill, and the chart beside it."""
    words = page.measured(told["machine"])
    regions = {}
    ours = [figure for figure in found if figure.group != measure.GROUP]
    if ours:
        regions["figures"] = f"{words}\n\n{as_table(ours)}"
    if told["peers"]:
        against = as_table([figure for figure in found if figure.group == measure.GROUP])
        regions["peers"] = f"{words}\n\n{measure.as_table(told['peers'])}\n\n{against}"
    regions["summary"] = page.summary(told)
    text = page.filled(path.read_text("utf-8"), regions)
    path.write_text(text, "utf-8")
    if told["peers"] and path.with_suffix(".svg").name in text:
        _draw(path.with_suffix(".svg"), told)


def _machine() -> dict[str, str]:
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
    }


def _commit() -> str:
    command = ["git", "-C", str(HERE), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "no commit"


if __name__ == "__main__":
    sys.exit(main())
