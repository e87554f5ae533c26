"""The command: runs the groups that were asked for, prints one table, writes JSON and a chart."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks import chart
from benchmarks.figure import Figure, as_json, as_table
from benchmarks.peers import measure
from benchmarks.peers.adapters import PEERS
from benchmarks.stage import Stage

GROUPS = (
    "log_cost",
    "tails",
    "slices",
    "loop_tax",
    "throughput",
    "stock",
    "size",
    "memory",
    "startup",
    "growth",
    "reading",
)
HERE = Path(__file__).resolve().parent


def main() -> int:
    """0 when everything was measured and every ``must`` is met."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Every figure, beside what it is compared with."
    )
    parser.add_argument("groups", nargs="*", help=f"some of {' '.join(GROUPS)}")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and smaller sizes: two minutes")
    parser.add_argument(
        "--peers", nargs="?", const="", metavar="DIR", help="the peers too; they are installed below DIR"
    )
    parser.add_argument(
        "--python", action="append", default=[], help="another interpreter for log_cost; may be repeated"
    )
    parser.add_argument("--out", type=Path, default=HERE / "out", help="where figures.json and log.svg go")
    options = parser.parse_args()
    if wrong := set(options.groups) - set(GROUPS):
        parser.error(f"no such group: {', '.join(sorted(wrong))}")
    chosen = options.groups or (GROUPS if options.peers is None else ())
    machine = _machine()
    found: list[Figure] = []
    peers: dict[str, dict[str, Any]] = {}
    with Stage(options.quick) as stage:
        if options.peers is not None:
            peers = measure.rows(stage, measure.directory_of(options.peers, options.out))
            found += measure.figures(peers)
            _write(options.out, as_json(found, machine) | {"peers": peers})
        for figure in _measure(stage, chosen, options):
            found.append(figure)
            print(
                f"  {figure.name}: {'–' if figure.value is None else f'{figure.value:.3g}'} {figure.unit}",
                file=sys.stderr,
            )
            _write(options.out, as_json(found, machine) | {"peers": peers})  # so far, should it be cut short
    print("\n".join(f"{what}: {words}" for what, words in machine.items()), end="\n\n")
    print(as_table(found))
    if peers:
        print(f"\n{measure.as_table(peers)}")
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
    """``figures.json``, and ``log.svg`` where peers were measured."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "figures.json").write_text(json.dumps(told, indent=1), "utf-8")
    bars = [(name, row["p50_1"], row["ours"]) for name, row in _costs(told["peers"]).items()]
    if bars:
        title = "One log() of one scalar: the median call, back to back"
        (out / "log.svg").write_text(chart.bars(title, "µs", bars), "utf-8")


def _costs(peers: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: row | {"ours": PEERS[name].requirement is None} for name, row in peers.items() if "failed" not in row}


def _machine() -> dict[str, str]:
    processors = Path("/proc/cpuinfo").read_text().count("\nprocessor") + 1 if os.path.exists("/proc/cpuinfo") else 0
    try:
        installed = version("steplog")
    except PackageNotFoundError:
        installed = "not installed, from the sources"
    count = processors or os.cpu_count()
    return {
        "machine": f"{platform.machine()}, {count} processors, {platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "steplog": installed,
        "date": time.strftime("%Y-%m-%d"),
    }


if __name__ == "__main__":
    sys.exit(main())
