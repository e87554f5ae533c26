"""``mlflow.utils.validation``: the limits of MLflow, which frameworks keep to when they log to it."""

from __future__ import annotations

from steplog.compat.field_limits import NAME_BYTES_MAX

__all__ = [
    "MAX_ENTITIES_PER_BATCH",
    "MAX_ENTITY_KEY_LENGTH",
    "MAX_METRICS_PER_BATCH",
    "MAX_PARAMS_TAGS_PER_BATCH",
    "MAX_PARAM_VAL_LENGTH",
    "MAX_TAG_VAL_LENGTH",
    "validate_param_and_metric_name",
]

MAX_PARAMS_TAGS_PER_BATCH = 100
MAX_METRICS_PER_BATCH = 1000
MAX_ENTITIES_PER_BATCH = 1000
MAX_PARAM_VAL_LENGTH = 6000
MAX_TAG_VAL_LENGTH = 8000
MAX_ENTITY_KEY_LENGTH = 250


def validate_param_and_metric_name(name: str) -> bool:
    """Whether it can be logged: any text that is not too long can."""
    return 0 < len(name.encode("utf-8", "replace")) <= NAME_BYTES_MAX
