"""``wandb.plot``: charts, each kept as its table.

The numbers of ``roc_curve`` and ``pr_curve`` are made here, as scikit-learn defines them; neither it nor pandas is
needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, groupby
from typing import Any

from steplog.compat.wandb.errors import Error
from steplog.compat.wandb.media import WBValue
from steplog.compat.wandb.table import Table

__all__ = [
    "CustomChart",
    "CustomChartSpec",
    "Visualize",
    "bar",
    "confusion_matrix",
    "histogram",
    "line",
    "line_series",
    "plot_table",
    "pr_curve",
    "roc_curve",
    "scatter",
    "visualize",
]

_DIGITS = 3  # of a rate, as wandb rounds it


@dataclass
class CustomChartSpec:
    """How a chart is drawn: kept with nothing."""

    spec_name: str
    fields: dict[str, Any] = field(default_factory=dict)
    string_fields: dict[str, Any] = field(default_factory=dict)
    key: str = ""
    panel_type: str = "Vega2"
    split_table: bool = False


@dataclass
class CustomChart(WBValue):
    """A table, and how it is drawn."""

    table: Table
    spec: CustomChartSpec

    def set_key(self, key: str) -> None:
        """Say under which name it is logged."""
        self.spec.key = key

    def kept(self) -> Any:
        """The table."""
        return self.table.kept()


class Visualize(CustomChart):
    """The older form of a chart."""


def plot_table(
    vega_spec_name: str,
    data_table: Table,
    fields: dict[str, Any],
    string_fields: dict[str, Any] | None = None,
    split_table: bool = False,
) -> CustomChart:
    """A chart by a specification of one's own. Raises ``Error`` for what is no table."""
    if not isinstance(data_table, Table):
        raise Error(f"Expected `data_table` to be `wandb.Table` type, instead got {type(data_table).__name__}")
    return CustomChart(
        data_table, CustomChartSpec(vega_spec_name, fields, string_fields or {}, "", "Vega2", split_table)
    )


def visualize(id: str, value: Table) -> Visualize:  # noqa: A002 - wandb's name
    """The older form of ``plot_table``."""
    if not isinstance(value, Table):
        raise Error(f"Expected `value` to be `wandb.Table` type, instead got {type(value).__name__}")
    return Visualize(value, CustomChartSpec(id))


def line(
    table: Table, x: str, y: str, stroke: str | None = None, title: str = "", split_table: bool = False
) -> CustomChart:
    """A column over another, a line for each value of ``stroke``."""
    fields = {"x": x, "y": y} if stroke is None else {"x": x, "y": y, "stroke": stroke}
    return plot_table("wandb/line/v0", table, fields, {"title": title}, split_table)


def scatter(table: Table, x: str, y: str, title: str = "", split_table: bool = False) -> CustomChart:
    """A column over another, as points."""
    return plot_table("wandb/scatter/v0", table, {"x": x, "y": y}, {"title": title}, split_table)


def bar(table: Table, label: str, value: str, title: str = "", split_table: bool = False) -> CustomChart:
    """A bar a row."""
    return plot_table("wandb/bar/v0", table, {"label": label, "value": value}, {"title": title}, split_table)


def histogram(table: Table, value: str, title: str = "", split_table: bool = False) -> CustomChart:
    """How often a column has which values."""
    return plot_table("wandb/histogram/v0", table, {"value": value}, {"title": title}, split_table)


def line_series(
    xs: Sequence[Any],
    ys: Sequence[Iterable[Any]],
    keys: Sequence[str] | None = None,
    title: str = "",
    xname: str = "x",
    split_table: bool = False,
) -> CustomChart:
    """Several lines, over an axis each or one for all."""
    shared = len(xs) > 0 and (not isinstance(xs[0], Iterable) or isinstance(xs[0], (str, bytes)))
    axes = [xs] * len(ys) if shared else xs
    if len(axes) != len(ys):
        raise ValueError(f"Number of x-series ({len(axes)}) must match y-series ({len(ys)}).")
    names = [f"line_{at}" for at in range(len(ys))] if keys is None else keys
    if len(names) != len(ys):
        raise ValueError(f"Number of keys ({len(names)}) must match y-series ({len(ys)}).")
    lines = zip(axes, names, ys, strict=True)
    data = [[_plain(x), name, _plain(y)] for axis, name, values in lines for x, y in zip(axis, values, strict=False)]
    fields = {"step": "step", "lineKey": "lineKey", "lineVal": "lineVal"}
    table = Table(columns=list(fields), data=data)
    return plot_table("wandb/lineseries/v0", table, fields, {"title": title, "xname": xname}, split_table)


