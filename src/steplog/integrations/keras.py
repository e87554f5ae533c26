"""A callback of Keras 3, whatever its backend.

::

    model.fit(x, y, epochs=3, callbacks=[SteplogCallback(project="mnist")])

1. ``epoch/loss``, ``epoch/val_loss``, ``epoch/learning_rate`` at the epoch, counted from 0. ``log_freq``, "batch" or a
   number, adds ``batch/loss`` and the like at every batch, or every so many, counted from 0 through all epochs.
2. ``evaluate`` by itself is ``test/loss``. The config is ``epochs``, ``steps`` and the optimizer's.
3. ``fit`` and what follows are one run, which ends with the program, or when the next training begins its own. Where
   trainings of a process of multiprocessing may fail and it goes on, begin and end the run yourself.
4. Without ``log_freq`` nothing is read at a batch, so that Keras need not wait for its numbers.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import keras

from steplog.integrations.adapter_run import AdapterRun

if TYPE_CHECKING:
    from steplog import Run

__all__ = ["SteplogCallback"]


class SteplogCallback(keras.callbacks.Callback):  # type: ignore[misc,unused-ignore]
    """Logs to ``run``, else to the active run, else to one of its own, begun by ``steplog.init(**init)``.

    Args:
        run: an open run.
        log_freq: "epoch", "batch", or after how many batches values of a batch are logged.
        initial_step: the number of the first batch, of a training that goes on.
        init: arguments of ``steplog.init``.
    """

    def __init__(
        self, run: Run | None = None, log_freq: str | int = "epoch", initial_step: int = 0, **init: Any
    ) -> None:
        super().__init__()
        if log_freq not in ("epoch", "batch") and (not isinstance(log_freq, int) or log_freq < 1):
            raise ValueError(f'log_freq is "epoch", "batch" or a number of batches, not {log_freq!r}')
        self._run = AdapterRun(run, default_project="keras", **init)
        self._every = 1 if log_freq == "batch" else log_freq
        self._before = initial_step  # batches of the epochs before
        self._in_epoch = 0
        self._due = initial_step
        self._is_fitting = False
        if log_freq != "epoch":
            self.on_train_batch_end = self._log_batch

    def on_train_begin(self, logs: Any = None) -> None:
        """Begin the run, or go on with it."""
        self._is_fitting = True
        known = {name: self.params[name] for name in ("epochs", "steps") if (self.params or {}).get(name) is not None}
        with suppress(Exception):  # an optimizer of the program's need not have one
            known["optimizer"] = self.model.optimizer.get_config()
        self._run.configure(known)
        self._run.rest(is_over=False)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Log an epoch."""
        self._before, self._in_epoch = self._before + self._in_epoch, 0
        self._run.log(self._named("epoch", logs), epoch)

    def _log_batch(self, batch: int, logs: Any = None) -> None:
        self._in_epoch = batch + 1
        step = self._before + batch
        if step >= self._due:
            self._due = step + int(self._every)
            self._run.log(self._named("batch", logs), step)

    def on_test_end(self, logs: Any = None) -> None:
        """Log what ``evaluate`` found, unless it is ``fit`` that evaluates."""
        if not self._is_fitting and logs:
            self._run.log({f"test/{name}": value for name, value in logs.items()})

    def on_train_end(self, logs: Any = None) -> None:
        """What comes now is logged to the same run."""
        self._is_fitting = False
        self._run.rest()

    def _named(self, prefix: str, logs: Any) -> dict[str, Any]:
        named = {f"{prefix}/{name}": value for name, value in (logs or {}).items()}
        with suppress(Exception):  # as above
            named[f"{prefix}/learning_rate"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        return named
