"""Processes on a Mac, which the shim stands for, are killed at random moments, and so is whoever recovers them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from crash.series import Series
from macos.mac import places

FEW_KILLS, KILLS = 2, 20


def killed(kills: int, life_s: float, directory: Path) -> None:
    series = Series(kills, random.randrange(2**32), life_s=life_s, machine=places)
    series.run(directory)
    assert not series.wrong
    assert len(series.counted) >= kills
    assert sum(verdict.returned for verdict in series.verdicts) > 0


def test_a_few_kills_lose_nothing_and_leave_nothing_twice_or_wrong(tmp_path: Path):
    killed(FEW_KILLS, 0.3, tmp_path)


@pytest.mark.slow
def test_twenty_kills_lose_nothing_and_leave_nothing_twice_or_wrong(tmp_path: Path):
    killed(KILLS, 0.8, tmp_path)
