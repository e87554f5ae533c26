"""Simulated lives, many of them: ``python -m tests.simulation --seeds 100000`` from the root of the checkout.

``--seed N`` lives one again and describes it; ``--first N`` is where to begin; ``--jobs N`` processes share the work.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import pprint
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "src")]

from simulation.world import describe, live, trace  # noqa: E402


def main() -> int:
    """Live, print each seed whose life went wrong, and return 1 if there was one."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--trace", type=int, metavar="SEEDS", help="write the golden trace of so many seeds anew")
    given = parser.parse_args()
    logging.getLogger("steplog").addHandler(logging.NullHandler())
    logging.getLogger("steplog").propagate = False
    if given.trace is not None:
        first = given.trace // 10  # which every change is judged by
        parts = {"first": range(first), "others": range(first, given.trace)}
        golden = {name: [seeds.start, seeds.stop, *trace(seeds)] for name, seeds in parts.items()}
        (Path(__file__).parent / "trace.json").write_text(json.dumps(golden) + "\n")
        print(golden)
        return 0
    if given.seed is not None:
        told = describe(given.seed)
        pprint.pp(told, width=120)
        return 1 if told["violations"] else 0
    begun, failed = time.monotonic(), 0
    seeds = range(given.first, given.first + given.seeds)
    with multiprocessing.get_context("spawn").Pool(given.jobs) as pool:
        for seed, violations in zip(seeds, pool.imap(live, seeds, chunksize=50), strict=True):
            if violations:
                failed += 1
                print(f"seed {seed}: {violations[0]}\n    python -m tests.simulation --seed {seed}", flush=True)
    print(f"{len(seeds)} seeds, {failed} with violations, {time.monotonic() - begun:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
