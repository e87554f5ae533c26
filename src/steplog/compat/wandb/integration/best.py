"""What the summary keeps of a metric of gradient boosting: its best value, where its name says which that is."""

from __future__ import annotations

from typing import Any

__all__ = ["define_best"]

_LEAST = {"l1", "l2", "rmse", "rmsle", "mape", "huber", "fair", "poisson", "gamma", "binary_logloss", "mae", "logloss"}
_GREATEST = {"map", "auc", "average_precision", "aucpr", "ndcg"}


def define_best(run: Any, name: str, metric: str) -> None:
    """Define the metric ``name``, whose kind is called ``metric``."""
    kind = metric.lower()
    if "loss" in kind or kind in _LEAST:
        run.define_metric(name, summary="min")
    elif kind in _GREATEST:
        run.define_metric(name, summary="max")
