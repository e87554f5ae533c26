"""Import an event file of TensorBoard with a million points: ``steplog import``, to a server on loopback.

What is timed is the command, from its start to its end, the interpreter's start and the answer to the last request
included. The file is as SummaryWriter makes it: an event a value, five tags a step; or with the tags of each step drawn
at random, so that nothing repeats. The first is imported again, which reads it and sends nothing.
"""

from __future__ import annotations

import random
import resource
import struct
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from benchmarks.figure import Figure, over
from benchmarks.stage import Stage
from steplog.formats.tfevents.encoding import float_events, framed, version_event
from steplog.formats.tfevents.reader import EventFile

__all__ = ["figures"]

GROUP = "importing"
TAGS = ("train/loss", "train/accuracy", "train/lr", "valid/loss", "grad_norm")
START = 1_790_000_000.0
PAUSE_S = 0.01


def figures(stage: Stage) -> Iterator[Figure]:
    """The whole command, and its reading half alone."""
    points, rounds = stage.pick(1_000_000, 100_000), stage.pick(3, 2)
    regular, irregular = stage.new_directory(), stage.new_directory()
    source = random.Random(1)
    _write(regular, points, (TAGS for _ in iter(int, 1)))
    _write(irregular, points // 5, (source.sample(TAGS, source.randint(1, len(TAGS))) for _ in iter(int, 1)))
    for name, folder, count, must, reach in (
        (f"an event file of {points:,} points", regular, points, 200_000, 1_000_000),
        (f"one of {points // 5:,} whose tags come in any order", irregular, points // 5, None, None),
    ):
        with stage.server() as server:
            environment = stage.environment(server)
            before, own = server.cpu_s(), _children_s()
            took = [_import_s(environment, folder, f"p{number}") for number in range(rounds)]
            cpus = [1000 * used / rounds for used in (_children_s() - own, server.cpu_s() - before)]
            note = f"CPU {cpus[0]:.0f} ms, the server's {cpus[1]:.0f} ms"
            rates = [count / each for each in took]
            yield over(
                rates, group=GROUP, name=name, unit="points/s", must=must, reach=reach, more_is_better=True, note=note
            )
            if folder == regular:
                again = [count / _import_s(environment, folder, "p0") for _ in range(rounds)]
                yield over(again, group=GROUP, name="the same again", unit="points/s", more_is_better=True)
        read = [count / _read_s(folder) for _ in range(rounds)]
        yield over(read, group=GROUP, name="reading it alone", unit="points/s", more_is_better=True)


def _write(folder: Path, points: int, steps: Iterable[Iterable[str]]) -> None:
    """Float32 values, so that each event has a ``simple_value`` alone."""
    source, events, step = random.Random(2), [version_event(START)], 0
    for step, tags in enumerate(steps):
        for tag in tags:
            if len(events) > points:
                break
            (value,) = struct.unpack("<f", struct.pack("<f", source.random()))
            events += float_events(tag, (step,), (START + step * PAUSE_S + source.random() / 1000,), (value,))
        if len(events) > points:
            break
    with open(folder / f"events.out.tfevents.{int(START)}.host.1.0", "wb") as file:
        file.writelines(framed(events[begin : begin + 8192]) for begin in range(0, len(events), 8192))


def _import_s(environment: Mapping[str, str], folder: Path, project: str) -> float:
    command = [sys.executable, "-m", "steplog", "import", str(folder), "--project", project]
    begun = time.perf_counter()
    done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, timeout=600, check=False)
    took = time.perf_counter() - begun
    if done.returncode or "records sent" not in done.stdout:
        raise RuntimeError(f"the import ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return took


def _children_s() -> float:
    """CPU seconds of the commands that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _read_s(folder: Path) -> float:
    (path,) = folder.iterdir()
    begun = time.perf_counter()
    with open(path, "rb") as file:
        reading = EventFile(file.read)
        for _ in reading.batches():
            pass
    if reading.damage:
        raise RuntimeError(reading.damage)
    return time.perf_counter() - begun
