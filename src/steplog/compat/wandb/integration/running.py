"""The run that wandb's callbacks log to."""

from __future__ import annotations

from typing import Any

from steplog.compat.wandb import open_runs
from steplog.compat.wandb.errors import Error

__all__ = ["running"]


def running(what: str) -> Any:
    """``wandb.run``. Raises ``Error`` without one."""
    run = open_runs.current()
    if run is None:
        raise Error(f"You must call `wandb.init()` before {what}")
    return run
