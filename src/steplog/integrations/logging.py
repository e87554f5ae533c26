"""The records of Python's ``logging`` as a text metric of the run, in their order, beside its curves.

::

    logging.getLogger().addHandler(RunLogHandler(level=logging.INFO))

    log    "INFO train: epoch 3 begins"    the formatter's text, cut at ``CHARACTERS_MAX``; the server numbers them

1. A record goes to the run that was given, else to the active one at that moment; where there is none, nowhere. It
   begins no run and ends none.
2. What steplog's own logger and threads say is left out: delivering it would give more to deliver.
3. A logger that runs wild is held to ``per_second_max`` records a second, after ``BURST_S`` seconds' worth at once; the
   next one that passes says before it how many were left out. An ERROR always passes.
4. ``logging`` never raises for it: what fails is reported as ``logging.raiseExceptions`` says.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steplog import Run

__all__ = ["BURST_S", "CHARACTERS_MAX", "RunLogHandler"]

CHARACTERS_MAX = 8 * 1024
BURST_S = 10.0


class RunLogHandler(logging.Handler):
    """``metric`` is the name under which records are logged. Safe in any thread, as every handler is."""

    def __init__(
        self,
        run: Run | None = None,
        level: int | str = logging.INFO,
        *,
        metric: str = "log",
        per_second_max: float = 100,
    ) -> None:
        """Raises ValueError where ``per_second_max`` is not above 0, or as ``logging.Handler`` does."""
        super().__init__(level)
        if not per_second_max > 0:
            raise ValueError(f"per_second_max is above 0, not {per_second_max!r}")
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        self._run = run
        self._metric = metric
        self._per_second_max = per_second_max
        self._left = per_second_max * BURST_S
        self._last_s = 0.0
        self._left_out = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Called by ``logging``, which holds this handler's lock."""
        if f"{record.name}.".startswith("steplog.") or (record.threadName or "").startswith("steplog"):
            return
        run = self._target()
        if run is None:
            return
        if not self._passes(record):
            self._left_out += 1
            return
        try:
            text = self.format(record)
            if self._left_out:
                run.log(
                    self._metric, f"{self._left_out:,} records left out: more than {self._per_second_max:g} a second"
                )
                self._left_out = 0
            run.log(self._metric, text if len(text) <= CHARACTERS_MAX else f"{text[:CHARACTERS_MAX]}…")
        except RuntimeError as error:
            if type(error).__name__ != "RunFinishedError":
                self.handleError(record)
        except Exception:  # noqa: BLE001 - logging's own rule: a record never stops the program
            self.handleError(record)

    def _target(self) -> Run | None:
        if self._run is not None:
            return self._run
        import steplog

        try:
            return steplog.get_active_run()
        except ValueError:
            return None

    def _passes(self, record: logging.LogRecord) -> bool:
        """By the records' own times."""
        elapsed_s, self._last_s = max(0.0, record.created - self._last_s), record.created
        self._left = min(self._left + elapsed_s * self._per_second_max, self._per_second_max * BURST_S)
        if self._left >= 1:
            self._left -= 1
            return True
        return record.levelno >= logging.ERROR
