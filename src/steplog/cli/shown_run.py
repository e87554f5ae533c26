"""What ``show`` shows of a run, and where from.

::

    the run                            series and curves are
    a server has                       its ``series/``
    a stock server has                 computed from the list of its metrics
    no server has                      computed from its journal on this machine
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

import msgspec

import steplog
from steplog import SteplogError, naming
from steplog.cli import printing, run_times
from steplog.cli.api import Api, ApiError, RemoteRun
from steplog.cli.metric_names import check_names
from steplog.column_format import json_value
from steplog.identity import slug_of
from steplog.reading.points import Selection
from steplog.reading.source import RunSource, SeriesRow
from steplog.reading.stock_source import StockSource
from steplog.records.finite import finite

__all__ = ["ShownRun", "read"]

_Rows = list[dict[str, Any]]
_SINGLY_MAX = 100
_TOGETHER_MAX = 200  # as many as ``curves/`` takes
_BUCKET_KEYS = ("step", "min", "max", "last", "count", "time")


class ShownRun(NamedTuple):
    """A run.

    Attributes:
        data: its JSON.
        metrics: rows of ``series/``, each with its ``curve``, a list of buckets.
        exception: what it logged of one, or None; ``cause``: the same if that has ended it.
        lost: what of it, in words.
        address: of its page, or where else it is.
        now: the time there.
    """

    namespace: str
    project: str
    data: dict[str, Any]
    metrics: _Rows
    config: Any
    exception: Any
    cause: Any
    lost: str
    address: str
    now: datetime


class _Found(NamedTuple):
    """A run before its metrics are chosen; ``draw`` gives each of some its curve."""

    namespace: str
    project: str
    data: dict[str, Any]
    series: _Rows
    config: Any
    draw: Callable[[_Rows, int], None]
    lost: str
    address: str
    now: datetime


def read(text: str, names: tuple[str, ...], points_max: int) -> ShownRun:
    """The run that ``text`` means, with these metrics, or all that are not steplog's own; curves of so many buckets.

    One that is on this machine alone is shown if the server has none of that name, or is away. Raises SteplogError,
    click.ClickException.
    """
    try:
        api = Api()
        remote = api.find(text)
    except SteplogError:
        waiting = _waiting(text)
        if waiting is None:
            raise
        return _shown(_here(waiting), names, points_max)
    return _shown(_there(api, remote), names, points_max)


def _waiting(text: str) -> steplog.WaitingRun | None:
    """The run of this machine that no server has, if the text means one."""

    def named(run: steplog.WaitingRun) -> naming.Named:
        return naming.Named(run.id, run.name, run.key, run.namespace, run.project)

    choice = naming.choose(text, (run for run in steplog.journals() if not run.run), named)
    return choice.runs[0] if len(choice.runs) == 1 else None


def _here(waiting: steplog.WaitingRun) -> _Found:
    source = steplog.open(waiting.id).source
    data = source.document()
    return _Found(
        waiting.namespace,
        waiting.project,
        data,
        source.series(),
        data.get("config"),
        partial(_draw_from, source),
        printing.losses(waiting, waiting.logged),
        f"on this machine alone: {printing.plural(waiting.pending, 'record')}{_files(waiting)} to send. "
        "Type: steplog sync",
        datetime.now(timezone.utc),
    )


def _files(waiting: steplog.WaitingRun) -> str:
    return f" and {printing.plural(waiting.files, 'file')}" if waiting.files else ""


def _there(api: Api, remote: RemoteRun) -> _Found:
    data, series = remote.data, api.get(*remote.path, "series")
    config: Any
    if series is None:  # a stock server, which has the config in metrics, too
        source = StockSource(api.client, remote.namespace, remote.project, remote.uuid)
        series, config, draw = source.series(), source.config(), partial(_draw_from, source)
    else:
        _check(api, series)
        last = {metric["name"]: metric["last"] for metric in series}
        config = data["config"] if "config" in data else last.get("steplog/config")  # all that a server of 0.1 shows
        draw = partial(_draw_by, api, remote)
    report, stored = data.get("report"), sum(metric["count"] for metric in series)
    return _Found(
        remote.namespace,
        remote.project,
        data,
        series,
        config,
        draw,
        printing.losses(report, _logged(report, stored)),
        f"{api.base_url}/{remote.namespace}/projects/{remote.project}/runs/{slug_of(remote.name)}/",
        api.now(),
    )


def _check(api: Api, series: Any) -> None:
    """Raise ApiError for what are no rows of ``series/``."""
    try:
        msgspec.convert(series, list[SeriesRow])
    except msgspec.ValidationError:
        raise ApiError(f"{api.base_url}: not the answer of a run server. Type: steplog doctor") from None


def _shown(found: _Found, names: tuple[str, ...], points_max: int) -> ShownRun:
    by_name = {str(metric["name"]): metric for metric in found.series}
    check_names(str(found.data["name"]), names, by_name)
    metrics = [by_name[name] for name in dict.fromkeys(names or by_name) if names or not name.startswith("steplog/")]
    for metric in metrics:
        metric["curve"] = []
    found.draw([metric for metric in metrics if metric["min"] is not None], points_max)
    told = by_name.get("steplog/exception", {})
    exception = told.get("last")
    return ShownRun(
        found.namespace,
        found.project,
        found.data,
        metrics,
        found.config,
        exception,
        exception if run_times.is_cause(found.data, told.get("last_time")) else None,
        found.lost,
        found.address,
        found.now,
    )


def _draw_by(api: Api, remote: RemoteRun, metrics: _Rows, points_max: int) -> None:
    """By the server's ``series/``; many curves by its ``curves/``, since a request for each would take minutes."""
    if len(metrics) > _SINGLY_MAX and _draw_together(api, remote, metrics, points_max):
        return
    for metric in metrics:
        metric["curve"] = api.get(*remote.path, "series", name=metric["name"], points=points_max) or []


