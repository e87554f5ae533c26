"""``wandb.apis.public``: what reads runs."""

from __future__ import annotations

from steplog.compat.wandb.api import Api, Project, Projects, Runs, User
from steplog.compat.wandb.api_run import Run

__all__ = ["Api", "Project", "Projects", "Run", "Runs", "User"]
