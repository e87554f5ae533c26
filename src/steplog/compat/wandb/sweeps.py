"""``wandb.sweep``, ``wandb.agent``: steplog chooses no hyperparameters, and says so at the call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from steplog.compat.wandb.errors import UsageError

__all__ = ["agent", "controller", "sweep"]


def sweep(sweep: Any, entity: str | None = None, project: str | None = None, prior_runs: Any = None) -> NoReturn:
    """Raises UsageError."""
    _refuse("wandb.sweep()")


def agent(
    sweep_id: str,
    function: Callable[..., Any] | None = None,
    entity: str | None = None,
    project: str | None = None,
    count: int | None = None,
    forward_signals: bool = False,
    term_timeout: int | None = None,
    max_consecutive_failed_runs: int | None = None,
) -> NoReturn:
    """Raises UsageError."""
    _refuse("wandb.agent()")


def controller(sweep_id_or_config: Any = None, entity: str | None = None, project: str | None = None) -> NoReturn:
    """Raises UsageError."""
    _refuse("wandb.controller()")


def _refuse(call: str) -> NoReturn:
    raise UsageError(
        f"{call}: steplog has no sweeps, and nothing was started. Let Optuna choose the values: "
        "study.optimize(objective, callbacks=[SteplogCallback()]), of steplog.integrations.optuna"
    )
