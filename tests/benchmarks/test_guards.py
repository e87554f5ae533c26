"""What a metric costs on its way, counted instead of timed, so that CI can look at it.

What a call of ``log`` itself leaves behind (nothing) is counted in ``tests/journal/test_append_cost.py``.
"""

from __future__ import annotations

import math
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from delivery.parts import Book, Line
from journal.appends import writer_of
from journal.raw import needs_c
from steplog.journal import range as ranges
from steplog.journal.cursor import CURSOR_BYTES
from steplog.journal.journal import Journal
from steplog.journal.sources import OwnSource
from steplog.records.by_name import points_by_name
from steplog.server.records.chunk import pieces


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
    journal = Journal(writer.id.hex(), OwnSource(writer), bytearray(CURSOR_BYTES), lambda: True)
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


def test_a_batch_is_a_few_rows_of_the_database():
    packed = points_by_name(curve(32_000), 0)
    assert len(packed) == 8
    assert sum(len(pieces(points)) for points in packed.values()) <= 16


CALLS = 10_000
PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from journal.raw import writer_of

log = writer_of("c", segment_bytes=1 << 22).append.log
log("loss", 0.5, 0)
for step in range(1, int(sys.argv[2])):
    log("loss", 0.5, step)
"""


@needs_c
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind, which counts instructions, is not here")
def test_a_compiled_call_takes_no_more_than_300_instructions():
    """It is 212 here, those of CPython and of the clock that it calls included."""
    counter = ["valgrind", "--tool=callgrind", "--toggle-collect=append_log", "--callgrind-out-file=/dev/null"]
    command = [*counter, sys.executable, "-c", PROGRAM, str(Path(__file__).parents[1]), str(CALLS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if found is None or found[1] == "0":
        pytest.skip("valgrind does not run this Python, or the extension has no symbols")
    assert int(found[1]) / CALLS <= 300
