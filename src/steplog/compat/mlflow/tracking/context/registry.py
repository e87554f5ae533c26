"""``mlflow.tracking.context.registry``."""

from __future__ import annotations

from typing import Any

__all__ = ["resolve_tags"]


def resolve_tags(tags: dict[str, Any] | None = None, ignore: object = None) -> dict[str, Any]:
    """The tags as they are: host, user, command and commit are the run's provenance."""
    return dict(tags or {})
