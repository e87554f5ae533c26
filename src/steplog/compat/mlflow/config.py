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
    """Nothing: they are recorded as ``system/…``."""


def disable_system_metrics_logging() -> None:
    """Nothing: to record none, set STEPLOG_SYSTEM_INTERVAL_S=0."""


def set_system_metrics_sampling_interval(interval: Any) -> None:
    """Nothing: set STEPLOG_SYSTEM_INTERVAL_S."""


def set_system_metrics_samples_before_logging(samples: Any) -> None:
    """Nothing."""


def set_system_metrics_node_id(node_id: Any) -> None:
    """Nothing."""


def enable_async_logging(enable: Any = True) -> None:
    """Nothing: no call that logs ever waits."""
