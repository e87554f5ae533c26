"""``wandb.integration.catboost``: what is evaluated, an iteration a row, as ``validation-RMSE`` and the like."""

from __future__ import annotations

from typing import Any

from steplog.compat.wandb import plot
from steplog.compat.wandb.artifact_names import safe_name
from steplog.compat.wandb.integration.running import log_model, running
from steplog.compat.wandb.table import Table

__all__ = ["WandbCallback", "log_summary"]


class WandbCallback:
    """For ``fit(callbacks=[…])``; call ``wandb.init`` before it."""

    def __init__(self, metric_period: int = 1) -> None:
        running("WandbCallback()")
        self.metric_period = metric_period
        self._seen = 0

    def after_iteration(self, info: Any) -> bool:
        """Log a row where there are new values; training goes on."""
        histories = {f"{data}-{name}": log for data, metrics in info.metrics.items() for name, log in metrics.items()}
        count = sum(map(len, histories.values()))
        if count > self._seen:
            self._seen = count
            values = {name: log[-1] for name, log in histories.items()}
            step = {f"iteration@metric-period-{self.metric_period}": info.iteration}
            running("WandbCallback()").log({**values, **step})
        return True


def log_summary(
    model: Any, log_all_params: bool = True, save_model_checkpoint: bool = False, log_feature_importance: bool = True
) -> None:
    """Log the model's settings, the best iteration and scores, and what each feature counts for."""
    run = running("log_summary()")
    if log_all_params:
        run.config.update(model.get_all_params())
    run.summary["best_iteration"] = model.get_best_iteration()
    run.summary["best_score"] = model.get_best_score()
    if save_model_checkpoint:
        log_model(run, safe_name(f"model_{run.id}"), "model.cbm", model.save_model, ["best"])
    if log_feature_importance:
        frame = model.get_feature_importance(prettified=True)
        rows = [list(row) for row in zip(frame["Feature Id"], frame["Importances"], strict=True)]
        run.log({"Feature Importance": plot.bar(Table(["Feature", "Importance"], rows), "Feature", "Importance")})
