"""The run that a framework's adapter logs to: the one it is given, else the active one, else one of its own.

One of its own is begun by the first ``get``, and is the active run from then on. It ends

* by ``finish``, where the framework says that all is over, or what it has failed of;
* after ``rest``, when a training is over, by which adapter begins one of its own next, or by the end of the program:
  until then what comes after a training, such as a test, is logged to it.

A run that the program has begun is ended by the program. A copy of an adapter, in this process or in another one that
it is sent to, logs to the same run and never ends it.
"""

from __future__ import annotations

import copy
import logging
import multiprocessing
import os
import threading
from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from steplog.integrations.config_values import config_values

if TYPE_CHECKING:
    from steplog import Run, RunStatus

__all__ = ["SAID_MAX", "AdapterRun", "has_ended"]

SAID_MAX = 20  # reasons, some of which name a value

_log = logging.getLogger("steplog")
_beginning = threading.RLock()
_resting: WeakSet[Run] = WeakSet()


class AdapterRun:
    """``init`` are arguments of ``steplog.init``; ``default_project`` counts where no setting names a project."""

    def __init__(self, run: Run | None = None, *, default_project: str | None = None, **init: Any) -> None:
        self.is_own = False
        self._given = run
        self._run = run
        self._default_project = default_project
        self._init = init
        self._said: set[str] = set()

    @property
    def begun(self) -> Run | None:
        """The run, if it has been looked for."""
        return self._run

    def get(self) -> Run:
        """The run, for a training that begins; one of its own that is over goes on. Raises as ``steplog.init``."""
        with _beginning:
            run = self._run
            if run is None or (has_ended(run) and not self.is_own and self._given is None):
                self._run = self.active() or self._begin()
            elif self.is_own:
                _resting.discard(run)
                if has_ended(run):
                    self._run = self._go_on(run)
            return self._run  # type: ignore[return-value]

    def look(self) -> Run:
        """As ``get``, but no training begins: a run at rest stays so."""
        run = self._run
        rests = self.is_own and run is not None and (run in _resting or has_ended(run))
        run = self.get()
        if rests:
            _resting.add(run)
        return run

    def log(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log several values. What cannot be logged, and a run that is over, is said once and stops nothing."""
        run = self._run or self.get()
        try:
            run.log(metrics, step=step)
        except (TypeError, ValueError):
            for name, value in metrics.items():  # the others are logged all the same
                self._try("not logged: %s", run.log, str(name), value, step)
        except Exception as error:  # noqa: BLE001 - a training goes on without it
            self._say("not logged: %s", error)

    def configure(self, values: Mapping[Any, Any] | Namespace | None) -> None:
        """Set values of the run's config. What cannot be set is said once and stops nothing."""
        config = self.get().config
        try:
            config.update(config_values(values))
        except Exception as error:  # noqa: BLE001 - any, of a value that is computed when it is looked at
            self._say("not set in the config: %s", error)

    def keep(self, act: Callable[[Run], object]) -> None:
        """Have the run keep files. What cannot be kept, and a run that is over, is said once and stops nothing."""
        self._try("not kept: %s", act, self._run or self.get())

    def rest(self, *, is_over: bool = True) -> None:
        """A training is over: the run is ended by whoever begins one of its own next, or with the program.

        A process of multiprocessing ends without a word, so that the run ends now, and goes on where more comes.
        ``is_over=False``: the training has begun, and its framework would not say that it has failed.
        """
        if multiprocessing.parent_process() is not None:
            if is_over:
                self.finish()
        elif self.is_own and self._run is not None:
            _resting.add(self._run)

    def finish(self, status: RunStatus | str | None = None, error: BaseException | None = None) -> None:
        """End the run, if it is one of its own; see ``Run.finish``. Else the program ends it."""
        if self.is_own and self._run is not None:
            self._try("not finished: %s", lambda run: run.finish(status=status, error=error), self._run)

    def fail(self, error: BaseException | None) -> None:
        """A training has failed of this: the run ends CRASHED with it, if it is one of its own.

        Another run ends so as well where the error is none that a program goes on after, such as KeyboardInterrupt:
        frameworks exit with a code of their own then.
        """
        if isinstance(error, Exception) or error is None:
            self.finish(status="CRASHED", error=error)
        elif self._run is not None:
            left = type(error) is SystemExit and not error.code
            self._try("not finished: %s", lambda run: run.finish(error=None if left else error), self._run)

    def active(self) -> Run | None:
        """The active run, if it is none at rest, which is ended."""
        import steplog

        try:
            run = steplog.get_active_run()
        except ValueError:
            return None
        if run not in _resting:
            return run
        self._try("not finished: %s", run.finish)
        return None

    def _begin(self) -> Run:
        import steplog

        given = {"activate": False, **self._init}  # a later init of the program does not take it for one that failed
        try:
            run = steplog.init(**given)
        except ValueError:  # no project is named anywhere; or another argument is wrong, and raises again
            if self._default_project is None or given.get("project") is not None:
                raise
            run = steplog.init(**{**given, "project": self._default_project})
        if self._init.get("activate", True):
            steplog.set_active_run(run)
        self.is_own = True
        return run

    def _go_on(self, run: Run) -> Run:
        import steplog

        begun = steplog.attach(str(run.uuid), owner=True)
        if self._init.get("activate", True) and self.active() is None:
            steplog.set_active_run(begun)
        return begun

    def _try(self, what: str, act: Any, *arguments: Any) -> None:
        try:
            act(*arguments)
        except Exception as error:  # noqa: BLE001 - a training goes on without it
            self._say(what, error)

    def _say(self, what: str, error: Exception) -> None:
        if (text := what % f"{error!s:.300}") not in self._said and len(self._said) < SAID_MAX:
            self._said.add(text)
            _log.warning("steplog: %s", text)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"is_own": False}

    def __deepcopy__(self, memo: Any) -> AdapterRun:
        return copy.copy(self)


def _after_fork_in_child() -> None:
    global _beginning
    _beginning = threading.RLock()  # another thread may have held it


os.register_at_fork(after_in_child=_after_fork_in_child)


def has_ended(run: Run) -> bool:
    """Whether it has a status that lasts."""
    return run.status.value != "RUNNING"
