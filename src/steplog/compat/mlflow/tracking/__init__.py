"""``mlflow.tracking``: the client and the calls about the active run."""

from __future__ import annotations

from steplog.compat.mlflow.tracking import fluent
from steplog.compat.mlflow.tracking.client import MlflowClient
from steplog.compat.mlflow.tracking.fluent import get_tracking_uri, is_tracking_uri_set, set_tracking_uri

__all__ = ["MlflowClient", "fluent", "get_tracking_uri", "is_tracking_uri_set", "set_tracking_uri"]
