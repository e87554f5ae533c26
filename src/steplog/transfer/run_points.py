"""A run as it is at one moment, for a file: what it is, and so many points of each metric.

1. A run that goes on is read as of the start: of each metric the points that ``RunSource.series`` counts then.
2. Metric after metric, in the order in which they first arrived, each whole, the points as they arrived, whatever a
   server has packed: where a source gives the end of a metric behind others, it is asked for at once, by ``skip``.
3. The config is in ``RunInfo``, and its records are not among the points. Nothing is that differs between two servers
   that have the same run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import takewhile
from typing import Any, NamedTuple

from steplog.errors import ServerUnavailableError
from steplog.formats.run_info import RunInfo
from steplog.reading.points import Selection, SeriesPoints
from steplog.reading.source import RunSource

__all__ = ["Snapshot", "info_of", "points_of", "snapshot"]

_CONFIG = "steplog/config"


class Snapshot(NamedTuple):
    """A run at one moment.

    Attributes:
        counts: how many points each metric has, in the order in which they first arrived.
        steps: some step from which they begin, about, and the greatest.
        omitted: how many keys the config has beyond what a server tells.
    """

    info: RunInfo
    counts: Mapping[str, int]
    steps: tuple[int, int] = (0, 0)
    omitted: int = 0

    @property
    def total(self) -> int:
        """How many points there are."""
        return sum(self.counts.values())


def snapshot(source: RunSource) -> Snapshot:
    """The run now. Raises as ``RunSource`` does."""
    document = source.document()
    rows = [row for row in source.series() if not _is_config(row["name"])]
    low = min((row["first_step"] for row in rows if row["count"]), default=0)
    high = max((row["max_step"] for row in rows if row["count"]), default=0)
    counts = {row["name"]: int(row["count"]) for row in rows}
    if document.get("config") is None:
        document = {**document, "config": source.config()}
    return Snapshot(info_of(document), counts, (min(low, high), high), int(document.get("config_omitted") or 0))


def info_of(document: Mapping[str, Any]) -> RunInfo:
    """What a file says of the run of this JSON."""
    config = document.get("config") or {}
    return RunInfo(
        id=str(document.get("id") or document["uuid"]),
        name=str(document.get("name") or ""),
        project=str((document.get("project") or {}).get("display_name") or ""),
        status=str(document["status"]),
        description=document.get("description") or None,
        tags=list(document.get("tags") or ()),
        group=document.get("group"),
        job_type=document.get("job_type"),
        notes=document.get("notes"),
        started=document.get("started") or document.get("date_created"),
        ended=document.get("ended"),
        config={key: config[key] for key in sorted(config)},
        provenance=document.get("provenance"),
    )


def points_of(
    source: RunSource, counts: Mapping[str, int], names: Collection[str] | None = None
) -> Iterator[SeriesPoints]:
    """The first ``counts`` points of each metric, of ``names`` only those.

    Raises as ``RunSource`` does, and ServerUnavailableError where points are gone that were there.
    """
    left = {name: count for name, count in counts.items() if count and (names is None or name in names)}
    selected = None if names is None else tuple(left)
    if not left:
        return
    for stretch in source.points(Selection(names=selected)):
        if stretch.name in left:
            for name in list(takewhile(stretch.name.__ne__, left)):
                yield from _end_of(source, name, left, counts)
            yield from _cut(stretch, left)
    for name in list(left):
        yield from _end_of(source, name, left, counts)


def _end_of(source: RunSource, name: str, left: dict[str, int], counts: Mapping[str, int]) -> Iterator[SeriesPoints]:
    """The points of a metric that have not come yet."""
    while name in left:
        before = left[name]
        for stretch in source.points(Selection(names=(name,), skip={name: counts[name] - before})):
            yield from _cut(stretch, left)
        if left.get(name) == before:
            raise ServerUnavailableError(f"{before:,} points of {name!r} were counted, and are not there any more")


def _cut(stretch: SeriesPoints, left: dict[str, int]) -> Iterator[SeriesPoints]:
    """As much of a stretch as is left of its metric."""
    wanted = min(left.get(stretch.name, 0), len(stretch.steps))
    if not wanted:
        return
    left[stretch.name] -= wanted
    if not left[stretch.name]:
        del left[stretch.name]
    yield stretch if wanted == len(stretch.steps) else _beginning(stretch, wanted)


def _beginning(stretch: SeriesPoints, count: int) -> SeriesPoints:
    times = None if stretch.times is None else stretch.times[:count]
    return stretch._replace(steps=stretch.steps[:count], times=times, values=stretch.values[:count])


def _is_config(name: str) -> bool:
    return name == _CONFIG or name.startswith(f"{_CONFIG}/")
