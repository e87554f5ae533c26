"""What has come of a run's metrics since the last look, each point once, until the run ends.

It looks every ``_LOOK_S``, and while nothing comes less and less often, up to every ``_IDLE_S``.

I1: of each metric the first ``_seen[name]`` points were given, or are not wanted; a request leaves out so many.
I2: a batch that could not be read whole counts as not read.
I3: what is held are the points of a batch, at most ``_BATCH_POINTS`` and one stretch more.

A server that has lost points, since it was restored from a copy, is waited for: they come again, and were given.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import steplog
from steplog.cli import run_times
from steplog.cli.printing import printable
from steplog.column_format import json_value
from steplog.reading.points import Selection, SeriesPoints
from steplog.reading.source import RunSource

__all__ = ["NewPoints", "Point", "follow"]

_LOOK_S, _IDLE_S, _IDLE_FACTOR = 1.0, 5.0, 1.5
_RUNNING = "RUNNING"
_BATCH_POINTS = 50_000
_NOT_SHOWN = ("steplog/", "system/")


class Point(NamedTuple):
    """A point; ``time_ns``, since the epoch, is None from a server that keeps none."""

    name: str
    step: int
    time_ns: int | None
    value: Any


class NewPoints:
    """Of each metric, the ``last`` points first, and then those that have come.

    ``names``: of these metrics; none: of all that a program logs.
    """

    def __init__(self, source: RunSource, names: Collection[str], last: int) -> None:
        self._source = source
        self._names = frozenset(names)
        self._last = last
        self._seen: dict[str, int] = {}
        self._looked = False
        self.counts: dict[str, int] = {}  # of each metric of the run, as of the last look

    def look(self) -> None:
        """Ask how much there is. Raises what ``RunSource`` raises."""
        self.counts = {str(row["name"]): int(row["count"]) for row in self._source.series()}
        if not self._looked:
            self._seen = {name: max(0, count - self._last) for name, count in self.counts.items()}
            self._looked = True

    def read(self) -> Iterator[list[Point]]:
        """What is new as of the last look, in batches, each in the order of time. Raises what ``RunSource`` raises."""
        wanted = [name for name in self.counts if self._is_wanted(name)]
        whole = False
        while not whole:
            behind = [name for name in wanted if self._seen.get(name, 0) < self.counts[name]]
            if not behind:
                return
            points, whole = self._batch(behind)
            if points:
                yield points

    def _is_wanted(self, name: str) -> bool:
        return name in self._names if self._names else not name.startswith(_NOT_SHOWN)

    def _batch(self, names: list[str]) -> tuple[list[Point], bool]:
        """The next points of these, and whether these were all."""
        seen = {name: self._seen.get(name, 0) for name in names}
        points: list[Point] = []
        stretches = self._source.points(Selection(names=tuple(names), skip=seen.copy()))
        whole = True
        for stretch in stretches:
            points += _points(stretch)
            seen[stretch.name] += len(stretch.steps)
            if len(points) >= _BATCH_POINTS:
                whole = False
                break
        self._seen |= seen
        points.sort(key=_order)
        return points, whole


class _Once:
    """Tells something when it begins to hold; "" says that it does not hold any more."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._holds = False

    def __call__(self, words: str) -> None:
        if words and not self._holds:
            self._tell(f"steplog: {words}")
        self._holds = bool(words)


def follow(
    new: NewPoints,
    source: RunSource,
    names: tuple[str, ...],
    show: Callable[[list[Point]], None],
    wait: Callable[[float], None],
    tell: Callable[[str], None],
    now: Callable[[], datetime],
) -> str:
    """Show what comes, until the run has ended; its status. ``tell`` is told once what is waited for."""
    away, silent, missing = _Once(tell), _Once(tell), _Once(tell)
    pause_s, ended = _LOOK_S, ""
    while True:
        came, status = False, ""
        try:
            new.look()
            for points in new.read():
                came = True
                show(points)
            if not came:
                if ended:
                    return ended
                document = source.document()
                status = str(document["status"])
                words = run_times.status(document, now())
                silent(f"run {words}" if words != status else "")  # a process that was killed elsewhere, say
        except steplog.ServerUnavailableError as error:
            away(f"waiting: {printable(error, 400)}")
            came = False
        else:
            away("")
            there = [name for name in names if name not in new.counts]
            missing(f"waiting for {', '.join(map(printable, there))}" if there else "")
        ended = "" if status == _RUNNING else status
        if not ended:  # else nothing may have come between the points and the status
            pause_s = _LOOK_S if came else min(pause_s * _IDLE_FACTOR, _IDLE_S)
            wait(pause_s)


def _points(stretch: SeriesPoints) -> Iterator[Point]:
    as_json = stretch.kind == "json"
    times: Sequence[int | None] = stretch.times or (None,) * len(stretch.steps)
    for step, time_ns, value in zip(stretch.steps, times, stretch.values, strict=True):
        yield Point(stretch.name, step, time_ns, json_value(value) if as_json else value)  # type: ignore[arg-type]


def _order(point: Point) -> int:
    return point.step if point.time_ns is None else point.time_ns
