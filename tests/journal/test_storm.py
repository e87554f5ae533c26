"""Real signals at random instants; STEPLOG_STORM_SIGNALS=100000 makes it the long one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SIGNALS = int(os.environ.get("STEPLOG_STORM_SIGNALS", "20000"))
TESTS = Path(__file__).parent.parent


@pytest.mark.parametrize("signals", [1000, pytest.param(SIGNALS, marks=pytest.mark.slow)])
def test_interrupted_calls_deadlock_nothing_and_lose_no_call_that_returned(kind, signals):
    command = [sys.executable, "-W", "error", "-m", "journal.storm", "--signals", str(signals), "--kind", kind]
    path = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    print(done.stdout)
