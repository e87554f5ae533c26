"""What a scalar call leaves behind: nothing for the garbage collector, no memory, no system call."""

from __future__ import annotations

import gc
import math
import os
import shutil
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from apart import apart
from journal.appends import writer_of
from steplog.journal import slot

LARGE = 1 << 22
CALLS = 1000


def scalars(log) -> None:
    for step in range(CALLS // 4):
        log("loss", 0.5, step)
        log("accuracy", 1.5)
        log("loss", math.nan, step=step)
        log("loss", 2.5, 3, None)


@pytest.mark.slow
@apart  # what other tests have left running allocates, too
def test_scalar_calls_leave_nothing_that_the_garbage_collector_tracks(kind):
    log = writer_of(kind, LARGE).append.log
    scalars(log)
    gc.collect()
    gc.disable()
    try:
        before = len(gc.get_objects())
        scalars(log)
        after = len(gc.get_objects())
    finally:
        gc.enable()
    assert after - before <= 1  # the list of the first count


@pytest.mark.slow
@apart  # what other tests have left running allocates, too
def test_calls_of_any_kind_leave_no_memory(kind):
    log = writer_of(kind, 4 * LARGE).append.log

    def calls() -> None:
        scalars(log)
        for step in range(100):
            log("count", step, step)
            log("flag", True)
            log("note", {"step": step})

    tracemalloc.start()
    try:
        for _ in range(30):  # until the interpreter's own free lists are full
            calls()
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(30):
            calls()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 1024


def test_a_float_or_an_int_under_a_known_name_does_not_take_the_slow_way(kind):
    append = writer_of(kind, LARGE).append
    scalars(append.log)
    slow: list[object] = []
    append.slow = lambda *call: slow.append(call)
    scalars(append.log)
    for step in (None, 0, -1, slot.NO_STEP + 1, slot.STEP_MAX):
        for value in (0.5, 7, -(2**63), 2**63 - 1):
            append.log("loss", value, step)
    assert slow == []
    append.log("loss", 2**63)
    assert len(slow) == 1


PROGRAM = """
import os, sys
sys.path.insert(0, sys.argv[1])
from journal.appends import writer_of
from journal.test_append_cost import LARGE, scalars

log = writer_of(sys.argv[2], LARGE).append.log
scalars(log)
os.path.exists("begin of the calls")
scalars(log)
os.path.exists("end of the calls")
"""


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not here")
def test_scalar_calls_make_no_system_call(kind, tmp_path):
    trace = tmp_path / "trace"
    tests = str(Path(__file__).parent.parent)
    command = ["strace", "-f", "-o", str(trace), sys.executable, "-c", PROGRAM, tests, kind]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    if "ptrace" in done.stderr:
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr
    lines = trace.read_text().splitlines()
    begin = next(index for index, line in enumerate(lines) if "begin of the calls" in line)
    end = next(index for index, line in enumerate(lines) if "end of the calls" in line)
    assert lines[begin + 1 : end] == []
