"""``wandb.sklearn``: charts of a model, logged as tables to the run that is open; of the others nothing is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from steplog.compat.unsupported import unsupported
from steplog.compat.wandb import open_runs, plot
from steplog.compat.wandb.errors import Error
from steplog.compat.wandb.table import Table

__all__ = [
    "plot_calibration_curve",
    "plot_class_proportions",
    "plot_classifier",
    "plot_clusterer",
    "plot_confusion_matrix",
    "plot_elbow_curve",
    "plot_feature_importances",
    "plot_learning_curve",
    "plot_outlier_candidates",
    "plot_precision_recall",
    "plot_regressor",
    "plot_residuals",
    "plot_roc",
    "plot_silhouette",
    "plot_summary_metrics",
]


def plot_roc(
    y_true: Any,
    y_probas: Any,
    labels: Sequence[str] | None = None,
    plot_micro: bool = True,
    plot_macro: bool = True,
    classes_to_plot: Sequence[Any] | None = None,
) -> None:
    """Log ``roc``."""
    _log("roc", plot.roc_curve(y_true, y_probas, labels, classes_to_plot))


def plot_precision_recall(
    y_true: Any,
    y_probas: Any,
    labels: Sequence[str] | None = None,
    plot_micro: bool = True,
    classes_to_plot: Sequence[Any] | None = None,
) -> None:
    """Log ``precision_recall``."""
    _log("precision_recall", plot.pr_curve(y_true, y_probas, labels, classes_to_plot))


def plot_confusion_matrix(
    y_true: Any,
    y_pred: Any,
    labels: Sequence[str] | None = None,
    true_labels: Any = None,
    pred_labels: Any = None,
    normalize: bool = False,
) -> None:
    """Log ``confusion_matrix``."""
    _log("confusion_matrix", plot.confusion_matrix(None, y_true, y_pred, labels))


def plot_feature_importances(
    model: Any,
    feature_names: Sequence[str] | None = None,
    title: str = "Feature Importance",
    max_num_features: int = 50,
) -> None:
    """Log ``feature_importances``: of ``feature_importances_``, else of ``coef_``."""
    found = getattr(model, "feature_importances_", None)
    found = getattr(model, "coef_", None) if found is None else found
    if found is None:
        return _count("plot_feature_importances")
    values = found.tolist() if hasattr(found, "tolist") else list(found)
    values = values[0] if values and isinstance(values[0], list) else values
    names = list(range(len(values))) if feature_names is None else list(feature_names)
    rows = sorted(zip(names, values, strict=True), key=lambda row: -abs(row[1]))[:max_num_features]
    return _log("feature_importances", Table(["feature_names", "importances"], rows))


def plot_summary_metrics(
    model: Any = None,
    X: Any = None,  # noqa: N803 - wandb's name
    y: Any = None,
    X_test: Any = None,  # noqa: N803
    y_test: Any = None,
) -> None:
    """Log the model's own score on the test data, as ``summary_metrics/score``."""
    _log("summary_metrics/score", model.score(X_test, y_test))


def _log(name: str, value: Any) -> None:
    run = open_runs.current()
    if run is None:
        raise Error("You must call wandb.init() before wandb.sklearn")
    run.log({name: value})


def _count(name: str) -> None:
    unsupported.note(
        f"wandb.sklearn.{name}()", "make the chart with scikit-learn, and log its numbers as a wandb.Table"
    )


def _counted(name: str) -> Callable[..., None]:
    def count(*_: Any, **__: Any) -> None:
        _count(name)

    count.__name__ = count.__qualname__ = name
    return count


plot_calibration_curve = _counted("plot_calibration_curve")
plot_class_proportions = _counted("plot_class_proportions")
plot_classifier = _counted("plot_classifier")
plot_clusterer = _counted("plot_clusterer")
plot_elbow_curve = _counted("plot_elbow_curve")
plot_learning_curve = _counted("plot_learning_curve")
plot_outlier_candidates = _counted("plot_outlier_candidates")
plot_regressor = _counted("plot_regressor")
plot_residuals = _counted("plot_residuals")
plot_silhouette = _counted("plot_silhouette")
