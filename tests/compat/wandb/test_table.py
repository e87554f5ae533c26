"""``wandb.Table`` and ``Histogram``: what is kept of them, and what they are as objects."""

from __future__ import annotations

import datetime
import json
import sys
from typing import Any

import pytest

import steplog
import steplog.compat.wandb as wandb
from apart import apart
from compat.files_kept import logged
from compat.wandb.logged import rows
from steplog.compat.unsupported import unsupported


@apart
def test_a_table_is_kept_as_json():
    run = wandb.init()
    table = wandb.Table(columns=["text", "score"], data=[["a", 0.5], ["b", None]])
    table.add_data("c", 1)
    wandb.log({"predictions": table, "loss": 0.25})
    expected = {"_type": "table", "columns": ["text", "score"], "data": [["a", 0.5], ["b", None], ["c", 1]]}
    assert rows(run) == {0: {"predictions": expected, "loss": 0.25}}
    assert unsupported.counts() == {}


def test_cells_are_converted_as_log_does_and_media_have_files_of_their_own():
    import numpy

    day = datetime.date(2030, 1, 2)
    image = wandb.Image(numpy.zeros((2, 2)), caption="c")
    kept = logged(wandb.Table(["a", "b", "c", "d"], [[numpy.float32(0.5), day, image, [image]]]).kept())
    number, text, cell, cells = kept.record["data"][0]
    assert (number, text) == (0.5, "2030-01-02")
    assert (cell["_type"], cell["caption"], cells[0]["_type"]) == ("image", "c", "image")
    assert len(kept.contents) == 2


def test_a_cell_of_which_nothing_is_kept_is_null_and_counted():
    unsupported.forget()
    assert logged(wandb.Table(["a"], [[wandb.Graph()]]).kept()).record["data"] == [[None]]
    assert unsupported.counts() == {"wandb.log() of wandb.Graph": 1}


def test_a_large_table_is_a_file():
    kept = logged(wandb.Table(["number", "text"], [[number, "x" * 100] for number in range(1000)]).kept())
    assert (kept.record["_type"], kept.record["columns"], kept.record["rows"]) == ("table", ["number", "text"], 1000)
    assert json.loads(kept.file())["data"][999] == [999, "x" * 100]


@pytest.mark.parametrize("cell", ["x" * 2**20, ["y" * 2**20]], ids=["text", "list"])
def test_of_a_table_larger_than_a_file_of_a_value_the_first_rows_are_kept(cell):
    unsupported.forget()
    kept = logged(wandb.Table(["number", "text"], [[number, cell] for number in range(20)]).kept())
    rows_kept = json.loads(kept.file())["data"]
    assert 10 < len(rows_kept) < 20
    assert [row[0] for row in rows_kept] == list(range(len(rows_kept)))
    assert list(unsupported.counts()) == ["rows of a wandb.Table of more than 16 MiB"]


@apart
def test_a_table_may_be_filled_again_and_logged_at_each_step():
    run = wandb.init()
    table = wandb.Table(columns=["n"], log_mode="MUTABLE")
    for number in range(3):
        table.add_data(number)
        wandb.log({"t": table})
    assert [len(row["t"]["data"]) for row in rows(run).values()] == [1, 2, 3]


@apart
def test_of_an_incremental_table_each_value_has_the_new_rows():
    run = wandb.init()
    table = wandb.Table(columns=["n"], log_mode="INCREMENTAL")
    for number in range(4):
        table.add_data(number)
        if number % 2:
            wandb.log({"t": table})
    assert [row["t"]["data"] for row in rows(run).values()] == [[[0], [1]], [[2], [3]]]


def test_the_columns_of_an_evaluation_may_be_named_by_what_they_are():
    table = wandb.EvalTable(data=[["q", "a", 1]], input_columns=["in"], output_columns=["out"], score_columns=["score"])
    assert table.columns == ["in", "out", "score"]


def test_columns_are_added_read_and_computed():
    table = wandb.Table(columns=["x"], data=[[1], [2]])
    table.add_column("y", [10, 20])
    table.add_computed_columns(lambda at, row: {"sum": row["x"] + row["y"], "at": at})
    assert table.columns == ["x", "y", "sum", "at"]
    assert table.get_column("sum") == [11, 22]
    assert list(table.iterrows()) == [(0, [1, 10, 11, 0]), (1, [2, 20, 22, 1])]
    empty = wandb.Table(columns=[])
    empty.add_column("only", [1, 2, 3])
    assert empty.data == [[1], [2], [3]]


class Frame:
    """What of a pandas DataFrame is used."""

    columns = ("a", "b")

    def itertuples(self, index: bool, name: str | None) -> Any:
        assert (index, name) == (False, None)
        return iter([(1, "x"), (2, "y")])


@pytest.mark.parametrize("given", [{"dataframe": Frame()}, {"data": Frame()}], ids=["dataframe", "data"])
def test_a_dataframe_gives_columns_and_rows(given):
    table = wandb.Table(**given)
    assert (table.columns, table.data) == (["a", "b"], [[1, "x"], [2, "y"]])


def test_a_table_without_columns_has_those_of_wandb():
    assert wandb.Table(rows=[[1, 2, 3]]).columns == ["Input", "Output", "Expected"]


def test_a_row_of_another_length_raises_as_wandb_does():
    table = wandb.Table(columns=["a", "b"])
    with pytest.raises(ValueError, match="expects 2 columns"):
        table.add_data(1)
    with pytest.raises(AssertionError):
        table.add_column("a", [])
    with pytest.raises(AssertionError):
        wandb.Table(columns=["a"], data="text")


@apart
def test_a_histogram_is_kept_as_values_and_bins():
    import numpy

    run = wandb.init()
    wandb.log(
        {
            "made": wandb.Histogram(numpy.arange(100), num_bins=4),
            "given": wandb.Histogram(np_histogram=([1, 2], [0.0, 0.5, 1.0])),
        }
    )
    assert rows(run)[0]["made"] == {"_type": "histogram", "values": [25] * 4, "bins": [0, 24.75, 49.5, 74.25, 99]}
    assert rows(run)[0]["given"] == {"_type": "histogram", "values": [1, 2], "bins": [0.0, 0.5, 1.0]}
    with pytest.raises(ValueError, match="bins"):
        wandb.Histogram(np_histogram=([1, 2], [0.0, 1.0]))


@pytest.mark.parametrize("values", [[0.5, 3, 1, 9.25], [[2, 2], [2, 2]], [], [7, 7.1, -3]])
def test_a_histogram_without_numpy_is_the_one_that_numpy_makes(values, monkeypatch):
    made = wandb.Histogram(values, num_bins=4)
    monkeypatch.setitem(sys.modules, "numpy", None)
    alone = wandb.Histogram(values, num_bins=4)
    assert alone.histogram == made.histogram
    assert alone.bins == pytest.approx(made.bins)
    with pytest.raises(ValueError, match="finite"):
        wandb.Histogram([1.0, float("nan")])


@apart
def test_a_table_in_the_summary_is_a_metric_of_the_summary():
    run = wandb.init()
    run.summary["best"] = wandb.Table(["a"], [[1]])
    found = steplog.open(run.steplog_run).summary
    assert found["summary/best"] == {"_type": "table", "columns": ["a"], "data": [[1]]}
