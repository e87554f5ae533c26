"""``python -m tests.crash``: the long forms of the crash tests. Ends with 1 when anything is amiss.

--kills N        SIGKILL at random points and at random instructions of each phase, N that count
--macos N        the same, where this Linux looks like macOS (tests/macos)
--files N        SIGKILL at random points of programs that log and save files, and of their server, N that count
--system-calls   SIGKILL at each system call of a small run (needs strace)
--power-cuts N   an ext4 image, cut off N times while a run spools to it (needs root and loop devices)
--seed N         draws the moments from N; without it, from the clock
--jobs N         episodes side by side
--life S         how long a victim may log
--keep DIR       copies of what was on disk and in memory when something is amiss
--no-results     do not append the outcome to tests/crash/results.jsonl
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "src")]

from crash import power_cuts, system_calls  # noqa: E402 - where to find it is known only now
from crash.figures import figures  # noqa: E402
from crash.file_kills import FileKills  # noqa: E402
from crash.series import Series, write_down  # noqa: E402
from macos import mac  # noqa: E402
from server.process import ServerProcess  # noqa: E402

Outcome = tuple[dict[str, Any], list[str]]


def kills(chosen: argparse.Namespace, directory: Path) -> Outcome:
    return _killed(Series(chosen.kills, chosen.seed, chosen.jobs, chosen.life, chosen.keep), directory)


def macos(chosen: argparse.Namespace, directory: Path) -> Outcome:
    given = chosen.macos, chosen.seed, chosen.jobs, chosen.life, chosen.keep
    return _killed(Series(*given, machine=mac.places), directory)


def _killed(series: Series, directory: Path) -> Outcome:
    series.run(directory, say=True)
    print(series.table())
    return series.summary(), series.wrong + [f"too few kills: {cell}" for cell in series.thin()]


def files(chosen: argparse.Namespace, directory: Path) -> Outcome:
    series = FileKills(chosen.files, chosen.seed, life_s=chosen.life)
    series.run(directory, say=True)
    return series.summary(), series.amiss


def at_system_calls(chosen: argparse.Namespace, directory: Path) -> Outcome:
    if reason := system_calls.why_not():
        print(f"SKIPPED kills at system calls: {reason}")
        return {}, []
    with ServerProcess(directory, "--user", "team", "--allow-host", "127.0.0.1") as server:
        summary = system_calls.kill_at_all(server, chosen.seed, chosen.jobs, say=True, keep=chosen.keep)
    amiss = summary.pop("amiss")
    return summary, amiss


def power(chosen: argparse.Namespace, directory: Path) -> Outcome:
    if reason := power_cuts.why_not():
        print(f"SKIPPED power cuts: {reason}")
        return {}, []
    with ServerProcess(directory, "--user", "team", "--allow-host", "127.0.0.1") as server:
        cuts = power_cuts.cut_power(server, chosen.power_cuts, chosen.seed, say=True)
    return vars(cuts) | {"amiss": len(cuts.amiss)}, cuts.amiss


def measured(chosen: argparse.Namespace, directory: Path) -> Outcome:
    with ServerProcess(directory, "--user", "team", "--allow-host", "127.0.0.1") as server:
        found = figures(server)
    return found, [f"lost {found['lost']}"] if found["lost"] else []


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--macos", type=int, default=0)
    parser.add_argument("--files", type=int, default=0)
    parser.add_argument("--system-calls", action="store_true")
    parser.add_argument("--power-cuts", type=int, default=0)
    parser.add_argument("--figures", action="store_true")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--life", type=float, default=1.2)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--no-results", action="store_true")
    chosen = parser.parse_args()
    wanted = {
        "kills": chosen.kills and kills,
        "kills on macOS": chosen.macos and macos,
        "files": chosen.files and files,
        "system calls": chosen.system_calls and at_system_calls,
        "power cuts": chosen.power_cuts and power,
        "figures": chosen.figures and measured,
    }
    amiss: list[str] = []
    for kind, work in wanted.items():
        if not work:
            continue
        with tempfile.TemporaryDirectory(prefix="steplog-crash-") as directory:
            began = time.monotonic()
            summary, found = work(chosen, Path(directory))
            print(json.dumps(summary))
            amiss += found
            if summary and not chosen.no_results:
                write_down(kind, chosen.seed, summary, Path(directory), time.monotonic() - began)
    for text in amiss:
        print("AMISS", text)
    return 1 if amiss else 0


if __name__ == "__main__":
    sys.exit(main())
