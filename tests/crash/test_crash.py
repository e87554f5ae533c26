"""Processes that log are killed at random, with the server up, down and flapping; so is whoever recovers what they
left.

This is the short form of ``python -m tests.crash --kills N``; the last test plants bugs to see whether it would find
them.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from crash.calls import call, compare
from crash.episode import Episode
from crash.network import STATES
from crash.planted import BUGS
from crash.series import PHASES, Series
from server.process import ServerProcess

KILLS, FEW_KILLS = 24, 3
EPISODES_MAX = 10
# Where a bug shows: the server's state, the phase to kill in, and how many of the victims fork.
WHERE = {
    "evicted before durable": ("down", "spool", 0.0),
    "durable before synced": ("down", "spool", 0.0),
    "kind stored first": ("down", "append", 0.0),
    "acknowledged before sent": ("flapping", None, 0.0),
    "position reused after a fork": ("up", None, 1.0),
    "unlocked in the child": ("up", None, 1.0),
    "living writer adopted": ("up", None, 1.0),
    "slot taken before its kind was seen": ("up", None, 0.0),
    "segments of the dead removed unwritten": ("down", None, 0.0),
}


def test_a_few_kills_lose_nothing_and_leave_nothing_twice_wrong_or_out_of_order(tmp_path: Path):
    series = Series(kills=FEW_KILLS, seed=random.randrange(2**32), life_s=0.3)
    series.run(tmp_path)
    assert not series.wrong
    assert len(series.counted) >= FEW_KILLS


@pytest.mark.slow
def test_nothing_is_lost_twice_wrong_or_out_of_order_over_kills_at_any_moment(tmp_path: Path):
    series = Series(kills=KILLS, seed=random.randrange(2**32), life_s=0.8)
    series.run(tmp_path)
    assert not series.wrong
    counted = series.counted
    assert len(counted) >= KILLS
    assert {kill.state for kill in counted} == set(STATES)
    assert len({kill.phase for kill in counted} & set(PHASES)) >= 4
    assert sum(verdict.returned for verdict in series.verdicts) > 10_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    with ServerProcess(tmp_path_factory.mktemp("server"), "--user", "team", "--allow-host", "127.0.0.1") as started:
        yield started


@pytest.mark.slow
@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(server: ServerProcess, bug: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("crash.episode.DEADLINE_S", 10.0)
    state, phase, forks = WHERE[bug]
    for number in range(EPISODES_MAX):
        episode = Episode(server, random.Random(f"{bug} {number}"), 3.0 if forks else 0.8, plant=bug, forks=forks)
        if episode.run(state, [phase, phase, None]).wrong:
            return
    pytest.fail(f"{EPISODES_MAX} episodes with this bug, and nothing amiss")


def stored(thread: int, *numbers: int) -> list[tuple[str, object, int]]:
    found = []
    for number in numbers:
        name, value, step = call(thread, number)
        found.append((name, value, number if step is None else step))
    return found


def test_the_comparison_sees_what_is_amiss():
    whole = stored(0, *range(40)) + stored(2, *range(10))
    returned = [40, 0, 10, 0]
    assert compare(whole, returned).good
    assert compare(whole, [39, 0, 10, 0]).in_flight == 1
    assert compare(whole, [38, 0, 10, 0]).wrong  # one thread cannot have two calls in flight
    assert compare(whole[1:], returned).lost == [(0, 0)]
    assert compare([*whole, whole[3]], returned).twice == [(0, 3)]
    assert compare([*whole[6:12], *whole[:6], *whole[12:]], returned).unordered
    name, value, step = whole[3]
    for changed in ((name, value, step + 1), ("other", value, step), (name, 0.0, step), (name, "x", step)):
        assert compare([*whole[:3], changed, *whole[4:]], returned).wrong
    assert compare(whole[1:], returned, [{0}, set(), set(), set()]).good
