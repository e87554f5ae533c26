"""``python -m tests.once``: the long form of the tests that each point is stored once. Ends with 1 where one is not.

Each of the chosen disturbances has a database of its own, two servers, and all points, which go to both:

--kills N        servers are killed N times each, with answers on their way
--crashes N      the database is stopped as by a crash, and started again, N times
--failover       the database fails over to a synchronous standby
--points N       in all runs together (1,000,000)
--seed N         how ranges are cut
--no-results     do not append the outcome to tests/once/results.jsonl

Without one of the first three: all of them, with 50 kills of each server and 5 crashes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "src")]

from crash.series import circumstances  # noqa: E402 - where to find it is known only now
from once.scenario import Progress, Size, deliver_once  # noqa: E402
from once.servers import killed_servers  # noqa: E402
from once.standby import Pair, durable_cluster  # noqa: E402

RESULTS = Path(__file__).with_name("results.jsonl")
RUNS, WRITERS, RANGE_MAX = 10, 2, 400


@contextmanager
def kills(number: int, answers: int) -> Iterator[dict[str, Any]]:
    """``answers``: how many a server gives at least."""
    every = max(2, answers // (number + 1))
    with durable_cluster() as cluster:
        yield {"store": cluster.new_database(), "kill_every": (every, every + 1), "kills_max": number}


@contextmanager
def crashes(number: int) -> Iterator[dict[str, Any]]:
    with durable_cluster() as cluster:

        def crash(progress: Progress) -> None:
            for at in range(1, number + 1):
                progress.wait_for(at / (number + 1))
                cluster.stop("immediate")
                cluster.start()

        yield {"store": cluster.new_database(), "disturb": crash}


@contextmanager
def failover() -> Iterator[dict[str, Any]]:
    with Pair() as pair:

        def fail_over(progress: Progress) -> None:
            progress.wait_for(0.5)
            pair.fail_over()

        yield {"store": pair.url, "disturb": fail_over}


def deliver(
    size: Size,
    seed: int,
    store: str,
    kill_every: tuple[int, ...] = (0, 0),
    kills_max: int = 0,
    disturb: Callable[[Progress], None] = lambda progress: None,
) -> dict[str, Any]:
    """What was stored once; raises AssertionError where something was not."""
    with (
        tempfile.TemporaryDirectory(prefix="steplog-once-") as directory,
        killed_servers(Path(directory), store, kill_every, kills_max) as servers,
    ):
        told = deliver_once([server.url for server in servers], size, seed, disturb)
        return told | {"kills": sum(server.kills for server in servers)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.once", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--crashes", type=int, default=0)
    parser.add_argument("--failover", action="store_true")
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-results", action="store_true")
    chosen = parser.parse_args()
    if not (chosen.kills or chosen.crashes or chosen.failover):
        chosen.kills, chosen.crashes, chosen.failover = 50, 5, True
    size = Size(RUNS, WRITERS, chosen.points // (RUNS * WRITERS), RANGE_MAX)
    disturbances = {
        f"{chosen.kills} kills a server": chosen.kills and kills(chosen.kills, 2 * size.total // RANGE_MAX),
        f"{chosen.crashes} crashes of the database": chosen.crashes and crashes(chosen.crashes),
        "failover": chosen.failover and failover(),
    }
    amiss = False
    for what, disturbance in disturbances.items():
        if not disturbance:
            continue
        told = {"disturbed by": what, "seed": chosen.seed, "amiss": False}
        try:
            with disturbance as how:
                told |= deliver(size, chosen.seed, **how)
        except AssertionError as error:
            amiss = True
            told |= {"amiss": True, "points": size.total, "ranges": 0, "kills": 0, "what": str(error)[:500]}
        print(json.dumps(told), flush=True)
        if not chosen.no_results:
            write_down(told)
    return int(amiss)


def write_down(told: dict[str, Any]) -> None:
    """Append a line to the results that are kept."""
    kept = {name: value for name, value in circumstances(ROOT).items() if name not in ("append", "file_system")}
    with RESULTS.open("a") as file:
        file.write(json.dumps(kept | told) + "\n")


if __name__ == "__main__":
    sys.exit(main())
