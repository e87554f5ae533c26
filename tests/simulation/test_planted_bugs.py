"""Bugs that are planted on purpose: a test of the simulation, which has to catch each within ``SEEDS_MAX`` seeds."""

from __future__ import annotations

import pytest

from simulation import world
from simulation.planted import PLANTED

SEEDS_MAX = 400
FIRST = {"a_range_that_may_have_arrived_is_forgotten_when_the_server_turns_stock": 2000}  # it is rare


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_bug_is_caught(name, monkeypatch, record_property, capsys):
    PLANTED[name](monkeypatch)
    caught = first_caught(FIRST.get(name, 0))
    assert caught is not None, f"{name} lives through {SEEDS_MAX} seeds"
    record_property("caught by", caught)
    with capsys.disabled():
        print(f"\n  {name}: {caught}", end="")


def first_caught(first: int) -> str | None:
    """The first seed whose life shows the bug, and how; an exception shows it as well."""
    for seed in range(first, first + SEEDS_MAX):
        try:
            violations = world.live(seed)
        except Exception as error:  # noqa: BLE001 - whatever a bug leads to
            violations = [f"{type(error).__name__}: {error}"]
        if violations:
            return f"seed {seed}: {violations[0][:90]}"
    return None
