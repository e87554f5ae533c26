"""A thousand simulated lives, each with its own weather, kills and poison; see ``world``."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from simulation import world

GOLDEN = Path(__file__).parent / "trace.json"
SEEDS, GROUPS = 1000, 50


@pytest.mark.parametrize("group", [0, *(pytest.param(group, marks=pytest.mark.slow) for group in range(1, GROUPS))])
def test_whatever_happens_every_record_arrives_once_and_in_order(group):
    for seed in range(group * SEEDS // GROUPS, (group + 1) * SEEDS // GROUPS):
        violations = world.live(seed)
        assert not violations, f"{violations[0]}\nreplay: python -m tests.simulation --seed {seed}"


@pytest.mark.parametrize("part", ["first", pytest.param("others", marks=pytest.mark.slow)])
def test_the_requests_of_many_lives_are_those_of_the_golden_trace(part):
    """A change of structure changes no request. After a change of behaviour: ``python -m tests.simulation --trace``."""
    start, stop, *golden = msgspec.json.decode(GOLDEN.read_bytes())[part]
    assert list(world.trace(range(start, stop))) == golden


def test_a_seed_is_always_the_same_life():
    assert world.describe(7) == world.describe(7)
