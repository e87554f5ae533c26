"""``mlflow.config``: steplog records load and memory itself, by its setting ``system_interval_s``, and never waits."""

from __future__ import annotations

from typing import Any

__all__ = [
    "disable_system_metrics_logging",
    "enable_async_logging",
    "enable_system_metrics_logging",
    "set_system_metrics_node_id",
    "set_system_metrics_samples_before_logging",
    "set_system_metrics_sampling_interval",
]


def enable_system_metrics_logging() -> None:
    """Do nothing: they are recorded as ``system/…``."""


def disable_system_metrics_logging() -> None:
    """Do nothing: to record none, set STEPLOG_SYSTEM_INTERVAL_S=0."""


def set_system_metrics_sampling_interval(interval: Any) -> None:
    """Do nothing: set STEPLOG_SYSTEM_INTERVAL_S."""


def set_system_metrics_samples_before_logging(samples: Any) -> None:
    """Do nothing."""


def set_system_metrics_node_id(node_id: Any) -> None:
    """Do nothing."""


def enable_async_logging(enable: Any = True) -> None:
    """Do nothing: no call that logs ever waits."""
