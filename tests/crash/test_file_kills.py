"""The short form of ``python -m tests.crash --files N``."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from crash.file_kills import FileKills


@pytest.mark.slow
def test_a_file_whose_call_had_returned_is_stored_once_after_kills_of_all(tmp_path: Path):
    series = FileKills(kills=9, seed=random.randrange(2**32), life_s=0.8)
    series.run(tmp_path)
    assert not series.amiss
    assert series.calls > 20
