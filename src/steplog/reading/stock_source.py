"""A run on a stock server, which has no more than the list of its metrics: name, step and value of each.

1. Every call but ``document`` reads the whole list, piece by piece; nothing else tells what there is.
2. The server keeps no times: ``times`` is None, and so is ``last_time``.
3. JSON has no NaN: the texts "NaN", "Infinity" and "-Infinity" are floats here. A text that was logged so is one, too.
4. The config is in metrics (``config``): ``document`` is without it, so that a name does not cost the list.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from steplog.delivery.verdicts import is_proxys_404
from steplog.delivery.wire import api_path, read
from steplog.errors import InvalidAPIKeyError, RunNotFoundError, ServerUnavailableError
from steplog.reading.points import Selection, SeriesPoints
from steplog.records.finite import finite
from steplog.records.points import number_range
from steplog.records.run_fields import CONFIG_NAME, CONFIG_REMOVED_NAME

if TYPE_CHECKING:
    from steplog.client import TellurioClient

__all__ = ["StockSource"]

_STRETCH_POINTS = 65_536  # as a server's history has them
_GONE = (403, 404, 410)
_T = TypeVar("_T")
_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class _Metric(msgspec.Struct, gc=False):
    name: str
    value: Any
    step: int


class _Metrics(msgspec.Struct):
    """The points of one metric."""

    steps: list[int]
    values: list[Any]


class StockSource:
    """The run of this uuid; see ``RunSource``."""

    def __init__(self, client: TellurioClient, namespace: str, project: str, uuid: str) -> None:
        self._client = client
        self._place = namespace, "projects", project, "runs"
        self._uuid = uuid
        self._words = f"{client.base_url} has no run {uuid} in {namespace}/{project}"

    def document(self) -> dict[str, Any]:
        """See ``RunSource``; as the server lists it, without ``config``."""
        for run in self._asked(list[dict[str, Any]], *self._place):
            if run.get("uuid") == self._uuid:
                return run
        raise RunNotFoundError(self._words)

    def config(self) -> dict[str, Any]:
        """What the metrics ``steplog/config`` say, in the order of their arrival."""
        config: dict[str, Any] = {}
        for metric in self._metrics():
            if metric.name == CONFIG_NAME and isinstance(metric.value, dict):
                config.update(metric.value)
            elif metric.name == CONFIG_REMOVED_NAME and isinstance(metric.value, list):
                for key in metric.value:
                    config.pop(key, None)
        return dict(sorted(config.items()))

    def series(self) -> list[dict[str, Any]]:
        """See ``RunSource``; ``last_time`` is None."""
        return [_totals(name, found) for name, found in _by_name(self._metrics(), None).items()]

    def points(self, selection: Selection) -> Iterator[SeriesPoints]:
        """See ``RunSource``; without times."""
        wanted = None if selection.names is None else list(dict.fromkeys(selection.names))
        found = _by_name(self._metrics(), wanted)
        for name in list(found) if wanted is None else wanted:
            if name not in found:
                raise KeyError(name)
        for name in list(found) if wanted is None else wanted:
            yield from _stretches(name, _selected(found.pop(name), selection, selection.skip.get(name, 0)))

    def _metrics(self) -> list[_Metric]:
        return self._asked(list[_Metric], *self._place, self._uuid, "metrics")

    def _asked(self, kind: type[_T], *path: str) -> _T:
        with self._client.stream("GET", api_path(*path)) as answer:
            body = b"".join(answer) if answer.status == 200 else answer.response().body
        if answer.status == 401:
            raise InvalidAPIKeyError(f"{self._client.base_url} rejects the API key; type: steplog login")
        if answer.status in _GONE and not is_proxys_404(answer.status, body):
            raise RunNotFoundError(self._words)
        told = read(body, kind) if answer.status == 200 else None
        if told is None:
            where = f"{self._client.base_url}{api_path(*path)}"
            raise ServerUnavailableError(f"{where}: {answer.status}, which is no answer to what was asked")
        return told


def _by_name(metrics: Iterable[_Metric], wanted: Sequence[str] | None) -> dict[str, _Metrics]:
    found: dict[str, _Metrics] = {}
    names = None if wanted is None else frozenset(wanted)
    for metric in metrics:
        if names is None or metric.name in names:
            of_name = found.get(metric.name)
            if of_name is None:
                of_name = found[metric.name] = _Metrics([], [])
            value = metric.value
            of_name.steps.append(metric.step)
            of_name.values.append(_NON_FINITE.get(value, value) if isinstance(value, str) else value)
    return found


def _selected(found: _Metrics, selection: Selection, skip: int) -> _Metrics:
    low, high = selection.start, selection.end
    if low is not None or high is not None:
        chosen = [
            (step, value)
            for step, value in zip(found.steps, found.values, strict=True)
            if (low is None or low <= step) and (high is None or step <= high)
        ]
        found = _Metrics([step for step, _ in chosen], [value for _, value in chosen])
    first = (0 if selection.last is None else max(0, len(found.steps) - selection.last)) + skip
    return _Metrics(found.steps[first:], found.values[first:]) if first else found


def _stretches(name: str, found: _Metrics) -> Iterator[SeriesPoints]:
    """At least one."""
    for first in range(0, max(1, len(found.steps)), _STRETCH_POINTS):
        steps, values = (each[first : first + _STRETCH_POINTS] for each in (found.steps, found.values))
        kinds = set(map(type, values))
        if kinds <= {float}:
            yield SeriesPoints(name, "f8", array("q", steps), None, array("d", values))
        elif kinds == {int} and min(values) >= -(2**63) and max(values) < 2**63:
            yield SeriesPoints(name, "i8", array("q", steps), None, array("q", values))
        else:
            texts = [msgspec.json.encode(finite(value)) for value in values]
            yield SeriesPoints(name, "json", array("q", steps), None, texts)


def _totals(name: str, found: _Metrics) -> dict[str, Any]:
    low, high = number_range([value if isinstance(value, (int, float)) else None for value in found.values])
    return {
        "name": name,
        "count": len(found.steps),
        "first_step": found.steps[0],
        "last_step": found.steps[-1],
        "max_step": max(found.steps),
        "last": finite(found.values[-1]),
        "min": None if low is None else finite(+low),
        "max": None if high is None else finite(+high),
        "last_time": None,
    }
