"""``mlflow.utils``: the numbers and names that frameworks look at."""

from __future__ import annotations

from steplog.compat.mlflow.utils import mlflow_tags, validation

__all__ = ["mlflow_tags", "validation"]
