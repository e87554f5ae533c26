"""``python -m tests.crash --kills N``: the long form of the crash tests. Ends with 1 when anything is amiss.

--kills N        SIGKILL at random points and at random instructions of each phase, N that count
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

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "src")]

from crash.series import Series, timed, write_down  # noqa: E402 - where to find it is known only now


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--life", type=float, default=1.2)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--no-results", action="store_true")
    chosen = parser.parse_args()
    amiss = False
    with tempfile.TemporaryDirectory(prefix="steplog-crash-") as directory:
        if chosen.kills:
            series = Series(chosen.kills, chosen.seed, chosen.jobs, chosen.life, chosen.keep)
            seconds = timed(series, Path(directory), say=True)
            summary = series.summary()
            print(series.table())
            print(json.dumps(summary))
            for text in series.wrong:
                print("AMISS", text)
            for cell in series.thin():
                print(f"too few kills: {cell}")
            if not chosen.no_results:
                write_down("kills", chosen.seed, summary, Path(directory), seconds)
            amiss = bool(series.wrong)
    return 1 if amiss else 0


if __name__ == "__main__":
    sys.exit(main())
