"""``wandb.plot``: the tables that are kept, and their numbers beside scikit-learn's."""

from __future__ import annotations

import random

import pytest

import steplog.compat.wandb as wandb
from apart import apart
from compat.wandb.logged import rows
from steplog.compat.unsupported import unsupported


@apart
def test_a_chart_is_kept_as_its_table():
    run = wandb.init()
    table = wandb.Table(["x", "y"], [[1, 2], [3, 4]])
    charts = {
        "line": wandb.plot.line(table, "x", "y", stroke="x", title="t"),
        "scatter": wandb.plot.scatter(table, "x", "y"),
        "bar": wandb.plot.bar(table, "x", "y", split_table=True),
        "histogram": wandb.plot.histogram(table, "x"),
        "own": wandb.plot_table("me/chart", table, {"x": "x"}),
        "older": wandb.visualize("me/chart", table),
    }
    wandb.log(charts)
    expected = {"_type": "table", "columns": ["x", "y"], "data": [[1, 2], [3, 4]]}
    assert rows(run) == {0: dict.fromkeys(charts, expected)}
    assert unsupported.counts() == {}


def test_what_is_no_table_raises_wandbs_error():
    with pytest.raises(wandb.Error, match=r"wandb\.Table"):
        wandb.plot.bar([[1, 2]], "x", "y")


def test_a_series_of_lines_has_a_row_a_point():
    chart = wandb.plot.line_series(xs=[0, 1], ys=[[5, 6], [7, 8]], keys=["a", "b"], title="t", xname="step")
    assert chart.table.columns == ["step", "lineKey", "lineVal"]
    assert chart.table.data == [[0, "a", 5], [1, "a", 6], [0, "b", 7], [1, "b", 8]]
    with pytest.raises(ValueError, match="Number of keys"):
        wandb.plot.line_series([0], [[1]], keys=["a", "b"])


@pytest.mark.parametrize("given", [{"preds": [0, 1, 1, 0]}, {"probs": [[0.9, 0.1], [0.2, 0.8], [0, 1], [1, 0]]}])
def test_a_confusion_matrix_counts_each_pair(given):
    chart = wandb.plot.confusion_matrix(y_true=[0, 1, 0, 0], class_names=["cat", "dog"], **given)
    assert chart.table.data == [["cat", "cat", 2], ["cat", "dog", 1], ["dog", "cat", 0], ["dog", "dog", 1]]
    with pytest.raises(ValueError, match="Only one"):
        wandb.plot.confusion_matrix(y_true=[0], preds=[0], probs=[[1]])
    with pytest.raises(ValueError, match="equal"):
        wandb.plot.confusion_matrix(y_true=[0, 1], preds=[0])


def test_the_curves_of_a_perfect_classifier_are_the_corners():
    truth, scores = [0, 0, 1, 1], [[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.1, 0.9]]
    roc = wandb.plot.roc_curve(truth, scores, labels=["no", "yes"], classes_to_plot=[1])
    assert roc.table.data[:2] == [["yes", 0, 0], ["yes", 0, 0.5]]
    assert ["yes", 0, 1] in roc.table.data
    precision = wandb.plot.pr_curve(truth, scores, labels=["no", "yes"], classes_to_plot=[1], interp_size=3)
    assert precision.table.data == [["yes", 1.0, 1.0], ["yes", 1.0, 0.5], ["yes", 1.0, 0.0]]


def outcomes(seed: int) -> tuple[list[int], list[list[float]]]:
    """Of three classes, with equal scores among them."""
    draw = random.Random(seed)
    truth = [draw.randrange(3) for _ in range(200)]
    return truth, [[round(draw.random() + (at == each) * 0.3, 1) for at in range(3)] for each in truth]


@pytest.mark.parametrize("seed", range(3))
def test_the_curves_are_those_of_scikit_learn(seed):
    metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn: pip install 'steplog[frameworks]'")
    truth, scores = outcomes(seed)
    roc = wandb.plot.roc_curve(truth, scores).table.data
    precisions = wandb.plot.pr_curve(truth, scores).table.data
    for each in range(3):
        column = [row[each] for row in scores]
        false, true, _ = metrics.roc_curve([it == each for it in truth], column)
        expected = [[round(f, 3), round(t, 3)] for f, t in zip(false.tolist(), true.tolist(), strict=True)]
        assert [row[1:] for row in roc if row[0] == each] == expected
        precision, recall, _ = metrics.precision_recall_curve([it == each for it in truth], column)
        for name, best, at in precisions:
            if name == each:
                assert best == round(max(precision[recall >= at - 1e-9]), 3)
