"""A run from a server's description of it."""

from __future__ import annotations

from typing import Any

from steplog.identity import RunOrg, RunProject, RunUser
from steplog.run import Run

__all__ = ["described"]


def described(told: dict[str, Any], namespace: str) -> Run:
    """The run. Raises ValueError, KeyError, TypeError, AttributeError for what describes none."""
    project, user = told.get("project") or {}, told.get("user") or {}
    return Run(
        told["uuid"],
        told.get("name"),
        told.get("description"),
        told.get("status", "RUNNING"),
        told.get("date_created"),
        told.get("date_updated"),
        RunOrg(namespace),
        RunProject(project.get("uuid", ""), project.get("display_name", ""), project.get("slug", "")),
        RunUser(user.get("uuid", ""), user.get("username", ""), user.get("slug", "")),
    )
