"""Writers whose every range goes to all servers, disturbed, and what is stored then."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from once.delivery import Client, Counts, check, cuts, new_runs
from polling import wait_until

DEADLINE_S = 3600.0


@dataclass(frozen=True)
class Size:
    """So many runs of so many writers, each of which delivers so many points in ranges of at most ``range_max``."""

    runs: int
    writers: int
    points: int
    range_max: int

    @property
    def total(self) -> int:
        return self.runs * self.writers * self.points


@dataclass
class Progress:
    """What a disturbance waits for."""

    counts: Counts
    ranges: int  # that are delivered in the end
    clients: list[Client] = field(default_factory=list)

    def wait_for(self, share: float) -> None:
        """Return once this share of all ranges has been acknowledged, by any server."""
        wanted = int(share * self.ranges)
        wait_until(lambda: self.counts.ranges >= wanted or any(c.failure for c in self.clients), DEADLINE_S)


def deliver_once(
    urls: Sequence[str],
    size: Size,
    seed: int = 1,
    disturb: Callable[[Progress], None] = lambda progress: None,
) -> dict[str, Any]:
    """Deliver all of it to each server while ``disturb`` runs. Raises AssertionError unless all of it is there once."""
    source, counts, begun = random.Random(seed), Counts(), time.monotonic()
    runs = new_runs(urls, size.runs, counts)
    numbers = iter(range(size.runs * size.writers))
    writers = {run: [f"writer-{next(numbers)}" for _ in range(size.writers)] for run in runs}
    clients = [
        Client(url, run, writer, cuts(source, size.points, size.range_max), counts)
        for run, each in writers.items()
        for writer in each
        for url in urls
    ]
    progress = Progress(counts, sum(len(client.ends) for client in clients), clients)
    disturbing = threading.Thread(target=disturb, args=(progress,), daemon=True)
    for thread in (*clients, disturbing):
        thread.start()
    for thread in (*clients, disturbing):
        thread.join(DEADLINE_S)
        assert not thread.is_alive()
    for client in clients:
        if client.failure is not None:
            raise client.failure
    for run, each in writers.items():
        for url in urls:
            check(url, run, each, size.points)
    return {
        "points": size.total,
        "ranges": counts.ranges,
        "requests without an answer": counts.lost,
        "answers": {str(status): number for status, number in sorted(counts.answers.items())},
        "slowest s": round(counts.slowest_s, 2),
        "seconds": round(time.monotonic() - begun, 1),
    }
