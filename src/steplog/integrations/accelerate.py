"""A tracker of accelerate.

::

    from steplog.integrations.accelerate import SteplogTracker

    accelerator = Accelerator(log_with=SteplogTracker(project="mnist"))
    accelerator.init_trackers("mnist", config={"lr": 0.1})
    accelerator.log({"loss": 0.3}, step=7)
    accelerator.end_training()

``log_with="steplog"`` does as well once this module is imported; the project is that of ``init_trackers`` then.
The main process logs. A dict of values is logged as ``name/key``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from accelerate.tracking import GeneralTracker, on_main_process, register_tracker_class

from steplog.integrations.adapter_run import AdapterRun

if TYPE_CHECKING:
    from steplog import Run

__all__ = ["SteplogTracker"]


class SteplogTracker(GeneralTracker):
    """Logs to ``run``, else to the active run, else to one of its own, begun by ``steplog.init(**init)``."""

    name = "steplog"
    requires_logging_directory = False
    main_process_only = True

    def __init__(self, project: str | None = None, *, run: Run | None = None, **init: Any) -> None:
        super().__init__()
        self._run = AdapterRun(run, default_project="accelerate", project=project, **init)

    @property
    def tracker(self) -> Run | None:
        """The run; None in all but the main process."""
        return self._run.begun

    @on_main_process
    def start(self) -> None:
        """Begin the run, or look for the active one."""
        self._run.get()

    @on_main_process
    def store_init_configuration(self, values: Mapping[str, Any]) -> None:
        """Set them in the run's config."""
        self._run.configure(values)

    @on_main_process
    def log(self, values: Mapping[str, Any], step: int | None = None, **_: Any) -> None:
        """Log them at this step."""
        metrics: dict[str, Any] = {}
        for name, value in values.items():
            metrics |= (
                {f"{name}/{key}": item for key, item in value.items()} if isinstance(value, dict) else {name: value}
            )
        self._run.log(metrics, step)

    @on_main_process
    def finish(self) -> None:
        """End the run, if it is the tracker's own."""
        self._run.finish()


register_tracker_class(SteplogTracker)
