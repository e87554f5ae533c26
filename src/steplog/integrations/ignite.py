"""A logger of PyTorch-Ignite.

::

    logger = SteplogLogger(project="mnist")
    logger.attach_output_handler(
        trainer, Events.ITERATION_COMPLETED(every=100), tag="training", output_transform=lambda loss: {"loss": loss}
    )
    logger.attach_output_handler(
        evaluator,
        Events.EPOCH_COMPLETED,
        tag="validation",
        metric_names="all",
        global_step_transform=global_step_from_engine(trainer),
    )
    logger.attach_opt_params_handler(trainer, Events.ITERATION_STARTED, optimizer=optimizer)
    with logger:
        trainer.run(loader, max_epochs=3)

``training/loss`` at the iteration, ``validation/accuracy`` at the trainer's epoch, ``lr/group_0``, as Ignite's own
loggers call them. The world's first process logs. ``close`` ends a run of its own, CRASHED if an exception leaves the
block. ``logger.run`` is the run, for what else is to be logged.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

import ignite.distributed as idist
from ignite.engine import Engine
from ignite.handlers.base_logger import BaseLogger, BaseOptimizerParamsHandler, BaseOutputHandler

from steplog.integrations.adapter_run import AdapterRun

if TYPE_CHECKING:
    from steplog import Run

__all__ = ["OptimizerParams", "Output", "SteplogLogger"]


class SteplogLogger(BaseLogger):  # type: ignore[misc,unused-ignore]
    """Logs to ``run``, else to the active run, else to one of its own, begun by ``steplog.init(**init)``."""

    def __init__(self, run: Run | None = None, **init: Any) -> None:
        self._run = AdapterRun(run, default_project="ignite", **init)

    @property
    def run(self) -> Run:
        """The run. Raises as ``steplog.init`` does, where it begins one."""
        return self._run.get()

    def write(self, metrics: dict[str, Any], step: int) -> None:
        """Log values, in the world's first process."""
        if idist.get_rank() == 0 and metrics:
            self._run.log(metrics, step)

    def close(self) -> None:
        """End the run, if it is one of its own."""
        self._run.finish()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self._run.fail(error)

    def _create_output_handler(self, *arguments: Any, **named: Any) -> Callable[..., None]:
        return Output(*arguments, **named)

    def _create_opt_params_handler(self, *arguments: Any, **named: Any) -> Callable[..., None]:
        return OptimizerParams(*arguments, **named)


class Output(BaseOutputHandler):  # type: ignore[misc,unused-ignore]
    """Logs an engine's output, metrics and attributes of its state, as ``tag/name``."""

    def __call__(self, engine: Engine, logger: SteplogLogger, event_name: Any) -> None:
        """At an event."""
        metrics = self._setup_output_metrics_state_attrs(engine, log_text=True, key_tuple=False)
        logger.write(metrics, self.global_step_transform(engine, event_name))


class OptimizerParams(BaseOptimizerParamsHandler):  # type: ignore[misc,unused-ignore]
    """Logs a parameter of each of an optimizer's groups, as ``tag/lr/group_0``."""

    def __call__(self, engine: Engine, logger: SteplogLogger, event_name: Any) -> None:
        """At an event."""
        name = f"{self.tag}/{self.param_name}" if self.tag else self.param_name
        groups = enumerate(self.optimizer.param_groups)
        metrics = {f"{name}/group_{number}": float(group[self.param_name]) for number, group in groups}
        logger.write(metrics, engine.state.get_event_attrib_value(event_name))
