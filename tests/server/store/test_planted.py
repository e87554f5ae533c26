"""The tests of this folder notice a store that has a fault, whichever of ``planted.FAULTS`` it is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from server.store.planted import FAULTS, PLANTED

HERE = Path(__file__).parent
PATHS = os.pathsep.join(str(HERE.parents[parent]) for parent in (1, 2))
DEADLINE_S = 120


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_noticed_by_the_test_that_is_there_for_it(fault):
    _, test = FAULTS[fault]
    options = ("-q", "-p", "server.store.planted", "-p", "no:cacheprovider", "--tb=line")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(HERE / test)],
        env=os.environ | {"PYTHONPATH": PATHS, PLANTED: fault},
        cwd=HERE.parents[2],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert (run.returncode, re.findall(r"(\d+ \w+) in ", run.stdout)) == (1, ["1 failed"]), run.stdout + run.stderr
    assert not re.search(r"(Attribute|Import|Name|Type)Error", run.stdout), f"the fault itself fails: {run.stdout}"
