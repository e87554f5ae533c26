"""The run that wandb's callbacks log to, and how they give it a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from steplog.compat.wandb import open_runs
from steplog.compat.wandb.artifact import Artifact
from steplog.compat.wandb.errors import Error

__all__ = ["log_model", "running"]


def running(what: str) -> Any:
    """``wandb.run``. Raises ``Error`` without one."""
    run = open_runs.current()
    if run is None:
        raise Error(f"You must call `wandb.init()` before {what}")
    return run


def log_model(run: Any, name: str, file: str, save: Callable[[str], object], aliases: Sequence[str] = ()) -> None:
    """Log an artifact of the type "model", of a file that ``save`` writes to the path that it is given."""
    artifact = Artifact(name, "model")
    with artifact.new_file(file, "wb") as opened:
        save(opened.name)
    run.log_artifact(artifact, aliases=list(aliases))
