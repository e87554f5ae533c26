"""Following a run gives each point once, in the order of time, whatever the server does meanwhile."""

from __future__ import annotations

import functools
from array import array
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steplog import ServerUnavailableError
from steplog.cli import following
from steplog.cli.following import NewPoints, Point, follow
from steplog.reading.points import Selection, SeriesPoints

NOW = datetime(2026, 11, 27, 6, tzinfo=timezone.utc)


class Run:
    """A run to which points are logged; ``stretch`` points are read at once, and ``fails`` says which requests fail."""

    def __init__(self, stretch: int = 3) -> None:
        self.logged: dict[str, list[tuple[int, float]]] = {}
        self.status = "RUNNING"
        self.seen = "2026-11-27T05:59:00Z"
        self.asked: list[str] = []
        self.first_counts: dict[str, int] | None = None  # as of the first answer
        self.fails: Callable[[str], bool] = lambda what: False
        self._stretch = stretch
        self._clock = 0

    def log(self, name: str, *values: float) -> None:
        for value in values:
            self._clock += 1
            self.logged.setdefault(name, []).append((self._clock, value))

    def _request(self, what: str) -> None:
        self.asked.append(what)
        if self.fails(what):
            raise ServerUnavailableError("http://server: away")

    def document(self) -> dict[str, Any]:
        self._request("document")
        return {"status": self.status, "seen": self.seen}

    def series(self) -> list[dict[str, Any]]:
        self._request("series")
        counts = {name: len(points) for name, points in self.logged.items()}
        self.first_counts = counts if self.first_counts is None else self.first_counts
        return [{"name": name, "count": count} for name, count in counts.items()]

    def points(self, selection: Selection) -> Iterator[SeriesPoints]:
        assert selection.names is not None
        for name in selection.names:
            points = self.logged[name]
            for first in range(selection.skip.get(name, 0), len(points), self._stretch):
                self._request(f"points {name}")
                times, values = zip(*points[first : first + self._stretch], strict=True)
                steps = array("q", range(first, first + len(times)))
                yield SeriesPoints(name, "f8", steps, array("q", times), array("d", values))


class Screen:
    """What was shown and said; each wait runs the next of ``then``, the last of which ends the run."""

    def __init__(self, run: Run, *then: Callable[[], object]) -> None:
        self.points: list[Point] = []
        self.said: list[str] = []
        self.waits: list[float] = []
        self._then = list(then)
        self._run = run

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        if self._then:
            self._then.pop(0)()
        if not self._then and self._run.status == "RUNNING":
            self._run.status = "COMPLETED"

    def follow(self, last: int = 10, names: tuple[str, ...] = ()) -> str:
        new = NewPoints(self._run, names, last)
        return follow(new, self._run, names, self.points.extend, self.wait, self.said.append, lambda: NOW)

    def values(self, name: str) -> list[Any]:
        return [point.value for point in self.points if point.name == name]


def test_the_last_points_come_first_and_then_each_new_one_once_by_time():
    run = Run()
    run.log("loss", *range(20))
    run.log("steplog/config", 1)
    run.log("system/cpu", 1)
    screen = Screen(run, lambda: (run.log("loss", 20), run.log("acc", 0.5), run.log("loss", 21)))
    assert screen.follow(last=3) == "COMPLETED"
    assert [(point.name, point.value) for point in screen.points] == [
        *(("loss", value) for value in (17, 18, 19, 20)),
        ("acc", 0.5),
        ("loss", 21),
    ]
    assert screen.said == []


def test_a_point_that_comes_between_the_last_look_and_the_end_is_not_left_out():
    run = Run()
    run.log("loss", 1)

    def log_and_end(what: str) -> bool:
        if what == "document" and run.status == "RUNNING":
            run.log("loss", 2)
            run.status = "CRASHED"
        return False

    run.fails = log_and_end
    screen = Screen(run, lambda: None, lambda: None)
    assert screen.follow() == "CRASHED"
    assert screen.values("loss") == [1, 2]


