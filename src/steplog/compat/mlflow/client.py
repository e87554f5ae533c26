"""``mlflow.client``."""

from __future__ import annotations

from steplog.compat.mlflow.tracking.client import MlflowClient

__all__ = ["MlflowClient"]
