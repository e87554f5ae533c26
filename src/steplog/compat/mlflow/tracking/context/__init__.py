"""``mlflow.tracking.context``: where a run was begun, which steplog records as its provenance."""

from __future__ import annotations

from steplog.compat.mlflow.tracking.context import registry

__all__ = ["registry"]
