"""The active run of a process: what ``steplog.log`` and its like go to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from steplog.identity import RunStatus
from steplog.report import Report
from steplog.run import Run, active_run

if TYPE_CHECKING:
    from steplog.client import TellurioClient

__all__ = ["finish", "flush", "get_active_run", "log", "set_active_run"]


def set_active_run(run: Run | None) -> None:
    """Make ``run`` the process's default; None: no default."""
    active_run.set_default(run)


def get_active_run() -> Run:
    """The active run. Raises ValueError if there is none, or if several are open and none is named."""
    return active_run.get()


def log(
    name: str | Mapping[str, Any], value: Any = ..., step: int | None = None, client: TellurioClient | None = None
) -> None:
    """Log to the active run; see ``Run.log``."""
    active_run.get().log(name, value, step, client)


def flush(timeout: float | None = None) -> bool:
    """Flush the active run; see ``Run.flush``."""
    return active_run.get().flush(timeout)


def finish(
    status: RunStatus | str | None = None, *, error: BaseException | None = None, timeout: float | None = None
) -> Report:
    """Finish the active run; see ``Run.finish``."""
    return active_run.get().finish(status=status, error=error, timeout=timeout)
