"""``wandb.integration.xgboost``: what is evaluated, an iteration a row, as ``validation-rmse`` and the like."""

from __future__ import annotations

import json
from typing import Any

from xgboost.callback import TrainingCallback

from steplog.compat.wandb import plot
from steplog.compat.wandb.artifact_names import safe_name
from steplog.compat.wandb.integration.best import define_best
from steplog.compat.wandb.integration.running import log_model, running
from steplog.compat.wandb.table import Table

__all__ = ["WandbCallback", "wandb_callback"]


class WandbCallback(TrainingCallback):
    """Call ``wandb.init`` before it."""

    def __init__(
        self,
        log_model: bool = False,
        log_feature_importance: bool = True,
        importance_type: str = "gain",
        define_metric: bool = True,
    ) -> None:
        super().__init__()
        running("WandbCallback()")
        self.log_model, self.log_feature_importance = log_model, log_feature_importance
        self.importance_type, self.define_metric = importance_type, define_metric

    def before_training(self, model: Any) -> Any:
        """The booster's settings are config."""
        running("WandbCallback()").config.update(json.loads(model.save_config()))
        return model

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        """Log a row; training goes on."""
        run = running("WandbCallback()")
        values = {}
        for data, metrics in evals_log.items():
            for metric, history in metrics.items():
                if self.define_metric:
                    define_best(run, f"{data}-{metric}", metric)
                values[f"{data}-{metric}"] = history[-1]
        self.define_metric = False
        run.log({**values, "epoch": epoch})
        return False

    def after_training(self, model: Any) -> Any:
        """Log the best score, and what each feature counts for."""
        run = running("WandbCallback()")
        if self.log_model:
            log_model(run, safe_name(f"{run.id}_model.json"), "model.json", model.save_model)
        if self.log_feature_importance:
            scores = model.get_score(importance_type=self.importance_type)
            table = Table(["Feature", "Importance"], [[name, score] for name, score in scores.items()])
            run.log({"Feature Importance": plot.bar(table, "Feature", "Importance")})
        if model.attr("best_score") is not None:
            best = {"best_score": float(model.attr("best_score")), "best_iteration": int(model.attr("best_iteration"))}
            run.log(best)
        return model


def wandb_callback() -> WandbCallback:
    """The older name."""
    return WandbCallback(log_feature_importance=False)
