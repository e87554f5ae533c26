"""``define_metric``: which metric gives a name its steps, and what the summary keeps of it.

1. A name that ends in ``*`` defines all that begin so; an exact name comes first, then the longest beginning.
2. With a step metric, values are logged at its last value where that is whole, else at the run's own counter.
3. ``summary`` is any of ``min,max,mean,first,last,none``, joined by commas; ``best`` is what ``goal`` says (min, unless
   it is "maximize"), ``copy`` is last. Of a name that has ``min`` or so, no last value is in the summary.
4. Of a run that goes on, ``min``, ``max`` and ``first`` are those of all of it, ``mean`` of what is logged here.
5. A second definition of a name changes what it gives; with ``overwrite`` it replaces the first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from steplog.compat.wandb.errors import Error

__all__ = ["Metric", "MetricDefinitions"]

_OPERATIONS = ("min", "max", "mean", "first", "last", "best", "copy", "none")
_TYPES: dict[str, type] = {"step_sync": bool, "hidden": bool, "summary": str, "goal": str, "overwrite": bool}


_OF_ALL: dict[str, Callable[[float, float], float]] = {"min": min, "max": max, "first": lambda before, _: before}


class Metric:
    """One definition, as ``define_metric`` returns it."""

    def __init__(self, name: str, step_metric: str | None = None, **options: Any) -> None:
        self.name = name
        self.step_metric = step_metric
        self._options = options

    def __repr__(self) -> str:
        return f"Metric(name={self.name!r}, step_metric={self.step_metric!r}, summary={self.summary!r})"

    @property
    def step_sync(self) -> bool:
        """Whether a row without the step metric takes its last value."""
        given = self._options.get("step_sync")
        return self.step_metric is not None if given is None else bool(given)

    @property
    def hidden(self) -> bool | None:
        """As given; pages show every metric."""
        return self._options.get("hidden")

    @property
    def goal(self) -> str | None:
        """What is best, "minimize" or "maximize", as given."""
        return self._options.get("goal")

    @property
    def summary(self) -> tuple[str, ...] | None:
        """What the summary keeps; None: the last value."""
        return self._options.get("summary")

    def merged(self, later: Metric) -> Metric:
        """This definition, changed by what a later one gives."""
        options = {**self._options, **{key: value for key, value in later._options.items() if value is not None}}
        return Metric(self.name, later.step_metric or self.step_metric, **options)

    def operations(self) -> tuple[str, ...]:
        """``summary`` without the words that stand for others."""
        best = "max" if str(self.goal).startswith("max") else "min"
        meant = {"best": best, "copy": "last"}
        return tuple(dict.fromkeys(meant.get(word, word) for word in self.summary or ()))


class _Aggregate:
    """What was seen of one name."""

    __slots__ = ("count", "first", "last", "max", "min", "total")

    def __init__(self, value: float) -> None:
        self.first = self.last = self.min = self.max = value
        self.total: float = value
        self.count = 1

    def add(self, value: float) -> None:
        self.last = value
        self.total += value
        self.count += 1
        if value < self.min or self.min != self.min:
            self.min = value
        if value > self.max or self.max != self.max:
            self.max = value

    @property
    def mean(self) -> float:
        return self.total / self.count


class MetricDefinitions:
    """Those of one run. Its user locks."""

    def __init__(self) -> None:
        self.defined: dict[str, Metric] = {}
        self._of_name: dict[str, Metric | None] = {}  # as found
        self._aggregates: dict[str, _Aggregate] = {}
        self._summarizes = False  # whether any definition wants more than the last value
        self._before: dict[str, dict[str, float]] = {}

    def define(self, name: str, step_metric: str | Metric | None = None, **options: Any) -> Metric:
        """Add a definition. Raises Error for what wandb refuses."""
        step_name = step_metric.name if isinstance(step_metric, Metric) else step_metric
        _check(name, step_name, options)
        if options.get("summary") is not None:
            words = tuple(word.strip().lower() for word in options["summary"].split(",") if word.strip())
            for word in words:
                if word not in _OPERATIONS:
                    raise Error(f"Unhandled define_metric() arg: summary op: {word}")
            options["summary"] = words or None
        made = Metric(name, step_name, **{key: value for key, value in options.items() if key != "overwrite"})
        before = None if options.get("overwrite") else self.defined.get(name)
        self.defined[name] = made if before is None else before.merged(made)
        self._of_name.clear()
        self._summarizes = self._summarizes or made.summary is not None
        return made

    def go_on(self, before: Mapping[str, Mapping[str, Any]]) -> None:
        """What a run that goes on had of each name: ``min``, ``max``, ``first``, as far as they are known."""
        self._before = {
            name: {word: value for word, value in found.items() if isinstance(value, (int, float))}
            for name, found in before.items()
        }

    def step_metric_of(self, name: Any) -> str | None:
        """The name that has the steps of this one; None: the run's counter has."""
        found = self.of(name)
        return None if found is None else found.step_metric

    def of(self, name: Any) -> Metric | None:
        """The definition that holds for a name."""
        if name not in self._of_name:
            if not isinstance(name, str):
                return None
            begins = [key for key in self.defined if key.endswith("*") and name.startswith(key[:-1])]
            found = self.defined.get(name)
            self._of_name[name] = self.defined[max(begins, key=len)] if found is None and begins else found
        return self._of_name[name]

    def take(self, row: Mapping[str, Any]) -> None:
        """Count the values of a row in."""
        for name, value in row.items() if self._summarizes else ():
            found = self.of(name)
            if found is None or found.summary is None or not isinstance(value, (int, float)):
                continue
            if name in self._aggregates:
                self._aggregates[name].add(value)
            else:
                self._aggregates[name] = _Aggregate(value)

    def summary_of(self, name: str) -> dict[str, float] | None:
        """What the summary has of a name instead of its last value; None: the last value."""
        found = self.of(name)
        words = () if found is None else found.operations()
        if not words or words == ("last",):
            return None
        if "none" in words or name not in self._aggregates:
            return {}
        return {word: self._value_of(name, word) for word in words}

    def _value_of(self, name: str, word: str) -> float:
        value: float = getattr(self._aggregates[name], word)
        before = self._before.get(name, {}).get(word)
        if before is None or word not in _OF_ALL:
            return value
        return _OF_ALL[word](before, value)

    def summaries(self) -> dict[str, float]:
        """Values called ``NAME.min`` and the like, of all names that have them."""
        return {
            f"{name}.{word}": value
            for name in self._aggregates
            for word, value in (self.summary_of(name) or {}).items()
            if word != "last"
        }


def _check(name: Any, step_metric: Any, options: Mapping[str, Any]) -> None:
    if not name:
        raise Error("define_metric() requires non-empty name argument")
    for argument, value, expected in (
        ("name", name, str),
        ("step_metric", step_metric, str),
        *((key, options.get(key), kind) for key, kind in _TYPES.items()),
    ):
        if value is not None and not isinstance(value, expected):
            raise Error(f"Unhandled define_metric() arg: {argument} type: {type(value).__name__}")
    if "*" in name[:-1]:
        raise Error(f"Unhandled define_metric() arg: name (glob suffixes only): {name}")