def test_an_outage_is_said_once_and_no_point_is_given_twice_or_left_out():
    run = Run(stretch=2)
    run.log("loss", *range(5))

    def break_off() -> None:
        run.log("loss", *range(5, 12))
        whole = run.asked.count("points loss")
        run.fails = lambda what: what == "points loss" and run.asked.count(what) == whole + 3  # after two stretches

    def go_away() -> None:
        run.log("loss", 12)
        run.fails = lambda what: True

    def come_back() -> None:
        run.fails = lambda what: False

    screen = Screen(run, break_off, *[lambda: None] * 2, go_away, *[lambda: None] * 5, come_back, lambda: None)
    screen.follow()
    assert screen.values("loss") == list(range(13))
    assert screen.said == ["steplog: waiting: http://server: away"] * 2


def test_an_idle_run_is_asked_less_and_less_often_until_something_comes():
    run = Run()
    idle = [lambda: None] * 8
    screen = Screen(run, *idle, lambda: run.log("loss", 1), lambda: None)
    screen.follow()
    assert screen.waits[:2] == [1.5, 2.25]
    assert screen.waits[7] == 5.0
    assert screen.waits[9] == 1.0
    assert len(run.asked) <= 2 * len(screen.waits) + 3


def test_a_run_that_is_not_heard_of_any_more_is_said_so_once():
    run = Run()
    run.log("loss", 1)
    run.seen = "2026-11-27T05:48:00Z"
    screen = Screen(run, *[lambda: None] * 5)
    screen.follow()
    assert screen.said == ["steplog: run RUNNING, not heard of for 12 min"]


def test_a_metric_that_is_not_there_yet_is_waited_for_and_others_are_left_out():
    run = Run()
    run.log("loss", 1)
    screen = Screen(run, lambda: run.log("accuracy", 0.5, 0.6))
    screen.follow(last=1, names=("accuracy",))
    assert screen.said == ["steplog: waiting for accuracy"]
    assert [point.name for point in screen.points] == ["accuracy"] * 2


def test_what_a_restored_server_has_lost_is_not_given_again():
    run = Run()
    run.log("loss", 1, 2, 3)
    kept: list[tuple[int, float]] = []
    screen = Screen(
        run,
        lambda: (kept.extend(run.logged["loss"]), run.logged["loss"].clear()),
        lambda: run.logged["loss"].extend(kept),
        lambda: run.log("loss", 4),
    )
    screen.follow()
    assert screen.values("loss") == [1, 2, 3, 4]


def test_a_long_backlog_is_held_in_batches(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(following, "_BATCH_POINTS", 10)
    run = Run(stretch=4)
    for name in ("a", "b"):
        run.log(name, *range(25))
    new = NewPoints(run, (), 100)
    new.look()
    batches = list(new.read())
    assert max(map(len, batches)) <= 10 + 4 - 1
    for name in ("a", "b"):
        assert [point.value for batch in batches for point in batch if point.name == name] == list(range(25))


@given(
    st.lists(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 9)), max_size=4), max_size=8),
    st.sets(st.integers(0, 60), max_size=20),
    st.integers(0, 5),
)
def test_every_point_is_given_once_whichever_requests_fail(rounds, failing, last):
    run = Run(stretch=2)
    run.fails = lambda what: len(run.asked) in failing

    def log(logged: list[tuple[str, int]]) -> None:
        for name, count in logged:
            first = len(run.logged.get(name, ()))
            run.log(name, *range(first, first + count))

    log(rounds[0] if rounds else [])
    screen = Screen(run, *(functools.partial(log, logged) for logged in rounds[1:]))
    screen.follow(last=last)
    assert run.first_counts is not None
    for name, points in run.logged.items():
        first = max(0, run.first_counts.get(name, 0) - last)
        assert screen.values(name) == [value for _, value in points[first:]]
