"""Runs for tests of exports: as a server would tell them, without one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from formats.points import stretch
from steplog.errors import RunNotFoundError
from steplog.reading.points import Selection, SeriesPoints
from steplog.transfer.exporter import Exported, Exporter, Options, Target


class FakeSource:
    """A run of these metrics, as ``RunSource`` has it; ``asked`` lists what it was asked for.

    Attributes:
        late: of a metric the last so many points are given behind those of all others, as by a server that has not
            packed them.
        stretch_points: so many points at once.
    """

    def __init__(self, name: str, metrics: Mapping[str, Sequence[Any]], **fields: Any) -> None:
        self.metrics = {metric: list(values) for metric, values in metrics.items()}
        self.told = {
            "uuid": f"uuid-{name}",
            "name": name,
            "status": "COMPLETED",
            "project": {"display_name": "p"},
            "config": {},
            **fields,
        }
        self.late: dict[str, int] = {}
        self.stretch_points = 1000
        self.asked: list[str] = []
        self.gone = False
        self.on_stretch: Callable[[], None] = lambda: None

    def target(self) -> Target:
        return Target(str(self.told.get("id") or self.told["uuid"]), str(self.told["name"]), lambda: self)

    def document(self) -> dict[str, Any]:
        self._ask("document")
        return self.told

    def config(self) -> dict[str, Any]:
        self._ask("config")
        return {"from": "elsewhere"}

    def series(self) -> list[dict[str, Any]]:
        self._ask("series")
        return [
            {"name": name, "count": len(values), "first_step": 0, "max_step": len(values) - 1}
            for name, values in self.metrics.items()
        ]

    def points(self, selection: Selection) -> Iterator[SeriesPoints]:
        self._ask("points")
        names = list(self.metrics) if selection.names is None else selection.names
        if selection.start is not None or selection.end is not None:
            for name in names:
                high = len(self.metrics[name]) if selection.end is None else selection.end + 1
                yield from self._between(name, max(0, selection.start or 0), min(high, len(self.metrics[name])))
            return
        ends = {name: len(self.metrics[name]) - self.late.get(name, 0) for name in names}
        for name in names:
            yield from self._between(name, selection.skip.get(name, 0), ends[name])
        for name in names:
            yield from self._between(name, max(ends[name], selection.skip.get(name, 0)), len(self.metrics[name]))

    def _ask(self, what: str) -> None:
        if self.gone:
            raise RunNotFoundError(f"no run {self.told['name']!r}")
        self.asked.append(what)

    def _between(self, name: str, first: int, end: int) -> Iterator[SeriesPoints]:
        for start in range(first, end, self.stretch_points):
            self.on_stretch()
            yield stretch(name, self.metrics[name][start : min(end, start + self.stretch_points)], start)


class Unwatched:
    """Progress that nobody looks at."""

    def begin(self, name: str, points: int) -> None:
        pass

    def advance(self, points: int) -> None:
        pass


def exporter(sources: Sequence[FakeSource], kind: str = "csv", **options: Any) -> Exporter:
    return Exporter([source.target() for source in sources], Options(kind, **options), Unwatched())


def into(directory: Any, *sources: FakeSource, kind: str = "csv", **options: Any) -> Exported:
    return exporter(sources, kind, **options).to_directory(directory)
