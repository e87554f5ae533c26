"""What is published of the long runs is all of it, and says what went wrong."""

from __future__ import annotations

import json

import pytest

from once.published import published


def line(**fields: object) -> str:
    run = {
        "time": "2030-01-01T00:00:00+00:00",
        "commit": 40 * "a",
        "machine": "m",
        "kernel": "k",
        "python": "p",
        "seed": 1,
    }
    counts = {"disturbed by": "failover", "points": 1000, "ranges": 20, "kills": 3, "amiss": False}
    return json.dumps(run | counts | fields) + "\n"


def test_all_runs_are_listed_and_summed():
    text = published(line() + line(amiss=True, why="A bug", kills=4))
    assert text.startswith("2,000 points in 40 acknowledged ranges, 7 kills: 1 of 2 runs amiss.")
    assert text.count("| failover |") == 2
    assert "| yes (1) |" in text
    assert "1. A bug." in text


def test_a_run_that_went_wrong_says_why():
    with pytest.raises(ValueError, match="why"):
        published(line(amiss=True))
