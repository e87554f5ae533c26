"""The active run: of the innermost ``with run:``, else the process's default, else the only open run.

``with run:`` sets a context variable, which asyncio tasks inherit, and threads where Python has them do so
(``sys.flags.thread_inherit_context``); a bare ``init`` or ``set_active_run`` the default. A context may outlast a run
that it is in: one that is over counts no more.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Generic, TypeVar

from steplog.reentrant_lock import ReentrantLock

__all__ = ["ActiveRun"]

R = TypeVar("R")


class ActiveRun(Generic[R]):
    """The active run of a process; ``open_runs`` lists the candidates, and ``is_over`` is asked of one."""

    def __init__(self, open_runs: Callable[[], list[R]], is_over: Callable[[R], bool] = lambda run: False) -> None:
        self._default: R | None = None
        self._changing = ReentrantLock()  # of the default
        self._entered: ContextVar[tuple[R, ...]] = ContextVar("steplog_runs", default=())  # the innermost is last
        self._open_runs = open_runs
        self._is_over = is_over

    def get(self) -> R:
        """Raises ValueError if there is none, or if several are open and none is named."""
        for run in (*reversed(self._entered.get()), self._default):
            if run is not None and not self._is_over(run):
                return run
        runs = self._open_runs()
        if len(runs) == 1:
            return runs[0]
        if runs:
            raise ValueError(f"several runs are open; enter one (`with run:`) or set_active_run one of: {runs}")
        raise ValueError("no active run: call steplog.init() first, or set_active_run()")

    def find(self) -> R | None:
        """As ``get``; None where that raises."""
        try:
            return self.get()
        except ValueError:
            return None

    def set_default(self, run: R | None) -> None:
        """Make ``run`` active where no other one was entered."""
        with self._changing:
            self._default = run

    def enter(self, run: R) -> None:
        """Make ``run`` active in this context, until ``leave``."""
        self._entered.set((*self._entered.get(), run))

    def leave(self, run: R) -> None:
        """Undo the last ``enter`` of it; in a context without one, do nothing."""
        entered = self._entered.get()
        for at in reversed(range(len(entered))):
            if entered[at] is run:
                self._entered.set(entered[:at] + entered[at + 1 :])
                return

    def forget(self, run: R) -> None:
        """``run`` is over and active no more."""
        with self._changing:
            if self._default is run:
                self._default = None
        if run in self._entered.get():
            self._entered.set(tuple(other for other in self._entered.get() if other is not run))

    def forked(self) -> None:
        """In a forked child: another thread of the parent may have held the lock."""
        self._changing = ReentrantLock()
