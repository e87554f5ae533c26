"""Inspect AI: a run a task, in a group an ``eval()``. With an active run, that run has all tasks, as ``TASK/…``.

::

    STEPLOG_INSPECT=1 inspect eval task.py --model …     nothing in the code: by the entry point
    steplog.integrations.inspect.register(project="…")   before eval()

    sample              of each sample: id, epoch, scores, tokens, seconds, error
    mean/SCORER         the mean of its scores so far, as numbers. Steps count samples in the order they end
    tokens/MODEL/total  the sum so far; also input, output, cost. Steps count the calls of the task
    SCORER/METRIC       the results of the task, such as match/accuracy

The config is the task's arguments and settings. A task that an exception ends is CRASHED; one that has too many failed
samples is FAILED. Prompts and answers are not logged: Inspect's own log has them.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, Any

from anyio.to_thread import run_sync  # what may wait for a server does not hold up the samples
from inspect_ai import hooks as at

from steplog.integrations.adapter_run import AdapterRun
from steplog.integrations.inspect_task import InspectTask
from steplog.integrations.side_run import SideRun

if TYPE_CHECKING:
    from steplog import Run

__all__ = ["SteplogHooks", "register"]


class SteplogHooks(at.Hooks):
    """What Inspect calls; ``register`` says which run is meant."""

    given: Run | None
    init: dict[str, Any]

    def __init__(self) -> None:
        self._tasks: dict[str, InspectTask] = {}
        self._names: list[str] = []  # of the tasks of an ``eval()``, several of which may have one
        self._taken: Counter[str] = Counter()
        self._shared: Run | None = None

    async def on_run_start(self, data: at.RunStart) -> None:
        """An ``eval()``, of which a process has one at a time."""
        self._names, self._shared = data.task_names, self.given or AdapterRun().active()
        self._taken.clear()

    async def on_task_start(self, data: at.TaskStart) -> None:
        """Its run begins."""
        spec = data.spec
        name = spec.task if self._names.count(spec.task) < 2 else f"{spec.task}/{spec.model}"
        self._taken[name] += 1
        if self._shared is not None:
            prefix = f"{name}/" if self._taken[name] < 2 else f"{name}-{self._taken[name]}/"
            self._tasks[data.eval_id] = InspectTask(AdapterRun(self._shared), prefix, spec)
            return
        usual = {"name": name, "group": data.eval_set_id or data.run_id, "tags": spec.tags, "job_type": "eval"}
        side = SideRun(default_project="inspect", **{**usual, **self.init})
        await run_sync(side.get)
        self._tasks[data.eval_id] = InspectTask(side, "", spec)

    async def on_sample_end(self, data: at.SampleEnd) -> None:
        """Once an epoch."""
        if (task := self._tasks.get(data.eval_id)) is not None:
            task.sample(data.sample)

    async def on_model_usage(self, data: at.ModelUsageData) -> None:
        """A call that no cache has answered."""
        if (task := self._tasks.get(getattr(data, "eval_id", None) or "")) is not None:
            task.called(data.model_name, data.usage)

    async def on_task_end(self, data: at.TaskEnd) -> None:
        """Only of a task that no exception has ended."""
        if (task := self._tasks.pop(data.eval_id, None)) is not None:
            await run_sync(task.end, data.log)

    async def on_run_end(self, data: at.RunEnd) -> None:
        """The end of the other tasks."""
        logs = {log.eval.eval_id: log for log in data.logs}
        for eval_id in [eval_id for eval_id, task in self._tasks.items() if task.run_id == data.run_id]:
            await run_sync(self._tasks.pop(eval_id).end, logs.get(eval_id), data.exception)


def register(run: Run | None = None, **init: Any) -> None:
    """Log each task from now on: to ``run``, or the active one, or one of its own, of ``steplog.init(**init)``."""
    made = type("SteplogHooks", (SteplogHooks,), {"given": run, "init": init, "__module__": __name__})
    at.hooks(name="steplog", description="metrics of each task to a run")(made)


if os.environ.get("STEPLOG_INSPECT", "0") not in ("", "0"):
    register()
