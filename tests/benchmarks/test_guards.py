"""What log() costs, counted instead of timed, so that it can be looked at in CI: nothing is left, nothing is asked."""

from __future__ import annotations

import gc
import math
import os
import random
import shutil
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from delivery.parts import Book, Line
from journal.appends import KINDS, writer_of
from steplog.journal import range as ranges
from steplog.journal.journal import Journal
from steplog.journal.marks import MARKS_BYTES
from steplog.journal.sources import OwnSource
from steplog.server import batch as batches
from steplog.server.sqlite import SqliteStore

CALLS = 1000


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_thousand_calls_leave_no_object_behind(kind):
    log, steps = writer_of(kind, 1 << 20).append.log, list(range(2**40, 2**40 + CALLS))
    values = [step / 3 for step in steps]
    log("loss", 0.5, 1)
    gc.collect()
    gc.disable()
    try:
        left = []
        for _ in range(3):  # the first round grows what is grown once
            tracked, blocks = gc.get_count()[0], sys.getallocatedblocks()
            for step, value in zip(steps, values, strict=True):
                log("loss", value, step)
            left.append((gc.get_count()[0] - tracked, sys.getallocatedblocks() - blocks))
    finally:
        gc.enable()
    tracked, blocks = left[-1]
    assert tracked <= 1
    assert abs(blocks) <= 5  # what this loop itself holds on to


def test_a_thousand_calls_leave_no_memory_behind(kind):
    log, value = writer_of(kind, 1 << 20).append.log, 0.5
    log("loss", value, 1)
    tracemalloc.start()
    try:
        for index in range(CALLS):
            log("loss", value, index)
        before, _ = tracemalloc.get_traced_memory()
        for index in range(CALLS):
            log("loss", value, index)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 500  # in all, not a call


PROGRAM = """
import os
from journal.appends import writer_of
log = writer_of({kind!r}, 1 << 20).append.log
for index in range(1000):
    log("loss", 0.5, index)
os.getppid()
for index in range(1000):
    log("loss", 0.5, index)
os.getppid()
"""


def test_a_thousand_calls_make_no_system_call(kind, tmp_path):
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed here")
    log = tmp_path / "calls"
    paths = os.pathsep.join(str(Path(__file__).parents[2] / part) for part in ("src", "tests"))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((paths, os.environ.get("PYTHONPATH", "")))}
    command = [strace, "-o", str(log), sys.executable, "-c", PROGRAM.format(kind=kind)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    if not log.exists() or "getppid" not in log.read_text():
        if "ptrace" in done.stderr or "not permitted" in done.stderr:
            pytest.skip("strace may not trace here")
        raise AssertionError(done.stderr)
    _, between, _ = log.read_text().split("getppid(")
    made = [line.split("(")[0] for line in between.splitlines()[1:] if "(" in line]
    assert made == []


def curve(metrics: int) -> ranges.Range:
    """A training curve of 8 names with real noise, as it is sent."""
    source, now = random.Random(1), [1_700_000_000_000_000_000]

    def clock() -> int:
        now[0] += source.randrange(200, 3000)
        return now[0]

    writer = writer_of("pure", 1 << 21, clock=clock)
    for step in range(metrics // 8):
        now[0] += source.randrange(900_000, 1_100_000)
        for index in range(8):
            value = (2.5 - index / 10) * math.exp(-step / 9000) + source.gauss(0, 0.05)
            writer.append.log(f"metric/{index}", value, step)
    journal = Journal(writer.id.hex(), OwnSource(writer), bytearray(MARKS_BYTES), lambda: True)
    return journal.read(0, metrics)


def test_a_metric_takes_nine_bytes_on_the_wire():
    batch = curve(32_000)
    assert batch.end == 32_000
    assert len(ranges.encode(batch)) / batch.end <= 9.0


def test_a_request_carries_a_whole_range_of_metrics():
    book = Book(size=1 << 20).write(200_000, ("loss", "accuracy"), step=True)
    line = Line(book)
    assert line.deliver() / 200 <= 0.07  # a thousand metrics
    assert len(line.values()) == 200_000


def test_a_batch_is_a_few_rows_of_the_database(tmp_path):
    store = SqliteStore(tmp_path / "server.db")
    try:
        batch = batches.from_range(curve(32_000))
        rows = sum(len(part.chunks) for part in batch.parts)
    finally:
        store.close()
    assert len(batch.parts) == 8
    assert rows <= 32  # and their data
