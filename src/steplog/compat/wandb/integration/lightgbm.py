"""``wandb.integration.lightgbm``: what is evaluated, an iteration a row, as ``valid_l2`` and the like."""

from __future__ import annotations

from typing import Any

from steplog.compat.wandb import plot
from steplog.compat.wandb.artifact_names import safe_name
from steplog.compat.wandb.integration.best import define_best
from steplog.compat.wandb.integration.running import log_model, running
from steplog.compat.wandb.table import Table

__all__ = ["log_summary", "wandb_callback"]


class _Callback:
    """Called by LightGBM after each iteration."""

    order = 20
    before_iteration = False

    def __init__(self, log_params: bool, define_metric: bool) -> None:
        self._log_params = log_params
        self._define_metric = define_metric

    def __call__(self, env: Any) -> None:
        run = running("wandb_callback()")
        values: dict[str, float] = {}
        for item in env.evaluation_result_list:
            if len(item) == 4:
                values[f"{item[0]}_{item[1]}"] = item[2]
            else:  # of cross-validation
                name = "_".join(str(item[1]).split())
                values |= {f"{name}-mean": item[2], f"{name}-stdv": item[4]}
        if env.iteration == env.begin_iteration:
            if self._log_params:
                run.config.update(env.params)
            for name in values if self._define_metric else ():
                define_best(run, name, name.partition("_")[2])
        run.log({**values, "iteration": env.iteration})


def wandb_callback(log_params: bool = True, define_metric: bool = True) -> Any:
    """For ``lightgbm.train(callbacks=[…])``."""
    return _Callback(log_params, define_metric)


def log_summary(model: Any, feature_importance: bool = True, save_model_checkpoint: bool = False) -> None:
    """Log the best iteration and scores, and what each feature counts for."""
    run = running("log_summary()")
    run.summary["best_iteration"] = model.best_iteration
    run.summary["best_score"] = {data: dict(scores) for data, scores in model.best_score.items()}
    if feature_importance:
        counts = zip(model.feature_name(), model.feature_importance().tolist(), strict=True)
        table = Table(["Feature", "Importance"], [list(each) for each in counts])
        run.log({"Feature Importance": plot.bar(table, "Feature", "Importance")}, commit=False)
    if save_model_checkpoint:
        name = f"model_{model.best_iteration}.txt"
        log_model(run, safe_name(f"model_{run.id}"), name, model.save_model, ["best"])
