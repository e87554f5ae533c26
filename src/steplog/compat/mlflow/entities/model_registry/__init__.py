"""``mlflow.entities.model_registry``: a registry that is not there."""

from __future__ import annotations

from steplog.compat.mlflow.entities.model_registry.model_version_status import ModelVersionStatus

__all__ = ["ModelVersionStatus"]
