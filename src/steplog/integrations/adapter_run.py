"""The run that a framework's adapter logs to: the one it is given, else the active one, else one of its own."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from steplog import Run, RunStatus

__all__ = ["AdapterRun"]

_log = logging.getLogger("steplog")


class AdapterRun:
    """Looked for at the first ``get``. One of its own is begun by ``steplog.init(**init)``."""

    def __init__(self, run: Run | None = None, **init: Any) -> None:
        self._run = run
        self._init = init
        self._said: set[str] = set()
        self.is_own = False

    def get(self) -> Run:
        """The run. Raises as ``steplog.init`` does, where it begins one."""
        if self._run is None:
            import steplog

            try:
                self._run = steplog.get_active_run()
            except ValueError:
                self._run, self.is_own = steplog.init(**self._init), True
        return self._run

    def log(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log several values. What cannot be logged, and a run that is over, is said once and stops nothing."""
        try:
            self.get().log(metrics, step=step)
        except (TypeError, ValueError, RuntimeError) as error:  # RunFinishedError is a RuntimeError
            if (text := f"{error!s:.300}") not in self._said:
                self._said.add(text)
                _log.warning("steplog: not logged: %s", text)

    def finish(self, status: RunStatus | str | None = None, error: BaseException | None = None) -> None:
        """End the run, if it is one of its own; see ``Run.finish``. Else the program ends it."""
        if self.is_own and self._run is not None:
            self._run.finish(status=status, error=error)
