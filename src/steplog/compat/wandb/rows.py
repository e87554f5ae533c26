"""``log`` of a run: rows of values, at the steps of one counter.

1. A value is logged when the call is made, so that a kill loses no row, whatever ``commit`` says.
2. Nothing that is logged raises, but for what is no dict, or a step that is none. A run that is over takes nothing,
   which is said once.
3. Safe in any thread: rows without a step that threads log at once have steps that differ. What is not plain takes a
   lock, which is held for an append, and that waits for nothing; on a free-threaded Python each row takes it, since
   there an iterator may give one number to two threads (https://github.com/python/cpython/issues/120496).
"""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from steplog import Run, RunFinishedError
from steplog.compat.notices import say
from steplog.compat.wandb.metric_definitions import MetricDefinitions
from steplog.compat.wandb.row_values import PLAIN, collect, find, merge, plain_value
from steplog.compat.wandb.step_counter import StepCounter
from steplog.journal.values import checked_step
from steplog.reentrant_lock import ReentrantLock

__all__ = ["Rows"]

_HAS_GIL = "t" not in getattr(sys, "abiflags", "")  # by the build, whether or not it is on just now


class Rows:
    """The rows of one run; ``log`` is the run's.

    Attributes:
        last: the last value of each name, as far as it is plain; a dict in a row is one here.
    """

    def __init__(self, run: Run, counter: StepCounter, definitions: MetricDefinitions, *, has_steps: bool) -> None:
        self.last: dict[str, Any] = {}
        self.counter = counter
        self.lock = ReentrantLock()  # a signal's function may log, too
        self._run = run
        self._definitions = definitions
        self._has_steps = has_steps  # False: the server numbers, as several processes log rows of one run
        self._is_late = False
        self.log: Callable[..., None] = self._fast_log() if has_steps and _HAS_GIL else self.log_any
        _all.add(self)

    def _fast_log(self) -> Callable[..., None]:
        append, counter, defined = self._run.log, self.counter, self._definitions.defined
        plain, keep, log_any = PLAIN, self.last.update, self.log_any

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
        values, last = collect(data)
        with self.lock:
            at = self.counter.place(number, commit)
            self._definitions.take(values)
            merge(self.last, last)
            for place, row in self._by_step(values, at) if self._has_steps else [(None, values)]:
                self._append(row, place)

    def log_aside(self, data: Mapping[str, Any]) -> None:
        """Log values that are part of no row; they are numbered name by name."""
        self._append(collect(data)[0], None)

    def _by_step(self, values: Mapping[Any, Any], at: int) -> list[tuple[int | None, Mapping[Any, Any]]]:
        """The values by the step that they go to; a step metric with them, unless there is more in the row."""
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
        if len(rows) > 1 and all(name in steps for name in rows.get(at, ())):
            for name, value in rows.pop(at).items():
                rows.setdefault(steps[name], {})[name] = value
        return list(rows.items())

    def _append(self, row: Mapping[Any, Any], step: int | None) -> None:
        try:
            self._run.log(row, step=step)
        except RunFinishedError:
            if not self._is_late:
                self._is_late = True
                say(f"run {self._run.name} is over: what is logged to it from now on is not recorded")


def _after_fork_in_child() -> None:
    for rows in _all:
        rows.lock = ReentrantLock()  # another thread may have held it


_all: weakref.WeakSet[Rows] = weakref.WeakSet()
os.register_at_fork(after_in_child=_after_fork_in_child)