def confusion_matrix(
    probs: Any = None,
    y_true: Any = None,
    preds: Any = None,
    class_names: Sequence[str] | None = None,
    title: str = "Confusion Matrix Curve",
    split_table: bool = False,
) -> CustomChart:
    """How often which class was taken for which; ``probs`` has a column a class, ``preds`` the classes."""
    if probs is not None and preds is not None:
        raise ValueError("Only one of `probs` or `preds` should be provided, not both.")
    rows = [_listed(row) for row in probs] if probs is not None else []
    predicted = [max(range(len(row)), key=row.__getitem__) for row in rows] if probs is not None else _listed(preds)
    truth = _listed(y_true)
    if len(predicted) != len(truth):
        raise ValueError("The number of predictions and true labels must be equal.")
    if class_names is None:
        classes: list[Any] = sorted({*predicted, *truth})
        names = [f"Class_{at + 1}" for at in range(len(classes))]
    else:
        classes, names = list(range(len(class_names))), list(class_names)
        for what, found in (("predicted classes", predicted), ("true labels", truth)):
            if len(set(found)) > len(names):
                raise ValueError(f"The number of unique {what} exceeds the number of class names.")
    place = {each: at for at, each in enumerate(classes)}
    counts = [[0.0] * len(classes) for _ in classes]
    for true, guess in zip(truth, predicted, strict=True):
        counts[place[true]][place[guess]] += 1
    data = [[names[i], names[j], counts[i][j]] for i in range(len(names)) for j in range(len(names))]
    fields = {"Actual": "Actual", "Predicted": "Predicted", "nPredictions": "nPredictions"}
    table = Table(columns=list(fields), data=data)
    return plot_table("wandb/confusion_matrix/v1", table, fields, {"title": title}, split_table)


def roc_curve(
    y_true: Any,
    y_probas: Any = None,
    labels: Sequence[str] | None = None,
    classes_to_plot: Sequence[Any] | None = None,
    title: str = "ROC Curve",
    split_table: bool = False,
) -> CustomChart:
    """True over false positives of each class; ``y_probas`` has a column a class, in the order of the classes."""
    data = [
        [name, round(false, _DIGITS), round(true, _DIGITS)]
        for name, outcomes in _each_class(y_true, y_probas, labels, classes_to_plot)
        for false, true in _roc(outcomes)
    ]
    table = Table(columns=["class", "fpr", "tpr"], data=_thinned(data))
    axes = {"title": title, "x-axis-title": "False positive rate", "y-axis-title": "True positive rate"}
    return plot_table("wandb/area-under-curve/v0", table, {"x": "fpr", "y": "tpr", "class": "class"}, axes, split_table)


def pr_curve(
    y_true: Any = None,
    y_probas: Any = None,
    labels: Sequence[str] | None = None,
    classes_to_plot: Sequence[Any] | None = None,
    interp_size: int = 21,
    title: str = "Precision-Recall Curve",
    split_table: bool = False,
) -> CustomChart:
    """Precision over recall of each class, at evenly spaced recalls: the best one at that recall or a higher one."""
    data = []
    for name, outcomes in _each_class(y_true, y_probas, labels, classes_to_plot):
        points = _precisions(outcomes)
        for at in range(interp_size - 1, -1, -1):
            recall = at / max(interp_size - 1, 1)
            best = max(precision for each, precision in points if each >= recall)
            data.append([name, round(best, _DIGITS), round(recall, _DIGITS)])
    table = Table(columns=["class", "precision", "recall"], data=_thinned(data))
    axes = {"title": title, "x-axis-title": "Recall", "y-axis-title": "Precision"}
    fields = {"x": "recall", "y": "precision", "class": "class"}
    return plot_table("wandb/area-under-curve/v0", table, fields, axes, split_table)


def _each_class(
    y_true: Any, y_probas: Any, labels: Sequence[str] | None, wanted: Sequence[Any] | None
) -> Iterator[tuple[Any, list[tuple[float, bool]]]]:
    """By class: the score and whether it was that class, of each sample."""
    truth, scores = _listed(y_true), [_listed(row) for row in y_probas]
    classes = sorted(set(truth))
    for at, each in enumerate(classes):
        if wanted is None or each in _listed(wanted):
            name = labels[each] if labels is not None and isinstance(each, int) else each
            yield name, [(row[at], true == each) for row, true in zip(scores, truth, strict=True)]


def _counts(outcomes: list[tuple[float, bool]]) -> list[tuple[int, int]]:
    """How many true and false positives there are, from the highest threshold to the lowest."""
    by_score = groupby(sorted(outcomes, key=lambda each: -each[0]), key=lambda each: each[0])
    steps = [[is_true for _, is_true in group] for _, group in by_score]
    trues, falses = accumulate(map(sum, steps)), accumulate(len(each) - sum(each) for each in steps)
    return list(zip(trues, falses, strict=True))


def _roc(outcomes: list[tuple[float, bool]]) -> Iterator[tuple[float, float]]:
    """False and true positive rates, without points on a straight line between others."""
    counts = _counts(outcomes)
    kept = [
        point
        for at, point in enumerate(counts)
        if at in (0, len(counts) - 1) or any(counts[at + 1][i] - 2 * point[i] + counts[at - 1][i] for i in range(2))
    ]
    trues, falses = counts[-1] if counts else (0, 0)
    nan = float("nan")
    for true, false in ((0, 0), *kept):
        yield false / falses if falses else nan, true / trues if trues else nan


def _precisions(outcomes: list[tuple[float, bool]]) -> list[tuple[float, float]]:
    """Recall and precision, the recall ascending."""
    counts = _counts(outcomes)
    trues = counts[-1][0] if counts else 0
    points = [(true / trues if trues else 1.0, true / (true + false)) for true, false in counts]
    return [(0.0, 1.0), *points]


def _thinned(rows: list[list[Any]]) -> list[list[Any]]:
    """As many as a table has, evenly."""
    most = Table.MAX_ROWS
    return rows if len(rows) <= most else [rows[at * len(rows) // most] for at in range(most)]


def _listed(values: Any) -> list[Any]:
    return list(values.tolist() if hasattr(values, "tolist") else values)


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
