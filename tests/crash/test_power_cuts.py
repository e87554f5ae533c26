"""A few power cuts on a real file system; ``python -m tests.crash --power-cuts N`` makes more of them.

Where no image can be mounted, the model in ``tests/journal/test_spool_power.py`` has to do.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from crash.power_cuts import cut_power, why_not
from server.process import ServerProcess

CUTS = 4


@pytest.mark.slow
@pytest.mark.skipif(why_not() is not None, reason=f"power cuts: {why_not()}")
def test_nothing_that_was_durable_is_missing_after_a_power_cut(tmp_path: Path):
    with ServerProcess(tmp_path, "--user", "team", "--allow-host", "127.0.0.1") as server:
        cuts = cut_power(server, CUTS, random.randrange(2**32))
    assert not cuts.amiss
    assert cuts.cuts == CUTS
    assert cuts.promised > 100
