"""The active run: of the innermost ``with run:``, else the process's default, else the only open run.

``with run:`` sets a context variable, which asyncio tasks inherit; a bare ``init`` or ``set_active_run`` the default.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Generic, TypeVar

__all__ = ["ActiveRun"]

R = TypeVar("R")


class ActiveRun(Generic[R]):
    """The active run of a process; ``open_runs`` lists the candidates."""

    def __init__(self, open_runs: Callable[[], list[R]]) -> None:
        self.default: R | None = None
        self._entered: ContextVar[tuple[R, ...]] = ContextVar("steplog_runs", default=())  # the innermost is last
        self._open_runs = open_runs

    def get(self) -> R:
        """Raises ValueError if there is none, or if several are open and none is named."""
        entered = self._entered.get()
        run = entered[-1] if entered else self.default
        if run is not None:
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

    def enter(self, run: R) -> Token[tuple[R, ...]]:
        """Make ``run`` active in this context, until ``leave``."""
        return self._entered.set((*self._entered.get(), run))

    def leave(self, token: Token[tuple[R, ...]]) -> None:
        """Undo ``enter``; in another context, do nothing."""
        with contextlib.suppress(ValueError):
            self._entered.reset(token)

    def forget(self, run: R) -> None:
        """``run`` is over and active no more."""
        if self.default is run:
            self.default = None
        if run in self._entered.get():
            self._entered.set(tuple(other for other in self._entered.get() if other is not run))
