"""``wandb.tensorboard``: what writers of event files write is also logged (``compat.tensorboard_sync``)."""

from __future__ import annotations

from typing import Any

from steplog.compat.tensorboard_sync import start, stop
from steplog.compat.wandb import open_runs

__all__ = ["patch", "unpatch"]


def patch(
    save: bool = True, tensorboard_x: bool | None = None, pytorch: bool | None = None, root_logdir: str = ""
) -> None:
    """From now on, for the run that is open, or the next one."""
    run: Any = open_runs.current()
    start(None if run is None else run.steplog_run)


def unpatch() -> None:
    """No more."""
    stop()
