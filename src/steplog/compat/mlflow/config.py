"""``mlflow.config``: what needs no configuration here."""

from __future__ import annotations

from typing import Any

from steplog.compat.mlflow.system_metrics import (
    disable_system_metrics_logging,
    enable_system_metrics_logging,
    set_system_metrics_node_id,
    set_system_metrics_samples_before_logging,
    set_system_metrics_sampling_interval,
)

__all__ = [
    "disable_system_metrics_logging",
    "enable_async_logging",
    "enable_system_metrics_logging",
    "set_system_metrics_node_id",
    "set_system_metrics_samples_before_logging",
    "set_system_metrics_sampling_interval",
]


def enable_async_logging(enable: Any = True) -> None:
    """Nothing: no call that logs ever waits."""
