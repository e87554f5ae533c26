"""The active run: which run ``steplog.log`` means.

1. the run of the innermost ``with run:`` around the caller (a context variable: it nests and follows asyncio tasks);
2. else the process's default, set by a bare ``init`` or ``set_active_run``;
3. else the only open run, if there is only one.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import TYPE_CHECKING

from steplog.process import open_runs

if TYPE_CHECKING:
    from steplog.run import Run

__all__ = ["enter", "forget", "get_active_run", "leave", "set_active_run"]

_entered: ContextVar[Run | None] = ContextVar("steplog_run", default=None)
_default: Run | None = None


def set_active_run(run: Run | None) -> None:
    """Make ``run`` the process's default; None: there is none."""
    global _default
    _default = run


def get_active_run() -> Run:
    """The active run. Raises ValueError when there is none, or when there are several and none is named."""
    run = _entered.get() or _default
    if run is not None:
        return run
    runs = [opened.run for opened in open_runs() if opened.run is not None]
    if len(runs) == 1:
        return runs[0]
    if runs:
        raise ValueError(f"several runs are open; enter one (`with run:`) or set_active_run one of: {runs}")
    raise ValueError("no active run: call steplog.init() first, or set_active_run()")


def enter(run: Run) -> Token[Run | None]:
    """Make ``run`` the active one of this context, until ``leave``."""
    return _entered.set(run)


def leave(token: Token[Run | None]) -> None:
    """Undo ``enter``."""
    try:
        _entered.reset(token)
    except ValueError:  # left in another context than it was entered in
        _entered.set(None)


def forget(run: Run) -> None:
    """A run that is over is active no more."""
    global _default
    if _default is run:
        _default = None
    if _entered.get() is run:
        _entered.set(None)
