"""``log`` of a run: rows of values, at the steps of one counter.

1. A value is logged when the call is made, so that a kill loses no row, whatever ``commit`` says.
2. A dict within a row is several values: ``{"a": {"b": 1}}`` is ``a.b``.
3. Nothing that is logged raises, but for what is no dict, or a step that is none. A run that is over takes nothing,
   which is said once.
4. Of the last values only what is plain is kept: a tensor would keep its graph alive.
5. Safe in any thread: rows without a step that threads log at once have steps that differ. What is not plain takes a
   lock, which is held for an append, and that waits for nothing.
"""

from __future__ import annotations

import math
import os
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from steplog import Run, RunFinishedError
from steplog.compat.unsupported import unsupported
from steplog.compat.wandb.media import NOT_KEPT, logged
from steplog.compat.wandb.metric_definitions import MetricDefinitions
from steplog.compat.wandb.notices import say
from steplog.compat.wandb.step_counter import StepCounter
from steplog.journal.jsonable import element
from steplog.journal.range import NAME_BYTES_MAX
from steplog.journal.values import checked_step

__all__ = ["Rows", "find", "plain_value"]

_PLAIN = frozenset((float, int, bool, str, type(None)))
_DEPTH_MAX = 32  # of dicts in dicts


class Rows:
    """The rows of one run; ``log`` is the run's.

    Attributes:
        last: the last value of each name, as far as it is plain; a dict in a row is one here.
    """

    def __init__(self, run: Run, counter: StepCounter, definitions: MetricDefinitions, *, has_steps: bool) -> None:
        self.last: dict[str, Any] = {}
        self.counter = counter
        self.lock = threading.RLock()  # a signal's function may log, too
        self._run = run
        self._definitions = definitions
        self._has_steps = has_steps  # False: the server numbers, as several processes log rows of one run
        self._is_late = False
        self.log: Callable[..., None] = self._fast_log() if has_steps else self.log_any
        _all.add(self)

    def _fast_log(self) -> Callable[..., None]:
        append, counter, defined = self._run.log, self.counter, self._definitions.defined
        plain, keep, log_any = _PLAIN, self.last.update, self.log_any

        def log(data: Any, step: Any = None, commit: bool | None = None, sync: bool | None = None) -> None:
            """Log a row; ``sync`` is of old wandb's."""
            if data.__class__ is not dict or defined or commit is not None:
                return log_any(data, step, commit)
            for value in data.values():
                if value.__class__ is not float and value.__class__ not in plain:
                    return log_any(data, step)
            try:
                if step is None:
                    if counter.given >= 0:
                        return log_any(data)
                    step = counter.take()
                    append(data, step=step)
                elif step.__class__ is int:
                    append(data, step=step)
                    if step > counter.given:
                        counter.given = step
                else:
                    return log_any(data, step)
            except (TypeError, ValueError, RunFinishedError):  # a name or a step that is none; too late
                return log_any(data, step)
            return keep(data)

        return log

    def log_any(
        self, data: Mapping[str, Any], step: Any = None, commit: bool | None = None, sync: bool | None = None
    ) -> None:
        """Log a row of any values."""
        if not isinstance(data, Mapping):
            raise TypeError("wandb.log must be passed a dictionary")
        number = None if step is None else checked_step(plain_value(step))
        is_plain = data.__class__ is dict and _PLAIN.issuperset(map(type, data.values()))
        values: Mapping[Any, Any] = data if is_plain else dict(_values(data))
        with self.lock:
            at = self.counter.place(number, commit)
            self._definitions.take(values)
            if is_plain:
                self.last.update(data)
            else:
                _merge(self.last, {_text(key): value for key, value in data.items()}, values)
            for place, row in self._by_step(values, at) if self._has_steps else [(None, values)]:
                self._append(row, place)

    def log_aside(self, data: Mapping[str, Any]) -> None:
        """Log values that are part of no row; they are numbered name by name."""
        self._append(dict(_values(data)), None)

    def _by_step(self, values: Mapping[Any, Any], at: int) -> list[tuple[int | None, Mapping[Any, Any]]]:
        """The values by the step that they go to."""
        if not self._definitions.defined:
            return [(at, values)]
        rows: dict[int | None, dict[Any, Any]] = {}
        steps: dict[str | None, int] = {None: at}
        for name, value in values.items():
            by = self._definitions.step_metric_of(name)
            if by is not None and by not in steps:
                step = values[by] if by in values else find(self.last, by)
                whole = isinstance(step, (int, float)) and not isinstance(step, bool) and step == step // 1
                steps[by] = int(step) if whole else at
            rows.setdefault(steps[by], {})[name] = value
        return list(rows.items())

    def _append(self, row: Mapping[Any, Any], step: int | None) -> None:
        try:
            try:
                self._run.log(row, step=step)
            except (TypeError, ValueError):  # a name is none
                self._run.log(dict(_values(row)), step=step)
        except RunFinishedError:
            if not self._is_late:
                self._is_late = True
                say(f"run {self._run.name} is over: what is logged to it from now on is not recorded")


def find(values: Mapping[str, Any], name: str) -> Any:
    """A value by its name, or by ``a.b`` in a dict; None: there is none."""
    if name in values:
        return values[name]
    first, dot, rest = name.partition(".")
    below = values.get(first) if dot else None
    return find(below, rest) if isinstance(below, Mapping) else None


def _values(data: Mapping[Any, Any], before: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Names that can be logged, and values as they are kept."""
    for key, value in data.items():
        name = before + _text(key)
        if isinstance(value, Mapping) and value and "_type" not in value and depth < _DEPTH_MAX:
            yield from _values(value, f"{name}.", depth + 1)
        elif name:
            if (kept := logged(plain_value(value))) is not NOT_KEPT:
                yield _fitting(name), kept
        else:
            unsupported.note('wandb.log() of the name ""', "a metric has a name of at least one character")


def plain_value(value: Any) -> Any:
    """The number in a tensor or in NumPy's, and in dicts; else the value."""
    if isinstance(value, Mapping):
        return {_text(key): plain_value(item) for key, item in value.items()}
    if value.__class__ in _PLAIN or not hasattr(value, "dtype"):
        return value
    number = element(value)  # it waits for a GPU, once
    if number is None:
        with suppress(Exception):  # the user's code; what steplog makes of the value is its own affair
            number = element(value.reshape(())) if math.prod(value.shape) == 1 else None
    return value if number is None else number


def _text(key: Any) -> str:
    return key if isinstance(key, str) else str(key)


def _fitting(name: str) -> str:
    text = name.encode("utf-8", "replace")
    if len(text) > NAME_BYTES_MAX:
        unsupported.note(f"wandb.log() of a name over {NAME_BYTES_MAX} bytes", "the name is cut there")
    return text[:NAME_BYTES_MAX].decode("utf-8", "ignore")


def _merge(last: dict[str, Any], data: Mapping[str, Any], values: Mapping[str, Any], before: str = "") -> None:
    for key, value in data.items():
        if isinstance(value, Mapping):
            below = last.setdefault(key, {})
            if not isinstance(below, dict):
                below = last[key] = {}
            _merge(below, {_text(name): item for name, item in value.items()}, values, f"{before}{key}.")
        elif (kept := values.get(before + key)).__class__ in _PLAIN:
            last[key] = kept


def _after_fork_in_child() -> None:
    for rows in _all:
        rows.lock = threading.RLock()  # another thread may have held it


_all: weakref.WeakSet[Rows] = weakref.WeakSet()
os.register_at_fork(after_in_child=_after_fork_in_child)
