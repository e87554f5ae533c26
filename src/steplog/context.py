"""The active run: which run ``steplog.log`` means.

1. the run of the innermost ``with run:`` around the caller (a context variable: it nests and follows asyncio tasks);
2. else the process's default, set by a bare ``init`` or ``set_active_run``;
3. else the only open run, if there is only one.
"""

from __future__ import annotations

import contextlib
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING

from steplog.lifecycle.process import open_runs

if TYPE_CHECKING:
    from steplog.run import Run

__all__ = ["enter", "forget", "get_active_run", "leave", "set_active_run"]

_entered: ContextVar[tuple[Run, ...]] = ContextVar("steplog_runs", default=())  # the innermost is the last
_default: Run | None = None


def set_active_run(run: Run | None) -> None:
    """Make ``run`` the process's default; None: there is none."""
    global _default
    _default = run


def get_active_run() -> Run:
    """The active run. Raises ValueError when there is none, or when there are several and none is named."""
    entered = _entered.get()
    run = entered[-1] if entered else _default
    if run is not None:
        return run
    runs = [opened.run for opened in open_runs() if opened.run is not None]
    if len(runs) == 1:
        return runs[0]
    if runs:
        raise ValueError(f"several runs are open; enter one (`with run:`) or set_active_run one of: {runs}")
    raise ValueError("no active run: call steplog.init() first, or set_active_run()")


def enter(run: Run) -> Token[tuple[Run, ...]]:
    """Make ``run`` the active one of this context, until ``leave``."""
    return _entered.set((*_entered.get(), run))


def leave(token: Token[tuple[Run, ...]]) -> None:
    """Undo ``enter``; nothing, in another context than it was entered in: there it is not the active one."""
    with contextlib.suppress(ValueError):
        _entered.reset(token)


def forget(run: Run) -> None:
    """A run that is over is active no more."""
    global _default
    if _default is run:
        _default = None
    if run in _entered.get():
        _entered.set(tuple(other for other in _entered.get() if other is not run))