def _draw_together(api: Api, remote: RemoteRun, metrics: _Rows, points_max: int) -> bool:
    """Whether the server can; those of an answer have one grid, so they are put together by their last steps."""
    by_name = {metric["name"]: metric for metric in sorted(metrics, key=lambda row: row.get("max_step") or 0)}
    names = list(by_name)
    for first in range(0, len(names), _TOGETHER_MAX):
        wanted = names[first : first + _TOGETHER_MAX]
        question = {"runs": [remote.uuid], "names": wanted, "buckets": points_max}
        told = api.ask(question, *remote.path[:3], "curves")
        if told is None:
            return False
        for bucket in told["buckets"]:
            name = told["names"][told["series"][bucket["series"]][1]]
            by_name[name]["curve"].append({key: bucket[key] for key in _BUCKET_KEYS})
    return True


def _draw_from(source: RunSource, metrics: _Rows, points_max: int) -> None:
    """From all points, in buckets of as many points each."""
    by_name = {str(metric["name"]): metric for metric in metrics}
    if not metrics:
        return
    for name, parts in groupby(source.points(Selection(names=tuple(by_name))), lambda part: part.name):
        steps: list[int] = []
        values: list[Any] = []
        for part in parts:
            steps += part.steps
            values += map(json_value, part.values) if part.kind == "json" else part.values  # type: ignore[arg-type]
        width = math.ceil(len(steps) / points_max)
        by_name[name]["curve"] = [
            _bucket(steps[first : first + width], values[first : first + width])
            for first in range(0, len(steps), width or 1)
        ]


def _bucket(steps: Sequence[int], values: Sequence[Any]) -> dict[str, Any]:
    """Points in one, as ``series/`` has it."""
    numbers = [value for value in values if isinstance(value, (int, float)) and value == value]  # not NaN
    low, high = min(numbers, default=None), max(numbers, default=None)
    return {"step": steps[-1], "min": finite(low), "max": finite(high), "last": finite(values[-1]), "count": len(steps)}


def _logged(report: Any, stored: int) -> int:
    """How many values there were: those on the server and those in the report; 0: not known."""
    if not isinstance(report, dict) or not isinstance(dropped := report.get("dropped"), dict):
        return 0
    others = [*dropped.values(), *(report.get(name) for name in ("abandoned", "lost", "rejected"))]
    return stored + sum(number for number in others if isinstance(number, int))
