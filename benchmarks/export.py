"""Export a run of 10⁶ and 10⁷ points from the embedded server, as each format, to a file.

Measured from the question for the run to the rename of the file, in a process of its own for each format. The server is
another, and has packed the run before.
"""

from __future__ import annotations

import importlib.util
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import steplog
from benchmarks.figure import Figure, over
from benchmarks.reading import fill
from benchmarks.stage import Stage
from steplog.transfer.exporter import DIRECTORIES, Exporter, Options, Target
from steplog.transfer.whole_file import whole_file

__all__ = ["export_run", "figures"]

GROUP = "export"
TARGETS = {"parquet": (1e6, 3e6), "csv": (5e5, None)}  # points a second: must, reach
FORMS = (("parquet", False), ("parquet", True), ("csv", False), ("csv", True), ("jsonl", False), ("tfevents", False))


class _Unwatched:
    def begin(self, name: str, points: int) -> None:
        pass

    def advance(self, points: int) -> None:
        pass


def figures(stage: Stage) -> Iterator[Figure]:
    """Each format; of Parquet a longer run, too, for what it takes of memory."""
    with stage.server() as server:
        environment = stage.environment(server, memory_bytes_max=1 << 28)
        for power in (6,) if stage.quick else (6, 7):
            stage.child(fill, environment, points=10**power, name=f"1e{power}")
            server.wait_until_packed()
            for kind, wide in FORMS:
                if power == 6 or kind in TARGETS:
                    yield _figure(stage, environment, power, kind, wide)


def _figure(stage: Stage, environment: dict[str, str], power: int, kind: str, wide: bool) -> Figure:
    name = f"export of 10^{power} points as {kind}{', wide' if wide else ''}"
    if kind == "parquet" and importlib.util.find_spec("pyarrow") is None:
        return Figure(group=GROUP, name=name, unit="points/s", value=None, note="pyarrow is not installed")
    rounds = stage.pick(5, 3) if power == 6 else 3
    found = stage.child(export_run, environment, name=f"1e{power}", kind=kind, wide=wide, rounds=rounds)
    note = f"{found['bytes'] / 10**power:.1f} bytes a point; {found['peak_bytes'] / 1e6:,.0f} MB in memory at most"
    rates = [10**power / took for took in found["took"]]
    must, reach = TARGETS.get(kind, (None, None))
    return over(rates, group=GROUP, name=name, unit="points/s", must=must, reach=reach, more_is_better=True, note=note)


def export_run(name: str, kind: str, wide: bool, rounds: int) -> dict[str, Any]:
    """How long each round takes after a first one, how large the file is, and the most memory that was taken."""
    took = []
    with tempfile.TemporaryDirectory() as directory:
        for number in range(rounds + 1):
            path = Path(directory) / f"{number}"
            begun = time.perf_counter()
            run = steplog.open(f"bench/reading/{name}")
            target = Target(run.uuid, run.name, lambda run=run: run.source)
            exporter = Exporter([target], Options(kind, wide=wide), _Unwatched())
            if kind in DIRECTORIES:
                exporter.to_directory(path)
            else:
                with whole_file(path) as file:
                    exporter.to_file(file, several=False)
            took.append(time.perf_counter() - begun)
        size = sum(each.stat().st_size for each in path.rglob("*") if each.is_file()) or path.stat().st_size
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"took": took[1:], "bytes": size, "peak_bytes": peak}
