"""``wandb.wandb_run``: where frameworks look for the class of a run."""

from __future__ import annotations

from steplog.compat.wandb.logged_run import Run

__all__ = ["Run"]
